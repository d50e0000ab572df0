"""The claims ledger: verdicts by hand, every claim decidable from its table, the committed ledger
computed.
"""

import csv
import dataclasses
import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from common.reporting import catalogue, claims, findings, scores, stored, writer
from common.reporting.claims import Claim, Verdict, corrected, interval, over, verdict
from common.reporting.shown import Shown, show
from common.running import cells as store
from papers.omar.experiment import PAPER as OMAR
from papers.omar.experiment import runtime_cell

ALL = [(paper, claim) for paper in catalogue.papers() for claim in claims.of_paper(paper)]


def decide(claim, values):
    return verdict(claim, lambda table: values).word


def test_verdicts_by_hand():
    ours = {
        ("t", "a"): {0: 5.0, 1: 6.0, 2: 5.5},
        ("t", "b"): {0: 1.0, 1: 2.1, 2: 1.4},
        ("t", "c"): {0: 1.0, 1: 9.0, 2: 4.0},
    }
    assert decide(Claim("", "a > b", "x", **over("a", ["b"], ["t"])), ours) == "holds"
    assert decide(Claim("", "b > a", "x", **over("b", ["a"], ["t"])), ours) == "contradicted"
    assert decide(Claim("", "a > c", "x", **over("a", ["c"], ["t"])), ours) == "undecided"
    assert (
        decide(Claim("", "a > b by 10", "x", **over("a", ["b"], ["t"], 10)), ours) == "contradicted"
    )
    value = ((("t", "a"), None),)
    assert decide(Claim("", "a below 9", "x", value, below=9), ours) == "holds"
    assert decide(Claim("", "a near 0", "x", value, within=10), ours) == "holds"
    assert decide(Claim("", "a very near 0", "x", value, within=1), ours) == "contradicted"
    both = over("a", ["b", "c"], ["t"])
    assert decide(Claim("", "a > b, c", "x", **both, each=True), ours) == "undecided"
    assert decide(Claim("", "gone", "x", **over("a", ["d"], ["t"])), ours) == "not run"
    premise = Claim("", "b is large", "x", ((("t", "b"), None),), above=100)
    blocked = verdict(
        Claim("", "a > b", "x", **over("a", ["b"], ["t"]), premise=premise), lambda table: ours
    )
    assert blocked.word == "undecided" and "b is large" in blocked.why
    with pytest.raises(ValueError, match="one of above, below and within"):
        Claim("", "nothing", "x", value)


def test_of_some_pairs_so_many_must_hold_by_themselves():
    spread = np.array([-1.0, 0.0, 1.0])

    def said(needed, *means):
        samples = {("t", str(n)): dict(enumerate(mean + spread)) for n, mean in enumerate(means)}
        pairs = tuple((name, None) for name in samples)
        bound = {"each": True} if needed is None else {"at_least": needed}
        claim = Claim("", "most are above 0", "x", pairs, above=0, **bound)
        return claim, verdict(claim, lambda table: samples)

    def alone(mean):
        return 2 * stats.t.sf(mean / (1 / np.sqrt(3)), 2)

    claim, found = said(2, 30.0, 20.0, -9.0)
    assert claim.test == "2 of 3 values or more above 0"
    assert found.word == "holds" and found.p == pytest.approx(2 * alone(20.0))
    assert found.why == "1 of 3 against it, most surely t/2 (-9)"
    _, found = said(2, 30.0, -20.0, -9.0)  # with two against it, two cannot be for it
    assert found.word == "contradicted" and found.p == pytest.approx(2 * alone(9.0))
    assert said(2, 30.0, 1.0, 0.5)[1].word == "undecided"
    for means in ((30.0, 20.0, 9.0), (30.0, 20.0, -9.0), (30.0, -20.0, -9.0)):
        assert said(3, *means)[1] == said(None, *means)[1]


