"""What decides a number is found from imports: all of it, and nothing else."""

import ast
import random
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest

from common import suite
from common.running import program, sources, work
from common.running.sources import ROOT
from envs.coordination.game import SETTINGS
from envs.tasks import FAMILIES, TASKS, num_agents
from envs.teams import load_team
from papers.cast_bcq.experiment import battle_cell, grid_cell
from papers.cast_bcq.experiment import cell as cast_cell
from papers.moma_ppo.config import AntOptions
from papers.moma_ppo.experiment import cell as moma_cell
from papers.moma_ppo.experiment import game_cell
from papers.moma_ppo.models import model_cell
from papers.omar.experiment import cell as omar_cell
from papers.omar.experiment import landscape_cell, runtime_cell
from papers.otc.experiment import cell as otc_cell
from papers.otc.experiment import timing_cell

EXAMPLES = {
    "omar, particles": omar_cell("smoke", "world", "medium", "omar", {}),
    "omar, ICQ": omar_cell("smoke", "world", "medium", "ma_icq", {}),
    "omar, robots": omar_cell("smoke", "two_agent_halfcheetah", "medium", "ma_cql", {}),
    "omar, landscape": landscape_cell("smoke", {}),
    "omar, timing": runtime_cell("smoke", {}, "one_by_one"),
    "otc, BCQ on robots": otc_cell("smoke", "hopper", "medium", "bcq", "d_e", {}),
    "otc, points": otc_cell("smoke", "kinematic_predator_prey", "random", "td3bc", "uniform", {}),
    "otc, BREMEN": otc_cell("smoke", "hopper", "medium", "bremen", "d_e", {}),
    "otc, battles": otc_cell("smoke", "5m_vs_6m", "medium", "cql", "d_q", {}),
    "otc, timing": timing_cell("smoke", {}),
    "cast, robots": cast_cell("smoke", "halfcheetah", "medium", "ours", {}),
    "cast, ICQ": cast_cell("smoke", "halfcheetah", "medium", "icq_ma", {}),
    "cast, BCQ": cast_cell("smoke", "halfcheetah", "medium", "bcq", {}),
    "cast, grid": grid_cell("smoke", "ours", {}),
    "cast, battles": battle_cell("smoke", "2s3z", "ours", {}),
    "moma, game": game_cell("smoke", next(iter(SETTINGS)), "moma_ppo", asdict(AntOptions())),
    "moma, IQL": moma_cell("smoke", "reacher", "full", "expert-mix", "maiql", asdict(AntOptions())),
    "moma, TD3": moma_cell("smoke", "ant", "full", "random", "itd3bc", asdict(AntOptions())),
    "moma, PPO": moma_cell("smoke", "ant", "po", "random", "moma_ppo", asdict(AntOptions())),
    "moma, world model": model_cell("smoke", "reacher", "expert-mix"),
}


