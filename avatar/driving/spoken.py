"""Driving by made motions, such as speech: zero weights are the avatar at rest, and its lips close where theirs do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.driving.driver import DriveOptions, Driver, DriveResult, drive, with_faces
from avatar.driving.report import DriveReport
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.motion.lip_gap import LipGap
from avatar.motion.made import is_made
from avatar.types import Motion

#: Gaps of the motion in meters up to which the avatar has the same gap, and from which on its own is not changed: lips
#: that touch, or the lower lip that touches the teeth.
_TOUCHING, _APART = 0.0026, 0.0045


@dataclass(frozen=True, eq=False)
class LipContact:
    """Corrects the weights of an avatar so that its lips touch where those of the driving motion do."""

    source: LipGap  # of the head that the motion was made for
    columns: Tensor  # [E] int, columns of `source` for the motion's names
    target: LipGap  # of the avatar's head
    close: int  # column of mouthClose of the avatar's head

    @staticmethod
    def of(names: tuple[str, ...], source: HeadModel, head: HeadModel) -> LipContact | None:
        """For a motion of `names` of the head `source`; None where a head has no landmarks or no mouthClose."""
        gap, own = LipGap.of(source), LipGap.of(head)
        if gap is None or own is None or "mouthClose" not in head.expression_names:
            return None
        if not set(names) <= set(source.expression_names):
            return None
        columns = torch.tensor([source.expression_index(name) for name in names])
        return LipContact(gap, columns, own, head.expression_index("mouthClose"))

    def gap(self, weights: Tensor) -> Tensor:
        """The lip gap [T] in meters of the motion's `weights` [T,E]."""
        return self.source.at_rest + weights.to(self.source.opening) @ self.source.opening[self.columns]

    def __call__(self, weights: Tensor, expression: Tensor) -> Tensor:
        """The avatar's weights with mouthClose such that its lip gap is that of the motion where the lips touch.

        Args:
            weights: [T,E] of the motion.
            expression: [T,F] of the avatar.

        Returns:
            [T,F]; only mouthClose differs, and only near contacts.
        """
        wanted = self.gap(weights).to(expression)
        effect = -self.target.opening[self.close]
        if effect <= 0:
            return expression
        part = ((_APART - wanted) / (_APART - _TOUCHING)).clamp(0, 1)
        excess = self.target(expression) - wanted
        expression = expression.clone()
        close = expression[:, self.close] + part * part * (3 - 2 * part) * excess / effect
        expression[:, self.close] = close.clamp(0, 1)
        return expression


def drive_file(avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> DriveResult:
    """Retarget the motion of a file to `avatar`: a made one by `drive_spoken`, a recorded one by `drive`."""
    return (drive_spoken if is_made(motion) else drive)(avatar, motion, options)


def drive_spoken(avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> DriveResult:
    """Retarget a motion that was made, not recorded, such as that of a speaking face, to `avatar`.

    Its zero weights are the avatar's neutral expression with closed lips; with `options.neutral` "as-is" they are zero.
    Its head rotates and moves about the avatar's mean pose.

    Args:
        avatar: the avatar to drive.
        motion: T frames in ARKit's expressions.
        options: None for the defaults.

    Raises:
        HeadsplatError: the motion has no frames or no face.
    """
    options = options or DriveOptions()
    motion, _ = with_faces(motion)
    driver = Driver.of(avatar, motion.names, motion.space, options)
    if driver.lip_closure is not None:
        resting = driver.lip_closure.close(avatar.neutral, avatar.neutral[None])
        driver = replace(driver, avatar_neutral=resting)
    driver = replace(driver, mean_position=torch.zeros_like(driver.trained_range.mean_position))
    trained_range = driver.trained_range
    target = driver.target(motion.weights, motion.joint_rot, motion.translation)
    unclamped = trained_range.head_params(target)
    shown = trained_range.clamp(target) if options.soft_clamp else target
    contact = LipContact.of(motion.names, options.motion_head or load_head(), avatar.head)
    if contact is not None:
        shown = replace(shown, expression=contact(motion.weights, shown.expression))
    params = trained_range.head_params(shown)
    report = DriveReport.of(driver.retargeter, trained_range, motion, unclamped, params)
    return DriveResult(params, motion.time.numpy(), report)
