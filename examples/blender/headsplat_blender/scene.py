# SPDX-License-Identifier: GPL-3.0-or-later
"""An avatar in a scene: a head mesh with shape keys, and its Gaussians as points that follow it, frame by frame.

The shape keys and the transform of the head object are the pose; everything that sets them moves the Gaussians.
"""

from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from .hsa_light import layer_light
from .hsa_reader import Hsa, axis_angle, quaternions, rotation

AXES = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up, face along +z -> z up, face along -y
FILE, JOINTS, SPLATS = "headsplat_file", "headsplat_joints", "headsplat_splats"
REACH = 3  # standard deviations that the rendered ellipsoids span
ATTRIBUTES = {"rotation": "QUATERNION", "scale": "FLOAT_VECTOR", "opacity": "FLOAT", "color": "FLOAT_COLOR"}
FIELDS = {"position": "vector", "rotation": "value", "scale": "vector", "opacity": "value", "color": "color"}
GROUP = "Headsplat splats"

_avatars = {}  # by path
_shown = {}  # by name of the head: the pose that its Gaussians have


def avatar_of(head):
    """The avatar of a head object, read again if it is not in memory.

    Raises:
        ValueError, OSError: its file is gone or damaged.
    """
    path = head[FILE]
    if path not in _avatars:
        _avatars[path] = Hsa(Path(bpy.path.abspath(path)).read_bytes())
        _avatars[path].light = layer_light
    return _avatars[path]


def forget():
    """Free all avatars in memory."""
    _avatars.clear()
    _shown.clear()


def add_avatar(context, path):
    """Add the avatar of a .hsa: an empty object with the head mesh and the Gaussians as children; returns the head."""
    _avatars.pop(str(path), None)
    name = Path(path).stem
    root = bpy.data.objects.new(name, None)
    head = bpy.data.objects.new(f"{name} head", bpy.data.meshes.new(f"{name} head"))
    splats = bpy.data.objects.new(f"{name} splats", bpy.data.meshes.new(f"{name} splats"))
    head[FILE], head[JOINTS], head[SPLATS] = str(path), [0.0] * 9, splats
    hsa = avatar_of(head)
    _fill_head(head, hsa)
    for child in (head, splats):
        child.parent = root
    for thing in (root, head, splats):
        context.collection.objects.link(thing)
    splats.data.vertices.add(len(posed(head, hsa)["opacity"]))
    for attribute, kind in ATTRIBUTES.items():
        splats.data.attributes.new(attribute, kind, "POINT")
    splats.modifiers.new(GROUP, "NODES").node_group = _node_group()
    update(head)
    return head


def _fill_head(head, hsa):
    """Vertices, faces and shape keys; a key at 1 is the mesh with that expression at 1."""
    faces = hsa.blocks.get("head.faces", np.zeros((0, 3), int))
    zero, count = np.zeros(len(hsa.names)), len(hsa.names)
    meshes = [hsa.vertices(e, hsa.joint_dirs @ e) @ AXES.T for e in (zero, *np.eye(count))]
    head.data.from_pydata(meshes[0].tolist(), [], faces.tolist())
    head.data.shade_smooth()
    head.shape_key_add(name="Basis")
    for name, vertices, low, high, value in zip(
        hsa.names, meshes[1:], *hsa.expression_limits, hsa.neutral, strict=True
    ):
        key = head.shape_key_add(name=name)
        key.data.foreach_set("co", np.ravel(vertices).astype("f4"))
        key.slider_min, key.slider_max, key.value = low, high, value
    head.rotation_mode = "QUATERNION"
    head.display_type, head.hide_render = "WIRE", True


def weights_of(head):
    """Values [E] of the shape keys."""
    keys = head.data.shape_keys.key_blocks
    values = np.zeros(len(keys), "f4")
    keys.foreach_get("value", values)
    return values[1:].astype(float)


