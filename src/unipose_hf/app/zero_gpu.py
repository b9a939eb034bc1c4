# SPDX-License-Identifier: Apache-2.0
"""A GPU for the duration of a request, if the page runs in a ZeroGPU Space."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)
SECONDS = 30  # maximum duration of a request


def on_gpu(function: Function) -> Function:
    """`function`, which gets a GPU in a ZeroGPU Space; elsewhere unchanged.

    There each call runs in another process: arguments and results must survive pickling.
    """
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(duration=SECONDS)(function)
