# SPDX-License-Identifier: Apache-2.0
"""Runs code in a fresh interpreter."""

import os
import subprocess
import sys

# Makes the package unimportable although it is installed.
WITHOUT_PACKAGE = "import sys; sys.modules['unipose_hf'] = None\n"


def run_fresh(code, cache, *arguments, **environment):
    """Runs code, offline unless the environment says otherwise; returns what it printed, and its warnings."""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr
