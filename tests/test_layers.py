"""The plan of the house: what may import what, nowhere a circle, and no paper named in common."""

import ast
from graphlib import TopologicalSorter

import pytest

from common.reporting import catalogue
from common.running.provenance import ROOT

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in ("common", "envs", "papers")
    for path in sorted((ROOT / top).rglob("*.py"))
}
# a wing or package, and what it may import of the project
MAY_IMPORT = {
    "common.learning": ("common.learning",),
    "common.running": ("common.learning", "common.running"),
    "common.reporting": ("common.learning", "common.running", "common.reporting"),
    "envs": ("envs", "common.learning", "common.running"),
    "papers": (
        "papers",
        "envs",
        "common.learning",
        "common.running",
        "common.reporting",
        "common.starting",
    ),
}


def imported(name: str) -> set[str]:
    """Modules of the project that a module imports, anywhere in it, for type checkers as well."""
    return modules_in(ast.parse(FILES[name].read_text()))


def modules_in(tree: ast.AST) -> set[str]:
    """Modules of the project that some code imports."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= inside & set(FILES) or {node.module}
    return modules & set(FILES)


@pytest.mark.parametrize("wing", MAY_IMPORT)
def test_no_import_goes_back_up(wing):
    for name in FILES:
        if name.startswith(wing):
            wrong = {other for other in imported(name) if not other.startswith(MAY_IMPORT[wing])}
            assert not wrong, (name, wrong)


def test_no_circle_of_imports():
    graph = {name: imported(name) - {name} for name in FILES}
    assert list(TopologicalSorter(graph).static_order())


def test_no_paper_imports_another_and_common_names_none():
    papers = catalogue.papers()
    for name, path in FILES.items():
        owner = name.split(".")[1] if name.startswith("papers.") else ""
        others = [paper for paper in papers if paper != owner]
        if owner:
            assert not [m for m in imported(name) if m.split(".")[1] in others], name
        if name.startswith("common."):
            strings = {
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            assert not strings & set(papers), (name, strings & set(papers))
