import os
import sys

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault(
        "MUJOCO_GL", "egl"
    )  # read when mujoco is imported; its default needs a screen
