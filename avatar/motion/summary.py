"""Statistics of a motion as text and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avatar.common.jsonable import counted, to_jsonable
from avatar.common.printable import single_line
from avatar.geometry.numpy_rotations import mean_quat, quat_multiply, quat_to_rotvec
from avatar.head.arkit import is_mode
from avatar.motion.arrays import MotionArrays, gaps_between, head_quat
from avatar.types import Motion, Resting

#: An expression whose absolute weight never exceeds this is unused.
_IDLE = 0.01
_LISTED_GAPS = 3
#: Numbered coefficients (FLAME has 100) that are listed, the most active first.
_LISTED_MODES = 12
#: Named expressions range from 0 to 1; smaller excesses are rounding.
_BEYOND = 0.005
_RESTING = {"find": "found in the frames", "zero": "zero weights"}


@dataclass(frozen=True)
class ExpressionUse:
    """Statistics of one expression's weight."""

    name: str
    peak: float  # largest absolute weight
    least: float  # smallest weight
    most: float  # largest weight
    activity: float  # standard deviation


@dataclass(frozen=True)
class MotionSummary:
    """Statistics of a motion as JSON-compatible values; the fields are the keys of the JSON report."""

    source: str
    space: str
    frames: int
    seconds: float
    rate: float  # mean frames per second
    gaps: tuple[tuple[float, float], ...]  # start in seconds after the first frame, duration in seconds
    without_face: int  # frames
    head_degrees: Mapping[str, float]  # range of the head's rotation
    travel_cm: float  # range of the head's translation along the axis with the largest range
    names: tuple[ExpressionUse, ...]
    notes: tuple[str, ...]
    resting: Resting

    @staticmethod
    def of(motion: Motion | MotionArrays, source: str) -> MotionSummary:
        """Statistics of `motion`; `source` is the name to print, such as its file."""
        rotation = head_quat(np.asarray(motion.joint_rot, np.float64))
        from_mean = quat_multiply(rotation, mean_quat(rotation) * (1, -1, -1, -1))
        pitch, yaw, roll = np.ptp(np.degrees(quat_to_rotvec(from_mean)), axis=0).tolist()
        weights = np.asarray(motion.weights, np.float64)
        time = np.asarray(motion.time)
        least = weights.min(0)
        most = weights.max(0)
        activity = weights.std(0)
        uses = np.stack([np.maximum(-least, most), least, most, activity], 1).tolist()
        return MotionSummary(
            source=source,
            space=motion.space,
            frames=len(motion),
            seconds=float(time[-1] - time[0]),
            rate=motion.rate,
            gaps=tuple(gaps_between(time)),
            without_face=0 if motion.confidence is None else int((np.asarray(motion.confidence) <= 0).sum()),
            head_degrees={"yaw": yaw, "pitch": pitch, "roll": roll},
            travel_cm=100 * float(np.ptp(np.asarray(motion.translation), axis=0).max()),
            names=tuple(ExpressionUse(name, *row) for name, row in zip(motion.names, uses, strict=True)),
            notes=motion.notes,
            resting=motion.resting,
        )

    def to_dict(self) -> dict[str, object]:
        """The report in JSON types, with the text under `words`."""
        found: dict[str, object] = to_jsonable({**dataclasses.asdict(self), "words": self.to_text().splitlines()})
        return found

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """The report as a table."""
        head = ", ".join(f"{name} {value:.0f}" for name, value in self.head_degrees.items())
        lines = [
            f"{self.source}: {self.space}, {counted(self.frames, 'frame')}, {self.seconds:.3f} s, {self.rate:.3f} fps",
            f"head rotation range: {head} degrees; translation range: {self.travel_cm:.1f} cm",
            f"resting face: {_RESTING[self.resting]}",
            *self._problems(),
            *self.notes,
        ]
        used = sorted((use for use in self.names if use.peak > _IDLE), key=lambda use: -round(use.activity, 6))
        idle = [use.name for use in self.names if use.peak <= _IDLE]
        if used:
            listed = used[:_LISTED_MODES] if is_mode(used[0].name) else used
            width = max(len("expression"), *(len(use.name) for use in listed))
            lines.append(f"{'expression'.ljust(width)}  peak  activity")
            lines += [f"{use.name.ljust(width)}  {use.peak:4.2f}  {use.activity:8.3f}" for use in listed]
            if len(listed) < len(used):
                lines.append(f"and {len(used) - len(listed)} more (--json has all)")
        if idle:
            lines.append(f"unused: {', '.join(idle)}")
        return "\n".join(single_line(line) for line in lines)

    def _problems(self) -> list[str]:
        """Lines about gaps, frames without a face and weights out of range."""
        lines = []
        if self.gaps:
            listed = ", ".join(f"{length:.2f} s at {start:.2f} s" for start, length in self.gaps[:_LISTED_GAPS])
            more = ", ..." if len(self.gaps) > _LISTED_GAPS else ""
            lines.append(f"{counted(len(self.gaps), 'gap')} without frames: {listed}{more}")
        if self.without_face:
            lines.append(f"{counted(self.without_face, 'frame')} without a face")
        beyond = [
            use for use in self.names if not is_mode(use.name) and not -_BEYOND <= use.least <= use.most <= 1 + _BEYOND
        ]
        if beyond:
            worst = sorted(beyond, key=lambda use: -max(-use.least, use.most - 1))[:_LISTED_GAPS]
            listed = ", ".join(
                f"{use.name} reaches {use.most if use.most - 1 > -use.least else use.least:.2f}" for use in worst
            )
            more = ", ..." if len(beyond) > len(worst) else ""
            lines.append(f"{counted(len(beyond), 'expression')} outside 0 to 1: {listed}{more}")
        return lines
