"""From a driver's face to the avatar's parameters, once the driver's neutral is known."""

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
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.model.avatar import Avatar
from avatar.motion.edit import GROUPS, head_rotation
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams
from capture.live.sample import Sample

_EYES = [LEFT_EYE, RIGHT_EYE]
_LIDS = ("eyeBlink", "eyelid")
#: A tracked blink closes the lids by this weight at least, however wide the eyes are at rest.
_LEAST_BLINK = 0.3
#: Blinks of the avatar between which its extra lids join in; from the second on a blink is a full one.
_NEARLY, _FULL = 0.6, 0.9
#: Two lids that have moved by weights this far apart begin to be a wink, and are one. Measured on real clips: winks
#: differ by .5 and more, blinks by up to .45.
_WINK = (0.3, 0.55)
#: Sines of the angles by which a head is turned from the camera where its far eye begins to be guessed, and where it is
#: nothing else: its lids are then as the near one's.
_TURNED, _HIDDEN = math.sin(math.radians(20)), math.sin(math.radians(40))
#: A place nearer to the origin than this (meters) is one that the sender does not tell.
_NOWHERE = 0.05


def check_gains(gains: Mapping[str, float]) -> None:
    """Raise HeadsplatError unless `gains` are factors of groups of expressions (avatar.motion.edit.GROUPS)."""
    for name, factor in gains.items():
        if name not in GROUPS:
            raise HeadsplatError(f"gain: there is no group {name!r}; the groups are {', '.join(GROUPS)}")
        if not (math.isfinite(factor) and factor >= 0):
            raise HeadsplatError(f"gain of {name}: expected a factor of 0 or more, got {factor}")


@dataclass(frozen=True, eq=False)
class Neutral:
    """A driver's face at rest."""

    weights: Tensor  # [E] of the motion
    eyes: Tensor  # [2,3] axis-angle radians
    rotation: Tensor  # [3,3] of the head
    place: Tensor  # [3] meters

    @staticmethod
    def of(samples: Sequence[Sample]) -> Neutral:
        """The median of samples."""
        weights, joint_rot, place = (
            np.stack([getattr(sample, part) for sample in samples]) for part in ("weights", "joint_rot", "translation")
        )
        return Neutral(
            torch.from_numpy(np.median(weights, axis=0)),
            torch.from_numpy(np.median(joint_rot[:, _EYES], axis=0)),
            mean_rotation(head_rotation(torch.from_numpy(joint_rot))),
            torch.from_numpy(np.median(place, axis=0)),
        )


