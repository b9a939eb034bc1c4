# SPDX-License-Identifier: Apache-2.0
"""Ours to the Hub, and published weights into ours."""

from .conversion import convert, convert_pose_tokenizer, convert_pose_vit
from .folder import export, push

__all__ = ["convert", "convert_pose_tokenizer", "convert_pose_vit", "export", "push"]