def set_weights(head, weights):
    """Set the shape keys to weights [E]."""
    head.data.shape_keys.key_blocks.foreach_set("value", np.r_[0, weights].astype("f4"))
    head.data.shape_keys.update_tag()


def head_place(hsa, turn):
    """Location [3] and quaternion [4] of the head object that turn it about the neck by [3,3] from the mean pose."""
    return AXES @ (hsa.pivot - turn @ hsa.pivot), quaternions(AXES @ turn @ AXES.T)


def params_of(head, hsa):
    """Weights [E], joint rotations [5,3] and translation [3] for the reader."""
    expression, place = weights_of(head), np.array(head.matrix_basis)
    R = hsa.mean_rotation @ AXES.T @ np.array(Matrix(place).to_quaternion().to_matrix()) @ AXES
    t = hsa.mean_rotation @ AXES.T @ place[:3, 3] + hsa.mean_translation
    own = hsa.joint_dirs @ expression  # what expressions rotate by themselves
    joint_rot = np.r_[np.zeros((2, 3)), np.reshape(head[JOINTS], (3, 3))]
    joint_rot[0] = axis_angle(R @ rotation(own[1]).T) - own[0]
    return expression, joint_rot, t - hsa.kinematics(joint_rot + own, np.zeros(3))[1][1]


def posed(head, hsa):
    """The Gaussians in the axes of the scene, by the names of the attributes; colors are linear, as Blender wants."""
    means, rotations, scales, opacities, colors = hsa.gaussians(*params_of(head, hsa))
    upright = AXES @ hsa.mean_rotation.T
    colors = np.clip(colors, 0, None)
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return {
        "position": (means - hsa.mean_translation) @ upright.T,
        "rotation": quaternions(upright @ rotations),
        "scale": scales,
        "opacity": opacities,
        "color": np.c_[linear, np.ones(len(linear))],
    }


def update(head):
    """Move the Gaussians of a head where its pose has changed."""
    splats, hsa = head.get(SPLATS), avatar_of(head)
    pose = np.r_[weights_of(head), np.ravel(head.matrix_basis), head[JOINTS]].tobytes()
    if splats is None or _shown.get(head.name) == pose:
        return
    for name, values in posed(head, hsa).items():
        splats.data.attributes[name].data.foreach_set(FIELDS[name], np.ravel(values).astype("f4"))
    splats.data.update()
    _shown[head.name] = pose


@bpy.app.handlers.persistent
def follow(scene, depsgraph=None):
    """Handler: move the Gaussians of all heads of a scene."""
    for head in [thing for thing in scene.objects if FILE in thing]:
        try:
            update(head)
        except (OSError, ValueError) as error:
            print(f"{head.name}: {error}")


@bpy.app.handlers.persistent
def reload(*_):
    """Handler: another file has been opened."""
    forget()


def key_frames(head, frames, weights, places, joints=None):
    """Key the shape keys [T,E], location and rotation (a list of `head_place`) and joints [T,9] at frames [T]."""
    keys = head.data.shape_keys
    for row, key in enumerate(keys.key_blocks[1:]):
        _key(keys, f'key_blocks["{key.name}"].value', -1, frames, weights[:, row])
    locations, quats = (np.array(values) for values in zip(*places, strict=True))
    signs = np.cumprod(np.r_[1, np.where((quats[1:] * quats[:-1]).sum(1) < 0, -1, 1)])
    tracks = [("location", locations), ("rotation_quaternion", quats * signs[:, None])]
    for path, values in [*tracks, *([(f'["{JOINTS}"]', joints)] if joints is not None else [])]:
        for axis in range(values.shape[1]):
            _key(head, path, axis, frames, values[:, axis])


def _key(owner, path, index, frames, values):
    """One curve, in place of the one that is there."""
    owner.keyframe_insert(path, index=index, frame=frames[0])
    action, place = owner.animation_data.action, {"index": max(index, 0)}
    if hasattr(action, "fcurve_ensure_for_datablock"):  # Blender 5
        curve = action.fcurve_ensure_for_datablock(owner, path, **place)
    else:
        curve = action.fcurves.find(path, **place)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(frames))
    curve.keyframe_points.foreach_set("co", np.c_[frames, values].ravel())
    curve.keyframe_points.foreach_set("interpolation", np.ones(len(frames), int))  # linear
    curve.update()


