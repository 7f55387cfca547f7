"""Pose the avatar of a .hsa file and write its Gaussians as a splat .ply, with NumPy alone, as a model for ports.

python examples/hsa_reader.py me.hsa pose.json me.ply

pose.json: {"expression": {"jawOpen": 0.5}, "turn": [0, 0.3, 0]}, or "joint_rot" and "translation" for "turn".
docs/formats/reader.md has the steps, axes and units, docs/formats/web.md the blocks and the letters in shapes.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

DTYPES = {"i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "u32": "<u4", "f16": "<f2", "f32": "<f4"}
LOCAL = {"offsets": (0, 3), "quats": (3, 7), "colors": (7, 10), "logit_opacities": (10, 11), "log_scales": (11, 11)}
PLY = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"


def unit(vectors):
    """Vectors [...,C] of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def matrices(quats):
    """Rotation matrices [...,3,3] of quaternions [...,4] wxyz of any length."""
    cross = np.cross(np.eye(3), unit(quats)[..., None, 1:])
    return np.eye(3) + 2 * (unit(quats)[..., :1, None] * cross + cross @ cross)


def rotation(vector):
    """Rotation matrix [3,3] of an axis-angle vector [3], radians."""
    half = np.linalg.norm(vector) / 2
    return matrices(np.r_[np.cos(half), np.sin(half) * unit(vector)])


def quaternions(matrices):
    """Unit quaternions [...,4] wxyz, w >= 0, of rotation matrices [...,3,3]: by the largest of the four components."""
    (a, b, c), (d, e, f), (g, h, i) = np.moveaxis(matrices, (-2, -1), (0, 1))
    rows = [[1 + a + e + i, h - f, c - g, d - b], [h - f, 1 + a - e - i, b + d, c + g]]
    rows += [[c - g, b + d, 1 - a + e - i, f + h], [d - b, c + g, f + h, 1 - a - e + i]]  # 4 q q^T
    found = unit(np.moveaxis(np.choose(np.argmax([rows[k][k] for k in range(4)], 0), np.array(rows)), 0, -1))
    return np.where(found[..., :1] < 0, -found, found)


def axis_angle(matrix):
    """Axis-angle vector [3], angle 0..pi, of a rotation matrix [3,3]."""
    quat = quaternions(matrix)
    return unit(quat[1:]) * 2 * np.arctan2(np.linalg.norm(quat[1:]), quat[0])


def edges(corners):
    """Two edges as columns [F,3,2] of triangles [F,3,3]."""
    return np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], -1)


def triangle_frames(corners):
    """Rotations [F,3,3] of triangles [F,3,3]: columns are the direction of the first edge, normal x edge, normal."""
    first, second = np.moveaxis(edges(corners), -1, 0)
    edge, normal = unit(first), unit(np.cross(first, second))
    return np.stack([edge, np.cross(normal, edge), normal], -1)