def test_numbers_without_spread_on_the_bound_itself_leave_a_claim_open():
    same = {("t", "a"): {0: 2.0, 1: 3.0, 2: 5.0}, ("t", "b"): {0: 1.0, 1: 2.0, 2: 4.0}}
    difference = ((("t", "a"), ("t", "b")),)
    for bound, word in ((0.5, "holds"), (1.0, "undecided"), (1.5, "contradicted")):
        assert decide(Claim("", "a > b", "x", difference, above=bound), same) == word
    for bound, word in ((0.5, "contradicted"), (1.0, "undecided"), (1.5, "holds")):
        assert decide(Claim("", "a near b", "x", difference, within=bound), same) == word
    on_it = Claim("", "a > b", "x", difference, above=1.0)
    assert verdict(on_it, lambda table: same).p == 1


def test_two_numbers_that_are_alike_by_chance_decide_nothing():
    alike = {("t", "a"): {0: 2.0, 1: 3.0}, ("t", "b"): {0: 1.0, 1: 2.0}}
    difference = ((("t", "a"), ("t", "b")),)
    for each in (False, True):
        for bound in (0.5, 1.5):
            claim = Claim("", "a > b", "x", difference, above=bound, each=each)
            assert decide(claim, alike) == "undecided"
    mixed = [np.array([1.0, 1.0]), np.array([1.0, 2.0])]  # where there is spread, it counts
    assert np.isfinite(interval(mixed)).all() and not np.isfinite(interval(mixed[:1])[1])


def test_intervals_are_students_and_one_seed_decides_nothing():
    sample = np.array([1.0, 2.0, 3.0, 4.0])
    mean, low, high = interval([sample])
    half = 3.182446 * sample.std(ddof=1) / 2  # t of 3 degrees of freedom
    assert (mean, low, high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))
    mean, low, high = interval(
        [sample, sample + 10]
    )  # strata: differences between them are not noise
    half = 2.446912 * sample.std(ddof=1) / 2 / np.sqrt(2)  # 6 degrees
    assert (mean, low, high) == pytest.approx((7.5, 7.5 - half, 7.5 + half))
    assert interval([np.array([3.0])]) == (3.0, -np.inf, np.inf)


def test_pairs_that_share_an_entry_are_one_stratum():
    base, others = {0: 1.0, 1: 5.0, 2: 3.0}, [{0: 2.0, 1: 5.0, 2: 5.0}, {0: 3.0, 1: 6.0, 3: 0.0}]
    last = {("t", "base"): base, ("t", "x"): others[0], ("t", "y"): others[1]}
    last |= {("u", "x"): {0: 1.0, 1: 2.0}}
    shared = tuple((("t", name), ("t", "base")) for name in "xy")
    assert claims.sharing((*shared, (("u", "x"), None))) == [[0, 1], [2]]
    samples, weights = claims.strata((*shared, (("u", "x"), None)), last)
    assert [sample.tolist() for sample in samples] == [[1.5, 0.5], [1.0, 2.0]]  # no seed 2 in y
    assert weights == [2, 1]
    mean, low, high = interval(samples, weights)
    error = np.sqrt(0.5 / 2 * (2 / 3) ** 2 + 0.5 / 2 * (1 / 3) ** 2)
    freedom = error**4 / ((0.5 / 2 * 4 / 9) ** 2 + (0.5 / 2 / 9) ** 2)
    half = stats.t.ppf(0.975, freedom) * error
    assert (mean, low, high) == pytest.approx((7 / 6, 7 / 6 - half, 7 / 6 + half))


def test_there_are_more_than_fifty_claims_each_said_once():
    assert len(ALL) > 50
    assert len({(paper, claim.says) for paper, claim in ALL}) == len(ALL)
    assert all(claim.where and claim.says and claim.test for _, claim in ALL)


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_every_claim_names_entries_of_its_table(preset):
    for paper, claim in ALL:
        for part in filter(None, (claim, claim.premise, claim.control)):
            table = importlib.import_module(f"papers.{paper}.{part.table}").TABLE
            entries = {(entry.row, entry.column) for entry in table.entries(preset, table.defaults)}
            named = {name for pair in part.pairs for name in pair if name}
            assert named <= entries, f"{paper}: {claim.says}: {sorted(named - entries)[:3]}"


