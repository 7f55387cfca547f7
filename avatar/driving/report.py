"""Report of a retargeted motion: expressions that the avatar cannot show, and values that were soft-clamped."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.common.jsonable import counted, to_jsonable
from avatar.common.printable import single_line
from avatar.driving.retargeting import ExpressionRetargeter
from avatar.driving.trained_range import TrainedRange, pivot_position
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.arkit import is_mode
from avatar.types import ROOT, HeadParams, Motion, Resting

#: Changes below these are not visible: weights, degrees, centimeters.
_MIN_WEIGHT = 0.01
_MIN_DEGREES = 0.5
_MIN_CENTIMETERS = 0.1
#: Names that one line lists.
_MAX_LISTED = 8


@dataclass(frozen=True)
class Unexpressed:
    """An expression of the motion that the avatar cannot show, or less than half of it."""

    name: str
    peak: float  # largest absolute weight
    rms: float
    expressed: float  # 0..1, fraction of its vertex motion that is shown
    advice: str  # remedy, or empty


@dataclass(frozen=True)
class SoftClamped:
    """An expression of the avatar whose target weight exceeds the trained range."""

    name: str
    frames: int
    most: float  # largest change of its weight
    mean: float  # mean change over those frames
    wanted: float  # target weight in the frame with the largest change
    shown: float  # weight after the soft clamp in that frame


@dataclass(frozen=True)
class DriveReport:
    """Report of one motion on one avatar. The names of the fields are keys of the JSON report."""

    frames: int
    seconds: float
    space: str
    way: str  # how its expressions are retargeted
    without_face: int  # frames that were interpolated
    unexpressed: tuple[Unexpressed, ...]  # those in use, largest RMS first
    soft_clamped: tuple[SoftClamped, ...]  # largest change first
    turns_eased: int  # frames with a soft-clamped head rotation
    most_turn_deg: float  # largest change of the head rotation
    travel_eased: int  # frames with a soft-clamped head position
    most_travel_cm: float  # largest change of the head position
    notes: tuple[str, ...]
    resting: Resting  # of the motion

    @staticmethod
    def of(
        retargeter: ExpressionRetargeter,
        trained_range: TrainedRange,
        motion: Motion,
        target: HeadParams,
        shown: HeadParams,
    ) -> DriveReport:
        """Compare the target of a motion with what is shown.

        Args:
            retargeter: of the motion's expressions.
            trained_range: of the avatar.
            motion: T frames.
            target: T frames of the avatar before the soft clamp.
            shown: T frames after it.
        """
        turn, travel = _pose_changes(trained_range, target, shown)
        return DriveReport(
            frames=len(motion),
            seconds=float(motion.time[-1] - motion.time[0]),
            space=motion.space,
            way=retargeter.route,
            without_face=0 if motion.confidence is None else int((motion.confidence <= 0).sum()),
            unexpressed=_unexpressed(retargeter, motion),
            soft_clamped=_soft_clamped(trained_range.head.expression_names, target.expression, shown.expression),
            turns_eased=int((turn > _MIN_DEGREES).sum()),
            most_turn_deg=float(turn.max()),
            travel_eased=int((travel > _MIN_CENTIMETERS).sum()),
            most_travel_cm=float(travel.max()),
            notes=motion.notes,
            resting=motion.resting,
        )

    def to_json(self) -> str:
        """The report as a JSON object."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_dict(self) -> dict[str, object]:
        """The report in JSON types; `words` contains the lines of `to_text`."""
        found: dict[str, object] = to_jsonable({**dataclasses.asdict(self), "words": self.to_text().splitlines()})
        return found

    def to_text(self) -> str:
        """The report as a few lines of text."""
        lines = [f"{counted(self.frames, 'frame')}, {self.seconds:.2f} s of {self.space}, {self.way}", *self.notes]
        if self.resting == "zero":
            lines.append("zero weights are the resting face")
        if self.without_face:
            frames = counted(self.without_face, "frame")
            lines.append(f"without a face: {frames}, interpolated from the frames around them")
        lines += [*self._unexpressed_lines(), *self._soft_clamped_lines(), *self._pose_lines()]
        return "\n".join(single_line(line) for line in lines)

    def _unexpressed_lines(self) -> list[str]:
        if not self.unexpressed:
            return ["every expression of the motion can be shown"]
        numbered = [row for row in self.unexpressed if is_mode(row.name)]
        named = [row for row in self.unexpressed if not is_mode(row.name)]
        some = [f"{row.name} (peak {row.peak:.2f}, rms {row.rms:.2f})" for row in named[:_MAX_LISTED]]
        if len(named) > _MAX_LISTED:
            some.append(f"{len(named) - _MAX_LISTED} more")
        if numbered:
            some.append(f"{counted(len(numbered), 'numbered expression')} ({numbered[0].name} the strongest)")
        advice = next((row.advice for row in self.unexpressed if row.advice), "")
        return [f"not expressible here: {', '.join(some)}{f'; {advice}' if advice else ''}"]

    def _soft_clamped_lines(self) -> list[str]:
        if not self.soft_clamped:
            return []
        some = ", ".join(
            f"{row.name} ({counted(row.frames, 'frame')}, {row.wanted:.2f} to {row.shown:.2f})"
            for row in self.soft_clamped[:_MAX_LISTED]
        )
        more = len(self.soft_clamped) - _MAX_LISTED
        return [f"soft-clamped to the trained range of the avatar: {some}{f' and {more} more' if more > 0 else ''}"]

    def _pose_lines(self) -> list[str]:
        lines = []
        if self.turns_eased:
            frames = counted(self.turns_eased, "frame")
            lines.append(f"head rotation reduced in {frames}, by up to {self.most_turn_deg:.0f} degrees")
        if self.travel_eased:
            frames = counted(self.travel_eased, "frame")
            lines.append(f"head travel reduced in {frames}, by up to {self.most_travel_cm:.1f} cm")
        return lines


