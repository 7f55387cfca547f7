# SPDX-License-Identifier: GPL-3.0-or-later
"""Head avatars of headsplat in Blender: import, motions as key frames, live VMC."""

import shutil
import subprocess
from pathlib import Path

import bpy
import numpy as np
from bpy.props import BoolProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from . import scene
from .motions import VmcReceiver, limited, read_motion, retargeted, with_rest

EXPORT_SECONDS = 600
_live = {}  # the receiver and the name of the head that it drives, while live


def hsa_of(path):
    """The .hsa of an avatar: itself, or the one beside a .avatar, which is written where it is missing or older.

    Raises:
        ValueError: it has to be written, and headsplat is not there or fails.
    """
    path = Path(path)
    if path.suffix != ".avatar":
        return path
    cached = path.with_suffix(".hsa")
    if cached.exists() and cached.stat().st_mtime >= path.stat().st_mtime:
        return cached
    command = shutil.which("headsplat")
    if command is None:
        raise ValueError(f"headsplat is not in PATH; run headsplat export {path.name} -o {cached.name} and import that")
    call = [command, "export", str(path), "-o", str(cached), "--overwrite"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=EXPORT_SECONDS)
    if done.returncode:
        raise ValueError(f"headsplat export: {done.stderr.strip().splitlines()[-1] if done.stderr else 'it failed'}")
    return cached


def head_of(context):
    """The head of the selected avatar, or the only one of the scene; None without one."""
    heads = [thing for thing in context.scene.objects if scene.FILE in thing]
    active = context.active_object
    chosen = [head for head in heads if active in (head, head.parent, head[scene.SPLATS])]
    return (chosen or (heads if len(heads) == 1 else [None]))[0]


class HeadOperator:
    """An operator that needs an avatar."""

    @classmethod
    def poll(cls, context):
        return head_of(context) is not None

    def refuse(self, error):
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


class HEADSPLAT_OT_import(bpy.types.Operator, ImportHelper):
    """Add the avatar of a .hsa, or of a .avatar where the command headsplat is there"""

    bl_idname, bl_label, bl_options = "headsplat.import_avatar", "Import avatar", {"REGISTER", "UNDO"}
    filter_glob: StringProperty(default="*.hsa;*.avatar", options={"HIDDEN"})
    prepare: BoolProperty(
        name="Set up the scene", default=True, description="Colors as they are, and rays through many Gaussians"
    )

    def execute(self, context):
        try:
            head = scene.add_avatar(context, hsa_of(self.filepath))
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            self.report({"ERROR"}, f"{self.filepath}: {error}")
            return {"CANCELLED"}
        if self.prepare:
            context.scene.view_settings.view_transform = "Standard"
            if hasattr(context.scene, "cycles"):
                context.scene.cycles.transparent_max_bounces = 512
        context.view_layer.objects.active = head
        return {"FINISHED"}


class HEADSPLAT_OT_motion(bpy.types.Operator, ImportHelper, HeadOperator):
    """Key the avatar by a Live Link Face .csv or a .motion.npz"""

    bl_idname, bl_label, bl_options = "headsplat.load_motion", "Load motion", {"REGISTER", "UNDO"}
    filter_glob: StringProperty(default="*.csv;*.npz", options={"HIDDEN"})

    def execute(self, context):
        try:
            head = head_of(context)
            hsa, motion = scene.avatar_of(head), read_motion(self.filepath)
            weights, turns = retargeted(hsa, motion)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return self.refuse(f"{self.filepath}: {error}")
        place_keys(context, head, motion.times, weights, [scene.head_place(hsa, turn) for turn in turns])
        return {"FINISHED"}


