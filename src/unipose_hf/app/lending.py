# SPDX-License-Identifier: Apache-2.0
"""A GPU for the length of an answer, where the page runs in a ZeroGPU Space."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)
SECONDS = 30  # the most that an answer may take


def on_gpu(do: Function) -> Function:
    """`do`, which borrows a GPU in a ZeroGPU Space; everywhere else `do` itself.

    There each call runs in another process: arguments and results must survive pickling.
    """
    try:
        import spaces
    except ImportError:
        return do
    return spaces.GPU(duration=SECONDS)(do)
