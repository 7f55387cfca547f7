"""All stages in a row: from the mean face to the arrays of the stored head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from avatar.head.regressor import joint_regressor_weights
from avatar.head.stored import UNITS_PER_METER, StoredHead, to_fractions, to_units
from avatar.head.subdivision import loop_matrix
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

from . import atlas, colors, ears, expressions, eyes, identity, jaw, joints, parts, regions, skinning, teeth, tongue
from .base import Base
from .cage import Cage, build_cage
from .indices import FACE_POINTS, LOWER_LIP_MIDDLE, UPPER_LIP_MIDDLE
from .lids import LOOP
from .mesh import Floats

_UPPER_LIP = (UPPER_LIP_MIDDLE, 0, 61, 291, 82, 312)
_CHIN = (LOWER_LIP_MIDDLE, 17, 18, 152, 200)
_EAR_ROOTS = ((234, 127), (454, 356))


def make_parts(cage: Cage) -> list[parts.Part]:
    """Eyes, teeth, tongue and ears, each following its own landmarks when the person changes."""
    left_lids = cage.mirrored(LOOP)
    right = eyes.right_eye(cage, LOOP, RIGHT_EYE)
    lower = tuple((index, share / 2) for group in (_UPPER_LIP, _CHIN) for index, share in parts.mean_of(group))
    left_ear = ears.left_ear(cage, parts.mean_of(_EAR_ROOTS[1]))
    return [
        right,
        right.mirrored("left_eyeball", parts.mean_of(left_lids), LEFT_EYE),
        teeth.teeth(cage, True, parts.mean_of(_UPPER_LIP)),
        teeth.teeth(cage, False, lower),
        tongue.tongue(cage, lower),
        left_ear.mirrored("right_ear", parts.mean_of(_EAR_ROOTS[0])),
        left_ear,
    ]


def interpolating_control(cage: Cage) -> Callable[[Floats], Floats]:
    """A function from fields [N,C,3] to control fields whose Loop surface passes through them at the old vertices.

    The old vertices' rows of the Loop matrix are well conditioned (their eigenvalues lie in 1/4..1), so the solve is
    exact and the same operator serves positions and every displacement.
    """
    old = loop_matrix(cage.faces, len(cage.vertices))[: len(cage.vertices)].tocsc()
    factor = splu(old)

    def control(fields: Floats) -> Floats:
        columns = fields.transpose(1, 2, 0).reshape(len(cage.vertices), -1)
        solved = factor.solve(np.ascontiguousarray(columns))
        return solved.reshape(len(cage.vertices), 3, len(fields)).transpose(2, 0, 1)

    return control


def _regressor(skin: Floats, pieces: Sequence[parts.Part], joints: Floats) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = len(skin) + np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    eyeballs = [np.arange(starts[k], starts[k + 1]) for k in (1, 0)]
    groups = skinning.regressor_groups(skin, eyeballs)
    whole = np.vstack([skin, *(piece.vertices for piece in pieces)])
    rows = [joint_regressor_weights(whole[group], place) for group, place in zip(groups, joints, strict=True)]
    joint = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return joint.astype(np.uint8), np.concatenate(groups).astype(np.uint16), np.concatenate(rows).astype(np.float32)


def _part_motion(pieces: Sequence[parts.Part], modes: Floats) -> Floats:
    """Shift [S,parts,3] of each part in each identity mode [S,C,3]."""
    return np.stack([sum(modes[:, index] * share for index, share in piece.follows) for piece in pieces], 1)


def _by_vertex(fields: Floats) -> np.ndarray:
    """Fields [N,C,3] cm as stored units [C,3,N], the order that the head is used in."""
    return np.ascontiguousarray(to_units(fields).transpose(1, 2, 0))


def _skin_arrays(cage: Cage, shares: Floats, modes: Floats) -> dict[str, Any]:
    """The stored head's arrays of the cage's positions, displacements and weights."""
    control = interpolating_control(cage)
    weights = to_fractions(skinning.weights(cage.vertices, shares))
    smooth = loop_matrix(cage.faces, len(cage.vertices))[: len(cage.vertices)] @ weights.astype(float)
    jaw_weights = smooth[:, JAW] / smooth.sum(1)
    shapes = joints.behind_the_jaw(cage.vertices, jaw_weights, expressions.skin_shapes(cage, shares))
    curves = expressions.skin_curves(cage)
    return {
        "cage_vertices": to_units(control(cage.vertices[None])[0]),
        "cage_faces": cage.faces.astype(np.uint16),
        "cage_expressions": _by_vertex(control(shapes)),
        "cage_curves": _by_vertex(control(np.stack(list(curves.values())))),
        "curve_columns": np.array([expressions.NAMES.index(name) for name in curves], np.uint8),
        "joint_dirs": joints.directions().astype(np.float32),
        "cage_identity": _by_vertex(control(modes)),
        "cage_weights": weights,
    }


def _part_arrays(cage: Cage, pieces: Sequence[parts.Part], modes: Floats) -> dict[str, Any]:
    """The stored head's arrays of the separate parts."""
    starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    faces = [piece.faces + start for piece, start in zip(pieces, starts, strict=False)]
    half_starts = np.cumsum([0, *(len(piece.half[0]) for piece in pieces)])
    half_faces = [piece.half[1] + start for piece, start in zip(pieces, half_starts, strict=False)]
    half_vertices = [piece.half[0] + start for piece, start in zip(pieces, starts, strict=False)]
    return {
        "part_vertices": to_units(np.vstack([piece.vertices for piece in pieces])),
        "part_faces": np.vstack(faces).astype(np.uint16),
        "part_expressions": _by_vertex(joints.part_shapes(pieces, expressions.part_shapes(cage, pieces))),
        "part_identity": _by_vertex(_part_motion(pieces, modes)),
        "part_of": np.repeat(np.arange(len(pieces)), np.diff(starts)).astype(np.uint8),
        "part_weights": to_fractions(skinning.part_weights(pieces)),
        "half_part_vertices": np.concatenate(half_vertices).astype(np.uint16),
        "half_part_faces": np.vstack(half_faces).astype(np.uint16),
    }