class Hsa:
    """An avatar: its `header`, its `blocks` by name, dequantized, and `names` [E] and `neutral` [E] of expressions."""

    # The function layer_light of hsa_light.py; None: the colors of the mesh layer are those in full light.
    light = None

    def __init__(self, data):
        magic, version, size, total, checksum = struct.unpack_from("<8sIIII", data.ljust(24))
        if (magic, version, total, checksum) != (b"HSPLTWEB", 2, len(data), zlib.crc32(data[24:])):
            raise ValueError("not a .hsa of version 2, or a damaged one; write it with headsplat export")
        self.header, self.blocks = json.loads(data[24 : 24 + size]), {}
        for entry in self.header["blocks"]:
            values = np.ndarray(entry["shape"], DTYPES[entry["dtype"]], data, 24 + size + entry["offset"])
            if "scale" in entry:
                values = np.c_[entry["scale"]] * values + np.c_[entry["zero"]]
            self.blocks[entry["name"]] = values.astype("f4" if values.dtype.kind == "f" else int)
        self.names, self.neutral = self.header["head"]["expression_names"], np.array(self.header["driving"]["neutral"])
        numbers = {k: v for group in ("head", "gaussians", "torso") for k, v in self.header[group].items()}
        # self.joints [5,3], self.mean [E+9], self.pivot [3], ...
        self.__dict__.update({k: v if k == "network" else np.array(v) for k, v in numbers.items()})

    def rest(self, turn=(0, 0, 0)):
        """Joint rotations [5,3] and translation [3] at the mean position, turned by an axis-angle vector [3]."""
        turned, root = self.mean_rotation @ rotation(turn), self.joints[0]
        return np.r_[[axis_angle(turned)], np.zeros((4, 3))], self.mean_translation + turned @ root - root

    def kinematics(self, turns, translation):
        """Rest -> posed, x -> R x + t, of the joints, by their own axis-angle rotations [5,3]: a list of (R, t)."""
        poses = []
        for local, center, parent in zip(map(rotation, turns), self.joints, self.parents, strict=True):
            outer, offset = poses[parent] if parent >= 0 else (np.eye(3), translation)
            poses.append((outer @ local, outer @ (center - local @ center) + offset))
        return poses

    def vertices(self, expression, turns):
        """Vertices [V,3] in the skull frame; `turns` [5,3]: the joints' own rotations, those of expressions added."""
        turns = np.r_[self.joint_dirs[:2] @ expression, turns[2:]]
        curved = np.clip(expression[self.curve_columns.astype(int)], 0, 1)
        correctives = np.ravel([rotation(turn) - np.eye(3) for turn in turns[1:]])
        counts, rows, offsets = (self.blocks[f"head.base_{name}"] for name in ("counts", "vertices", "offsets"))
        weights, template = np.r_[expression, 4 * curved * (1 - curved), correctives], self.blocks["head.template"]
        offsets = np.repeat(weights[: len(counts)], counts)[:, None] * offsets
        vertices = template + np.stack([np.bincount(rows, offsets[:, k], len(template)) for k in range(3)], 1)
        rows, weights = self.blocks["head.bent_vertices"], self.blocks["head.bent_weights"]  # of jaw and eyes
        moves = [vertices[rows] @ R.T + t - vertices[rows] for R, t in self.kinematics(turns, np.zeros(3))[2:]]
        vertices[rows] += np.einsum("bj,jbc->bc", weights, moves)
        return vertices

    def stretch(self, vertices):
        """Tensors [V,3,3] of the stretch of posed vertices against the template, for those whose Gaussians follow."""
        faces = self.blocks["gaussians.stretch_faces"]
        rest = self.blocks["head.template"][faces]
        flat = (triangle_frames(rest).swapaxes(1, 2) @ edges(rest))[:, :2]
        F, area = edges(vertices[faces]) @ np.linalg.inv(flat), np.linalg.det(flat)  # [F,3,2]; twice the area
        normal = np.cross(F[..., 0], F[..., 1])[..., None]
        plane = np.eye(3) - normal @ normal.swapaxes(1, 2) / ((normal**2).sum(1, keepdims=True) + 1e-8)
        bounded = np.linalg.inv(7 * np.eye(2) + F.swapaxes(1, 2) @ F)
        tensors = (32 * F @ bounded @ F.swapaxes(1, 2) - 4 * plane) / 7 * area[:, None, None]
        values = np.repeat(np.c_[tensors.reshape(-1, 9), area], 3, 0)
        sums = np.stack([np.bincount(faces.ravel(), column, len(vertices)) for column in values.T], 1)
        factors = self.blocks["gaussians.stretches"][:, None] / np.maximum(sums[:, 9:], 1e-30)
        return (factors * sums[:, :9]).reshape(-1, 3, 3)

    def weights(self, expression, joint_rot):
        """Weights [K] of the offsets of the Gaussians by expression, jaw and gaze."""
        features, margin = np.r_[expression, joint_rot[2:].ravel()], 0.15 * (self.high - self.low)
        if self.mode == "expression":
            return np.clip(features, self.low - margin, self.high + margin)
        standard, network = 1.5 * np.tanh((features - self.mean) / (1.5 * self.spread)), self.network
        weights = self.mix @ (standard @ self.components)
        if network:
            hidden, output = np.array(network["hidden"]), np.array(network["output"])
            weights += np.maximum(standard @ hidden + network["hidden_bias"], 0) @ output + network["output_bias"]
        return weights

    def gaussians(self, expression, joint_rot, translation, torso=None):
        """World means [N,3], rotations [N,3,3], standard deviations [N,3], opacities [N] and sRGB colors [N,3] for
        weights [E], joint rotations [5,3] and a translation [3]; then those of a Gaussian for each face of the layer.
        The motion of the torso [6] follows that of the head, if it is not given."""
        turns, blocks = joint_rot + self.joint_dirs @ expression, self.blocks
        R, t = self.kinematics(turns, translation)[1]  # skull frame -> world
        features = np.r_[1, axis_angle(R @ self.mean_rotation.T), (t - self.mean_translation) / 0.1]
        features = np.clip(features, -self.limit, self.limit)
        # Offsets by expression, of the first M, and by the rotation of the head.
        local = {name: blocks[f"gaussians.{name}"].T.copy() for name in LOCAL}
        count = blocks["gaussians.basis"].shape[1]
        extra = np.tensordot(self.weights(expression, joint_rot), blocks["gaussians.basis"].reshape(-1, 11, count), 1)
        for name, (first, last) in LOCAL.items():
            local[name][:count, : last - first] += extra[first:last].T
        if self.header.get("pose_blendshapes"):
            reach = max(np.linalg.norm(features[1:4] / self.limit[1:4]), 1)
            x, y, z = features[1:4] / reach / self.header["pose_blendshapes"]["turn"]
            for name, changed in (("positions", local["offsets"][count:]), ("colors", local["colors"])):
                basis = blocks[f"pose_blendshapes.{name}"].reshape(7, 3, -1)
                changed += np.tensordot([x, y, z, x * x, y * y, z * z, x * y], basis, 1).T
        # From the frames of the triangles, stretched with them, to the skull frame.
        vertices, bary = self.vertices(expression, turns), blocks["gaussians.bary"] / 65535
        corners, bary = blocks["gaussians.triangles"], np.c_[bary, 1 - bary.sum(1)]
        frames, turned = triangle_frames(vertices[corners]), matrices(local["quats"])
        tensors = np.einsum("nk,nkab->nab", bary, self.stretch(vertices)[corners])
        S = np.tile(np.eye(3), (len(bary), 1, 1))
        S[:, :2, :2] += (frames.swapaxes(1, 2) @ tensors @ frames)[:, :2, :2]
        scales = np.hypot(np.exp(local["log_scales"]) * np.linalg.norm(S @ turned, axis=1), self.filter_scale)
        means = (vertices[corners].swapaxes(1, 2) @ bary[..., None] + frames @ S @ local["offsets"][..., None])[..., 0]
        # To the world: positions by linear blend skinning of skull and torso, rotations by a mean of quaternions.
        motion = self.weight @ features if torso is None else torso
        pivot = self.mean_rotation @ self.pivot + self.mean_translation
        turn, share = rotation(motion[:3]), blocks["gaussians.torso_weights"][:, None] / 65535
        T, s = turn @ self.mean_rotation, turn @ (self.mean_translation - pivot) + pivot + 0.1 * motion[3:]
        means = (1 - share) * (means @ R.T + t) + share * (means @ T.T + s)
        skull, torso = quaternions(R), quaternions(T)
        bones = matrices((1 - share) * skull + share * torso * (1 if skull @ torso >= 0 else -1))
        opacities = 1 / (1 + np.exp(-local["logit_opacities"][:, 0]))
        posed = means, bones @ frames @ turned, scales, opacities, local["colors"]
        return [np.concatenate(parts) for parts in zip(posed, self.layer(vertices, R, t), strict=True)]

    def layer(self, vertices, R, t):
        """A flat Gaussian for each face of the mesh layer: teeth, tongue, inside of the mouth, eyeballs."""
        faces = self.blocks.get("layer.faces", np.zeros((0, 3), int))
        corners, count = vertices[faces], len(faces)
        size = np.sqrt(np.linalg.norm(np.cross(*np.moveaxis(edges(corners), -1, 0)), axis=1) / 2)
        colors = self.blocks["layer.texels"][self.blocks["layer.texel_ids"]].mean(1) if count else np.zeros((0, 3))
        if count and self.light:
            colors *= self.light(self, vertices)[faces].mean(1)[:, None]
        scales = size[:, None] * [0.6, 0.6, 0] + [0, 0, 1e-4]
        return corners.mean(1) @ R.T + t, R @ triangle_frames(corners), scales, np.full(count, 0.98), colors


