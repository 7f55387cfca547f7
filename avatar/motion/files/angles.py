"""Yaw, pitch and roll of Live Link Face <-> axis-angle in our axes: x to the subject's left, y up, the face along z.

R = Rx(pitch) Ry(yaw) Rz(roll), all in radians: the roll is applied first, the pitch last.

Evidence, from a real take of 4030 rows (see the tests marked `data`):

- Eyes, signs. Yaw has a correlation of 0.999 with eyeLookIn - eyeLookOut for the left eye and of -0.999 for the right
  one: positive yaw looks to the subject's right, a rotation about -y. Pitch has a correlation of 0.996 with
  eyeLookDown - eyeLookUp: positive pitch looks down, a rotation about +x.
- Eyes, order and sign of the roll. tan(roll) = sin(yaw) tan(pitch) holds to 2e-8 in every row. With x outermost and
  z innermost this is exactly the condition that the eyes have no torsion (R[1,0] = 0); no other order of the axes gives
  that relation for eyes without torsion. With z outermost it holds for eyes with a torsion of yaw x pitch, but then the
  two eyes would look at points of different height: their slopes differ by 7e-4, in our order by 7e-5.
- Head. This take, like all others available, was filmed with a head-mounted phone, and its head angles are 0. The signs
  are those of public receivers and senders that were tuned visually with head and eyes together, and which give for the
  eyes exactly the three signs found above: for the head positive yaw turns to the subject's left (+y), positive pitch
  looks up (-x), positive roll tilts toward the subject's right shoulder (+z). The frames of head and eyes then differ
  by half a turn about z, which keeps the order.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import quat_multiply, quat_to_rotvec, rotvec_to_quat

Floats = NDArray[np.floating]

#: Signs of the rotations about our x, y and z for positive pitch, yaw and roll.
HEAD_SIGNS = np.array([-1.0, 1.0, 1.0])
EYE_SIGNS = np.array([1.0, -1.0, 1.0])
#: Radians farther than a head or an eye turns from the camera, and more than any radians, with or without sign.
FARTHEST = 2.0
TURN = 6.3
#: Share of the frames beyond FARTHEST from which a file has degrees: fewer are errors of a tracker.
_DEGREES = 0.05
#: Beside angles in degrees, smaller ones are negligible, larger ones degrees too; between them they may be either.
_NONE, _SURE = 0.02, 1.0


def in_degrees(
    where: str, sizes: Mapping[str, Floats], notes: list[str], used: Collection[str] | None = None
) -> set[str]:
    """Which joints have degrees, by the sizes of their rotations; a note is appended on single frames beyond a turn.

    Args:
        where: start of error messages.
        sizes: name of a joint or column -> [T] the size of its rotation, in the unit of the file.
        notes: notes are appended.
        used: those that matter; None: all.

    Raises:
        HeadsplatError: some have degrees, and others may have either unit.
    """
    reached = {name: float(size.max(initial=0.0)) for name, size in sizes.items()}
    beyond = [name for name, most in reached.items() if most > TURN]
    sure = [name for name in beyond if (sizes[name] > FARTHEST).mean() >= _DEGREES]
    notes += [
        f"{name} reaches {reached[name]:.3g} in {int((sizes[name] > TURN).sum())} of {len(sizes[name])} frames, which "
        "is no angle in radians: repair or remove these frames"
        for name in beyond
        if name not in sure
    ]
    if not sure:
        return set()
    for name, most in reached.items():
        if _NONE < most <= _SURE and (used is None or name in used):
            raise HeadsplatError(
                f"{where}: {sure[0]} reaches {reached[sure[0]]:.3g}, as in degrees, but {name} only {most:.2g}, as in "
                "radians; write all angles in radians"
            )
    return {name for name in reached if name in sure or name not in beyond}


def angles_to_rotvec(yaw_pitch_roll: Floats, signs: Floats) -> Floats:
    """Axis-angle [T,3] from the file's yaw, pitch, roll [T,3], radians."""
    about_axes = np.moveaxis((yaw_pitch_roll[:, [1, 0, 2]] * signs)[..., None] * np.eye(3), 1, 0)
    x, y, z = rotvec_to_quat(about_axes)
    return quat_to_rotvec(quat_multiply(quat_multiply(x, y), z))


def rotvec_to_angles(rotvec: Floats, signs: Floats) -> Floats:
    """The file's yaw, pitch, roll [T,3] from axis-angle [T,3], radians."""
    from scipy.spatial.transform import Rotation  # slow to import, and reading needs none of it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gimbal lock at a yaw of 90 degrees: any split of pitch and roll is right
        x_y_z = Rotation.from_rotvec(rotvec).as_euler("XYZ")
    return (x_y_z * signs)[:, [1, 0, 2]]
