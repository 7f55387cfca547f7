"""Retargeting of live samples: the neutral of the performer maps to the avatar's, and lids close together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.driving.driver import Driver
from avatar.driving.lid_closure import LidClosure
from avatar.driving.lip_closure import LipClosure
from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.model.avatar import Avatar
from avatar.motion.edit import GROUPS, head_rotation
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams

_EYES = [LEFT_EYE, RIGHT_EYE]
_LIDS = ("eyeBlink", "eyelid")
#: Smallest range of weights from rest to a closed lid: a lower bound where the eyes are half closed at rest.
MIN_BLINK_RANGE = 0.3
#: Blink weights of the avatar between which the extra lids (eyelidLeft, eyelidRight) are blended in; from the second
#: on the lids close fully.
EXTRA_LID_START = 0.6
EXTRA_LID_FULL = 0.9
#: Difference in movement of the two lids at which a wink starts to be kept, and at which it is kept entirely. Measured
#: on real clips: winks differ by .5 and more, blinks by up to .45.
WINK = (0.3, 0.55)
#: Sines of the head's angle to the camera at which the far eye starts to follow the near one, and follows it entirely.
TURNED = math.sin(math.radians(20))
HIDDEN = math.sin(math.radians(40))
#: A position nearer to the origin than this (meters) counts as not sent.
NO_POSITION = 0.05


def check_gains(gains: Mapping[str, float]) -> None:
    """Raise HeadsplatError unless `gains` are valid factors of expression groups (avatar.motion.edit.GROUPS)."""
    for name, factor in gains.items():
        if name not in GROUPS:
            raise HeadsplatError(f"gain: there is no group {name!r}; the groups are {', '.join(GROUPS)}")
        if not (math.isfinite(factor) and factor >= 0):
            raise HeadsplatError(f"gain of {name}: expected a factor of 0 or more, got {factor}")


@dataclass(frozen=True, eq=False)
class Neutral:
    """A performer's resting face and pose."""

    weights: Tensor  # [E] of the motion
    eyes: Tensor  # [2,3] axis-angle radians
    rotation: Tensor  # [3,3] of the head
    translation: Tensor  # [3] meters
    torso: Tensor  # [3] meters and radians, as in Sample; zero where it is not measured

    @staticmethod
    def of(samples: Sequence[Sample]) -> Neutral:
        """The median of samples."""
        weights, joint_rot, translation = (
            np.stack([getattr(sample, part) for sample in samples]) for part in ("weights", "joint_rot", "translation")
        )
        measured = [sample.torso for sample in samples if sample.torso is not None and sample.torso_confidence > 0]
        torso = np.median(measured, axis=0) if measured else np.zeros(3)
        return Neutral(
            torch.from_numpy(np.median(weights, axis=0)),
            torch.from_numpy(np.median(joint_rot[:, _EYES], axis=0)),
            mean_rotation(head_rotation(torch.from_numpy(joint_rot))),
            torch.from_numpy(np.median(translation, axis=0)),
            torch.from_numpy(torso.astype(np.float32)),
        )


