"""Options and hyperparameters on the command line: what is refused, set, how it is named."""

import json
import re
from dataclasses import dataclass
from typing import Literal

import pytest

from common import suite
from common.learning.ranges import Count, Positive, Share
from common.reporting import script, tables
from common.running import work
from common.running.cells import (
    LONGEST_NAME,
    PRESETS,
    Cell,
    Layer,
    defaults,
    file_name,
    runs_folder,
)
from common.running.options import (
    BadInput,
    changed,
    check_groups,
    checked,
    fields_of,
    places_of,
    settable,
)

SCRIPTS = suite.find("*")
TRAINED = [table for table in SCRIPTS if not table.unavailable and table.cells("smoke")]


@pytest.fixture
def nothing_runs(monkeypatch):
    monkeypatch.setattr(work, "run", lambda *_: pytest.fail("a cell was trained"))


def refused(table, *words) -> str:
    """The sentence that a command line is refused with."""
    with pytest.raises(ValueError) as error:
        script.read(table, list(words))
    assert "\n" not in str(error.value)
    return str(error.value)


def run_main(table, *words) -> int:
    with pytest.raises(SystemExit) as stop:
        script.main(table, [f"papers/{table.slot}.py", *words])
    return stop.value.code


@dataclass(frozen=True)
class Toy:
    """Defaults of a toy."""

    lr: Positive = 0.5
    tau: Share = 0.01
    layers: Count = 2
    clip: Positive | None = None
    kind: Literal["plain", "fancy"] = "plain"
    fast: bool = False
    bounds: tuple[float, float] = (-1.0, 0.0)

    def __post_init__(self):
        if self.fast and self.kind == "fancy":
            raise ValueError("a fancy one is not fast")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("lr", 0.0, "lr is 0.0, expected a number above 0"),
        ("lr", "a", "lr is 'a', expected a number above 0"),
        ("lr", float("inf"), "lr is inf, expected a number above 0"),
        ("lr", True, "lr is True, expected a number above 0"),
        ("tau", 1.5, "tau is 1.5, expected a number between 0 and 1"),
        ("layers", 0, "layers is 0, expected a whole number of at least 1"),
        ("layers", 2.5, "layers is 2.5, expected a whole number of at least 1"),
        ("clip", -1, "clip is -1, expected a number above 0 or None"),
        ("kind", "fanci", "expected 'plain' or 'fancy'; did you mean 'fancy'?"),
        ("fast", 1, "fast is 1, expected True or False"),
        ("bounds", [1.0], "bounds is [1.0], expected a list of 2 numbers"),
    ],
)
def test_a_value_that_its_field_does_not_allow_is_one_sentence(name, value, says):
    with pytest.raises(BadInput, match=re.escape(says)):
        checked(name, value, fields_of(Toy)[name])


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [("lr", 1, 1.0), ("clip", None, None), ("bounds", [0.0, 1.0], [0.0, 1.0]), ("layers", 3, 3)],
)
def test_a_value_that_its_field_allows_is_taken(name, value, result):
    taken = checked(name, value, fields_of(Toy)[name])
    assert taken == result
    assert type(taken) is type(result)


def toy() -> Cell:
    layers = [
        Layer("this script", {"task": "t", "lr": 0.25}, {"": Toy}),
        defaults("a", Toy()),
        defaults("b", Toy()),
        Layer("preset smoke", {"a": {"layers": 3}, "seeds": [0]}),
    ]
    return Cell.of("toy", "smoke", ["t"], layers, {"b": {"tau": 0.5}}, [1, 2])


def test_a_cell_is_its_layers_and_is_named_by_its_differences():
    cell = toy()
    assert cell.slot == "t/tau=0.5/seeds=1-2"
    assert cell.config["a"]["layers"] == 3
    assert cell.origins["a.layers"] == "preset smoke"
    assert cell.origins["a.lr"] == "Toy: Defaults of a toy."
    assert cell.origins["b.tau"] == "this script"
    assert cell.origins["seeds"] == "command line"


def test_a_key_means_the_cell_itself_then_all_groups_then_its_aliases():
    cell = toy()
    assert [*places_of(cell, "lr")] == ["lr"]
    assert [*places_of(cell, "b.lr")] == ["b.lr"]
    assert [*places_of(cell, "layers")] == ["a.layers", "b.layers"]
    assert not places_of(cell, "task")
    omar = suite.find("omar/table3")[0].cells("smoke")[0]
    assert [*places_of(omar, "lr")] == ["backbone.actor_lr", "backbone.critic_lr"]


