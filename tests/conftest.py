# SPDX-License-Identifier: Apache-2.0
"""Lets tests, and the processes they start, import `support/` and each other by name; runs the suite in parallel."""

import os
import sys
from pathlib import Path

import pytest

FOLDERS = [str(folder) for folder in sorted(Path(__file__).parent.iterdir()) if folder.is_dir()]
sys.path[:0] = FOLDERS
os.environ["PYTHONPATH"] = os.pathsep.join([*FOLDERS, *filter(None, [os.environ.get("PYTHONPATH")])])
# Before torch is imported: the threads of workers would get in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """A worker for each core, up to four, since each loads the bundled models; none if files are named."""
    return min(os.cpu_count() or 1, 4) if config.args == config.getini("testpaths") else 0
