# SPDX-License-Identifier: Apache-2.0
"""Exports our models to the Hub and converts published weights."""

from .conversion import convert, convert_pose_tokenizer, convert_pose_vit
from .folder import export, export_bundled, push

__all__ = ["convert", "convert_pose_tokenizer", "convert_pose_vit", "export", "export_bundled", "push"]