def test_the_committed_ledger_follows_from_the_committed_seeds():
    with open(stored.REFERENCE / "claims.csv", newline="") as file:
        committed = [list(row.values()) for row in csv.DictReader(file)]
    fresh = claims.ledger(sources=(stored.committed,))
    assert committed == [[str(value) for value in row] for row in fresh]
    quick = [row for row in committed if row[4] == "quick"]
    assert len(quick) == len(ALL)
    undecided = [claim for (_, claim), row in zip(ALL, quick, strict=True) if row[5] == "not run"]
    assert not [claim.says for claim in undecided if in_reference(claim)]


def in_reference(claim) -> bool:
    """Whether the committed reference has a claim's entries at quick."""
    paper = next(paper for paper, one in ALL if one is claim)
    there = stored.committed(catalogue.table(f"{paper}/{claim.table}"), "quick")
    known = {entry.name for entry in there.entries if entry.seeds} if there else set()
    return {name for pair in claim.pairs for name in pair if name} <= known


def test_welch_and_holm_by_hand():
    ours = scores.summary([1.0, 2.0, 3.0, 4.0])
    theirs = np.array([2.0, 4.0, 6.0, 9.0, 9.0])
    low, high, p = scores.against(ours, theirs.mean(), theirs.std(), 5)
    expected = stats.ttest_ind([1.0, 2.0, 3.0, 4.0], theirs, equal_var=False)
    assert p == pytest.approx(expected.pvalue)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()))
    assert scores.against(ours, 2.5, None, 5)[2] == pytest.approx(
        1.0
    )  # no published sd: taken as exact
    assert scores.against(scores.summary([1.0, 2.0]), 1.0, 0.1, 5) is None
    assert scores.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert scores.holm([0.01, 0.04, 0.03], 5) == pytest.approx([0.05, 0.12, 0.12])


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ((23.14, 17.29, 29.0), "23.1 [17.3, 29.0]"),
        ((-1098, -3097, 900.4), "-1098 [-3097, 900]"),
        ((0.0009, -0.0051, 0.0069), "0.0009 [-0.0051, 0.0069]"),
        ((2, -0.04, 4.04), "2.00 [-0.04, 4.04]"),  # on which side of 0 is to be seen
        ((-0.02, -1.5, 1.46), "0.0 [-1.5, 1.5]"),
        ((1, 1, 1), "1 [1, 1]"),
        ((5, -math.inf, math.inf), "5 [-inf, inf]"),
    ],
)
def test_intervals_are_written_with_two_digits_of_their_half_width(found, text):
    assert scores.readable(*found) == text


def test_shares_are_tested_exactly():
    """Forty of forty: the interval begins at the 40th root of 0.025, 91.2 %."""
    low, high = scores.exact_interval(40, 40)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    assert scores.exact_p(40, 40, 0.9) == pytest.approx(2 * 0.9**40)
    assert scores.exact_p(5, 10, 0.5) == 1.0

    def of(values, **bound):
        one = Claim("", "a", "x", ((("t", "a"), None),), share=True, **bound)
        return verdict(one, lambda table: {("t", "a"): dict(enumerate(values))})

    assert of([100.0] * 40, above=90).word == "holds"
    assert of([100.0] * 20, above=90).word == "undecided"
    few = of([0.0, 100.0] * 4, below=50)
    assert few.word == "undecided" and few.low == pytest.approx(15.7, abs=0.1)
    assert scores.summary([100.0, 0.0], share=True).low == pytest.approx(1.26, abs=0.01)
    with pytest.raises(ValueError, match="not all 0 or 100"):
        of([3.0], above=0)


def test_words_beside_published_numbers():
    def entry(row, values):
        return Shown(row, "c", ("x",), "done", scores.summary(values))

    entries = [
        entry("far", [0.0, 0.1, 0.2]),
        entry("near", [9.0, 11.0, 10.4]),
        entry("unclear", [8.9, 9.5, 9.3]),
        entry("two", [1.0, 2.0]),
        dataclasses.replace(entry("constant", [5.0]), cells=()),
        entry("gone", [None, None, None]),
    ]
    published = {entry.name: (10.0, 0.2) for entry in entries}
    words = {
        name[0]: found.word for name, found in scores.comparisons(entries, published, 5).items()
    }
    assert words == {
        "far": "differs",
        "near": "consistent",
        "unclear": "not significant after correction",
        "two": "too few runs",
    }


