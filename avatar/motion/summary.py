"""What a motion holds, in figures and in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from avatar.common.jsonable import counted, to_jsonable
from avatar.geometry.rotations import matrix_to_axis_angle, mean_rotation
from avatar.head.model import is_mode
from avatar.motion.edit import gaps, head_rotation
from avatar.types import Motion

#: An expression that never gets beyond this is not in use.
_IDLE = 0.01
_LISTED_GAPS = 3
#: Of unnamed coefficients (FLAME has 100) the strongest tell enough.
_LISTED_MODES = 12
#: Named expressions are whole at 1; less than this beyond is rounding.
_BEYOND = 0.005


@dataclass(frozen=True)
class Use:
    """How one expression is used."""

    name: str
    peak: float  # largest weight, in size
    least: float  # smallest weight
    most: float  # largest weight
    activity: float  # standard deviation


@dataclass(frozen=True)
class MotionSummary:
    """One motion; plain values throughout."""

    source: str
    space: str
    frames: int
    seconds: float
    rate: float  # mean frames a second
    gaps: tuple[tuple[float, float], ...]  # seconds after the first frame, seconds long
    without_face: int  # frames
    head_degrees: Mapping[str, float]  # how far the head turns from one extreme to the other
    travel_cm: float  # the same along the axis it travels most
    names: tuple[Use, ...]
    notes: tuple[str, ...]

    @staticmethod
    def of(motion: Motion, source: str) -> MotionSummary:
        """The facts of `motion`; `source` says what it was read from."""
        rotation = head_rotation(motion.joint_rot.double())
        turn = matrix_to_axis_angle(rotation @ mean_rotation(rotation).T).rad2deg()
        pitch, yaw, roll = (turn.amax(0) - turn.amin(0)).tolist()
        travel = motion.translation.amax(0) - motion.translation.amin(0)
        weights = motion.weights.double()
        least, most, activity = weights.amin(0), weights.amax(0), weights.std(0, correction=0)
        uses = torch.stack([torch.maximum(-least, most), least, most, activity], 1).tolist()
        return MotionSummary(
            source=source,
            space=motion.space,
            frames=len(motion),
            seconds=float(motion.time[-1] - motion.time[0]),
            rate=motion.rate,
            gaps=tuple(gaps(motion)),
            without_face=0 if motion.confidence is None else int((motion.confidence <= 0).sum()),
            head_degrees={"yaw": yaw, "pitch": pitch, "roll": roll},
            travel_cm=100 * float(travel.max()),
            names=tuple(Use(name, *row) for name, row in zip(motion.names, uses, strict=True)),
            notes=motion.notes,
        )

    def to_dict(self) -> dict[str, object]:
        """Everything in JSON's types."""
        found: dict[str, object] = to_jsonable({**dataclasses.asdict(self), "words": self.to_text().splitlines()})
        return found

    def to_json(self) -> str:
        """Everything as one JSON object, `words` included."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A table for a person."""
        head = ", ".join(f"{name} {value:.0f}" for name, value in self.head_degrees.items())
        lines = [
            f"{self.source}: {self.space}, {counted(self.frames, 'frame')}, {self.seconds:.3f} s, "
            f"{self.rate:.3f} frames/s",
            f"head turns over {head} degrees and travels {self.travel_cm:.1f} cm",
            *self._trouble(),
            *self.notes,
        ]
        used = sorted((use for use in self.names if use.peak > _IDLE), key=lambda use: -use.activity)
        idle = [use.name for use in self.names if use.peak <= _IDLE]
        if used:
            listed = used[:_LISTED_MODES] if is_mode(used[0].name) else used
            width = max(len("expression"), *(len(use.name) for use in listed))
            lines.append(f"{'expression'.ljust(width)}  peak  activity")
            lines += [f"{use.name.ljust(width)}  {use.peak:4.2f}  {use.activity:8.3f}" for use in listed]
            if len(listed) < len(used):
                lines.append(f"and {len(used) - len(listed)} more (--json has all)")
        if idle:
            lines.append(f"not in use: {', '.join(idle)}")
        return "\n".join(lines)

    def _trouble(self) -> list[str]:
        lines = []
        if self.gaps:
            some = ", ".join(f"{length:.2f} s at {start:.2f} s" for start, length in self.gaps[:_LISTED_GAPS])
            more = ", ..." if len(self.gaps) > _LISTED_GAPS else ""
            lines.append(f"{counted(len(self.gaps), 'gap')} without frames: {some}{more}")
        if self.without_face:
            lines.append(f"{counted(self.without_face, 'frame')} without a face")
        beyond = [
            use for use in self.names if not is_mode(use.name) and not -_BEYOND <= use.least <= use.most <= 1 + _BEYOND
        ]
        if beyond:
            worst = sorted(beyond, key=lambda use: -max(-use.least, use.most - 1))[:_LISTED_GAPS]
            some = ", ".join(
                f"{use.name} reaches {use.most if use.most - 1 > -use.least else use.least:.2f}" for use in worst
            )
            more = ", ..." if len(beyond) > len(worst) else ""
            lines.append(f"{counted(len(beyond), 'expression')} outside 0 to 1: {some}{more}")
        return lines
