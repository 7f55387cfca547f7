# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions for an avatar, without Blender: files and VMC packets to weights, and weights to those that it can show."""

import csv
import json
import re
import socket
import struct

import numpy as np

from .hsa_reader import rotation

TIMECODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})[:;](\d{1,2}(?:\.\d*)?)$")
BONES = {"Head": 1, "Neck": 0}  # place in the product of rotations
MAX_NAMES, MAX_PACKETS = 1024, 1000  # of a sender, and of packets at a time


class Motion:
    """T frames: `times` [T] seconds, `names` of the columns of `weights` [T,E], rotations [T,3,3] of the head; whether
    zero weights are the `resting` face, or it has to be found."""

    def __init__(self, times, names, weights, rotations, resting):
        self.times = np.asarray(times, float) - times[0]
        self.names, self.weights = [arkit(name) for name in names], np.asarray(weights, float)
        self.rotations, self.resting = np.asarray(rotations, float), resting
        if not all(np.isfinite(values).all() for values in (self.times, self.weights, self.rotations)):
            raise ValueError("the motion has a value that is not a number; repair it")
        if (np.diff(self.times) < 0).any():
            raise ValueError("the times of the motion do not increase; sort its frames")


def arkit(name):
    """ARKit's spelling of a name: a small first letter, Left and Right for _L and _R."""
    name = re.sub(r"_r(ight)?$", "Right", re.sub(r"_l(eft)?$", "Left", name, flags=re.I), flags=re.I)
    return name[:1].lower() + name[1:]


def read_motion(path):
    """The motion of a Live Link Face .csv or a .motion.npz of headsplat.

    Raises:
        ValueError: it is neither, or a value is not a number.
    """
    with open(path, "rb") as file:
        return read_npz(path) if file.read(2) == b"PK" else read_csv(path)


def read_npz(path):
    """The motion of a .motion.npz, see docs/formats/motion.md of headsplat."""
    with np.load(path, allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes().decode())
        if header.get("magic") != "headsplat-motion" or header["version"] > 2:
            raise ValueError("not a motion of version 1 or 2; write it with headsplat motion convert")
        turns = [rotation(root) @ rotation(neck) for root, neck in archive["joint_rot"][:, :2]]
        resting = header.get("resting", "find") == "zero"
        return Motion(archive["time"], header["names"], archive["weights"], turns, resting)


def read_csv(path):
    """The motion of a .csv of Live Link Face; frames without a face are left out."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "Timecode" not in rows[0]:
        raise ValueError("not a CSV of Live Link Face; convert it with headsplat motion convert FILE -o NAME.csv")
    rows = [row for row in rows if row.get("BlendShapeCount") != "0"]
    other = re.compile(r"(Timecode|BlendShapeCount|RestingWeight)$|.*(Yaw|Pitch|Roll)$")
    names = [name for name in rows[0] if name and not other.match(name)]
    found = [TIMECODE.match(row["Timecode"].strip()) for row in rows]
    if None in found:
        raise ValueError(f"line {found.index(None) + 2}: no timecode HH:MM:SS:FF; repair or delete the line")
    times = [np.dot([3600, 60, 1, 1 / 60], [float(part) for part in match.groups()]) for match in found]
    angles = [[float(row.get(f"Head{name}") or 0) for name in ("Yaw", "Pitch", "Roll")] for row in rows]
    turns = [rotation([-pitch, 0, 0]) @ rotation([0, yaw, 0]) @ rotation([0, 0, roll]) for yaw, pitch, roll in angles]
    return Motion(
        times, names, [[float(row[name]) for name in names] for row in rows], turns, "RestingWeight" in rows[0]
    )


def retargeted(hsa, motion):
    """Weights [T,E] of the avatar and rotations [T,3,3] of its head from the mean pose, as headsplat's driver has them.

    A resting face that has to be found is a low quantile of the weights, from 30 frames on. The head does not travel,
    and lips of a motion that rests at zero are not made to touch.
    """
    columns = [motion.names.index(name) if name in motion.names else -1 for name in hsa.names]
    if max(columns) < 0:
        raise ValueError("the motion has none of the expressions of the avatar; give one with ARKit's names")
    weights = np.where(np.array(columns) < 0, 0, motion.weights[:, columns])
    rest, mean = np.zeros(len(hsa.names)), np.eye(3)
    if not motion.resting and len(weights) >= 30:
        rest = np.quantile(weights, 0.2, axis=0) * [not name.startswith("eyeLook") for name in hsa.names]
        u, _, vt = np.linalg.svd(motion.rotations.mean(0))
        mean = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    neutral = hsa.neutral
    if motion.resting or len(weights) >= 30:
        neutral = closed(hsa, neutral[None] if motion.resting else [with_rest(hsa, row, rest) for row in weights])
    expressions = np.array([limited(hsa, with_rest(hsa, row, rest, neutral)) for row in weights])
    M = hsa.mean_rotation
    return expressions, np.array([M.T @ turn @ mean.T @ M for turn in motion.rotations])


def with_rest(hsa, weights, rest, neutral=None):
    """Weights [E] with a resting face [E] replaced by the avatar's: in full at rest, not at all at a weight of 1."""
    fade = np.clip((1 - weights) / np.maximum(1 - rest, 1e-3), 0, 1)
    neutral = hsa.neutral if neutral is None else neutral
    return np.clip(np.clip(weights, *hsa.expression_limits) + (neutral - rest) * fade, *hsa.expression_limits)


