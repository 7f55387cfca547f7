"""The driver's neutral face, and how much of each group the avatar makes of what departs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from avatar.drive import Driver
from avatar.driving.lids import Lids
from avatar.driving.lips import Lips
from avatar.errors import HeadsplatError
from avatar.geometry import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.model import Avatar
from avatar.motion.edit import GROUPS, head_rotation
from avatar.records import JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams
from capture.live.sample import Sample

_EYES = [LEFT_EYE, RIGHT_EYE]
_LIDS = ("eyeBlink", "eyelid")
#: A tracked blink closes the lids by this weight at least, however wide the eyes are at rest.
_LEAST_BLINK = 0.3
#: Two eyes that are both closed by more than this are blinking, and do it alike.
_NEARLY = 0.6
#: From here on a blink of the avatar is a full one.
_FULL = 0.9


@dataclass(frozen=True)
class CalibrationOptions:
    """How a driver is calibrated."""

    seconds: float = 1.5
    """of a face at rest, whose median is the neutral"""
    closed: float = 0.55
    """weight of a blink at which the driver's lids have met: of spontaneous ones a camera often misses the middle"""
    gain: Mapping[str, float] = field(default_factory=dict)
    """by group (brows, eyes, mouth, jaw, head): how much stronger than the driver the avatar does it"""

    def __post_init__(self) -> None:
        for name, factor in self.gain.items():
            if name not in GROUPS:
                raise HeadsplatError(f"gain: there is no group {name!r}; the groups are {', '.join(GROUPS)}")
            if not (np.isfinite(factor) and factor >= 0):
                raise HeadsplatError(f"gain of {name}: expected a factor of 0 or more, got {factor}")


