"""Sections of the results page: what is shown of a table, what is not, and why."""

from dataclasses import replace

import pytest

from common.reporting import catalogue, claims, scores, section
from common.reporting.claims import Claim
from common.reporting.edition import Edition
from common.reporting.markup import Page
from common.reporting.shown import Shown
from common.reporting.stored import COMMITTED, Stored

TABLE = replace(catalogue.table("omar/table3"), names={"ours": "OUR METHOD"}, ours="ours")


def entry(row, column, values=(), **facts) -> Shown:
    """An entry of these values, by seed."""
    seeds = dict(enumerate(values))
    state = "done" if values else "missing"
    return Shown(row, column, ("cell",), state, scores.summary([*values]), seeds=seeds, **facts)


def stored_in(tmp_path, *entries) -> Stored:
    """These entries as a table of the reference."""
    return Stored(COMMITTED, tmp_path, {}, [*entries])


def edition_of(there) -> Edition:
    """A page's source in which every table is this one, without pictures."""
    return Edition(there.folder, lambda table, preset: there, (), draw=False)


def aggregates(there) -> str:
    """HTML of what is said of all tasks together."""
    page = Page()
    section.show_aggregates(page, TABLE, there, "quick", edition_of(there))
    return "".join(page.html)


@pytest.mark.parametrize("runs", [2, 3])
def test_nothing_is_said_of_all_tasks_from_two_runs(tmp_path, monkeypatch, runs):
    monkeypatch.setattr(claims, "of_paper", lambda paper: [])
    better, worse = [5.0, 6.0, 7.0][:runs], [1.0, 2.0, 3.0][:runs]
    there = stored_in(tmp_path, entry("a", "ours", better), entry("a", "theirs", worse))
    page = aggregates(there)
    assert ("fewer than 3 runs of a method on a task" in page) == (runs < 3)
    assert ("that a run of OUR METHOD beats" in page) == (runs > 2)


def test_nothing_is_said_of_all_tasks_where_a_premise_is_not_shown(tmp_path, monkeypatch):
    premise = Claim("", "anybody walks", "table3", ((("a", "ours"), None),), above=10)
    claim = Claim("1", "x", "table3", ((("a", "ours"), None),), above=0, premise=premise)
    monkeypatch.setattr(claims, "of_paper", lambda paper: [claim])
    there = stored_in(
        tmp_path, entry("a", "ours", [5.0, 6.0, 7.0]), entry("a", "theirs", [1.0, 2.0, 3.0])
    )
    page = aggregates(there)
    assert "premise not so here: anybody walks" in page and "beats" not in page