def _node_group():
    """Geometry nodes: an ellipsoid of REACH standard deviations for each Gaussian."""
    group = bpy.data.node_groups.get(GROUP)
    if group:
        return group
    group = bpy.data.node_groups.new(GROUP, "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    new, link = group.nodes.new, group.links.new
    source, target, on = new("NodeGroupInput"), new("NodeGroupOutput"), new("GeometryNodeInstanceOnPoints")
    ball, paint, scale = new("GeometryNodeMeshIcoSphere"), new("GeometryNodeSetMaterial"), new("ShaderNodeVectorMath")
    ball.inputs["Subdivisions"].default_value, scale.operation = 2, "SCALE"
    scale.inputs["Scale"].default_value = REACH
    paint.inputs["Material"].default_value = _material()
    for name, socket in (("scale", scale.inputs[0]), ("rotation", on.inputs["Rotation"])):
        attribute = new("GeometryNodeInputNamedAttribute")
        attribute.data_type, attribute.inputs["Name"].default_value = ATTRIBUTES[name], name
        link(attribute.outputs["Attribute"], socket)
    link(source.outputs[0], on.inputs["Points"])
    link(ball.outputs["Mesh"], paint.inputs["Geometry"])
    link(paint.outputs["Geometry"], on.inputs["Instance"])
    link(scale.outputs[0], on.inputs["Scale"])
    link(on.outputs["Instances"], target.inputs[0])
    return group


def _material():
    """Light of the color of a Gaussian, as opaque as it is where the ray passes its center closest."""
    material = bpy.data.materials.get(GROUP) or bpy.data.materials.new(GROUP)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    new, link = tree.nodes.new, tree.links.new

    def math(operation, *values):
        node = new("ShaderNodeVectorMath" if operation in ("DOT_PRODUCT", "NORMALIZE") else "ShaderNodeMath")
        node.operation = operation
        for socket, value in zip(node.inputs, values, strict=False):
            if isinstance(value, (int, float)):
                socket.default_value = value
            else:
                link(value, socket)
        return node.outputs["Value" if operation != "NORMALIZE" else "Vector"]

    place, seen, turn = (
        new("ShaderNodeTexCoord").outputs["Object"],
        new("ShaderNodeNewGeometry"),
        new("ShaderNodeVectorTransform"),
    )
    turn.vector_type, turn.convert_from, turn.convert_to = "VECTOR", "WORLD", "OBJECT"
    link(seen.outputs["Incoming"], turn.inputs[0])
    ray = math("NORMALIZE", turn.outputs[0])
    along = math("DOT_PRODUCT", place, ray)
    squared = math("SUBTRACT", math("DOT_PRODUCT", place, place), math("MULTIPLY", along, along))
    fall = math("EXPONENT", math("MULTIPLY", squared, -0.5 * REACH**2))
    color, opacity = new("ShaderNodeAttribute"), new("ShaderNodeAttribute")
    for node, name in ((color, "color"), (opacity, "opacity")):
        node.attribute_type, node.attribute_name = "INSTANCER", name
    front = math("SUBTRACT", 1.0, seen.outputs["Backfacing"])
    alpha = math("MULTIPLY", math("MULTIPLY", opacity.outputs["Fac"], fall), front)
    mix, glow, out = new("ShaderNodeMixShader"), new("ShaderNodeEmission"), new("ShaderNodeOutputMaterial")
    link(color.outputs["Color"], glow.inputs["Color"])
    link(alpha, mix.inputs[0])
    link(new("ShaderNodeBsdfTransparent").outputs[0], mix.inputs[1])
    link(glow.outputs[0], mix.inputs[2])
    link(mix.outputs[0], out.inputs["Surface"])
    return material