@dataclass(frozen=True, eq=False)
class Neutral:
    """A driver's face at rest."""

    weights: Tensor  # [E] of the motion
    eyes: Tensor  # [2,3] axis-angle radians
    rotation: Tensor  # [3,3] of the head
    place: Tensor  # [3] metres

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
    """From a driver's sample to the avatar's parameters, once the neutral is known."""

    driver: Driver  # calibrated
    neutral: Neutral
    lids: Tensor  # [L] int, columns of the motion that close lids
    own_lids: Tensor  # [L] what the avatar's resting face has there
    wide: Tensor  # [W] int, columns of the motion that widen eyes
    wide_of: Tensor  # [W] int, which of the lids each widens
    closed: float
    gain: Tensor  # [E]
    head_gain: float

    @staticmethod
    def of(driver: Driver, neutral: Neutral, options: CalibrationOptions) -> Retarget:
        """Calibrate `driver` (as `Driver.of` makes it, its own rest the `resting_face`) with the person's neutral."""
        names, head = driver.carrier.names, driver.avatar.head
        kind = next((kind for kind in _LIDS if any(name.startswith(kind) for name in names)), "\0")
        driver = _at_rest(driver, neutral, kind)
        lids = [column for column, name in enumerate(names) if name.startswith(kind)]
        wide = {
            names.index(name): place
            for place, column in enumerate(lids)
            if (name := names[column].replace("eyeBlink", "eyeWide")) in names and name != names[column]
        }
        own = dict(zip(head.expression_names, driver.own_rest.tolist(), strict=True))
        gain = [options.gain.get(_group(name), 1.0) for name in names]
        return Retarget(
            driver,
            neutral,
            torch.tensor(lids, dtype=torch.long),
            torch.tensor([own.get(names[column], 0.0) for column in lids]),
            torch.tensor(list(wide), dtype=torch.long),
            torch.tensor(list(wide.values()), dtype=torch.long),
            options.closed,
            torch.tensor(gain),
            options.gain.get("head", 1.0),
        )

    def __call__(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> HeadParams:
        """Parameters of the avatar for frames [T,E], [T,5,3], [T,3] of the driver."""
        rest = self.neutral
        weights = rest.weights + self.gain * (weights - rest.weights)
        closing = self._closing(weights[:, self.lids])
        weights[:, self.lids] = closing
        # A closed eye is not wide: what the fit says of its upper lid would leave it ajar.
        weights[:, self.wide] *= 1 - closing[:, self.wide_of]
        joint_rot = joint_rot.clone()
        joint_rot[:, _EYES] -= rest.eyes
        if self.head_gain != 1:
            away = matrix_to_axis_angle(head_rotation(joint_rot) @ rest.rotation.T)
            turned = axis_angle_to_matrix(self.head_gain * away) @ rest.rotation
            joint_rot[:, ROOT], joint_rot[:, NECK] = matrix_to_axis_angle(turned), 0
            translation = rest.place + self.head_gain * (translation - rest.place)
        params = self.driver(weights, joint_rot, translation)
        return params if self.driver.reach.lids is None else self._shut(params, self.driver.reach.lids)

    def _shut(self, params: HeadParams, lids: Lids) -> HeadParams:
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
        # Nobody stops both eyes just short of closing: the more open of two is one that was measured less well.
        least = closing.amin(1, keepdim=True)
        both = ((least - _NEARLY) / (1 - _NEARLY)).clamp(0, 1).mul(2).clamp_max(1)
        return torch.lerp(closing, closing.amax(1, keepdim=True), both) if closing.shape[1] == 2 else closing


def resting_face(avatar: Avatar) -> Tensor:
    """Expression weights [E] of the avatar at rest, its lips together.

    The neutral an avatar keeps is a low value of each expression by itself; together they part the lips.
    """
    lips = Lips.of(avatar.head)
    return avatar.neutral if lips is None else lips.closing(avatar.neutral, avatar.neutral[None])


class Calibrator:
    """Watches a face at rest; what it knows serves from the first sample on and is final after some seconds."""

    def __init__(self, driver: Driver, options: CalibrationOptions) -> None:
        """Args: the driver of the avatar (as `Driver.of` makes it); how."""
        self._driver, self.options = driver, options
        self._seen: list[Sample] = []
        self._due = 1  # samples seen when the neutral is next worked out
        self._begin = self._last = 0.0
        self.retarget: Retarget | None = None

    @property
    def progress(self) -> float:
        """0..1."""
        return min((self._last - self._begin) / self.options.seconds, 1.0) if self._seen else 0.0

    def again(self) -> None:
        """Watch anew; what was known serves until the first sample."""
        self._seen.clear()
        self._due = 1

    def see(self, sample: Sample, time: float) -> Retarget:
        """What is known after `sample` at `time` seconds."""
        if self.retarget is not None and self.progress >= 1:
            return self.retarget
        if not self._seen:
            self._begin = time
        self._last = time
        self._seen.append(sample)
        if self.retarget is None or len(self._seen) >= self._due or self.progress >= 1:
            self._due = 2 * len(self._seen)
            self.retarget = Retarget.of(self._driver, Neutral.of(self._seen), self.options)
        return self.retarget


def _at_rest(driver: Driver, neutral: Neutral, lids: str) -> Driver:
    """`driver` with the neutral as the resting face and the mean pose; names of mapped lids start with `lids`."""
    head, like = driver.avatar.head, driver.own_rest
    carried, _ = driver.carrier(neutral.weights[None].to(like), torch.zeros(1, len(JOINT_NAMES), 3).to(like))
    resting = carried[0].clamp(*head.expression_limits)
    # Lids are mapped before (`Retarget._closing`) and gaze has no resting place of its own.
    own = [name.startswith((lids, "eyeLook")) for name in head.expression_names]
    resting[own] = like[own]
    return replace(driver, resting=resting, mean_rotation=neutral.rotation.to(like), mean_place=neutral.place.to(like))


def _group(name: str) -> str:
    return next((group for group, prefixes in GROUPS.items() if prefixes and name.startswith(prefixes)), "")
