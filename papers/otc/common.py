"""Found first when a script of this folder is started by its path: see `common.starting`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

if __name__ == "common":
    # The scripts' folder must hide no module, and the packages are beside it, installed or not
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != HERE]
    sys.path.insert(0, str(HERE.parents[1]))
    del sys.modules["common"]  # what is imported under this name from here on is the package

    from common import starting

    starting.ready()
