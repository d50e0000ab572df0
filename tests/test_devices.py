"""Every learner of the papers learns on a device that is not the CPU: nothing of it stays on the
CPU, and it waits for the device nowhere in its loop. Tried without a GPU, see tests/elsewhere.py.
"""

import pytest
import torch

from benchmarks.gpu import built, learner_of, learners
from common.learning import kernels
from common.reporting import catalogue
from common.reporting.planning import cells_of
from common.running import work
from common.running.cells import Cell
from common.running.program import Training
from papers.moma_ppo import ensemble
from tests.elsewhere import DEVICE, brought_back, machine

# What drawing waits for; it is code of every committed result, and left as it is for that
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
# An update of recurrent networks, over whole episodes, waits twice: which rows there are to compute
# depends on the minibatch
ROWS = {
    "common/learning/recurrent.py: rows_of: nonzero waits for the device",
    "common/learning/recurrent.py: rows_of: numbers are asked back",
}
UPDATES = 3


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


@pytest.mark.parametrize("cells", learners("smoke").values(), ids=learners("smoke"))
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
    one = request.node.nodeid
    own = EPOCH if "moma_ppo/moma_ppo" in one else ROWS if "[battles/" in one else set()
    assert steady <= PHILOX | own
    torch.testing.assert_close(brought_back(state), after(built(cells, "cpu"), updates))


def test_every_learner_of_the_tables_is_tried():
    tables = [table for table in catalogue.find() if not table.unavailable]
    assert {learner_of(cell) for cell in cells_of(tables, "smoke")} <= set(learners("smoke"))


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
