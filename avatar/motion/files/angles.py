"""Yaw, pitch and roll of Live Link Face <-> axis-angle in our axes: x to the person's left, y up, the face along z.

R = Rx(pitch) Ry(yaw) Rz(roll), all in radians: the roll is applied first, the pitch last.

Evidence, from a real take of 4030 rows (see the tests marked `data`):

- Eyes, signs. Yaw correlates with eyeLookIn - eyeLookOut by 0.999 for the left eye and by -0.999 for the right one:
  positive yaw looks to the person's right, which is a turn about -y. Pitch correlates with eyeLookDown - eyeLookUp by
  0.996: positive pitch looks down, a turn about +x.
- Eyes, order and sign of the roll. tan(roll) = sin(yaw) tan(pitch) holds to 2e-8 in every row. With x outermost and
  z innermost this says, exactly, that no eye leans (R[1,0] = 0); no other order of the axes gives that relation for
  eyes that do not lean. z outermost gives it for eyes that lean by yaw x pitch, but then the two eyes would look at
  points of different height: their slopes differ by 7e-4, in our order by 7e-5.
- Head. This take, like all others at hand, was filmed with a phone that is worn, and its head angles are 0: eyes that
  counter-rotate tell nothing. The signs are those of public receivers and senders that were tuned by eye with head and
  eyes together, and which give for the eyes exactly the three signs found above: for the head positive yaw turns to
  the person's left (+y), positive pitch looks up (-x), positive roll leans towards the person's right shoulder (+z).
  Head and eyes then differ by half a turn about z between two frames of axes, which keeps the order.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.floating]

#: Of the turns about our x, y and z for positive pitch, yaw and roll.
HEAD_SIGNS = np.array([-1.0, 1.0, 1.0])
EYE_SIGNS = np.array([1.0, -1.0, 1.0])


def turns_of(yaw_pitch_roll: Floats, signs: Floats) -> Floats:
    """Axis-angle [T,3] of the file's angles [T,3], radians."""
    return Rotation.from_euler("XYZ", yaw_pitch_roll[:, [1, 0, 2]] * signs).as_rotvec()


def angles_of(turns: Floats, signs: Floats) -> Floats:
    """The file's yaw, pitch, roll [T,3] of axis-angle [T,3], radians."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at a yaw of 90 degrees pitch and roll are one; either is right
        x_y_z = Rotation.from_rotvec(turns).as_euler("XYZ")
    return (x_y_z * signs)[:, [1, 0, 2]]