def test_an_interval_wider_than_the_published_methods_lie_apart_is_not_consistent():
    wild = Shown("task", "a", ("x",), "done", scores.summary([-50.0, 10.0, 70.0]))
    published = {("task", "a"): (10.0, 0.2), ("task", "b"): (30.0, 0.2), ("other", "b"): (900.0, 1)}
    found = scores.comparisons([wild], published, 5)
    assert found["task", "a"].word == scores.WIDE
    published["task", "b"] = (300.0, 0.2)
    assert scores.comparisons([wild], published, 5)["task", "a"].word == "consistent"


def test_two_runs_that_beat_two_others_are_not_sure_to_beat_all():
    better, worse = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    assert scores.probability_of_improvement([(better, worse)]) == pytest.approx(
        (1.0, scores.exact_interval(2, 2)[0], 1.0)
    )
    mixed = [(better, worse), (better, worse), (worse, better)]
    assert scores.probability_of_improvement(mixed) == pytest.approx(
        (2 / 3, *scores.exact_interval(4, 6))
    )


def test_probability_of_improvement_by_hand():
    better, worse = np.array([3.0, 4.0]), np.array([1.0, 3.0])
    assert scores.probability_of_improvement([(better, worse)])[0] == pytest.approx(
        (1 + 0.5 + 1 + 1) / 4
    )
    found = scores.probability_of_improvement([(better, worse), (worse, better)])
    assert found[0] == pytest.approx(0.5) and found[1] < 0.5 < found[2]
    sure = np.arange(10.0, 20.0)
    found = scores.probability_of_improvement([(sure, sure - 100)])
    assert found == (1.0, *scores.exact_interval(len(sure), len(sure)))


def test_performance_profile_by_hand():
    share, low, high = scores.performance_profile(
        [np.array([0.0, 2.0]), np.array([1.0, 3.0])], np.array([-1.0, 0.0, 1.5, 3.0])
    )
    assert share.tolist() == [1.0, 0.75, 0.5, 0.0]
    assert (
        (low <= share).all()
        and (share <= high).all()
        and low[0] == high[0] == 1.0
        and low[2] < high[2]
    )


def test_a_consistent_entry_says_which_gap_it_would_have_seen():
    wide = scores.Comparison("consistent", -40.6, 45.6)
    assert wide.verdict(1) == "consistent, sees gaps above 43.1"
    assert wide._replace(word=scores.WIDE).verdict(0) == "too wide to tell, sees gaps above 43"
    assert scores.Comparison("differs", 1.0, 2.0).verdict(1) == "differs"


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_intervals_cover_what_they_promise(count):
    samples = np.random.default_rng(count).normal(size=(4000, count))
    bounds = np.array([scores.interval(sample) for sample in samples])
    share = np.mean((bounds[:, 0] < 0) & (bounds[:, 1] > 0))
    assert abs(share - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)


def test_a_family_of_true_nulls_decides_nothing_in_nineteen_of_twenty_papers():
    random = np.random.default_rng(0)
    claim = Claim("", "a above 0", "x", ((("t", "a"), None),), above=0)

    def alarms(_) -> bool:
        samples = random.normal(size=(20, 3))
        outcomes = [
            verdict(claim, lambda table, sample=sample: {("t", "a"): dict(enumerate(sample))})
            for sample in samples
        ]
        return any(outcome.word != "undecided" for outcome in corrected(outcomes))

    assert np.mean([alarms(_) for _ in range(300)]) < 0.1


def test_verdicts_of_one_paper_are_corrected_together_with_a_reason():
    sure = Verdict("holds", 1.0, 0.9, 1.1, 3, p=0.001)
    once = Verdict("contradicted", -1.0, -1.9, -0.1, 3, p=0.03)
    spans = Verdict("undecided", 0.0, -1.0, 1.0, 3, p=0.9, why="the interval has 0 in it")
    blocked = Verdict("undecided", why="premise not so here: it walks")
    assert [outcome.word for outcome in corrected([sure, once])] == ["holds", "contradicted"]
    first, second, third, fourth = corrected([sure, once, spans, blocked])
    assert (first.word, second.word) == ("holds", "undecided")
    assert second.why == "not significant after correction within 4 claims"
    assert second.p == pytest.approx(3 * 0.03)
    assert [outcome.alone for outcome in (first, second, third, fourth)] == [
        "",
        "contradicted",
        "",
        "",
    ]
    assert (third.why, fourth) == (spans.why, blocked)