@dataclass(frozen=True, eq=False)
class CalibratedDriver:
    """Retargets frames of one person, whose neutral is known, to one avatar."""

    driver: Driver  # with the neutral as its resting face
    neutral: Neutral
    lids: Tensor  # [L] int, expression columns that close lids
    left: int | None  # index in `lids` of the left one; None where there are not two
    avatar_lids: Tensor  # [L] weights of the same expressions in the avatar's resting face
    wide: Tensor  # [W] int, expression columns that widen eyes
    wide_of: Tensor  # [W] int, index in `lids` of the same eye
    closed: float  # weight of a blink at which the person's lids are closed
    groups: tuple[str, ...]  # [E] group of each expression, "" for none

    @staticmethod
    def of(driver: Driver, neutral: Neutral, closed: float) -> CalibratedDriver:
        """
        Args:
            driver: as `Driver.of` makes it, with `resting_face` as the avatar's rest.
            neutral: of the person.
            closed: weight of a blink at which that person's lids are closed.
        """
        names = driver.retargeter.names
        head = driver.avatar.head
        kind = next((kind for kind in _LIDS if any(name.startswith(kind) for name in names)), "\0")
        lids = [column for column, name in enumerate(names) if name.startswith(kind)]
        wide = {
            names.index(name): lid
            for lid, column in enumerate(lids)
            if (name := names[column].replace("eyeBlink", "eyeWide")) in names and name != names[column]
        }
        rest = dict(zip(head.expression_names, driver.avatar_neutral.tolist(), strict=True))
        lefts = [lid for lid, column in enumerate(lids) if names[column].endswith("Left")]
        return CalibratedDriver(
            _at_rest(driver, neutral, kind),
            neutral,
            torch.tensor(lids, dtype=torch.long),
            lefts[0] if len(lids) == 2 and len(lefts) == 1 else None,
            torch.tensor([rest.get(names[column], 0.0) for column in lids]),
            torch.tensor(list(wide), dtype=torch.long),
            torch.tensor(list(wide.values()), dtype=torch.long),
            closed,
            tuple(_group(name) for name in names),
        )

    def __call__(
        self, weights: Tensor, joint_rot: Tensor, translation: Tensor, gains: Mapping[str, float] | None = None
    ) -> HeadParams:
        """The avatar's parameters for T frames.

        Args:
            weights: [T,E] expression weights of the person.
            joint_rot: [T,5,3] axis-angle radians.
            translation: [T,3] meters.
            gains: group of avatar.motion.edit.GROUPS -> factor of its strength; 1 for groups that are missing.

        Returns:
            Parameters of T frames.
        """
        rest = self.neutral
        weights = weights.clone()
        joint_rot = joint_rot.clone()
        joint_rot[:, _EYES] -= rest.eyes
        # before gains: as the camera sees the head
        rotation = head_rotation(joint_rot)
        position = translation
        if gains and any(factor != 1 for factor in gains.values()):
            weights, joint_rot, translation = self._with_gains(weights, joint_rot, translation, gains)
        closing = closing_of(weights[:, self.lids], rest.weights[self.lids], self.closed, self.avatar_lids)
        closing = self._with_far_lid(closing, rotation, position)
        weights[:, self.lids] = closing
        # A closed eye is not wide: the fitted eyeWide weight would keep it slightly open.
        weights[:, self.wide] *= 1 - closing[:, self.wide_of]
        params = self.driver(weights, joint_rot, translation)
        lids = self.driver.trained_range.lid_closure
        return params if lids is None else self._with_extra_lids(params, lids)

    def torso(self, moved: Tensor, gains: Mapping[str, float] | None = None) -> Tensor:
        """Motion of the avatar's torso [T,3] from its rest for that of the person [T,3], both as in Sample."""
        options = self.driver.options
        strength = 0.0 if options.head == "still" else (gains or {}).get("head", 1.0)
        like = self.driver.avatar_neutral
        return strength * (moved - self.neutral.torso).to(like) * like.new_tensor([options.travel, options.travel, 1.0])

    def _with_gains(
        self, weights: Tensor, joint_rot: Tensor, translation: Tensor, gains: Mapping[str, float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The offsets from rest scaled by group; writes into `joint_rot`."""
        rest = self.neutral
        factors = torch.tensor([gains.get(group, 1.0) for group in self.groups])
        joint_rot[:, _EYES] *= gains.get("eyes", 1.0)
        joint_rot[:, JAW] *= gains.get("jaw", 1.0)
        if (gain := gains.get("head", 1.0)) != 1:
            turn = matrix_to_axis_angle(head_rotation(joint_rot) @ rest.rotation.T)
            rotation = axis_angle_to_matrix(gain * turn) @ rest.rotation
            joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
            joint_rot[:, NECK] = 0
            translation = rest.translation + gain * (translation - rest.translation)
        return rest.weights + factors * (weights - rest.weights), joint_rot, translation

    def _with_extra_lids(self, params: HeadParams, lids: LidClosure) -> HeadParams:
        """`params` with blinking eyes fully closed by the head's extra lid expressions, where it has them.

        The blink expression closes the mean face's eyes and leaves wide ones slightly open.
        """
        expression = params.expression.clone()
        names = self.driver.avatar.head.expression_names
        for side, closing in zip(("Right", "Left"), lids.closing, strict=True):
            if f"eyelid{side}" in names and f"eyeBlink{side}" in names:
                extra = names.index(f"eyelid{side}")
                blink = names.index(f"eyeBlink{side}")
                gap = (1 - expression @ closing).clamp_min(0) / closing[extra].clamp_min(0.1)
                # where the lids were limited because they are closed already, the gap is 0
                blend = (expression[:, blink] - EXTRA_LID_START) / (EXTRA_LID_FULL - EXTRA_LID_START)
                expression[:, extra] += gap * blend.clamp(0, 1)
        return replace(params, expression=expression)

    def _with_far_lid(self, closing: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """Blink weights [T,2] where the far eye follows the near one as the head [T,3,3] is turned from the camera.

        The far eye covers a few pixels, and its fit tends towards closed.
        """
        if self.left is None:
            return closing
        distance = translation.norm(dim=1, keepdim=True)
        to_camera = torch.where(
            distance > NO_POSITION, -translation / distance.clamp_min(NO_POSITION), translation.new_tensor([0, 0, 1])
        )
        # how far the camera is to the head's left: positive where the right eye is the far one
        side = (rotation[:, :, 0] * to_camera).sum(1)
        if not (side.abs() > TURNED).any():
            return closing
        amount = ((side.abs() - TURNED) / (HIDDEN - TURNED)).clamp(0, 1)
        amount = amount * amount * (3 - 2 * amount)
        near = torch.where(side > 0, closing[:, self.left], closing[:, 1 - self.left])
        result = closing.clone()
        result[:, self.left] = torch.lerp(closing[:, self.left], near, amount)
        result[:, 1 - self.left] = torch.lerp(closing[:, 1 - self.left], near, amount)
        return result


def closing_of(lids: Tensor, rest: Tensor, closed: float, avatar_lids: Tensor) -> Tensor:
    """Blink weights [T,L] that map rest to the avatar's rest and `closed` to 1.

    Subtracting the neutral, as for other expressions, would leave a gap under every blink.

    Args:
        lids: [T,L] blink weights of the person.
        rest: [L] those of the resting face.
        closed: weight at which that person's lids are closed.
        avatar_lids: [L] weights in the avatar's resting face.
    """
    span = (closed - rest).clamp_min(MIN_BLINK_RANGE)
    slope = ((1 - avatar_lids) / span).clamp_max(1)
    moved = lids - rest
    # The first half of the range is copied; the second half closes faster so that the lids are closed at its end.
    late = (2 * moved / span - 1).clamp(0, 1)
    extra = late * late * (3 - 2 * late) * (1 - avatar_lids - slope * span)
    closing = (avatar_lids + slope * moved + extra).clamp(0, 1)
    return _synchronized(closing, moved)


def _synchronized(closing: Tensor, moved: Tensor) -> Tensor:
    """Blink weights [T,2] that are equal where the lids have `moved` [T,2] from rest by less than a wink apart.

    Both eyes blink together, but a camera measures one better than the other: without this, half the blinks of a fast
    talker are winks. The common weight moves from the mean to the larger one as both lids move alike.
    """
    if moved.shape[1] != 2:
        return closing
    less = moved.amin(1, keepdim=True)
    more = moved.amax(1, keepdim=True)
    similarity = (less / more.clamp_min(1e-6)).clamp(0, 1)
    shared = torch.lerp(closing.mean(1, keepdim=True), closing.amax(1, keepdim=True), similarity)
    winking = ((more - less - WINK[0]) / (WINK[1] - WINK[0])).clamp(0, 1)
    return torch.lerp(shared, closing, winking * winking * (3 - 2 * winking))


def resting_face(avatar: Avatar) -> Tensor:
    """Expression weights [E] of the avatar at rest with closed lips.

    The stored neutral is a low value of each expression on its own; in combination these open the lips.
    """
    lips = LipClosure.of(avatar.head)
    return avatar.neutral if lips is None else lips.close(avatar.neutral, avatar.neutral[None])


def _at_rest(driver: Driver, neutral: Neutral, lids: str) -> Driver:
    """`driver` with the neutral as resting face and mean pose; lid expressions have names that start with `lids`."""
    head = driver.avatar.head
    like = driver.avatar_neutral
    retargeted, _ = driver.retargeter(neutral.weights[None].to(like), torch.zeros(1, len(JOINT_NAMES), 3).to(like))
    resting = retargeted[0].clamp(*head.expression_limits)
    # Lids are mapped before (`closing_of`), and a gaze direction has no neutral.
    unchanged = [name.startswith((lids, "eyeLook")) for name in head.expression_names]
    resting[unchanged] = like[unchanged]
    rotation = neutral.rotation.to(like)
    position = neutral.translation.to(like)
    return replace(driver, source_neutral=resting, mean_rotation=rotation, mean_position=position)


def _group(name: str) -> str:
    return next((group for group, prefixes in GROUPS.items() if prefixes and name.startswith(prefixes)), "")
