"""All stages from the mean face to the arrays of the stored head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from avatar.head.anatomy import parts, teeth, tongue
from avatar.head.anatomy.base import Base
from avatar.head.anatomy.indices import FACE_POINTS, LOWER_LIP_MIDDLE, UPPER_LIP_MIDDLE
from avatar.head.anatomy.mesh import Floats
from avatar.head.skinning import joint_regressor_weights
from avatar.head.stored import UNITS_PER_METER, StoredHead
from avatar.head.subdivision import loop_matrix
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

from . import atlas, colors, ears, expressions, eyes, identity, jaw, regions, skinning
from .cage import Cage, build_cage
from .lids import LOOP

_UPPER_LIP = (UPPER_LIP_MIDDLE, 0, 61, 291, 82, 312)
_CHIN = (LOWER_LIP_MIDDLE, 17, 18, 152, 200)
_EAR_ROOTS = ((234, 127), (454, 356))


def to_units(centimeters: NDArray[np.float64]) -> NDArray[np.int16]:
    """Lengths in cm as integers in stored units."""
    # Rounding to 6 decimals first makes both sides of the face round alike at ties.
    exact = np.round(centimeters * (UNITS_PER_METER / 100), 6)
    units = np.rint(exact)
    assert np.abs(units).max(initial=0) < 2**15, "a length does not fit into int16"
    return units.astype(np.int16)


def to_fractions(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Values 0..1 as 0..65535."""
    return np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16)


def make_parts(cage: Cage) -> list[parts.Part]:
    """Eyes, teeth, tongue and ears; each moves with the identity motion of its landmarks."""
    left_lids = cage.mirrored(LOOP)
    upper_lip = cage.vertices[UPPER_LIP_MIDDLE]
    right = eyes.right_eye(cage, LOOP, RIGHT_EYE)
    lower = tuple((index, weight / 2) for group in (_UPPER_LIP, _CHIN) for index, weight in parts.mean_of(group))
    left_ear = ears.left_ear(cage, parts.mean_of(_EAR_ROOTS[1]))
    return [
        right,
        right.mirrored("left_eyeball", parts.mean_of(left_lids), LEFT_EYE),
        teeth.teeth(upper_lip, True, parts.mean_of(_UPPER_LIP)),
        teeth.teeth(upper_lip, False, lower),
        tongue.tongue(cage.vertices[LOWER_LIP_MIDDLE], lower),
        left_ear.mirrored("right_ear", parts.mean_of(_EAR_ROOTS[0])),
        left_ear,
    ]


def interpolating_control(cage: Cage) -> Callable[[Floats], Floats]:
    """A function from fields [N,C,3] to control fields whose Loop surface interpolates them at the old vertices.

    The old vertices' rows of the Loop matrix are well conditioned (eigenvalues in 1/4..1), so the solve is exact, and
    the same operator is used for positions and displacements.
    """
    old = loop_matrix(cage.faces, len(cage.vertices))[: len(cage.vertices)].tocsc()
    factor = splu(old)

    def control(fields: Floats) -> Floats:
        columns = fields.transpose(1, 2, 0).reshape(len(cage.vertices), -1)
        solved = factor.solve(np.ascontiguousarray(columns))
        return solved.reshape(len(cage.vertices), 3, len(fields)).transpose(2, 0, 1)

    return control


