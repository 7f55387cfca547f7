"""What tests/system/test_blender.py looks at in Blender: for a Python that has `bpy` and need not have headsplat.

python tests/support/blender_scenes.py FOLDER, with the add-on `headsplat_blender`, `other/me.avatar`, `me.hsa`,
`moving.hsa` (with a motion) and `take.csv` in the folder; writes `found.npz` and `found.json` there.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np

FRAMES = (1, 10, 25)
#: Field of the values of each attribute, and how many numbers they have.
FIELDS = {
    "position": ("vector", 3),
    "rotation": ("value", 4),
    "scale": ("vector", 3),
    "opacity": ("value", 1),
    "color": ("color", 4),
}


def osc(address: str, text: str, *numbers: float) -> bytes:
    """A message of a text and numbers."""

    def padded(value: str) -> bytes:
        data = value.encode() + b"\0"
        return data + bytes(-len(data) % 4)

    return (
        padded(address) + padded(",s" + "f" * len(numbers)) + padded(text) + struct.pack(f">{len(numbers)}f", *numbers)
    )


def splats(head: Any, addon: Any) -> dict[str, Any]:
    """The attributes of the points of a head as Blender evaluates them."""
    mesh = head[addon.scene.SPLATS].data
    found = {}
    for name, (field, width) in FIELDS.items():
        values = np.zeros(len(mesh.vertices) * width, "f4")
        mesh.attributes[name].data.foreach_get(field, values)
        found[name] = values.reshape(-1, width)
    return found


def pose(head: Any, hsa: Any, addon: Any, prefix: str) -> dict[str, Any]:
    """The Gaussians, and the parameters that they were posed with."""
    params = dict(zip(("expression", "joint_rot", "translation"), addon.scene.params_of(head, hsa), strict=True))
    return {f"{prefix}.{name}": value for name, value in {**splats(head, addon), **params}.items()}


def names_of_addon() -> dict[str, Any]:
    """What the add-on registers."""
    handlers = (bpy.app.handlers.frame_change_post, bpy.app.handlers.depsgraph_update_post, bpy.app.handlers.load_pre)
    classes = [name for name in dir(bpy.types) if name.startswith("HEADSPLAT_")]
    own = [str(entry) for handler in handlers for entry in handler if "headsplat" in entry.__module__]
    return {"classes": classes, "handlers": own, "port": hasattr(bpy.types.Scene, "headsplat_port")}


def refused(call: Any, **options: str) -> str:
    """The message with which an operator ends."""
    try:
        call(**options)
    except RuntimeError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    import headsplat_blender as addon

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon.register()
    facts: dict[str, Any] = {"version": bpy.app.version_string, "registered": names_of_addon()}
    ops, context = bpy.ops.headsplat, bpy.context

    path, os.environ["PATH"] = os.environ["PATH"], ""
    facts["without command"] = refused(ops.import_avatar, filepath=str(folder / "other" / "me.avatar"))
    os.environ["PATH"] = path
    facts["by command"] = list(ops.import_avatar(filepath=str(folder / "other" / "me.avatar")))
    facts["written"] = (folder / "other" / "me.hsa").exists()
    bpy.ops.wm.read_factory_settings(use_empty=True)

    ops.import_avatar(filepath=str(folder / "me.hsa"))
    head = addon.head_of(context)
    hsa = addon.scene.avatar_of(head)
    keys = head.data.shape_keys.key_blocks
    facts["keys"] = [key.name for key in keys]
    arrays: dict[str, Any] = {"faces": np.array([face.vertices[:] for face in head.data.polygons])}
    for name in ("Basis", "jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        values = np.zeros(3 * len(head.data.vertices), "f4")
        keys[name].data.foreach_get("co", values)
        arrays[f"key.{name}"] = values.reshape(-1, 3)

    arrays |= pose(head, hsa, addon, "rest")
    keys["jawOpen"].value = 0.5
    head.rotation_quaternion = (0.966, 0.05, 0.1, 0.23)
    context.view_layer.update()
    arrays |= pose(head, hsa, addon, "slider")
    random = np.random.default_rng(0).uniform(-0.2, 1.4, (20, len(hsa.names)))
    arrays["weights"], arrays["limited"] = random, np.array([addon.limited(hsa, row) for row in random])

    arrays["driven"], arrays["turns"] = addon.retargeted(hsa, addon.read_motion(folder / "take.csv"))
    ops.load_motion(filepath=str(folder / "take.csv"))
    for frame in FRAMES:
        context.scene.frame_set(frame)
        arrays |= pose(head, hsa, addon, f"frame {frame}")
        arrays[f"frame {frame}.turn"] = np.array(head.rotation_quaternion)
    facts["end"] = context.scene.frame_end
    facts["no motion"] = refused(ops.stored_motion)
    (folder / "odd.csv").write_text("Timecode,JawOpen\n00:00:01:00.0,nan\n", encoding="utf-8")
    (folder / "other.csv").write_text("name,age\nme,3\n", encoding="utf-8")
    facts["odd files"] = [refused(ops.load_motion, filepath=str(folder / name)) for name in ("odd.csv", "other.csv")]

    head.animation_data_clear()
    head.data.shape_keys.animation_data_clear()
    addon.start_live(head, 0)
    port = addon._live["receiver"].socket.getsockname()[1]
    facts["address"] = addon._live["receiver"].socket.getsockname()[0]
    facts["silence"] = addon.step_live()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"#bundle\0", b"\0" * 7, osc("/VMC/Ext/Blend/Val", "JawOpen", 0.6)[:-2], b"#bundle\0" + bytes(12)):
            sender.sendto(data, ("127.0.0.1", port))  # damaged: ignored
        for text, numbers in (("MouthClose", (float("nan"),)), ("MouthClose", ()), ("MouthClose", (1, 2, 3))):
            sender.sendto(osc("/VMC/Ext/Blend/Val", text, *numbers), ("127.0.0.1", port))
        facts["damaged"] = addon.step_live()
        sender.sendto(osc("/VMC/Ext/Blend/Val", "JawOpen", 0.6), ("127.0.0.1", port))
        half = np.radians(10)
        turn = osc("/VMC/Ext/Bone/Pos", "Head", 0, 0, 0, 0, np.sin(half), 0, np.cos(half))
        sender.sendto(b"#bundle\0" + bytes(8) + struct.pack(">i", len(turn)) + turn, ("127.0.0.1", port))
    facts["heard"] = addon.step_live()
    facts["live jawOpen"] = keys["jawOpen"].value
    arrays |= pose(head, hsa, addon, "live")
    arrays["live.turn"] = np.array(head.rotation_quaternion)

    bpy.ops.wm.read_factory_settings(use_empty=True)
    ops.import_avatar(filepath=str(folder / "moving.hsa"))
    facts["stored"] = list(ops.stored_motion())
    context.scene.frame_set(1 + 24)  # after a second
    arrays |= pose(addon.head_of(context), hsa, addon, "stored")
    instances = [entry.matrix_world.translation[:] for entry in context.evaluated_depsgraph_get().object_instances]
    arrays["stored.instances"] = np.array(instances)[-len(arrays["stored.position"]) :]

    addon.unregister()
    facts["unregistered"], facts["live after"] = names_of_addon(), bool(addon._live)
    np.savez(folder / "found.npz", **arrays)
    (folder / "found.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