def closed(hsa, frames):
    """The avatar's resting face [E] with lips that meet where those of frames [T,E] do."""
    lips, quantile = hsa.header["driving"]["lips"], hsa.header["driving"]["options"]["lips"]["closed_quantile"]
    if not lips:
        return hsa.neutral
    gap = np.quantile(lips["gap"] + np.asarray(frames) @ lips["opening"], quantile)
    opens = np.maximum(hsa.neutral * lips["opening"], 0)
    scale = np.clip(1 - gap / opens.sum(), 0, 1) if opens.sum() > 0 else 1
    return np.where(opens > 0, scale * hsa.neutral, hsa.neutral)


def limited(hsa, weights):
    """Weights [E] soft-clamped to what the training showed, with lids that meet and do not cross."""
    driving, count = hsa.header["driving"], len(weights)
    margin = np.array([np.inf if value is None else max(value, 1e-9) for value in driving["margin"][:count]])
    inside = np.clip(weights, driving["low"][:count], driving["high"][:count])
    finite = np.where(np.isinf(margin), 1, margin)
    found = np.where(np.isinf(margin), weights, inside + finite * np.tanh((weights - inside) / finite))
    if {"mouthClose", "jawOpen"} <= set(hsa.names):
        close, jaw = hsa.names.index("mouthClose"), hsa.names.index("jawOpen")
        found[close] *= np.clip(found[jaw] / max(weights[jaw], 1e-6), 0, 1) if weights[jaw] > 1e-6 else 1
    if driving["lids"]:
        start = found.copy()
        for eye in (0, 1):
            limit_lid(driving, found, eye)
        for eye in (0, 1):
            complete_blink(driving, found, start, eye)
    return found


def limit_lid(driving, weights, eye):
    """Scale the weights [E] that close an eye, so that its lids meet."""
    lids, soft = driving["lids"], driving["options"]["lids"]["soft"]
    closing, closers = np.array(lids["closing"][eye]), np.array(lids["closers"][eye], bool)
    opening = 1 - weights @ closing
    target = opening if opening > soft else np.clip(opening + soft, 0, 2 * soft) ** 2 / (4 * soft)
    closed = np.maximum(weights * closing, 0)[closers].sum()
    weights[closers] *= np.clip(1 - (target - opening) / max(closed, 1e-6), 0, 1)


def complete_blink(driving, weights, start, eye):
    """Add what a full blink of `start` [E] leaves open."""
    lids, options = driving["lids"], driving["options"]["lids"]
    if min(lids["blinks"]) < 0:
        return
    closing, extra = np.array(lids["closing"][eye]), lids["extra"][eye]
    t = np.clip((start[lids["blinks"][eye]] - options["closing"]) / (1 - options["closing"]), 0, 1)
    gap = max(1 - options["overlap"] - weights @ closing, 0)
    weights[extra] += t * t * (3 - 2 * t) * gap / max(closing[extra], 0.1)


def osc_messages(data):
    """Address and arguments of the messages of an OSC packet, those of bundles included; of a damaged one none."""
    try:
        if data.startswith(b"#bundle\0"):
            found, at = [], 16
            while at < len(data):
                size = struct.unpack_from(">i", data, at)[0]
                found += osc_messages(data[at + 4 : at + 4 + max(size, 0)])
                at += 4 + max(size, 0)
            return found
        (address, at), values = osc_text(data, 0), []
        tags, at = osc_text(data, at)
        for tag in tags[1:]:
            if tag == "s":
                value, at = osc_text(data, at)
            else:
                value, at = struct.unpack_from({"i": ">i", "f": ">f"}[tag], data, at)[0], at + 4
            values.append(value)
        return [(address, values)]
    except (KeyError, IndexError, ValueError, struct.error, RecursionError):
        return []


def osc_text(data, at):
    """A string padded to four bytes, and the position after it."""
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8", "replace"), end + 4 - end % 4


class VmcReceiver:
    """Faces of a VMC sender on this machine; bound to 127.0.0.1, so that other machines cannot send."""

    def __init__(self, port=39539):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind(("127.0.0.1", port))
        except OSError:
            self.close()
            raise
        self.socket.setblocking(False)
        self.weights, self.turns = {}, [np.eye(3), np.eye(3)]

    def close(self):
        self.socket.close()

    def poll(self):
        """Weights by ARKit's names and the rotation [3,3] of the head, of the packets until now; None without one."""
        received = False
        for _ in range(MAX_PACKETS):
            try:
                messages = osc_messages(self.socket.recv(65536))
            except (BlockingIOError, ConnectionResetError):
                break
            for address, (name, *numbers) in [message for message in messages if message[1]]:
                if not isinstance(name, str) or str in map(type, numbers) or not np.isfinite(numbers).all():
                    continue
                if address == "/VMC/Ext/Blend/Val" and len(numbers) == 1 and len(self.weights) < MAX_NAMES:
                    self.weights[arkit(name)] = float(np.clip(numbers[0], -1, 2))
                    received = True
                elif address == "/VMC/Ext/Bone/Pos" and name in BONES and len(numbers) == 7:
                    self._turn(BONES[name], np.array(numbers[3:], float))
                    received = True
        return (self.weights, self.turns[0] @ self.turns[1]) if received else None

    def _turn(self, bone, xyzw):
        """Unity's axes are left-handed: x to the character's right."""
        length = np.linalg.norm(xyzw)
        if length > 1e-6:
            x, y, z, w = xyzw / length
            angle = 2 * np.arctan2(np.linalg.norm([x, y, z]), w)
            self.turns[bone] = rotation(np.array([x, -y, -z]) * angle / max(np.linalg.norm([x, y, z]), 1e-12))
