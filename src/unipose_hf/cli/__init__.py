# SPDX-License-Identifier: Apache-2.0
"""The command `unipose`, also `python -m unipose_hf.cli`: one file per group of commands."""

import signal
import sys

from . import (  # noqa: F401  (they register their commands)
    bank,
    evaluating,
    getting_started,
    motions,
    page,
    poses,
    publishing,
    texts,
    training,
)
from .app import app


def main() -> None:
    """The entry point of the command."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that unfinished files are removed
    app(prog_name="unipose")