class HEADSPLAT_OT_stored(bpy.types.Operator, HeadOperator):
    """Key the avatar by the motion in its .hsa, which headsplat has retargeted"""

    bl_idname, bl_label, bl_options = "headsplat.stored_motion", "Load stored motion", {"REGISTER", "UNDO"}

    def execute(self, context):
        head = head_of(context)
        hsa = scene.avatar_of(head)
        if not hsa.header["motion"]:
            return self.refuse("the .hsa has no motion; export it with --motion FILE")
        times, expression, joint_rot, translation = (
            hsa.blocks[f"motion.{name}"].T for name in ("times", "expression", "joint_rot", "translation")
        )
        places = []
        for row, weights in enumerate(expression):
            turns = joint_rot[row].reshape(5, 3) + hsa.joint_dirs @ weights
            R, t = hsa.kinematics(turns, translation[row])[1]
            turn = hsa.mean_rotation.T @ R
            shift = hsa.mean_rotation.T @ (t - hsa.mean_translation)
            places.append((scene.AXES @ shift, scene.head_place(hsa, turn)[1]))
        place_keys(context, head, times, expression, places, joint_rot[:, 6:])
        return {"FINISHED"}


def place_keys(context, head, times, weights, places, joints=None):
    """Key frames from the current frame on; the end of the scene moves back where the motion is longer."""
    fps = context.scene.render.fps / context.scene.render.fps_base
    frames = context.scene.frame_current + np.asarray(times, float) * fps
    scene.key_frames(head, frames, weights, places, joints)
    context.scene.frame_end = max(context.scene.frame_end, int(np.ceil(frames[-1])))
    context.scene.frame_set(context.scene.frame_current)


class HEADSPLAT_OT_vmc(bpy.types.Operator, HeadOperator):
    """Start or stop: a VMC sender of this machine moves the avatar"""

    bl_idname, bl_label = "headsplat.vmc", "Live VMC"

    def execute(self, context):
        if _live:
            stop_live()
            return {"FINISHED"}
        port = context.scene.headsplat_port
        try:
            start_live(head_of(context), port)
        except OSError as error:
            return self.refuse(f"port {port}: {error.strerror or error}; stop the other program or choose another port")
        self._timer = context.window_manager.event_timer_add(1 / 30, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "TIMER" and _live:
            step_live()
        if _live:
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return {"FINISHED"}


def start_live(head, port):
    """Receive VMC for a head; raises OSError where the port is taken."""
    _live.update(receiver=VmcReceiver(port), head=head.name)


def stop_live():
    """Stop receiving."""
    if _live:
        _live["receiver"].close()
        _live.clear()


def step_live():
    """Move the head by what has been received; whether there was anything."""
    head, face = bpy.data.objects.get(_live["head"]), _live["receiver"].poll()
    if head is None:
        stop_live()
    if head is None or face is None:
        return False
    hsa, (named, turn) = scene.avatar_of(head), face
    weights = np.array([named.get(name, 0) for name in hsa.names])
    scene.set_weights(head, limited(hsa, with_rest(hsa, weights, np.zeros(len(weights)))))
    M = hsa.mean_rotation
    head.location, head.rotation_quaternion = scene.head_place(hsa, M.T @ turn @ M)
    bpy.context.view_layer.update()
    scene.update(head)
    return True


class HEADSPLAT_PT_panel(bpy.types.Panel):
    """The panel in the sidebar of the 3D view."""

    bl_label, bl_category, bl_space_type, bl_region_type = "Headsplat", "Headsplat", "VIEW_3D", "UI"

    def draw(self, context):
        layout = self.layout
        layout.operator("headsplat.import_avatar", icon="IMPORT")
        layout.operator("headsplat.load_motion", icon="ACTION")
        layout.operator("headsplat.stored_motion", icon="ACTION")
        row = layout.row()
        row.prop(context.scene, "headsplat_port")
        row.operator("headsplat.vmc", text="Stop" if _live else "Live VMC", depress=bool(_live))


CLASSES = (HEADSPLAT_OT_import, HEADSPLAT_OT_motion, HEADSPLAT_OT_stored, HEADSPLAT_OT_vmc, HEADSPLAT_PT_panel)
_handlers = bpy.app.handlers
HANDLERS = (
    (_handlers.frame_change_post, scene.follow),
    (_handlers.depsgraph_update_post, scene.follow),
    (_handlers.load_pre, scene.reload),
)


def register():
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.headsplat_port = IntProperty(name="Port", default=39539, min=1024, max=65535)
    for handlers, handler in HANDLERS:
        handlers.append(handler)


def unregister():
    stop_live()
    for handlers, handler in HANDLERS:
        handlers.remove(handler)
    del bpy.types.Scene.headsplat_port
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    scene.forget()
