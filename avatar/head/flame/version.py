"""The FLAME version of a file, recognized by its content, and its license."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

_RESEARCH = "FLAME license, non-commercial scientific research only (https://flame.is.tue.mpg.de/modellicense.html)"
_OPEN = "CC-BY-4.0, FLAME 2023 Open, Max-Planck-Gesellschaft (https://flame.is.tue.mpg.de)"
_UNKNOWN = "FLAME, version not recognized: take it as non-commercial research only unless your copy says otherwise"


@dataclass(frozen=True)
class Version:
    """A FLAME version."""

    name: str
    license: str


FLAME_2020 = Version("FLAME 2020", _RESEARCH)
FLAME_2023 = Version("FLAME 2023", _RESEARCH)
FLAME_2023_OPEN = Version("FLAME 2023 Open", _OPEN)
UNRECOGNIZED = Version("FLAME (version not recognized)", _UNKNOWN)
SMPLX = Version("SMPL-X head", "SMPL-X license, non-commercial research only (https://smpl-x.is.tue.mpg.de)")

#: Joints of the mean head that only this version has: jaw, left eye, right eye, meters in the file's frame.
#: 2020 and 2023 have the same keys, counts and layout, and their values are not public: only texts identify them.
_JOINTS_AT = (
    (FLAME_2023_OPEN, ((-0.00046, -0.01550, -0.05768), (0.03172, 0.02288, 0.02437), (-0.03141, 0.02288, 0.02265))),
)
_TOLERANCE = 2e-4  # meters

_TEXT_PATTERNS = (
    (FLAME_2023_OPEN, re.compile(r"flame[\s_-]*2023[\s_-]*open", re.IGNORECASE)),
    (FLAME_2023, re.compile(r"flame[\s_-]*2023", re.IGNORECASE)),
    (FLAME_2020, re.compile(r"flame[\s_-]*2020", re.IGNORECASE)),
)


def recognize(
    v_template: NDArray[np.float64], regressor: NDArray[np.float64], texts: Iterable[str], names: Iterable[str] = ()
) -> Version:
    """Recognize the version of a file.

    Args:
        v_template: [V,3] meters.
        regressor: [5,V].
        texts: texts in the file.
        names: names of the file and its folder: used last, and never for a less restrictive license.

    Returns:
        The version, `UNRECOGNIZED` if unknown.
    """
    joints = (regressor @ v_template)[[JAW, LEFT_EYE, RIGHT_EYE]]
    for version, positions in _JOINTS_AT:
        if np.abs(joints - np.array(positions)).max() < _TOLERANCE:
            return version
    for text in texts:
        for version, pattern in _TEXT_PATTERNS:
            if pattern.search(text):
                return version
    for name in names:
        for version, pattern in _TEXT_PATTERNS[1:]:
            if pattern.search(name):
                return version
    return UNRECOGNIZED