def _atlas_arrays(cage: Cage, pieces: Sequence[parts.Part]) -> dict[str, Any]:
    """The stored head's texture coordinates."""
    flat, uv_faces, islands = atlas.cage_atlas(cage)
    cage_uv, part_uv = atlas.pack((flat, uv_faces, islands), [(piece.flat, piece.faces) for piece in pieces])
    return {
        "cage_uv": to_fractions(cage_uv),
        "cage_uv_faces": uv_faces.astype(np.uint16),
        "part_uv": to_fractions(np.vstack(part_uv)),
    }


def _surface_arrays(cage: Cage, pieces: Sequence[parts.Part], cage_vertices: np.ndarray) -> dict[str, Any]:
    """What is stored at full resolution: landmarks, joint regressor, regions, colors."""
    subdivide = loop_matrix(cage.faces, len(cage.vertices))
    skin = subdivide @ (cage_vertices * (100 / UNITS_PER_METER))
    places = skinning.joint_positions(cage.eye_center)
    joint, vertex, weight = _regressor(skin, pieces, places)
    masks = regions.all_masks(regions.skin_masks(cage, subdivide), pieces)
    painted = np.vstack([colors.skin_colors(cage, subdivide), *(piece.colors for piece in pieces)])
    eye_starts = len(skin), len(skin) + len(pieces[0].vertices)
    irises = [eye_starts[side] + place for side in (0, 1) for place in eyes.iris_vertices(left=side == 1)]
    return {
        "joints": (places / 100).astype(np.float32),
        "regressor_joint": joint,
        "regressor_vertex": vertex,
        "regressor_weight": weight,
        "landmark_vertex": np.array([*range(FACE_POINTS), *irises]).astype(np.uint16),
        "regions": np.packbits(np.stack(list(masks.values())), axis=1),
        "colors": np.rint(np.clip(painted, 0, 1) * 255).astype(np.uint8),
        "region_names": tuple(masks),
    }


def build_head(base: Base) -> StoredHead:
    """Every stage after the mean face; deterministic."""
    cage = build_cage(base)
    pieces = make_parts(cage)
    identity_names, modes = identity.identity_modes(cage)
    skin = _skin_arrays(cage, jaw.skin_shares(cage), modes)
    return StoredHead(
        **skin,
        **_part_arrays(cage, pieces, modes),
        **_atlas_arrays(cage, pieces),
        **_surface_arrays(cage, pieces, skin["cage_vertices"]),
        expression_names=expressions.NAMES,
        identity_names=tuple(identity_names),
    )
