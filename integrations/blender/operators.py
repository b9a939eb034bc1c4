# SPDX-License-Identifier: Apache-2.0
"""The operators behind the buttons."""

from pathlib import Path

import bpy
from bpy.props import IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from . import app_client
from .armature import PosedArmature, find_armature
from .pose_files import from_dict, read_poses, to_dict, write_json


def app_address(context):
    """The address of the app, from the add-on's preferences.

    Raises:
        ValueError: it is on another machine, and Blender is not allowed online.
    """
    addon = context.preferences.addons.get(__package__)
    address = addon.preferences.address if addon else app_client.ADDRESS
    if not app_client.is_local(address) and not bpy.app.online_access:
        raise ValueError(f"{address} is another machine; allow online access in Blender's preferences, System.")
    return address


class _Operator:
    """Runs an operator's `work`, and reports errors in the status bar."""

    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        window = context.window
        if window:
            window.cursor_set("WAIT")
        try:
            self.report({"INFO"}, self.work(context, PosedArmature(find_armature(context))))
            return {"FINISHED"}
        except (ValueError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            if window:
                window.cursor_set("DEFAULT")

    @staticmethod
    def _pose(context, figure, pose):
        keys = context.scene.tool_settings.use_keyframe_insert_auto
        figure.pose(from_dict(pose), context.scene.unipose.on_floor, context.scene.frame_current if keys else None)


class UNIPOSE_OT_generate(_Operator, bpy.types.Operator):
    """Pose the armature as described"""

    bl_idname, bl_label = "unipose.generate", "Pose from Text"
    text: StringProperty(name="Text", options={"SKIP_SAVE"})
    seed: IntProperty(name="Variation", min=0, description="0 is the best answer; other numbers vary it")

    def work(self, context, figure):
        text = self.text or context.scene.unipose.text
        self._pose(context, figure, app_client.generate(app_address(context), text, self.seed))
        return f"Posed: {text}"


class UNIPOSE_OT_edit(_Operator, bpy.types.Operator):
    """Edit the armature's current pose as the text says"""

    bl_idname, bl_label = "unipose.edit", "Edit with Text"
    text: StringProperty(name="Text", options={"SKIP_SAVE"})

    def work(self, context, figure):
        text = self.text or context.scene.unipose.change
        self._pose(context, figure, app_client.edit(app_address(context), to_dict(figure.read()), text))
        return f"Edited: {text}"


class UNIPOSE_OT_describe(_Operator, bpy.types.Operator):
    """Describe the armature's current pose in words"""

    bl_idname, bl_label = "unipose.describe", "Describe"
    bl_options = {"REGISTER"}

    def work(self, context, figure):
        context.scene.unipose.words = app_client.describe(app_address(context), to_dict(figure.read()))
        return context.scene.unipose.words


class UNIPOSE_OT_load(_Operator, bpy.types.Operator, ImportHelper):
    """Pose the armature from a file of unipose_hf; a motion becomes keyframes from the current frame on"""

    bl_idname, bl_label = "unipose.load", "Import Pose"
    filter_glob: StringProperty(default="*.json;*.npz;*.bvh", options={"HIDDEN"})

    def work(self, context, figure):
        poses, scene = read_poses(self.filepath), context.scene
        name = Path(self.filepath).name
        if len(poses.rotations) == 1:
            self._pose(context, figure, to_dict(poses.rotations[0]))
            return f"Posed from {name}"
        rate = scene.render.fps / scene.render.fps_base
        frames = [scene.frame_current + number * rate / poses.rate for number in range(len(poses.rotations))]
        figure.animate(poses.rotations, poses.positions, frames, scene.unipose.on_floor)
        scene.frame_set(scene.frame_current)
        return f"{len(frames)} poses from {name} as keyframes"


class UNIPOSE_OT_save(_Operator, bpy.types.Operator, ExportHelper):
    """Save the armature's current pose as JSON, which Pose.from_json reads"""

    bl_idname, bl_label = "unipose.save", "Export Pose"
    bl_options = {"REGISTER"}
    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def work(self, context, figure):
        write_json(self.filepath, figure.read())
        return f"Saved {self.filepath}"


CLASSES = (UNIPOSE_OT_generate, UNIPOSE_OT_edit, UNIPOSE_OT_describe, UNIPOSE_OT_load, UNIPOSE_OT_save)
