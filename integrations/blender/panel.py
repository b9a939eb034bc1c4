# SPDX-License-Identifier: Apache-2.0
"""The panel in the sidebar of the 3D view, its settings, and the add-on's preferences."""

import bpy
from bpy.props import BoolProperty, PointerProperty, StringProperty

from .app_client import ADDRESS
from .operators import UNIPOSE_OT_load, UNIPOSE_OT_save


class UniPoseSettings(bpy.types.PropertyGroup):
    text: StringProperty(name="Pose", description="What the body does", default="a person kneeling, arms raised")
    change: StringProperty(
        name="Edit", description="What to change in the current pose", default="Raise the left arm above the head."
    )
    words: StringProperty(name="In words", description="The latest description of the pose")
    on_floor: BoolProperty(
        name="On the floor",
        default=True,
        description="Move the hips so that the lowest point of the body is as high as at rest",
    )


class UniPosePreferences(bpy.types.AddonPreferences):
    bl_idname = __package__
    address: StringProperty(name="Address of the app", default=ADDRESS, description="Where `unipose app` runs")

    def draw(self, context):
        self.layout.prop(self, "address")


class UNIPOSE_PT_panel(bpy.types.Panel):
    bl_idname, bl_label = "UNIPOSE_PT_panel", "UniPose"
    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "UniPose"

    def draw(self, context):
        settings, layout = context.scene.unipose, self.layout
        layout.prop(settings, "text", text="")
        layout.operator("unipose.generate", icon="ARMATURE_DATA")
        layout.separator()
        layout.prop(settings, "change", text="")
        layout.operator("unipose.edit", icon="POSE_HLT")
        layout.separator()
        layout.operator("unipose.describe", icon="TEXT")
        if settings.words:
            layout.prop(settings, "words", text="")
        layout.separator()
        layout.prop(settings, "on_floor")
        row = layout.row(align=True)
        row.operator("unipose.load", icon="IMPORT")
        row.operator("unipose.save", icon="EXPORT")


def draw_import(menu, context):
    menu.layout.operator(UNIPOSE_OT_load.bl_idname, text="UniPose Pose (.json, .npz, .bvh)")


def draw_export(menu, context):
    menu.layout.operator(UNIPOSE_OT_save.bl_idname, text="UniPose Pose (.json)")


CLASSES = (UniPoseSettings, UniPosePreferences, UNIPOSE_PT_panel)


def register():
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.unipose = PointerProperty(type=UniPoseSettings)
    bpy.types.TOPBAR_MT_file_import.append(draw_import)
    bpy.types.TOPBAR_MT_file_export.append(draw_export)


def unregister():
    bpy.types.TOPBAR_MT_file_export.remove(draw_export)
    bpy.types.TOPBAR_MT_file_import.remove(draw_import)
    del bpy.types.Scene.unipose
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
