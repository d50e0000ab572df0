"""Shared by all tests: one thread, a data and a results folder of the test session, small
populations.
"""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
if not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # before anything imports mujoco
import pytest
import torch

torch.set_num_threads(1)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under nohup, which our programs respect
collect_ignore = ["fifth_paper"]  # dropped into a copy of the tree by test_extending.py


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory):
    """Smoke data sets are built once per session, in a folder of its own."""
    root = tmp_path_factory.mktemp("omz")
    old = {name: os.environ.get(name) for name in ("OMZ_DATA", "OMZ_RESULTS")}
    os.environ["OMZ_DATA"], os.environ["OMZ_RESULTS"] = str(root / "data"), str(root / "results")
    yield root
    for name, value in old.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def stream():
    return torch.Generator().manual_seed(0)