def write_ply(path, means, rotations, scales, opacities, colors):
    """Write Gaussians as 3D Gaussian splatting does: logarithms of scales, logits, spherical harmonics of degree 0."""
    sh, logits = (colors - 0.5) / 0.28209479177387814, -np.log(1 / np.clip(opacities, 1e-6, 1 - 1e-6) - 1)
    columns = np.column_stack([means, 0 * means, sh, logits, np.log(scales), quaternions(rotations)]).astype("<f4")
    names = "\nproperty float ".join(["", *PLY.split()])
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(means)}{names}\nend_header\n"
    Path(path).write_bytes(header.encode() + columns.tobytes())


if __name__ == "__main__":
    from hsa_light import layer_light

    source, pose, target = sys.argv[1:]
    hsa, pose = Hsa(Path(source).read_bytes()), json.loads(Path(pose).read_text(encoding="utf-8"))
    added = [pose.get("expression", {}).get(name, 0) for name in hsa.names]
    joints = [pose["joint_rot"], pose["translation"]] if "joint_rot" in pose else hsa.rest(pose.get("turn", [0, 0, 0]))
    hsa.light = layer_light
    means, rotations, *others = hsa.gaussians(hsa.neutral + added, *map(np.array, joints))
    upright = np.diag([-1, -1, 1]) @ hsa.mean_rotation.T  # origin between the eyes of the mean pose, y down
    write_ply(target, (means - hsa.mean_translation) @ upright.T, upright @ rotations, *others)
