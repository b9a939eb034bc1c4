# SPDX-License-Identifier: Apache-2.0
"""Lets tests, and the processes they start, import `support/` and each other by name."""

import os
import sys
from pathlib import Path

FOLDERS = [str(folder) for folder in sorted(Path(__file__).parent.iterdir()) if folder.is_dir()]
sys.path[:0] = FOLDERS
os.environ["PYTHONPATH"] = os.pathsep.join([*FOLDERS, *filter(None, [os.environ.get("PYTHONPATH")])])
