"""Offline data sets of all tasks.

One HDF5 file per task, quality and seed in the cache folder (`OMZ_DATA`, by default
~/.cache/offline-marl-zoo/data), with D4RL's keys: per agent in the particle worlds
(`agent_0/observations` ...), of the whole robot for the robots. Provenance is in the file, its
SHA-256 beside it. Files are built from the policies that ship with the repository and are the same
bytes each time on one machine. Real D4RL, Minari or OMAR files are imported beside them, as sizes
"d4rl", "minari" and "omar".

Which one it is and where it lies: keys.py; what decides its numbers: recipes.py; making it:
building.py; reading it: loading.py; what cells learn from: cells.py; how large it is: sizes.py;
what is in it, and whether that is right: statistics.py, checks.py; how near it is to the released
ones: comparison.py; the command line: commands.py.
"""

from envs.datasets.building import build as build
from envs.datasets.cells import CellData as CellData
from envs.datasets.cells import DataSets as DataSets
from envs.datasets.cells import Loaded as Loaded
from envs.datasets.keys import Key as Key
from envs.datasets.keys import data_path as data_path
from envs.datasets.keys import family as family
from envs.datasets.loading import constants as constants
from envs.datasets.loading import episode_returns as episode_returns
from envs.datasets.loading import load as load
from envs.datasets.loading import scale as scale
from envs.datasets.loading import transitions as transitions
from envs.datasets.recipes import recipe as recipe
from envs.storage import DataError as DataError
