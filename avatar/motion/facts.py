"""What a motion holds, in figures and in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from avatar.geometry import matrix_to_axis_angle, mean_rotation
from avatar.motion.edit import gaps, head_rotation
from avatar.plain import plain
from avatar.records import Motion

#: An expression that never gets beyond this is not in use.
_IDLE = 0.01
_LISTED_GAPS = 3


@dataclass(frozen=True)
class Use:
    """How one expression is used."""

    name: str
    peak: float  # largest weight, in size
    activity: float  # standard deviation


@dataclass(frozen=True)
class MotionFacts:
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
    def of(motion: Motion, source: str) -> MotionFacts:
        """The facts of `motion`; `source` says what it was read from."""
        rotation = head_rotation(motion.joint_rot.double())
        turn = matrix_to_axis_angle(rotation @ mean_rotation(rotation).T).rad2deg()
        pitch, yaw, roll = (turn.amax(0) - turn.amin(0)).tolist()
        travel = motion.translation.amax(0) - motion.translation.amin(0)
        weights = motion.weights.double()
        peaks, activity = weights.abs().amax(0).tolist(), weights.std(0, correction=0).tolist()
        return MotionFacts(
            source=source,
            space=motion.space,
            frames=len(motion),
            seconds=float(motion.time[-1] - motion.time[0]),
            rate=motion.rate,
            gaps=tuple(gaps(motion)),
            without_face=0 if motion.confidence is None else int((motion.confidence <= 0).sum()),
            head_degrees={"yaw": yaw, "pitch": pitch, "roll": roll},
            travel_cm=100 * float(travel.max()),
            names=tuple(Use(*row) for row in zip(motion.names, peaks, activity, strict=True)),
            notes=motion.notes,
        )

    def facts(self) -> dict[str, object]:
        """Everything in JSON's types."""
        found: dict[str, object] = plain({**dataclasses.asdict(self), "words": self.to_words().splitlines()})
        return found

    def to_json(self) -> str:
        """Everything as one JSON object, `words` included."""
        return json.dumps(self.facts(), indent=1, allow_nan=False)

    def to_words(self) -> str:
        """A table for a person."""
        head = ", ".join(f"{name} {value:.0f}" for name, value in self.head_degrees.items())
        lines = [
            f"{self.source}: {self.space}, {self.frames} frames, {self.seconds:.3f} s, {self.rate:.3f} frames/s",
            f"head turns over {head} degrees and travels {self.travel_cm:.1f} cm",
            *self._trouble(),
            *self.notes,
        ]
        used = sorted((use for use in self.names if use.peak > _IDLE), key=lambda use: -use.activity)
        idle = [use.name for use in self.names if use.peak <= _IDLE]
        if used:
            width = max(len(use.name) for use in used)
            lines.append(f"{'expression'.ljust(width)}  peak  activity")
            lines += [f"{use.name.ljust(width)}  {use.peak:4.2f}  {use.activity:8.3f}" for use in used]
        if idle:
            lines.append(f"not in use: {', '.join(idle)}")
        return "\n".join(lines)

    def _trouble(self) -> list[str]:
        lines = []
        if self.gaps:
            some = ", ".join(f"{length:.2f} s at {start:.2f} s" for start, length in self.gaps[:_LISTED_GAPS])
            more = ", ..." if len(self.gaps) > _LISTED_GAPS else ""
            lines.append(f"{len(self.gaps)} gaps without frames: {some}{more}")
        if self.without_face:
            lines.append(f"{self.without_face} frames without a face")
        return lines
