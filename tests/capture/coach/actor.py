"""A person before a coach, as states of frames: does what the coach asks, with scripted faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from avatar.head.arkit import ARKIT_52
from capture.coach.coach import Advice, Coach
from capture.coach.face_state import FaceState

FPS = 30.0
#: Seconds from a request to the movement, and that it is held.
DELAY = 0.8
HELD = 1.0
#: Small weights of this person's face at rest.
_AT_REST = {"jawOpen": 0.03, "mouthSmileLeft": 0.12, "mouthSmileRight": 0.1, "browDownLeft": 0.1, "browDownRight": 0.1}
_EXPRESSIONS = {
    "mouth open": {"jawOpen": 0.7},
    "blinking": {"eyeBlinkLeft": 0.95, "eyeBlinkRight": 0.95},
    "smile": {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6},
    "brows up": {"browInnerUp": 0.6, "browOuterUpLeft": 0.5, "browOuterUpRight": 0.5},
    "brows down": {"browDownLeft": 0.6, "browDownRight": 0.6, "browInnerUp": -0.4},
    "pucker": {"mouthPucker": 0.8},
    "laugh": {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "jawOpen": 0.4},
    "wink left": {"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.1},
    "wink right": {"eyeBlinkRight": 0.9, "eyeBlinkLeft": 0.1},
}
_POSES = {"turn left": (32, 0), "turn right": (-32, 0), "look up": (0, 16), "look down": (0, -16)}


@dataclass
class Actor:
    """Acts what is asked, after some time."""

    cannot: tuple[str, ...] = ()  # requests that are not followed
    change: Callable[[FaceState], FaceState] = lambda state: state  # a fault of every frame
    talks: bool = False  # all the time
    time: float = 0.0
    asked: str = ""
    since: float = 0.0

    def frame(self, request: str) -> FaceState:
        """The next frame, while `request` is asked for."""
        self.time += 1 / FPS
        if request != self.asked:
            self.asked = request
            self.since = self.time
        acting = self.time - self.since - DELAY
        weights = {**dict.fromkeys(ARKIT_52, 0.0), **_AT_REST}
        yaw = pitch = 0.0
        gaze = (0.0, 0.0)
        if self.talks or (request in ("speech", "freely") and request not in self.cannot and acting > 0):
            weights["jawOpen"] += 0.12 * (1 + math.sin(2 * math.pi * 3 * self.time))
        if request not in self.cannot and acting > 0:
            amount = min(acting / 0.3, 1.0)
            for name, weight in _EXPRESSIONS.get(request, {}).items():
                weights[name] = max(weights[name], amount * weight) if weight > 0 else amount * weight
            yaw, pitch = (amount * angle for angle in _POSES.get(request, (0, 0)))
            angle = 2 * math.pi * acting / 4
            if request == "circle":
                yaw, pitch = 32 * math.cos(angle), 15 * math.sin(angle)
            if request == "gaze":
                gaze = 18 * math.cos(angle), 12 * math.sin(angle)
        return self.change(FaceState(self.time, yaw=yaw, pitch=pitch, expression=weights, gaze=gaze))


@dataclass(frozen=True)
class Line:
    """A change of the advice."""

    time: float
    request: str
    warning: str


@dataclass
class Transcript:
    """What the coach said, in the order of time."""

    lines: list[Line] = field(default_factory=list)
    last: Advice | None = None
    seconds: float = 0.0

    @property
    def requests(self) -> list[str]:
        """What was asked for, in its order."""
        return [
            line.request
            for index, line in enumerate(self.lines)
            if index == 0 or line.request != self.lines[index - 1].request
        ]

    @property
    def warnings(self) -> set[str]:
        return {line.warning for line in self.lines if line.warning}

    def when(self, warning: str) -> float:
        """Seconds at which a warning was shown first."""
        return next(line.time for line in self.lines if line.warning == warning)

    def status(self, key: str) -> str:
        assert self.last is not None
        return next(item.status for item in self.last.items if item.key == key)

    def text(self) -> str:
        return "\n".join(
            f"{line.time:5.1f}  {line.request or 'finished'}{'  ! ' + line.warning if line.warning else ''}"
            for line in self.lines
        )


def film(actor: Actor, most: float = 130.0, coach: Coach | None = None) -> Transcript:
    """Lead the actor through a recording of at most so many seconds; `coach`: one who has seen frames before."""
    coach = coach or Coach()
    transcript = Transcript()
    advice = coach.advice()
    while not advice.finished and actor.time < most:
        advice = coach.step(actor.frame(advice.request))
        line = Line(actor.time, advice.request, advice.warning)
        if not transcript.lines or (line.request, line.warning) != (
            transcript.lines[-1].request,
            transcript.lines[-1].warning,
        ):
            transcript.lines.append(line)
    transcript.last = advice
    transcript.seconds = actor.time
    return transcript


def with_values(**values: object) -> Callable[[FaceState], FaceState]:
    """A fault: these values in every frame."""
    return lambda state: replace(state, **values)  # type: ignore[arg-type]
