# SPDX-License-Identifier: Apache-2.0
"""Blender add-on of unipose_hf: poses from files and text on any armature with Mixamo's or SMPL's bone names."""


def register():
    import bpy

    from . import operators, panel

    for one in operators.CLASSES:
        bpy.utils.register_class(one)
    panel.register()


def unregister():
    import bpy

    from . import operators, panel

    panel.unregister()
    for one in reversed(operators.CLASSES):
        bpy.utils.unregister_class(one)