def test_claims_that_were_not_run_count_so_that_later_runs_take_no_verdict_back():
    just = Verdict("holds", 1.0, 0.1, 1.9, 3, p=0.01)
    missing = Verdict("not run", why="not run at this preset")
    before = corrected([just, missing, missing])
    assert before[0].word == "holds" and before[0].p == pytest.approx(0.03)
    assert before[1:] == [missing, missing]
    for p in (0.001, 0.02, 1.0):
        later = corrected([just, just._replace(p=p), just._replace(p=p)])
        assert later[0].word == "holds" and later[0].p <= before[0].p


def test_what_we_ask_more_costs_the_papers_claims_nothing(monkeypatch):
    where = ((("t", "a"), None),)
    listed = [
        Claim("1", f"says {index}", "x", where, above=0, addition=index > 0) for index in range(4)
    ]
    once = Verdict("holds", 1.0, 0.1, 1.9, 3, p=0.03)
    monkeypatch.setattr(claims, "decide", lambda *_: once)
    outcomes = claims.outcomes_of("omar", listed, "quick", [])
    assert [outcome.word for outcome in outcomes] == ["holds", *["undecided"] * 3]
    assert outcomes[1].p == pytest.approx(0.09)
    assert [claim.place for claim in listed[:2]] == ["1", "1 (our addition)"]


def test_claims_and_additions_are_counted_apart():
    lines = claims.ledger(["cast_bcq"], sources=(stored.committed,))
    quick = [line for line in lines if line.preset == "quick"]
    ours = [line for line in quick if line.addition]
    assert 0 < len(ours) < len(quick)
    says = findings.sentence(quick)
    assert f"Of {len(quick) - len(ours)} claims of the paper " in says
    assert f"Of {len(ours)} additions of ours " in says


def test_every_line_without_a_plain_verdict_says_why():
    lines = claims.ledger(sources=(stored.committed,))
    assert all(line.why for line in lines if line.verdict not in ("holds", "contradicted"))
    every = [line for line in lines if line.test.startswith("every") and line.verdict != "not run"]
    assert every and all(line.why for line in every)
    run = [line for line in lines if line.verdict != "not run"]
    assert all(line.maker.startswith("commit ") for line in run)


def run_runtime(percents) -> None:
    """OMAR's runtime as if this machine had measured it, bound by launches."""
    for way in ("released_loop", "one_by_one"):
        cell = runtime_cell("quick", {}, way)
        made = store.made_with(cell, {}, OMAR.data.recipes(cell), 1.0, "cpu", OMAR.roots(cell))
        seeds = [
            {"seed": seed, "percent": percent, "of_rows": 1.1 + percent / 1000}
            for seed, percent in enumerate(percents)
        ]
        store.store(cell, {"seeds": seeds, **made})
    table = catalogue.table("omar/runtime")
    writer.write(table, "quick", {}, show(table, "quick", {}))


def of_runtime(ledger):
    return next(line for line in ledger if line.preset == "quick" and "little more" in line.claim)


def test_what_only_this_machine_ran_stays_out_of_the_committed_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    run_runtime([5.0, 5.01, 5.02])
    mine = of_runtime(claims.ledger(["omar"]))
    assert (mine.verdict, mine.maker) == ("holds", "this machine")
    committed = of_runtime(claims.ledger(["omar"], sources=(stored.committed,)))
    assert committed.verdict != "holds" and committed.maker != "this machine"


