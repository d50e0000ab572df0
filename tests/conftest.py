"""Shared by all tests: one thread, the session's data folder, a results folder of every process."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # before anything imports mujoco
import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

torch.set_num_threads(1)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under nohup, which our programs respect
LONG_TESTS = ("test_kills.py", "test_extending.py")  # that need nothing of each other
LONG_FILES = ("test_robot_data.py", "test_cast_bcq.py", "test_moma_ppo.py", "test_scripts.py")
collect_ignore = ["fifth_paper"]  # dropped into a copy of the tree by test_extending.py


class Together(LoadScopeScheduling):
    """The tests of a file run in one process, one after another, as they may share results; scripts
    go by paper, since its tables have cells in common, and tests of LONG_TESTS one by one.
    """

    def _split_scope(self, nodeid):
        file, _, test = nodeid.partition("::")
        if test.startswith("test_a_script_runs_at_smoke"):
            return test.partition("/")[0]
        return nodeid if file.endswith(LONG_TESTS) else file


def pytest_xdist_make_scheduler(config, log):
    return Together(config, log)


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that no process is left alone with it."""
    items.sort(key=lambda item: item.path.name not in (*LONG_TESTS, *LONG_FILES))


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory, worker_id):
    """Smoke data sets are built once, whichever process asks first; results are a process's own."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMZ_DATA", str(shared / "data"))
        patch.setenv("OMZ_RESULTS", str(own / "results"))
        yield own


@pytest.fixture
def stream():
    return torch.Generator().manual_seed(0)
