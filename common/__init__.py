"""What all papers share. A worker process that imports it ends with its parent from here on."""

import os

if "OMZ_PARENT" in os.environ:  # see common.running.workers
    from common.running import workers

    workers.end_with_parent()
