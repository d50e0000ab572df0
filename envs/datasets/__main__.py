"""`python -m envs.datasets`, see commands.py."""

import sys

from envs.datasets.commands import main

if __name__ == "__main__":
    sys.exit(main())
