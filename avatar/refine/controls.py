"""Controls: the expression weights and the gaze that images determine better than landmarks do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.types import LEFT_EYE, RIGHT_EYE, HeadParams

#: Expressions of lips, jaw, lids and brows by their ARKit names.
NAMES = (
    "jawOpen",
    "mouthFunnel",
    "mouthPucker",
    "mouthClose",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthPressLeft",
    "mouthPressRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeWideLeft",
    "eyeWideRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "browInnerUp",
    "browDownLeft",
    "browDownRight",
)
#: Number of controls of heads with other names: their expressions of largest motion.
STRONGEST = 20
#: Both eyes rotate together, about x (pitch) and y (yaw).
GAZE = 2
#: Steps of the finite differences: expression weights, radians.
_STEP = 0.1
_GAZE_STEP = 0.05
_BLINKS = ("eyeBlink", "eyelid")


@dataclass(frozen=True)
class Controls:
    """P entries of the head parameters: some expression weights, then pitch and yaw of the gaze (radians)."""

    columns: Tensor  # [P-GAZE] int, of the expression weights
    low: Tensor  # [P]
    high: Tensor  # [P]
    sigma: Tensor  # [P] standard deviation of the second difference at 30 fps

    @staticmethod
    def of(head: HeadModel) -> Controls:
        """The controls of `head`."""
        names = head.expression_names
        columns = [names.index(name) for name in NAMES if name in names]
        if len(columns) < len(NAMES) // 2:
            size = head.expression_distances().square().sum(0)
            columns = size.argsort(descending=True)[:STRONGEST].tolist()
        device = head.v_template.device
        index = torch.tensor(columns, dtype=torch.int64, device=device)
        low, high = (head.expression_limits[k, index].float() for k in (0, 1))
        fast = [names[column].startswith(_BLINKS) for column in columns]
        slow = [names[column] == "jawOpen" for column in columns]
        sigma = [0.25 if quick else 0.1 if jaw else 0.06 for quick, jaw in zip(fast, slow, strict=True)]
        gaze = torch.full((GAZE,), 0.6, device=device)
        return Controls(
            index,
            torch.cat([low, -gaze]),
            torch.cat([high, gaze]),
            torch.tensor([*sigma, 0.05, 0.05], device=device),
        )

    def __len__(self) -> int:
        return len(self.low)

    @property
    def steps(self) -> Tensor:
        """Steps of finite differences [P]."""
        return torch.cat([self.low.new_full((len(self.columns),), _STEP), self.low.new_full((GAZE,), _GAZE_STEP)])

    def stepped(self, params: HeadParams) -> tuple[HeadParams, Tensor]:
        """Parameters for finite differences: `params` [1], then each control moved away from its upper limit.

        Returns:
            [P+1], and the signed steps [P].
        """
        center = self.read(params)
        step = torch.where(center[0] + self.steps > self.high, -1.0, 1.0) * self.steps
        rows = torch.zeros(len(self) + 1, dtype=torch.int64, device=step.device)
        return self.write(params[rows], torch.cat([center, center + torch.diag(step)])), step

    def of_eyes(self, head: HeadModel) -> Tensor:
        """Mask [P] of the controls of lids, brows and gaze; all of them where the names do not tell."""
        names = [head.expression_names[column] for column in self.columns.tolist()]
        if not set(names) <= set(NAMES):
            return torch.ones_like(self.low, dtype=torch.bool)
        of_eyes = [name.startswith(("eye", "brow")) for name in names]
        return torch.tensor(of_eyes + [True] * GAZE, device=self.low.device)

    def read(self, params: HeadParams) -> Tensor:
        """Values [B,P] of the controls in `params`; the gaze is the mean of both eyes."""
        gaze = 0.5 * (params.joint_rot[:, LEFT_EYE, :GAZE] + params.joint_rot[:, RIGHT_EYE, :GAZE])
        return torch.cat([params.expression[:, self.columns], gaze], 1)

    def write(self, params: HeadParams, values: Tensor) -> HeadParams:
        """`params` with the values [B,P] of the controls; the angle between the eyes stays."""
        expression = params.expression.clone()
        joint_rot = params.joint_rot.clone()
        count = len(self.columns)
        expression[:, self.columns] = values[:, :count]
        turn = values[:, count:] - self.read(params)[:, count:]
        for eye in (LEFT_EYE, RIGHT_EYE):
            joint_rot[:, eye, :GAZE] += turn
        return replace(params, expression=expression, joint_rot=joint_rot)
