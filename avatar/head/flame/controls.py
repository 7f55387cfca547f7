"""Controls by name on top of FLAME's numbered expressions: jaw, gaze and lids."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from avatar.head.model import HeadModel
from avatar.records import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

from .lids import LidShape
from .surface import Floats, Places

#: degrees about x (down) and about y (towards +x) of each look, for the left eye; the right eye mirrors the second
_LOOKS = (("Up", -22.0, 0.0), ("Down", 26.0, 0.0), ("In", 0.0, -28.0), ("Out", 0.0, 28.0))
_OPEN_LIPS = 0.034  # metres that jawOpen = 1 parts the middles of the lips, as our own head does
_MOST_OPEN, _STEPS = 0.7, 20  # radians; halvings of the search
_SIDEWAYS = 0.009  # metres that jawLeft = 1 moves the chin
_UPPER_LIP, _LOWER_LIP, _CHIN = 13, 14, 152

JAW_CONTROLS = ("jawOpen", "jawLeft", "jawRight")
LOOK_CONTROLS = tuple(f"eyeLook{look}{side}" for look, *_ in _LOOKS for side in ("Left", "Right"))
LID_CONTROLS = ("eyelidLeft", "eyelidRight")
CONTROLS = JAW_CONTROLS + LOOK_CONTROLS + LID_CONTROLS


@dataclass(frozen=True)
class Turns:
    """Joint rotations [5,3] (axis-angle, radians) of the controls that turn joints."""

    by_name: dict[str, Floats]


def jaw_angle(head: HeadModel, marks: Places) -> float:
    """Radians about +x that part the middles of the lips by 3.4 cm, or the most a jaw does."""
    low, high = 0.0, _MOST_OPEN
    for _ in range(_STEPS):
        middle = (low + high) / 2
        params = head.neutral_params()
        params.joint_rot[0, JAW, 0] = middle
        posed = marks.points(head.vertices(params)[0].double().numpy(), head.faces.numpy())
        if np.linalg.norm(posed[_UPPER_LIP] - posed[_LOWER_LIP]) < _OPEN_LIPS:
            low = middle
        else:
            high = middle
    return high


def joint_turns(head: HeadModel, marks: Places) -> Turns:
    """What every control that turns a joint turns."""
    chin = marks.points(head.v_template.double().numpy(), head.faces.numpy())[_CHIN]
    lever = chin[2] - float(head.joint_locations(head.neutral_params().identity)[JAW, 2])
    aside = float(np.arcsin(np.clip(_SIDEWAYS / max(lever, 0.03), 0, 0.3)))
    turns = {name: np.zeros((len(JOINT_NAMES), 3)) for name in CONTROLS}
    turns["jawOpen"][JAW, 0] = jaw_angle(head, marks)
    turns["jawLeft"][JAW, 1] = aside
    turns["jawRight"][JAW, 1] = -aside
    for look, down, out in _LOOKS:
        turns[f"eyeLook{look}Left"][LEFT_EYE, :2] = np.radians([down, out])
        turns[f"eyeLook{look}Right"][RIGHT_EYE, :2] = np.radians([down, -out])
    return Turns(turns)


def with_controls(head: HeadModel, turns: Turns, lids: tuple[LidShape, LidShape]) -> HeadModel:
    """The head with CONTROLS after its own expressions; `lids` are the left and the right one."""
    count, own = len(head.v_template), len(head.expression_names)
    moves = np.zeros((count, 3, len(CONTROLS)))
    curves = np.zeros((count, 3, len(lids)))
    for column, (name, lid) in enumerate(zip(LID_CONTROLS, lids, strict=True)):
        moves[:, :, CONTROLS.index(name)] = lid.moves
        curves[:, :, column] = lid.curve
    turned = np.stack([turns.by_name[name] for name in CONTROLS], -1)
    columns = [own + CONTROLS.index(name) for name in LID_CONTROLS]
    return replace(
        head,
        expression_names=head.expression_names + CONTROLS,
        exprdirs=torch.cat([head.exprdirs, torch.from_numpy(moves).float()], 2),
        joint_dirs=torch.cat([head.joint_dirs, torch.from_numpy(turned).float()], 2),
        curvedirs=torch.from_numpy(curves).float(),
        curve_columns=torch.tensor(columns, dtype=torch.int64),
    )
