"""What became of a motion on an avatar: what could not be shown, and what was soft-clamped."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.common.jsonable import counted, to_jsonable
from avatar.driving.retargeting import Carrier
from avatar.driving.trained_range import TrainedRange, pivot_place
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.model import is_mode
from avatar.types import ROOT, HeadParams, Motion

#: Weights smaller than this are nothing anybody sees.
_SEEN = 0.01
_SEEN_DEGREES = 0.5
#: How many names a sentence lists.
_LISTED = 8


@dataclass(frozen=True)
class Unexpressed:
    """An expression of the motion that the avatar cannot show, or less than half of it."""

    name: str
    peak: float  # largest weight, in size
    rms: float
    expressed: float  # 0..1, the part of its motion that is shown
    advice: str


@dataclass(frozen=True)
class SoftClamped:
    """An expression of the avatar that the motion wants stronger than the avatar's reach."""

    name: str
    frames: int
    most: float  # largest change of its weight
    mean: float  # over those frames
    wanted: float  # the weight where it changes most, before
    shown: float  # and after


@dataclass(frozen=True)
class DriveReport:
    """One motion on one avatar; plain values throughout."""

    frames: int
    seconds: float
    space: str
    way: str  # how its expressions reach the avatar
    without_face: int  # frames that were bridged
    unexpressed: tuple[Unexpressed, ...]  # those in use, strongest first
    soft_clamped: tuple[SoftClamped, ...]  # the largest clamping first
    turns_eased: int  # frames
    most_turn_deg: float  # largest change of the head's rotation
    travel_eased: int  # frames
    most_travel_cm: float
    notes: tuple[str, ...]

    @staticmethod
    def of(carrier: Carrier, reach: TrainedRange, motion: Motion, meant: HeadParams, shown: HeadParams) -> DriveReport:
        """The report of `motion`, which means `meant` on the avatar and is `shown`."""
        turn, travel = _moved(reach, meant, shown)
        return DriveReport(
            frames=len(motion),
            seconds=float(motion.time[-1] - motion.time[0]),
            space=motion.space,
            way=carrier.way,
            without_face=0 if motion.confidence is None else int((motion.confidence <= 0).sum()),
            unexpressed=_unexpressed(carrier, motion),
            soft_clamped=_soft_clamped(reach.head.expression_names, meant.expression, shown.expression),
            turns_eased=int((turn > _SEEN_DEGREES).sum()),
            most_turn_deg=float(turn.max()),
            travel_eased=int((travel > 0.1).sum()),
            most_travel_cm=float(travel.max()),
            notes=motion.notes,
        )

    def to_json(self) -> str:
        """Everything as one JSON object, `words` included."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_dict(self) -> dict[str, object]:
        """Everything in JSON's types."""
        found: dict[str, object] = to_jsonable({**dataclasses.asdict(self), "words": self.to_text().splitlines()})
        return found

    def to_text(self) -> str:
        """A few lines for a person."""
        lines = [f"{counted(self.frames, 'frame')}, {self.seconds:.2f} s of {self.space}, {self.way}", *self.notes]
        if self.without_face:
            lines.append(f"without a face: {counted(self.without_face, 'frame')}, bridged from those beside them")
        return "\n".join([*lines, *self._lost_words(), *self._soft_clamped_words(), *self._pose_words()])

    def _lost_words(self) -> list[str]:
        if not self.unexpressed:
            return ["every expression of the motion can be shown"]
        numbered = [row for row in self.unexpressed if is_mode(row.name)]
        named = [row for row in self.unexpressed if not is_mode(row.name)]
        some = [f"{row.name} (peak {row.peak:.2f}, rms {row.rms:.2f})" for row in named[:_LISTED]]
        if len(named) > _LISTED:
            some.append(f"{len(named) - _LISTED} more")
        if numbered:
            some.append(f"{counted(len(numbered), 'numbered expression')} ({numbered[0].name} the strongest)")
        advice = next((row.advice for row in self.unexpressed if row.advice), "")
        return [f"not expressible here: {', '.join(some)}{f'; {advice}' if advice else ''}"]

    def _soft_clamped_words(self) -> list[str]:
        if not self.soft_clamped:
            return []
        some = ", ".join(
            f"{row.name} ({counted(row.frames, 'frame')}, {row.wanted:.2f} to {row.shown:.2f})"
            for row in self.soft_clamped[:_LISTED]
        )
        more = len(self.soft_clamped) - _LISTED
        return [f"soft-clamped to what the avatar can show: {some}{f' and {more} more' if more > 0 else ''}"]

    def _pose_words(self) -> list[str]:
        lines = []
        if self.turns_eased:
            frames = counted(self.turns_eased, "frame")
            lines.append(f"the head turns less in {frames}, by up to {self.most_turn_deg:.0f} degrees")
        if self.travel_eased:
            frames = counted(self.travel_eased, "frame")
            lines.append(f"the head travels less in {frames}, by up to {self.most_travel_cm:.1f} cm")
        return lines


def _unexpressed(carrier: Carrier, motion: Motion) -> tuple[Unexpressed, ...]:
    rows = []
    for lost in carrier.lost:
        used = motion.weights[:, lost.column].double()
        peak = float(used.abs().max())
        if peak > _SEEN:
            rows.append(Unexpressed(lost.name, peak, float(used.square().mean().sqrt()), lost.expressed, lost.advice))
    return tuple(sorted(rows, key=lambda row: -row.rms))


def _soft_clamped(names: tuple[str, ...], meant: Tensor, shown: Tensor) -> tuple[SoftClamped, ...]:
    change = (shown - meant).abs()
    rows = []
    for column in torch.nonzero((change > _SEEN).any(0)).flatten().tolist():
        excess = change[:, column][change[:, column] > _SEEN]
        worst = int(change[:, column].argmax())
        wanted, left = float(meant[worst, column]), float(shown[worst, column])
        rows.append(SoftClamped(names[column], len(excess), float(excess.max()), float(excess.mean()), wanted, left))
    return tuple(sorted(rows, key=lambda row: -row.frames * row.mean))


def _moved(reach: TrainedRange, meant: HeadParams, shown: HeadParams) -> tuple[Tensor, Tensor]:
    """How far easing turned the head [T] in degrees and moved it [T] in centimeters."""
    rotations = [axis_angle_to_matrix(params.joint_rot[:, ROOT].double()) for params in (meant, shown)]
    places = [
        pivot_place(reach.head, params.identity, rotation.float(), params.translation, reach.pivot)
        for params, rotation in zip((meant, shown), rotations, strict=True)
    ]
    turn = matrix_to_axis_angle(rotations[1] @ rotations[0].mT).norm(dim=-1).rad2deg()
    return turn, 100 * (places[1] - places[0]).norm(dim=-1)
