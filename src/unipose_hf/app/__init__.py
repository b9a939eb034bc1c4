# SPDX-License-Identifier: Apache-2.0
"""The page for generating, estimating, finding and editing poses (extra `app`), and the functions behind it."""

from .actions import describe, edit, estimate, export, generate
from .finding import nearest, search
from .gallery import use_folder
from .history import History, Step

__all__ = ["History", "Step", "describe", "edit", "estimate", "export", "nearest", "generate", "search", "use_folder"]