def test_a_source_without_the_premise_leaves_the_claim_to_the_next():
    premise = Claim("", "b is large", "runtime", ((("t", "b"), None),), above=1)
    claim = Claim("1", "a > 0", "table1", ((("t", "a"), None),), above=0, premise=premise)

    def table(**values):
        entries = [
            Shown("t", name, (name,), "done", scores.summary(seeds), seeds=dict(enumerate(seeds)))
            for name, seeds in values.items()
        ]
        return stored.Stored(stored.COMMITTED, Path(), {"commit": "abcdefgh"}, entries)

    ours = {"table1": table(a=[1.0, 1.1, 1.2])}
    theirs = ours | {"runtime": table(b=[5.0, 5.1, 5.2])}
    sources = [lambda one, _, known=known: known.get(one.name) for known in (ours, theirs)]
    assert claims.decide(claim, "omar", "quick", sources[:1]).word == "not run"
    assert claims.decide(claim, "omar", "quick", sources).word == "holds"
    old = dataclasses.replace(table(b=[]).entries[0], state="stale: code changed")
    begun = {"table1": table(a=[]), "runtime": dataclasses.replace(table(), entries=[old])}
    sources[0] = lambda one, _: begun.get(one.name)
    assert claims.decide(claim, "omar", "quick", sources).word == "holds"
    sources[0] = lambda one, _: (ours | {"runtime": begun["runtime"]}).get(one.name)
    assert claims.decide(claim, "omar", "quick", sources).word == "stale"


def test_a_premise_that_is_open_is_not_called_wrong():
    premise = Claim("", "b is large", "x", ((("t", "b"), None),), above=1)
    claim = Claim("1", "a > 0", "x", ((("t", "a"), None),), above=0, premise=premise)

    def why(*of_b):
        last = {("t", "a"): {0: 1.0, 1: 1.1, 2: 1.2}, ("t", "b"): dict(enumerate(of_b))}
        return verdict(claim, lambda _: last).why

    assert why(0.0, 1.0, 3.0) == "premise not shown here: b is large"
    assert why(0.0, 0.1, 0.2) == "premise not so here: b is large"


def test_a_control_that_does_not_hold_is_said_beside_a_claim_that_does():
    control = Claim("", "a > 0 without c", "x", ((("t", "b"), None),), above=0)
    claim = Claim("1", "a > 0", "x", ((("t", "a"), None),), above=0, control=control)

    def outcome(of_b, of_a=(1.0, 1.1, 1.2)):
        last = {("t", "a"): dict(enumerate(of_a)), ("t", "b"): dict(enumerate(of_b))}
        return verdict(claim, lambda _: last)

    there = outcome((1.0, 1.1, 1.2))
    assert (there.word, there.caveat) == ("holds", "")
    missing = outcome((-1.0, 1.0, 2.0))
    assert (missing.word, missing.p) == (there.word, there.p)
    assert missing.caveat == "control not shown here: a > 0 without c"
    assert outcome((-1.0, -1.1, -1.2)).caveat == "control not so here: a > 0 without c"
    assert outcome(()).caveat == "control without results: a > 0 without c"
    open_claim = outcome((-1.0, 1.0, 2.0), of_a=(-1.0, 1.0, 2.0))
    assert (open_claim.word, open_claim.caveat) == ("undecided", "")


def test_every_paper_has_main_claims_and_they_are_its_own():
    for paper in catalogue.papers():
        main = [claim for claim in claims.of_paper(paper) if claim.main]
        assert 3 <= len(main) <= 11 and not any(claim.addition for claim in main), paper
        lines = findings.main_lines(claims.ledger([paper], sources=(stored.committed,)))
        assert [line.claim for line in lines] == [claim.says for claim in main]


def test_stale_numbers_decide_no_claim(tmp_path, monkeypatch):
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    run_runtime([5.0, 5.01, 5.02])
    other = {"papers/omar/omar.py": "other"}
    present = store.code_hashes
    monkeypatch.setattr(store, "code_hashes", lambda roots: present(roots) | other)
    mine = of_runtime(claims.ledger(["omar"]))
    assert (mine.verdict, mine.mean) == ("stale", "")
    assert mine.why == "runtime: stale: code changed (papers/omar/omar.py)"


@pytest.mark.parametrize("count", [3, 5])
def test_intervals_of_the_probability_of_improvement_cover_at_few_runs(count):
    random = np.random.default_rng(count)
    hits = []
    for _ in range(400):
        tasks = [tuple(random.normal(size=(2, count))) for _ in range(4)]
        _, low, high = scores.probability_of_improvement(tasks)
        hits.append(low <= 0.5 <= high)
    assert np.mean(hits) > 0.9
