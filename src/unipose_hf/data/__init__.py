# SPDX-License-Identifier: Apache-2.0
"""Poses and pictures to learn from: the open ones, sampled and selected ones, pairs, and files of the user."""

import importlib

# Public names and the modules they come from; a name is imported when it is first used.
_MODULE_OF = {"farthest_points": "selection", "load_posest_open_slice": "posest"}

__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value
