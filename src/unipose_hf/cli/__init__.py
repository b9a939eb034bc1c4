# SPDX-License-Identifier: Apache-2.0
"""The command `unipose`, also `python -m unipose_hf.cli`: one file a group of commands."""

from . import evaluating, poses, publishing, training, trying, words  # noqa: F401  (they register their commands)
from .app import app


def main() -> None:
    """The entry point of the command."""
    app(prog_name="unipose")
