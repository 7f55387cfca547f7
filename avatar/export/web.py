"""An avatar as the container of the web player: everything that one HTML page needs to pose and to render it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar import __version__
from avatar.driving.lip_closure import LipClosure
from avatar.driving.trained_range import TrainedRange
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.avatar_file import AXES, CONSENT
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.pose_blendshapes import COLOR, POSITION, TURN, PoseBlendshapes
from avatar.model.parts.weight_network import WeightNetwork
from avatar.motion.lip_gap import LipGap
from avatar.motion.presets import FacePreset
from avatar.rendering.cameras import DISTANCE, framing, subject_of
from avatar.types import JAW, HeadParams, TorsoPose

from .posed import posed
from .web_blocks import FORMAT, Blocks
from .web_options import driving_options
from .web_presets import page_presets

NOTE = "A synthetic rendering of a person, not a recording: it can show what the person never did or said."
_MAX_VERTICES = 1 << 16  # their indices are uint16
#: Entries of the avatar's header that say where it comes from.
_PROVENANCE = ("capture", "track", "tensors_sha256")


@dataclass(frozen=True)
class WebMotion:
    """A motion of T frames that is packed with the avatar."""

    name: str
    times: NDArray[np.float64]  # [T] seconds from 0
    params: HeadParams  # T frames
    torso: TorsoPose | None = None  # T frames, where it is measured; None: from the torso map


@torch.no_grad()
def web_container(
    avatar: Avatar,
    header: Mapping[str, Any],
    name: str,
    motion: WebMotion | None = None,
    presets: Sequence[FacePreset] = (),
) -> bytes:
    """The container of an avatar for the web player.

    Args:
        avatar: the avatar.
        header: of its file, for consent and provenance.
        name: title of the page.
        motion: played by the page; None: none.
        presets: faces that the page shows by buttons and keys.

    Raises:
        HeadsplatError: the head has more vertices than the container can number.
    """
    if len(avatar.head.v_template) > _MAX_VERTICES:
        raise HeadsplatError(
            f"{avatar.head.name}: {len(avatar.head.v_template)} vertices, a page takes at most {_MAX_VERTICES}; train "
            "on another head model"
        )
    blocks = Blocks()
    entries = {
        "format": FORMAT,
        "generator": f"headsplat {__version__}",
        "axes": AXES,
        "name": name,
        "note": NOTE,
        "consent": str(header.get("consent") or CONSENT),
        "provenance": {key: _named(header[key]) for key in _PROVENANCE if key in header},
        "head": _head(avatar.head, blocks),
        "gaussians": _gaussians(avatar, blocks),
        "torso": {key: getattr(avatar.rig.torso, key).tolist() for key in _TORSO},
        "driving": _driving(avatar),
        "view": _view(avatar),
        "pose_blendshapes": _part(avatar, PoseBlendshapes, blocks),
        "layer": _part(avatar, MeshLayer, blocks),
        "presets": page_presets(avatar, presets),
        "motion": None if motion is None else _motion(avatar, motion, blocks),
    }
    return blocks.container(entries)


_TORSO = ("mean_rotation", "mean_translation", "pivot", "weight", "limit")


def _named(entry: Any) -> Any:
    """What identifies a capture or a track; its camera and sizes are left out."""
    return {key: entry[key] for key in ("name", "fingerprint") if key in entry} if isinstance(entry, dict) else entry


def _array(tensor: Tensor, dtype: type[np.generic]) -> NDArray[Any]:
    return tensor.detach().cpu().numpy().astype(dtype)


def _head(head: HeadModel, blocks: Blocks) -> dict[str, Any]:
    """The mesh: template, faces, the nonzero offsets of its bases and the weights of the joints that bend it."""
    blocks.add("head.template", _array(head.v_template, np.float32))
    blocks.add("head.faces", _array(head.faces, np.uint16))  # the page does without
    bases = torch.cat([head.exprdirs, head.curvedirs, head.posedirs], 2).permute(2, 0, 1)
    moved = (bases != 0).any(2)
    blocks.add("head.base_counts", _array(moved.sum(1), np.uint32))
    blocks.add("head.base_vertices", _array(moved.nonzero()[:, 1], np.uint16))
    blocks.add("head.base_offsets", _array(bases[moved], np.float16))
    weights = head.lbs_weights[:, JAW:]
    bent = (weights != 0).any(1).nonzero()[:, 0]
    blocks.add("head.bent_vertices", _array(bent, np.uint16))
    blocks.add("head.bent_weights", _array(weights[bent], np.float32))
    return {
        "name": head.name,
        "license": head.license,
        "parents": list(head.parents),
        "joints": head.joint_locations(head.v_template.new_zeros(0)).tolist(),
        "joint_dirs": head.joint_dirs.tolist(),
        "expression_names": list(head.expression_names),
        "expression_limits": head.expression_limits.tolist(),
        "curve_columns": head.curve_columns.tolist(),
        "pose_correctives": head.posedirs.shape[2],
    }


def _gaussians(avatar: Avatar, blocks: Blocks) -> dict[str, Any]:
    """The Gaussians, their binding and their bases."""
    rig = avatar.rig
    shapes = avatar.blendshapes
    for name in ("offsets", "quats", "log_scales", "colors"):
        blocks.add_quantized(f"gaussians.{name}", _array(getattr(avatar, name).T, np.float32))
    blocks.add_quantized("gaussians.logit_opacities", _array(avatar.logit_opacities[None], np.float32))
    blocks.add("gaussians.triangles", _array(rig.triangles, np.uint16))
    blocks.add("gaussians.bary", np.rint(_array(rig.bary[:, :2], np.float64) * 65535).clip(0, 65535).astype(np.uint16))
    blocks.add("gaussians.torso_weights", np.rint(_array(rig.skin, np.float64) * 65535).astype(np.uint16))
    basis = shapes.basis * shapes.mask[:, :, None] if shapes.mode == "expression" else shapes.basis
    channels = (basis * shapes.units).transpose(1, 2).flatten(0, 1)
    blocks.add_quantized("gaussians.basis", _array(channels, np.float32), np.int8)
    faces, stretches = _stretch(avatar)
    blocks.add("gaussians.stretch_faces", faces)
    blocks.add("gaussians.stretches", stretches)
    return {
        "count": len(avatar),
        "blended": shapes.count,
        "bases": shapes.basis.shape[0],
        "mode": shapes.mode,
        "filter_scale": avatar.sampling.filter_scale,
        "dilation": avatar.sampling.dilation,
        **{key: getattr(shapes, key).tolist() for key in ("mean", "spread", "low", "high", "components", "mix")},
        "network": _part(avatar, WeightNetwork, blocks),
    }


def _stretch(avatar: Avatar) -> tuple[NDArray[Any], NDArray[Any]]:
    """The faces [F,3] around the vertices whose stretch the Gaussians follow, and [V] 1 for these vertices."""
    stretch = avatar.rig.stretch
    if stretch is None:
        return np.zeros((0, 3), np.uint16), np.zeros(len(avatar.head.v_template), np.uint8)
    return _array(stretch.mesh.faces, np.uint16), _array(stretch.rows >= 0, np.uint8)


def _driving(avatar: Avatar) -> dict[str, Any]:
    """What limits poses: trained range, closure of lids and lips, resting face; the lips of motions; the constants."""
    trained = TrainedRange.of(avatar)
    low, high, margin = (limits.tolist() for limits in trained.limits)
    lids = trained.lid_closure
    lips = LipClosure.of(avatar.head)
    if lids is not None and not bool(lids.closing.isfinite().all()):
        lids = None  # the eyes of this head have no opening that lids could close
    return {
        "neutral": avatar.neutral.tolist(),
        "low": low,
        "high": high,
        "margin": [value if np.isfinite(value) else None for value in margin],  # None: not clamped
        "mean_position": trained.mean_position.tolist(),
        "lids": None
        if lids is None
        else {
            "closing": lids.closing.tolist(),
            "closers": lids.closers.int().tolist(),
            "blinks": lids.blinks.tolist(),
            "extra": lids.extra.tolist(),
        },
        "lips": None if lips is None else {"gap": float(lips.gap), "opening": lips.opening.tolist()},
        "embedded_lips": _embedded_lips(),
        "options": driving_options(),
    }


def _embedded_lips() -> dict[str, Any]:
    """The lip gap of the embedded head, for which motions are made whose zero weights are the resting face."""
    head = load_head()
    gap = LipGap.of(head)
    assert gap is not None, "the embedded head has landmarks"
    return {"gap": float(gap.at_rest), "names": list(head.expression_names), "opening": gap.opening.tolist()}


def _view(avatar: Avatar) -> dict[str, Any]:
    """The camera in front of the face: where it looks, and what it frames."""
    subject = subject_of(avatar, posed(avatar))
    frame = framing(subject)
    return {
        "center": subject.center.tolist(),
        "forward": subject.forward.tolist(),
        "distance": DISTANCE,
        "left": frame.left,
        "right": frame.right,
        "top": frame.top,
        "bottom": frame.bottom,
    }


def _network(avatar: Avatar, network: WeightNetwork, blocks: Blocks) -> dict[str, Any]:
    """The network that adds to the weights of the bases."""
    return {name: value.tolist() for name, value in network.named_parameters()}


def _pose_blendshapes(avatar: Avatar, part: PoseBlendshapes, blocks: Blocks) -> dict[str, Any]:
    """The bases by the rotation of the head: colors of all Gaussians, positions of those that no expression moves."""
    shapes = avatar.blendshapes
    positions, colors = part.basis.split(3, dim=2)
    for name, basis, channels in (("positions", positions[:, shapes.count :], POSITION), ("colors", colors, COLOR)):
        rows = (basis * shapes.units[channels]).transpose(1, 2).flatten(0, 1)
        blocks.add_quantized(f"pose_blendshapes.{name}", _array(rows, np.float32), np.int8)
    return {"turn": TURN}


def _layer(avatar: Avatar, layer: MeshLayer, blocks: Blocks) -> dict[str, Any]:
    """The mesh layer: faces with their texels, the skin that covers them, and the light on them."""
    mesh = layer.mesh
    light = layer.eye_light
    blocks.add("layer.faces", _array(mesh.faces, np.uint16))
    blocks.add_indices("layer.texel_ids", _array(mesh.texel_ids, np.int64))
    blocks.add("layer.texels", _array(layer.texels(), np.float16))
    blocks.add("layer.fades", _array(mesh.fades, np.float32))
    blocks.add("layer.skin", _array(mesh.skin, np.uint16))
    fades = layer.fades(avatar.rig.triangles, avatar.offsets, avatar.blendshapes.count)
    blocks.add("layer.gaussian_fades", _array(fades, np.uint8))
    blocks.add("layer.mouth_vertices", _array(layer.mouth, np.uint16))
    blocks.add("layer.mouth_normals", _array(layer.mouth_normals, np.float16))
    lit = light.known
    blocks.add("layer.eyes", _array(light.eyes, np.uint16) if lit else np.zeros((2, 0), np.uint16))
    blocks.add("layer.irises", _array(light.irises, np.uint16) if lit else np.zeros((2, 0), np.uint16))
    blocks.add("layer.reflections", _array((light.reflections * light.inside).clamp(0, 1), np.float16))
    return {
        "lips": {"corners": layer.lip_corners.tolist(), "bary": layer.lip_bary.tolist()},
        "lids": {
            "corners": light.corners.tolist(),
            "bary": light.bary.tolist(),
            "fit": light.fit.tolist(),
            "shadow": light.shadow.tolist(),
            "reach": light.reach.tolist(),
        }
        if lit
        else None,
    }


#: What the container has of the optional parts of an avatar; it lacks all others.
PAGE_PARTS: dict[type[AvatarPart], Callable[[Avatar, Any, Blocks], dict[str, Any]]] = {
    MeshLayer: _layer,
    WeightNetwork: _network,
    PoseBlendshapes: _pose_blendshapes,
}


def _part(avatar: Avatar, kind: type[AvatarPart], blocks: Blocks) -> dict[str, Any] | None:
    """The entry of a part of PAGE_PARTS; None for an avatar without one."""
    part = avatar.part(kind)
    return None if part is None else PAGE_PARTS[kind](avatar, part, blocks)


def _motion(avatar: Avatar, motion: WebMotion, blocks: Blocks) -> dict[str, Any]:
    """The frames of a motion, as parameters of this avatar."""
    params = motion.params
    blocks.add("motion.times", motion.times.astype(np.float32))
    blocks.add_quantized("motion.expression", _array(params.expression.T, np.float32))
    blocks.add("motion.joint_rot", _array(params.joint_rot.flatten(1).T, np.float32))
    blocks.add("motion.translation", _array(params.translation.T, np.float32))
    if motion.torso is not None:
        blocks.add("motion.torso", _array(avatar.rig.torso.motion_of_pose(motion.torso).T, np.float32))
    return {"name": motion.name, "frames": len(motion.times), "torso": motion.torso is not None}