def test_a_changed_cell_has_a_name_of_its_own_and_an_unchanged_one_stays():
    cell = toy()
    other = changed(cell, {"layers": 4, "b.lr": 2})
    assert other.slot == f"{cell.slot}/with/b.lr=2.0/layers=4"
    assert (other.config["a"]["layers"], other.config["b"]["layers"]) == (4, 4)
    assert other.config["b"]["lr"] == 2.0
    assert other.origins["b.lr"] == "command line"
    assert other.hash != cell.hash
    assert changed(cell, {"b.lr": 0.5, "nothing": 3}) is cell
    with pytest.raises(BadInput, match="a: a fancy one is not fast"):
        changed(cell, {"fast": True, "kind": "fancy"})


def test_two_keys_that_set_one_place_differently_are_refused():
    assert changed(toy(), {"a.layers": 4, "layers": 4}).config["a"]["layers"] == 4
    with pytest.raises(BadInput, match="a.layers=4 and layers=5 both set a.layers; leave one out"):
        changed(toy(), {"a.layers": 4, "layers": 5})


def test_names_of_files_stay_in_their_folder_and_within_length():
    name = file_name("../" * 100 + "x")
    assert "/" not in name
    assert len(name) < LONGEST_NAME + 20
    assert name != file_name("../" * 100 + "y")


@pytest.mark.parametrize("table", SCRIPTS, ids=lambda t: t.slot)
def test_a_typo_in_any_option_of_any_script_is_one_sentence(table):
    fields = script.own_fields(table) | fields_of(script.Running)
    for name, annotation in fields.items():
        message = refused(table, "smoke", f"{name}=nonsense")
        assert message.startswith(f"{name} is 'nonsense', expected "), annotation
    typo = name[:1] + name
    assert f"unknown key {typo!r}; " in refused(table, "smoke", f"{typo}=1")


@pytest.mark.parametrize("table", TRAINED, ids=lambda t: t.slot)
def test_every_value_of_every_cell_is_allowed_and_has_an_origin(table):
    for cell in [cell for preset in PRESETS for cell in table.cells(preset)]:
        origins = Layer("", cell.config).pairs
        assert all(cell.origins[key] for key in origins)
        for place, annotation in settable(cell).items():
            checked(place, origins[place], annotation)
        check_groups(cell)
        assert re.fullmatch(r"[A-Za-z0-9._=/-]+", cell.slot)


@pytest.mark.parametrize("table", TRAINED, ids=lambda t: t.slot)
def test_every_hyperparameter_can_be_named(table):
    kinds = {tuple(cell.types.values()): cell for cell in table.cells("smoke")}
    for cell in kinds.values():
        pairs = Layer("", cell.config).pairs
        for place in settable(cell):
            assert [*places_of(cell, place)] == [place]
            assert changed(cell, {place: pairs[place]}) is cell


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("omar/table3", ["alhpa=2"], "did you mean 'alpha'?"),
        ("omar/table3", ["hyper.alhpa=2"], "did you mean 'hyper.alpha'?"),
        ("omar/table3", ["hyper.alpha=x"], "hyper.alpha is 'x', expected a number"),
        ("omar/table3", ["method=omar"], "unknown key 'method'"),
        ("omar/table3", ["smoke", "paper"], "smoke and paper together; name one preset"),
        ("omar/table3", ["smoke", "preset=paper"], "smoke and paper together"),
        ("omar/table3", ["seed=3"], "write seeds=[3]"),
        ("omar/table3", ["seeds={}"], "seeds is {}, expected a value"),
        ("omar/table3", ["hyper={}"], "write hyper=VALUE or hyper.NAME=VALUE"),
        ("omar/table3", ["hyper.alpha={}"], "hyper.alpha is {}"),
        ("omar/table3", ["seeds=[1,1]"], "expected every seed once; 1 is there twice"),
        ("otc/table1", ["normaliser=minibach"], "did you mean 'minibatch'?"),
        ("otc/table3", ["lr=0.1"], "unknown key 'lr'"),
        ("otc/ablation_readings", ["normaliser=minibatch"], "normaliser cannot be set"),
        ("cast_bcq/figure1", ["behaviour=uniforms"], "did you mean 'uniform'?"),
        ("otc/table1", ["batch_size=9999"], "tuning: batch_size is 9999, but candidates is 256"),
        ("otc/table1", ["pool=8"], "batch_size is 64, but pool is 8"),
        ("cast_bcq/table1", ["last=99"], "last is 99, but evaluations is 4"),
        ("cast_bcq/table2", ["last=3"], "last is 3, but evaluations is 2"),
        ("cast_bcq/table2", ["weight=1.5"], "expected a number between 0 and 1"),
        ("moma_ppo/table4b", ["mapping=alined"], "did you mean 'aligned'?"),
    ],
)
def test_what_cannot_be_run_says_what_was_expected(name, words, says):
    assert says in refused(suite.find(name)[0], *words)


