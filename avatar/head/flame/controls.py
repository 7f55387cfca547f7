"""Named controls added to FLAME's numbered expressions: jaw, gaze and lids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatar.head.model import HeadModel
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

from .lids import LidShape
from .surface import Floats

#: degrees about x (down) and about y (toward +x) of each gaze direction for the left eye; the right eye mirrors y
_LOOKS = (("Up", -22.0, 0.0), ("Down", 26.0, 0.0), ("In", 0.0, -28.0), ("Out", 0.0, 28.0))
#: degrees: separates the lip middles by 3.4 cm on FLAME 2023 Open, as jawOpen does on the embedded head
_OPEN = 19.0
_SIDEWAYS = 5.0  # degrees: moves the chin by 9 mm, as jawLeft does on the embedded head

JAW_CONTROLS = ("jawOpen", "jawLeft", "jawRight")
LOOK_CONTROLS = tuple(f"eyeLook{look}{side}" for look, *_ in _LOOKS for side in ("Left", "Right"))
LID_CONTROLS = ("eyelidLeft", "eyelidRight")
CONTROLS = JAW_CONTROLS + LOOK_CONTROLS + LID_CONTROLS


def joint_rotations() -> dict[str, Floats]:
    """Joint rotations [5,3] (axis-angle, radians) of every control; zero for those without one."""
    rotations = {name: np.zeros((len(JOINT_NAMES), 3)) for name in CONTROLS}
    rotations["jawOpen"][JAW, 0] = np.radians(_OPEN)
    rotations["jawLeft"][JAW, 1] = np.radians(_SIDEWAYS)
    rotations["jawRight"][JAW, 1] = -np.radians(_SIDEWAYS)
    for look, down, out in _LOOKS:
        rotations[f"eyeLook{look}Left"][LEFT_EYE, :2] = np.radians([down, out])
        rotations[f"eyeLook{look}Right"][RIGHT_EYE, :2] = np.radians([down, -out])
    return rotations


def with_controls(head: HeadModel, lids: tuple[LidShape, LidShape]) -> HeadModel:
    """The head with CONTROLS appended to its expressions; `lids` are left and right."""
    count = len(head.v_template)
    first = len(head.expression_names)
    displacements = np.zeros((count, 3, len(CONTROLS)))
    curves = np.zeros((count, 3, len(lids)))
    for column, (name, lid) in enumerate(zip(LID_CONTROLS, lids, strict=True)):
        displacements[:, :, CONTROLS.index(name)] = lid.displacements
        curves[:, :, column] = lid.curve
    rotations = joint_rotations()
    stacked = np.stack([rotations[name] for name in CONTROLS], -1)
    columns = [first + CONTROLS.index(name) for name in LID_CONTROLS]
    return replace(
        head,
        expression_names=head.expression_names + CONTROLS,
        exprdirs=torch.cat([head.exprdirs, torch.from_numpy(displacements).float()], 2),
        joint_dirs=torch.cat([head.joint_dirs, torch.from_numpy(stacked).float()], 2),
        curvedirs=torch.from_numpy(curves).float(),
        curve_columns=torch.tensor(columns, dtype=torch.int64),
    )