@dataclass(frozen=True, eq=False)
class Retarget:
    """Retells frames of one calibrated driver for one avatar."""

    driver: Driver  # calibrated
    neutral: Neutral
    lids: Tensor  # [L] int, columns of the motion that close lids
    left: int | None  # which of two lids is the left one; None where there are not two
    own_lids: Tensor  # [L] what the avatar's resting face has there
    wide: Tensor  # [W] int, columns of the motion that widen eyes
    wide_of: Tensor  # [W] int, which of the lids each widens
    closed: float
    groups: tuple[str, ...]  # [E] of the motion's expressions, "" for those in none

    @staticmethod
    def of(driver: Driver, neutral: Neutral, closed: float) -> Retarget:
        """
        Args:
            driver: as `Driver.of` makes it, its own rest the `resting_face`.
            neutral: of the person who drives.
            closed: weight of a blink at which that person's lids have met.
        """
        names, head = driver.retargeter.names, driver.avatar.head
        kind = next((kind for kind in _LIDS if any(name.startswith(kind) for name in names)), "\0")
        lids = [column for column, name in enumerate(names) if name.startswith(kind)]
        wide = {
            names.index(name): place
            for place, column in enumerate(lids)
            if (name := names[column].replace("eyeBlink", "eyeWide")) in names and name != names[column]
        }
        own = dict(zip(head.expression_names, driver.avatar_neutral.tolist(), strict=True))
        lefts = [place for place, column in enumerate(lids) if names[column].endswith("Left")]
        return Retarget(
            _at_rest(driver, neutral, kind),
            neutral,
            torch.tensor(lids, dtype=torch.long),
            lefts[0] if len(lids) == 2 and len(lefts) == 1 else None,
            torch.tensor([own.get(names[column], 0.0) for column in lids]),
            torch.tensor(list(wide), dtype=torch.long),
            torch.tensor(list(wide.values()), dtype=torch.long),
            closed,
            tuple(_group(name) for name in names),
        )

    def __call__(
        self, weights: Tensor, joint_rot: Tensor, translation: Tensor, gains: Mapping[str, float] | None = None
    ) -> HeadParams:
        """Parameters of the avatar.

        Args:
            weights: [T,E] of the driver.
            joint_rot: [T,5,3] axis-angle radians.
            translation: [T,3] meters.
            gains: group of avatar.motion.edit.GROUPS -> how much stronger than the driver the avatar does it; 1 where
                nothing is said.
        """
        rest, weights, joint_rot = self.neutral, weights.clone(), joint_rot.clone()
        joint_rot[:, _EYES] -= rest.eyes
        turned, place = head_rotation(joint_rot), translation  # as the camera sees them
        if gains and any(factor != 1 for factor in gains.values()):
            weights, joint_rot, translation = self._gained(weights, joint_rot, translation, gains)
        closing = self._alike(self._closing(weights[:, self.lids]), turned, place)
        weights[:, self.lids] = closing
        # A closed eye is not wide: what the fit says of its upper lid would leave it ajar.
        weights[:, self.wide] *= 1 - closing[:, self.wide_of]
        params = self.driver(weights, joint_rot, translation)
        return params if (lids := self.driver.trained_range.lid_closure) is None else self._shut(params, lids)

    def _gained(
        self, weights: Tensor, joint_rot: Tensor, translation: Tensor, gains: Mapping[str, float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """More or less of what departs from rest, by group; writes into `joint_rot`."""
        rest = self.neutral
        factors = torch.tensor([gains.get(group, 1.0) for group in self.groups])
        joint_rot[:, _EYES] *= gains.get("eyes", 1.0)
        joint_rot[:, JAW] *= gains.get("jaw", 1.0)
        if (much := gains.get("head", 1.0)) != 1:
            away = matrix_to_axis_angle(head_rotation(joint_rot) @ rest.rotation.T)
            turned = axis_angle_to_matrix(much * away) @ rest.rotation
            joint_rot[:, ROOT], joint_rot[:, NECK] = matrix_to_axis_angle(turned), 0
            translation = rest.place + much * (translation - rest.place)
        return rest.weights + factors * (weights - rest.weights), joint_rot, translation

    def _shut(self, params: HeadParams, lids: LidClosure) -> HeadParams:
        """`params` with the eyes that blink fully shut: lids made for the mean face leave wide eyes ajar.

        The head's extra lids, where it has them, do the rest of the way.
        """
        expression = params.expression.clone()
        names = self.driver.avatar.head.expression_names
        for side, closing in zip(("Right", "Left"), lids.closing, strict=True):
            if f"eyelid{side}" in names and f"eyeBlink{side}" in names:
                extra, blink = names.index(f"eyelid{side}"), names.index(f"eyeBlink{side}")
                ajar = (1 - expression @ closing).clamp_min(0) / closing[extra].clamp_min(0.1)
                # a blink that is held because the lids have met already leaves nothing ajar
                expression[:, extra] += ajar * ((expression[:, blink] - _NEARLY) / (_FULL - _NEARLY)).clamp(0, 1)
        return replace(params, expression=expression)

    def _closing(self, lids: Tensor) -> Tensor:
        """Lids [T,L] between two fixed points: at rest as the avatar's, closed where the driver's are closed.

        Taking the neutral off, as of other expressions, would leave a gap under every blink.
        """
        rest = self.neutral.weights[self.lids]
        reach = (self.closed - rest).clamp_min(_LEAST_BLINK)
        slope = ((1 - self.own_lids) / reach).clamp_max(1)
        away = lids - rest
        # Lowered lids are lowered as much; only in the second half of the way do they run ahead, to meet.
        late = (2 * away / reach - 1).clamp(0, 1)
        ahead = late * late * (3 - 2 * late) * (1 - self.own_lids - slope * reach)
        closing = (self.own_lids + slope * away + ahead).clamp(0, 1)
        return _together(closing, away)

    def _alike(self, closing: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
        """Lids [T,2] of which the far one does as the near one where the head [T,3,3] is turned from the camera.

        A far eye is a few guessed pixels, which the fit takes for closing.
        """
        if self.left is None:
            return closing
        away = translation.norm(dim=1, keepdim=True)
        seen = torch.where(away > _NOWHERE, -translation / away.clamp_min(_NOWHERE), translation.new_tensor([0, 0, 1]))
        # how far the camera is to the head's left: the right eye is the far one then
        side = (rotation[:, :, 0] * seen).sum(1)
        if not (side.abs() > _TURNED).any():
            return closing
        guessed = ((side.abs() - _TURNED) / (_HIDDEN - _TURNED)).clamp(0, 1)
        guessed = guessed * guessed * (3 - 2 * guessed)
        near = torch.where(side > 0, closing[:, self.left], closing[:, 1 - self.left])
        found = closing.clone()
        found[:, self.left] = torch.lerp(closing[:, self.left], near, guessed)
        found[:, 1 - self.left] = torch.lerp(closing[:, 1 - self.left], near, guessed)
        return found


def _together(closing: Tensor, moved: Tensor) -> Tensor:
    """Two lids [T,2] that close alike where they have `moved` [T,2] from rest by less than a wink apart.

    Eyes blink together, and a camera measures one better than the other: left as they are, half the blinks of a fast
    talker are winks. What both do leans to the one that does more as far as the other has moved too.
    """
    if moved.shape[1] != 2:
        return closing
    less, more = moved.amin(1, keepdim=True), moved.amax(1, keepdim=True)
    alike = (less / more.clamp_min(1e-6)).clamp(0, 1)
    shared = torch.lerp(closing.mean(1, keepdim=True), closing.amax(1, keepdim=True), alike)
    winking = ((more - less - _WINK[0]) / (_WINK[1] - _WINK[0])).clamp(0, 1)
    return torch.lerp(shared, closing, winking * winking * (3 - 2 * winking))


def resting_face(avatar: Avatar) -> Tensor:
    """Expression weights [E] of the avatar at rest, its lips together.

    The neutral an avatar keeps is a low value of each expression by itself; together they part the lips.
    """
    lips = LipClosure.of(avatar.head)
    return avatar.neutral if lips is None else lips.close(avatar.neutral, avatar.neutral[None])


def _at_rest(driver: Driver, neutral: Neutral, lids: str) -> Driver:
    """`driver` with the neutral as the resting face and the mean pose; names of mapped lids start with `lids`."""
    head, like = driver.avatar.head, driver.avatar_neutral
    carried, _ = driver.retargeter(neutral.weights[None].to(like), torch.zeros(1, len(JOINT_NAMES), 3).to(like))
    resting = carried[0].clamp(*head.expression_limits)
    # Lids are mapped before (`Retarget._closing`) and gaze has no resting place of its own.
    own = [name.startswith((lids, "eyeLook")) for name in head.expression_names]
    resting[own] = like[own]
    rotation, position = neutral.rotation.to(like), neutral.place.to(like)
    return replace(driver, source_neutral=resting, mean_rotation=rotation, mean_position=position)


def _group(name: str) -> str:
    return next((group for group, prefixes in GROUPS.items() if prefixes and name.startswith(prefixes)), "")