def closure(cell, root: Path = ROOT) -> set[str]:
    return {*sources.closure(work.paper(cell.paper).roots(cell), root)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the packages."""
    folder = tmp_path_factory.mktemp("tree")
    for name in sources.PACKAGES:
        ignored = shutil.ignore_patterns("*.safetensors", "__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def test_every_cell_of_every_table_has_a_closure_with_its_training_and_its_simulator():
    closures: dict[tuple, tuple] = {}
    for table in suite.find():
        for cell in table.cells("smoke"):
            roots = tuple(work.paper(cell.paper).roots(cell))
            closures[cell.paper, roots] = sources.closure(roots)
    for (paper, _), files in closures.items():
        assert any(name.startswith(f"papers/{paper}/") for name in files)
        assert any(name.startswith("envs/") for name in files)
        others = {"omar", "otc", "cast_bcq", "moma_ppo"} - {paper}
        assert not [
            name for name in files if name.startswith(tuple(f"papers/{x}/" for x in others))
        ]


def test_a_cell_depends_on_its_simulator_and_on_no_other():
    folders = {
        "particles": "envs/particle/",
        "robots": "envs/mujoco/",
        "battles": "envs/smac/",
        "grid": "envs/grid/",
        "game": "envs/coordination/",
    }
    for name, cell in EXAMPLES.items():
        uses = {key for key, folder in folders.items() if any(folder in x for x in closure(cell))}
        word = name.partition(", ")[2]
        if word in folders:
            assert uses == {word}, name
        else:
            assert len(uses) <= 1, name


def test_compiled_files_belong_to_the_module_that_compiles_them():
    assert "common/learning/kernels.c" in closure(EXAMPLES["omar, particles"])
    assert "papers/otc/nearest.c" in closure(EXAMPLES["otc, BCQ on robots"])
    assert "common/learning/recurrent.c" in closure(EXAMPLES["cast, battles"])
    included = {f"common/learning/{name}.c" for name in ("attention", "kernels", "recurrent")}
    assert included <= set(closure(EXAMPLES["moma, PPO"]))


@pytest.mark.parametrize("draw", range(4))
def test_a_changed_line_makes_exactly_the_cells_stale_whose_closure_has_it(tree, tmp_path, draw):
    everything = sorted({name for cell in EXAMPLES.values() for name in closure(cell)})
    seed = f"{date.today()}, {draw}"
    changed = random.Random(seed).choice(everything)
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy)
    with open(copy / changed, "a") as file:
        file.write("\nstatic int one_more;\n" if changed.endswith(".c") else "\nONE_MORE = 1\n")
    for name, cell in EXAMPLES.items():
        roots = work.paper(cell.paper).roots(cell)
        stale = sources.code_hashes(roots, copy) != sources.code_hashes(roots, tree)
        assert stale == (changed in closure(cell)), (name, changed, f"seed {seed!r}")


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (
            "envs/particle/data.py",
            '"rewards"])',
            '"rewards"] * 2)',
            {"omar, particles", "omar, ICQ", "omar, landscape", "omar, timing"},
        ),
        ("envs/joint.py", '["rewards"]', '["rewards"] * 2', {"omar, robots"}),
    ],
)
def test_doubled_rewards_make_omars_cells_stale(tree, tmp_path, file, old, new, stale):
    copy = tmp_path / "tree"
    shutil.copytree(tree, copy)
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    for name, cell in EXAMPLES.items():
        if name.startswith("omar"):
            roots = work.paper("omar").roots(cell)
            differs = sources.code_hashes(roots, copy) != sources.code_hashes(roots, tree)
            assert differs == (name in stale), name


def test_imports_in_functions_count_and_those_for_type_checkers_do_not(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("common/__init__.py", "")
    write("common/a.py", "def f():\n    from common import b\n    return b\n")
    write(
        "common/b.py",
        "import os\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from common import c\nKERNEL = 'b.c'\n",
    )
    write("common/b.c", '#include "d.c"\nint b;\n')
    write("common/d.c", "int d;\n")
    write("common/c.py", "C = 1\n")
    assert sources.closure(["common.a"], tmp_path) == (
        "common/a.py",
        "common/b.c",
        "common/b.py",
        "common/d.c",
    )
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        sources.closure(["common.nowhere"], tmp_path)


def test_declared_modules_exist_or_are_patterns_that_match():
    names = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for package in sources.PACKAGES
        for path in (ROOT / package).rglob("*.py")
    ]
    assert sum(map(sources.without_effect, names)) > 20
    assert all(reason for reason in sources.WITHOUT_EFFECT.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_all_code_that_runs_while_a_cell_is_trained_is_in_its_closure(name, tmp_path, monkeypatch):
    """Every project function that training calls is in a file of the closure, or declared."""
    monkeypatch.setenv("OMZ_RESULTS", str(tmp_path))
    cell = EXAMPLES[name]
    paper = work.paper(cell.paper)
    paper.data.prepare(cell)
    called = set()
    builders = set()

    def note(frame, event, argument):
        if event == "call":
            called.add(frame.f_code.co_filename)
            if frame.f_code.co_name == "build":
                builders.add(frame.f_globals["__name__"])

    sys.setprofile(note)
    try:
        paper.train([cell], "cpu", tmp_path / "checkpoint.pt", lambda done, total: None)
    finally:
        sys.setprofile(None)
    inside = {
        Path(file).relative_to(ROOT).as_posix() for file in called if file.startswith(str(ROOT))
    }
    filled = {file for file in inside if (ROOT / file).stat().st_size}
    ran = {file for file in filled if file.split("/")[0] in sources.PACKAGES}
    if not paper.data.of(cell):
        ran -= {"envs/datasets/cells.py"}  # it was asked, and said that there are none
    declared = {
        file for file in ran if sources.without_effect(file.removesuffix(".py").replace("/", "."))
    }
    assert ran - declared <= closure(cell)
    ours = {module for module in builders if module.startswith("papers.")}
    assert all(sources.counts(module, paper.roots(cell)) for module in ours), ours
    assert ours or cell.config.get("timing") or cell.config.get("landscape")


def test_a_build_in_a_file_that_counts_for_nothing_is_refused(tmp_path):
    def build(members, device):
        raise AssertionError("it was called")

    build.__module__ = "papers.omar.experiment"
    with pytest.raises(RuntimeError, match="name 'papers.omar.experiment' among the roots"):
        program.train(build, [EXAMPLES["omar, particles"]], "cpu", tmp_path / "checkpoint.pt")


def test_what_maps_members_to_data_and_scales_scores_decides_numbers():
    for name, cell in EXAMPLES.items():
        if work.paper(cell.paper).data.of(cell):
            files = {"envs/datasets/cells.py", "envs/datasets/loading.py"}
            assert files <= closure(cell), name


REGISTRIES = {  # names of methods, and what makes the cells of other modules
    *("BASES", "BUILDERS", "METHODS", "PER_MEMBER", "structure"),
    *("calibration_of", "model_layers", "preset_of", "sizes_of"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_training_takes_no_number_from_a_module_declared_without_effect(name):
    files = closure(EXAMPLES[name])
    for file in (file for file in files if file.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".config"):
                taken = {alias.name for alias in node.names} - REGISTRIES
                config = f"{node.module}.py".replace(".", "/").replace("/py", ".py")
                assert not taken or config in files, (file, taken)


def test_a_table_of_the_particle_worlds_loads_no_other_simulator():
    assert loaded_by("import papers.omar.table3") == "[]"


def test_the_list_loads_no_simulator(folders):
    assert loaded_by("from common import suite; suite.main(['--list'])") == "[]"


def loaded_by(statement):
    """Which of the heavy modules a statement loads, as it is printed."""
    heavy = ("mujoco", "gymnasium", "numba", "scipy.stats", "matplotlib", "h5py", "envs.smac.core")
    code = f"import sys\n{statement}\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()[-1]


def test_families_name_their_modules_tasks():
    for family in FAMILIES:
        assert tuple(family.tasks) == family.load_data().TASKS


@pytest.mark.parametrize("task", TASKS)
def test_a_tasks_number_of_agents_is_its_teams(task):
    assert num_agents(task) == load_team(task).num_agents