def test_seeds_of_the_suite_are_checked_before_anything_runs(nothing_runs, capsys):
    assert suite.main(["--only", "omar/table1", "--preset", "smoke", "--seeds", "0,0"]) == 2
    assert "every seed once" in capsys.readouterr().err


def test_a_variant_runs_beside_the_plain_table_and_never_overwrites_it(capsys):
    table = suite.find("omar/table1")[0]
    assert run_main(table, "with", "smoke", "jobs=1") == 0
    folder = runs_folder() / "smoke" / "omar"
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.parts[-2] != "locks"}
    assert run_main(table, "with", "smoke", "jobs=1", "critic_lr=0.002", "hyper.alpha=2") == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    name = "table1.critic_lr=0.002.hyper.alpha=2"
    facts = json.loads((folder / f"{name}.json").read_text())
    assert facts["options"]["changes"] == {"critic_lr": 0.002, "hyper.alpha": 2}
    slots = [slot for entry in facts["entries"] for slot in entry["cells"]]
    assert all(slot.endswith("/with/critic_lr=0.002/hyper.alpha=2.0") for slot in slots)
    runs = sorted((runs_folder() / "sacred").glob("*/config.json"), key=lambda p: int(p.parts[-2]))
    recorded = [json.loads(path.read_text()) for path in runs]
    ours = [config for config in recorded if config.get("critic_lr") == 0.002]
    assert ours and ours[-1]["hyper"] == {"alpha": 2}
    cell = table.cells("smoke", {"changes": {"critic_lr": 0.002, "hyper.alpha": 2}})[0]
    result = json.loads(cell.path.read_text())
    assert result["config"]["backbone"]["critic_lr"] == 0.002
    assert result["config"]["hyper"]["alpha"] == 2.0


def test_a_world_model_takes_the_changes_of_the_cell_that_uses_it():
    from papers.moma_ppo import models

    table = suite.find("moma_ppo/table4a")[0]
    for changes, ends in (({}, "world_model"), ({"model.hidden": 9}, "with/model.hidden=9")):
        cells = table.cells("smoke", {"changes": changes})
        users = [cell for cell in cells if cell.config["method"] == "moma_ppo"]
        used = {models.model_of(cell).slot for cell in users}
        assert all(slot.endswith(ends) for slot in used)


def test_a_name_of_a_table_is_the_plain_one_for_defaults_only():
    table = suite.find("omar/table3")[0]
    assert tables.variant(table, {"reading": "released", "seeds": None}) == "table3"
    options = {"reading": "text", "seeds": [0, 2], "changes": {"log_std_range": [-1.0, 0.0]}}
    expected = "table3.log_std_range=-1.0-0.0.reading=text.seeds=0-2"
    assert tables.variant(table, options) == expected


def test_show_lists_the_cells_and_prints_one_with_its_origins(nothing_runs, capsys):
    table = suite.find("omar/table3")[0]
    assert run_main(table, "show", "with", "smoke") == 0
    printed = capsys.readouterr().out
    assert all(cell.slot in printed for cell in table.cells("smoke"))
    assert run_main(table, "show", "world/random/omar", "with", "quick", "lr=3e-4") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "0.0003" in lines["backbone.actor_lr"] and "command line" in lines["backbone.critic_lr"]
    assert "released map" in lines["hyper.coefficient"]
    assert "OMARConfig" in lines["hyper.samples"]
    assert "preset quick" in lines["rounds"]


def test_show_says_command_line_of_what_a_scripts_own_option_decided(nothing_runs, capsys):
    table = suite.find("otc/table1")[0]
    for words, origin in (([], "TuningConfig"), (["normaliser=minibatch"], "command line")):
        cell = script.read(table, ["smoke", *words]).options
        slot = table.cells("smoke", cell)[0].slot
        assert run_main(table, "show", slot, "with", "smoke", *words) == 0
        printed = capsys.readouterr().out
        rows = [line.split(maxsplit=2) for line in printed.splitlines() if "normaliser" in line]
        found = {key.rpartition(".")[2]: source for key, _, source in rows[-1:]}
        assert origin in found["normaliser"], printed


def test_show_says_which_cells_a_word_fits(nothing_runs, capsys):
    table = suite.find("omar/table3")[0]
    for words, says in (
        (["omar"], "12 cells have 'omar' in their names"),
        (["world/random/omra"], "did you mean 'world/random/omar'?"),
        (["world", "random"], "show takes one cell"),
    ):
        assert run_main(table, "show", *words) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1
    assert run_main(suite.find("otc/table3")[0], "show") == 2
