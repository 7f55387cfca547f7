"""Controls by name on top of FLAME's numbered expressions: jaw, gaze and lids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatar.head.model import HeadModel
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

from .lids import LidShape
from .surface import Floats

#: degrees about x (down) and about y (towards +x) of each look, for the left eye; the right eye mirrors the second
_LOOKS = (("Up", -22.0, 0.0), ("Down", 26.0, 0.0), ("In", 0.0, -28.0), ("Out", 0.0, 28.0))
#: degrees: parts the middles of the lips by 3.4 cm on FLAME 2023 Open, as jawOpen does on our own head
_OPEN = 19.0
_ASIDE = 5.0  # degrees: moves the chin by 9 mm, as jawLeft does on our own head

JAW_CONTROLS = ("jawOpen", "jawLeft", "jawRight")
LOOK_CONTROLS = tuple(f"eyeLook{look}{side}" for look, *_ in _LOOKS for side in ("Left", "Right"))
LID_CONTROLS = ("eyelidLeft", "eyelidRight")
CONTROLS = JAW_CONTROLS + LOOK_CONTROLS + LID_CONTROLS


def joint_turns() -> dict[str, Floats]:
    """Joint rotations [5,3] (axis-angle, radians) of every control; those that turn no joint are zero."""
    turns = {name: np.zeros((len(JOINT_NAMES), 3)) for name in CONTROLS}
    turns["jawOpen"][JAW, 0] = np.radians(_OPEN)
    turns["jawLeft"][JAW, 1] = np.radians(_ASIDE)
    turns["jawRight"][JAW, 1] = -np.radians(_ASIDE)
    for look, down, out in _LOOKS:
        turns[f"eyeLook{look}Left"][LEFT_EYE, :2] = np.radians([down, out])
        turns[f"eyeLook{look}Right"][RIGHT_EYE, :2] = np.radians([down, -out])
    return turns


def with_controls(head: HeadModel, lids: tuple[LidShape, LidShape]) -> HeadModel:
    """The head with CONTROLS after its own expressions; `lids` are the left and the right one."""
    count, own = len(head.v_template), len(head.expression_names)
    moves = np.zeros((count, 3, len(CONTROLS)))
    curves = np.zeros((count, 3, len(lids)))
    for column, (name, lid) in enumerate(zip(LID_CONTROLS, lids, strict=True)):
        moves[:, :, CONTROLS.index(name)] = lid.moves
        curves[:, :, column] = lid.curve
    turns = joint_turns()
    turned = np.stack([turns[name] for name in CONTROLS], -1)
    columns = [own + CONTROLS.index(name) for name in LID_CONTROLS]
    return replace(
        head,
        expression_names=head.expression_names + CONTROLS,
        exprdirs=torch.cat([head.exprdirs, torch.from_numpy(moves).float()], 2),
        joint_dirs=torch.cat([head.joint_dirs, torch.from_numpy(turned).float()], 2),
        curvedirs=torch.from_numpy(curves).float(),
        curve_columns=torch.tensor(columns, dtype=torch.int64),
    )
