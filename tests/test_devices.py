"""Every learner of the papers learns on a device that is not the CPU: nothing of it stays on the
CPU, and it waits for the device nowhere in its loop. Tried without a GPU, see tests/elsewhere.py.
"""

from dataclasses import asdict

import pytest
import torch

from common.learning import kernels
from common.running import work
from common.running.cells import Cell
from common.running.program import Members, Training
from common.running.sources import resolve
from papers.cast_bcq import config as cast_bcq_config
from papers.cast_bcq import experiment as cast_bcq
from papers.cast_bcq import grid
from papers.moma_ppo import config as moma_ppo_config
from papers.moma_ppo import ensemble, models
from papers.moma_ppo import experiment as moma_ppo
from papers.omar import config as omar_config
from papers.omar import experiment as omar
from papers.otc import config as otc_config
from papers.otc import experiment as otc
from tests.elsewhere import DEVICE, brought_back, machine

# What drawing waits for, and cannot be changed before OMAR's campaign at standard is done
PHILOX = {
    "common/learning/philox.py: Streams.integers: numbers are sent over, and waited for",
    "common/learning/philox.py: Streams.distinct: numbers are sent over, and waited for",
    "common/learning/philox.py: Streams.distinct: numbers are asked back",
    "common/learning/philox.py: distinct_reference: numbers are asked back",
}
# An epoch of MOMA-PPO, hundreds of steps of networks, waits a dozen times: how many steps its
# rollouts have depends on what happens in them
EPOCH = {
    "common/learning/philox.py: Streams.__init__: numbers are sent over, and waited for",
    "common/learning/rollouts.py: experience: numbers are asked back",
    "common/learning/rollouts.py: roll: numbers are asked back",
    "papers/moma_ppo/moma_ppo.py: imagine: numbers are asked back",
}
UPDATES = 3


OTC_DATA = dict.fromkeys(otc_config.BASES, ("kinematic_navigation_2", "random")) | {
    "cql": ("3m", "medium")
}


def otc_cells(base: str) -> list[Cell]:
    """Every way to choose rows."""
    methods = [one for one in otc_config.METHODS if (base, one) != ("bremen", "d_q")]
    task, quality = OTC_DATA[base]
    return [otc.make_cell("smoke", task, quality, base, one, seeds=[0, 1]) for one in methods]


def cells_of_all() -> dict[str, list[Cell]]:
    """What trains together, of every learner of every paper."""
    task, quality = "cooperative_navigation", "medium"
    robot = ("smoke", "hopper", "uncoordinated")
    return {
        **{
            f"omar/{one}": [omar.make_cell("smoke", task, quality, one)]
            for one in omar_config.METHODS
        },
        **{f"otc/{base}": otc_cells(base) for base in otc_config.BASES},
        **{f"cast_bcq/{one}": [cast_bcq.cell(*robot, one, {})] for one in cast_bcq_config.METHODS},
        **{f"grid/{one}": [cast_bcq.grid_cell("smoke", one, {})] for one in grid.METHODS},
        **{
            f"battles/{one}": [cast_bcq.battle_cell("smoke", "3s_vs_3z", one, {})]
            for one in cast_bcq_config.BATTLE_METHODS
        },
        **{f"moma_ppo/{one}": [moma_ppo_cell(one)] for one in moma_ppo_config.METHODS},
        "moma_ppo/world_model": [models.model_cell("smoke", "coordination", "favorable")],
    }


def moma_ppo_cell(method: str) -> Cell:
    options = asdict(moma_ppo_config.AntOptions())
    return moma_ppo.cell("smoke", "ant", "full", "full-replay", method, options)


def built(cells: list[Cell], device: str) -> Training:
    """What the cells train."""
    if cells[0].paper == "cast_bcq":
        module = cast_bcq.trained_by(cells[0])
        return resolve(f"papers.cast_bcq.{module}:build")(Members(cells), device)
    return resolve(f"papers.{cells[0].paper}.training:build")(Members(cells), device)


def updates_of(cells: list[Cell]) -> int:
    """Enough to be in every stage of a training."""
    config = cells[0].config
    if cells[0].paper == "otc":
        return config["offline_updates"] + config["embedding"]["updates"] + UPDATES
    return UPDATES


def after(training: Training, updates: int) -> dict:
    """The learner's state after so many updates."""
    for done in range(updates):
        training.learner.update(training.draw(done))
    return training.learner.state_dict()


@pytest.fixture
def torch_forms(monkeypatch):
    """Everything in its torch form, as on a GPU."""
    monkeypatch.setenv("OMZ_KERNELS", "torch")
    kernels.compiled.cache_clear()
    yield
    kernels.compiled.cache_clear()


@pytest.fixture
def sent(monkeypatch):
    """Weights are read on the CPU first: safetensors does not know the other device."""
    read = ensemble.load_file

    def load_file(path, device):
        return {name: one.to(device) for name, one in read(path).items()}

    monkeypatch.setattr(ensemble, "load_file", load_file)


@pytest.mark.parametrize("cells", cells_of_all().values(), ids=cells_of_all())
def test_a_learner_learns_elsewhere(cells, folders, torch_forms, sent, request):
    for cell in cells:
        work.paper(cell.paper).data.prepare(cell)
    updates = updates_of(cells)
    before: set[str] = set()
    steady: set[str] = set()  # what happens at the beginning of a stage is not the loop's
    with machine() as running:
        training = built(cells, DEVICE)
        running.watching = True
        for done in range(updates):
            running.noticed.clear()
            training.learner.update(training.draw(done))
            steady |= before & set(running.noticed)
            before = set(running.noticed)
        state = training.learner.state_dict()
    assert steady <= PHILOX | (EPOCH if "moma_ppo/moma_ppo" in request.node.nodeid else set())
    torch.testing.assert_close(brought_back(state), after(built(cells, "cpu"), updates))


def test_what_stays_on_the_cpu_is_noticed():
    here = torch.arange(3.0)
    with machine() as running:
        there = here.to(DEVICE)
        running.watching = True
        kinds = [
            lambda: there + here,
            lambda: there[here.long()],
            lambda: there[there > 1],
            lambda: bool(there.sum() > 1),
            lambda: there.clone().normal_(generator=torch.Generator()),
            lambda: there.cpu(),
            lambda: torch.tensor([1, 2], device=DEVICE),
        ]
        for kind in kinds:
            running.noticed.clear()
            kind()
            assert running.noticed
        running.noticed.clear()
        assert (there.exp().argmax() + torch.ones(3, device=DEVICE)).device.type == DEVICE
        assert not running.noticed


def test_gradients_elsewhere_are_the_same():
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    own = weight.clone().requires_grad_()
    own.softmax(-1).square().sum().backward()
    with machine():
        other = weight.to(DEVICE).requires_grad_()
        other.softmax(-1).square().sum().backward()
        assert torch.equal(brought_back(other.grad), own.grad)
