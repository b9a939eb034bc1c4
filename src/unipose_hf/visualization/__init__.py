# SPDX-License-Identifier: Apache-2.0
"""Renders and exports poses: a small renderer, contact sheets, GLB, BVH and OBJ writers."""

from .camera import Camera
from .export import write_bvh, write_glb, write_obj
from .motion import draw_motion
from .outfit import BodyPaint, Outfit
from .picture import contact_sheet, draw_pose
from .renderer import Light, Renderer, vertex_normals
from .results import draw_results

__all__ = [
    "BodyPaint",
    "Camera",
    "Light",
    "Outfit",
    "Renderer",
    "contact_sheet",
    "draw_motion",
    "draw_pose",
    "draw_results",
    "vertex_normals",
    "write_bvh",
    "write_glb",
    "write_obj",
]
