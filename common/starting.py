"""The environment of a script that is started by its path, as `python papers/omar/table3.py`, from
whatever directory and with whatever Python.

A paper's folder has a `common.py`, which Python finds in place of this package because the folder
of a started script comes first on the import path. It takes the folder off the path and calls
`ready`: with the packages of setup.cfg at hand the script goes on, else it starts again in the
environment that run_all.sh has made, else one line says how to make it. Only the standard library
is used here.
"""

import configparser
import os
import re
import shlex
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)


def ready() -> None:
    """Returns where the packages are there; else starts the command again in the environment.

    Raises:
        SystemExit: there is no environment; 2, after one line on stderr.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of Sacred's imports, in workers as well
    lacking = missing()
    if not lacking:
        return
    venv = Path(os.environ.get("OMZ_VENV") or ROOT / ".venv")
    python = venv / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != venv.resolve():
        os.execv(python, [str(python), *sys.orig_argv[1:]])
    script = os.path.relpath(sys.argv[0])
    suite = os.path.join(os.path.relpath(ROOT), "run_all.sh")
    suite = suite if suite.startswith("..") else f"./{os.path.normpath(suite)}"
    command = shlex.join([suite, script, *sys.argv[1:]])
    sentence = f"{sys.executable} lacks {lacking}; this makes the environment and runs the script:"
    print(f"error: {sentence} {command}", file=sys.stderr)
    raise SystemExit(2)


def missing() -> str:
    """What this Python lacks, in words; "" for nothing."""
    if sys.version_info < OLDEST:
        return "the syntax of Python 3.11"
    names = [name for name in required() if not installed(name)]
    if len(names) > 2:
        return f"{names[0]} and {len(names) - 1} more packages"
    return " and ".join(names)


def required() -> list[str]:
    """Names of the packages that setup.cfg asks for; none where the folder is a copy without it."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup.get("options", "install_requires", fallback="").split()
    return [re.split("[<>=]", line)[0] for line in lines]


def installed(name: str) -> bool:
    """Whether a package is there, in any version: pip has checked that."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