def _unexpressed(retargeter: ExpressionRetargeter, motion: Motion) -> tuple[Unexpressed, ...]:
    rows = []
    for row in retargeter.unmapped:
        weights = motion.weights[:, row.column].double()
        peak = float(weights.abs().max())
        if peak > _MIN_WEIGHT:
            rms = float(weights.square().mean().sqrt())
            rows.append(Unexpressed(row.name, peak, rms, row.expressed, row.advice))
    return tuple(sorted(rows, key=lambda row: -row.rms))


def _soft_clamped(names: tuple[str, ...], target: Tensor, shown: Tensor) -> tuple[SoftClamped, ...]:
    change = (shown - target).abs()
    rows = []
    for column in torch.nonzero((change > _MIN_WEIGHT).any(0)).flatten().tolist():
        visible = change[:, column][change[:, column] > _MIN_WEIGHT]
        worst = int(change[:, column].argmax())
        before = float(target[worst, column])
        after = float(shown[worst, column])
        largest = float(visible.max())
        mean = float(visible.mean())
        rows.append(SoftClamped(names[column], len(visible), largest, mean, before, after))
    return tuple(sorted(rows, key=lambda row: -row.frames * row.mean))


def _pose_changes(trained_range: TrainedRange, target: HeadParams, shown: HeadParams) -> tuple[Tensor, Tensor]:
    """How far the soft clamp rotated the head [T] in degrees and moved it [T] in centimeters."""
    rotations = [axis_angle_to_matrix(params.joint_rot[:, ROOT].double()) for params in (target, shown)]
    positions = [
        pivot_position(trained_range.head, params.identity, rotation.float(), params.translation, trained_range.pivot)
        for params, rotation in zip((target, shown), rotations, strict=True)
    ]
    turn = matrix_to_axis_angle(rotations[1] @ rotations[0].mT).norm(dim=-1).rad2deg()
    return turn, 100 * (positions[1] - positions[0]).norm(dim=-1)