def _regressor(
    skin: Floats, part_list: Sequence[parts.Part], joints: Floats
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts = len(skin) + np.cumsum([0, *(len(part.vertices) for part in part_list)])
    eyeballs = [np.arange(starts[k], starts[k + 1]) for k in (1, 0)]
    groups = skinning.regressor_groups(skin, eyeballs)
    whole = np.vstack([skin, *(part.vertices for part in part_list)])
    rows = [joint_regressor_weights(whole[group], joint) for group, joint in zip(groups, joints, strict=True)]
    joint = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return joint.astype(np.uint8), np.concatenate(groups).astype(np.uint16), np.concatenate(rows).astype(np.float32)


def _part_motion(part_list: Sequence[parts.Part], modes: Floats) -> Floats:
    """Translation [S,parts,3] of each part in each identity mode [S,C,3]."""
    return np.stack([sum(modes[:, index] * weight for index, weight in part.follows) for part in part_list], 1)


def _by_vertex(fields: Floats) -> np.ndarray:
    """Fields [N,C,3] cm as stored units in the memory order of the head, [C,3,N]."""
    return np.ascontiguousarray(to_units(fields).transpose(1, 2, 0))


def _skin_arrays(cage: Cage, jaw_follow: Floats, modes: Floats) -> dict[str, Any]:
    """The stored arrays of the cage's positions, displacements and skin weights; `jaw_follow` [C] from `jaw`."""
    control = interpolating_control(cage)
    weights = to_fractions(skinning.weights(cage.vertices, jaw_follow))
    smooth = loop_matrix(cage.faces, len(cage.vertices))[: len(cage.vertices)] @ weights.astype(float)
    jaw_weights = smooth[:, JAW] / smooth.sum(1)
    shapes = skinning.rest_shapes(cage.vertices, jaw_weights, expressions.skin_shapes(cage, jaw_follow))
    curves = expressions.skin_curves(cage)
    return {
        "cage_vertices": to_units(control(cage.vertices[None])[0]),
        "cage_faces": cage.faces.astype(np.uint16),
        "cage_expressions": _by_vertex(control(shapes)),
        "cage_curves": _by_vertex(control(np.stack(list(curves.values())))),
        "curve_columns": np.array([expressions.NAMES.index(name) for name in curves], np.uint8),
        "joint_dirs": skinning.joint_directions().astype(np.float32),
        "cage_identity": _by_vertex(control(modes)),
        "cage_weights": weights,
    }


def _part_arrays(cage: Cage, part_list: Sequence[parts.Part], modes: Floats) -> dict[str, Any]:
    """The stored arrays of the separate parts."""
    starts = np.cumsum([0, *(len(part.vertices) for part in part_list)])
    faces = [part.faces + start for part, start in zip(part_list, starts, strict=False)]
    half_starts = np.cumsum([0, *(len(part.half[0]) for part in part_list)])
    half_faces = [part.half[1] + start for part, start in zip(part_list, half_starts, strict=False)]
    half_vertices = [part.half[0] + start for part, start in zip(part_list, starts, strict=False)]
    return {
        "part_vertices": to_units(np.vstack([part.vertices for part in part_list])),
        "part_faces": np.vstack(faces).astype(np.uint16),
        "part_expressions": _by_vertex(skinning.rest_part_shapes(part_list, expressions.part_shapes(cage, part_list))),
        "part_identity": _by_vertex(_part_motion(part_list, modes)),
        "part_of": np.repeat(np.arange(len(part_list)), np.diff(starts)).astype(np.uint8),
        "part_weights": to_fractions(skinning.part_weights(part_list)),
        "half_part_vertices": np.concatenate(half_vertices).astype(np.uint16),
        "half_part_faces": np.vstack(half_faces).astype(np.uint16),
    }


def _atlas_arrays(cage: Cage, part_list: Sequence[parts.Part]) -> dict[str, Any]:
    """The stored texture coordinates."""
    flat, uv_faces, islands = atlas.cage_atlas(cage)
    cage_uv, part_uv = atlas.pack((flat, uv_faces, islands), [(part.flat, part.faces) for part in part_list])
    return {
        "cage_uv": to_fractions(cage_uv),
        "cage_uv_faces": uv_faces.astype(np.uint16),
        "part_uv": to_fractions(np.vstack(part_uv)),
    }


def _surface_arrays(cage: Cage, part_list: Sequence[parts.Part], cage_vertices: np.ndarray) -> dict[str, Any]:
    """The arrays stored at full resolution: landmarks, joint regressor, regions, colors."""
    subdivide = loop_matrix(cage.faces, len(cage.vertices))
    skin = subdivide @ (cage_vertices * (100 / UNITS_PER_METER))
    positions = skinning.joint_positions(cage.eye_center)
    joint, vertex, weight = _regressor(skin, part_list, positions)
    masks = regions.all_masks(regions.skin_masks(cage, subdivide), part_list)
    painted = np.vstack([colors.skin_colors(cage, subdivide), *(part.colors for part in part_list)])
    eye_starts = len(skin), len(skin) + len(part_list[0].vertices)
    irises = [eye_starts[side] + index for side in (0, 1) for index in eyes.iris_vertices(left=side == 1)]
    return {
        "joints": (positions / 100).astype(np.float32),
        "regressor_joint": joint,
        "regressor_vertex": vertex,
        "regressor_weight": weight,
        "landmark_vertex": np.array([*range(FACE_POINTS), *irises]).astype(np.uint16),
        "regions": np.packbits(np.stack(list(masks.values())), axis=1),
        "colors": np.rint(np.clip(painted, 0, 1) * 255).astype(np.uint8),
        "region_names": tuple(masks),
    }


def build_head(base: Base) -> StoredHead:
    """Run every stage after the mean face; deterministic."""
    cage = build_cage(base)
    part_list = make_parts(cage)
    identity_names, modes = identity.identity_modes(cage)
    skin = _skin_arrays(cage, jaw.skin_weights(cage), modes)
    return StoredHead(
        **skin,
        **_part_arrays(cage, part_list, modes),
        **_atlas_arrays(cage, part_list),
        **_surface_arrays(cage, part_list, skin["cage_vertices"]),
        expression_names=expressions.NAMES,
        identity_names=tuple(identity_names),
    )
