"""What a recording has to show and what spoils it: words and evidence, for the coach and the report of a capture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from capture.coach.face_state import FaceState

#: Beyond 30 degrees cheeks and ears occlude what the front shows; a track is off by a few degrees, so 25 is enough.
YAW_TARGET = 30
YAW_MIN = 25.0
#: Chin and crown become visible at about 15 degrees; people nod less than they turn.
PITCH_TARGET = 15
PITCH_MIN = 11.0
#: A training image of 512 pixels shows about 40 cm: the outer eye corners (9 cm) are then 115 pixels apart.
FACE_PIXELS = 64.0
#: Sharp faces score 0.3 to 0.55 on real clips; five pixels of motion blur add 0.2 to 0.25, and so does defocus.
SOFT = 0.62
SOFT_AT_TIMES = 0.68
#: Below this brightness noise and compression dominate; above this clipped fraction skin has lost its color.
DARK = 0.18
CLIPPED = 0.03
#: A window at one side makes one half of the face brighter by this factor; such light stays in the avatar.
SIDE_LIGHT = 1.8
#: Fraction of the frame that the face keeps from its edges, and of its width and height that it fills at most.
_EDGE = 0.02
_NEAREST = 0.62, 0.8
#: Degrees per second of the head from which a blurred face is one that moves.
_FAST = 40.0
#: Fraction of the way to the ring up to which the directions of the eyes, brows and single lids are measured well.
_STILL = 0.85
#: Sectors of the ring of head directions, counterclockwise from the person's left; up is the third one.
SECTOR_SECONDS = 0.3  # for which one of them has to be seen
SECTORS = ("left", "left up", "up", "right up", "right", "right down", "down", "left down")


@dataclass(frozen=True)
class Reading:
    """One frame relative to the face at rest."""

    state: FaceState
    weights: Mapping[str, float]  # above those at rest
    yaw: float  # degrees to the person's left
    pitch: float  # degrees up
    gaze: tuple[float, float]  # degrees to the person's left and up
    syllables: int = 0  # openings of the jaw, as in speech, that ended in this frame
    at_rest: bool = False  # whether the face has been at rest for some time

    def of(self, *names: str) -> float:
        """Mean weight of expressions."""
        return sum(self.weights.get(name, 0.0) for name in names) / len(names)

    def both(self, stem: str) -> float:
        """Mean weight of an expression of both sides."""
        return self.of(f"{stem}Left", f"{stem}Right")

    @property
    def pointing(self) -> tuple[float, float]:
        """Where the head points: to the person's left and up; 1: the ring."""
        return self.yaw / YAW_MIN, self.pitch / PITCH_MIN

    @property
    def is_still(self) -> bool:
        """Whether the head points about as at rest."""
        return math.hypot(*self.pointing) < _STILL

    @property
    def sector(self) -> str:
        """The sector of the ring that the head points at; empty near the front."""
        across, up = self.pointing
        if math.hypot(across, up) < 1:
            return ""
        return SECTORS[round(math.atan2(up, across) / (2 * math.pi) * len(SECTORS)) % len(SECTORS)]


#: What one frame adds to the parts of a request: amounts by the name of the part.
Evidence = Callable[[Reading, float], Mapping[str, float]]


def _while(shown: Callable[[Reading], bool]) -> Evidence:
    """Evidence by the seconds in which an expression is shown, from the front: of a turned face one side is a guess."""
    return lambda reading, seconds: {"": seconds} if abs(reading.yaw) < YAW_MIN and shown(reading) else {}


def _while_still(shown: Callable[[Reading], bool]) -> Evidence:
    """The same of brows and lids, whose heights a nod seems to change."""
    return _while(lambda reading: reading.is_still and shown(reading))


def _sector(reading: Reading, seconds: float) -> Mapping[str, float]:
    return {reading.sector: seconds}


def _eyes(reading: Reading, seconds: float) -> Mapping[str, float]:
    across, up = reading.gaze
    seen = {"left": across > 10, "right": across < -10, "up": up > 6, "down": up < -6}
    return {part: seconds for part, shown in seen.items() if shown and reading.is_still}


def _frowns(reading: Reading) -> bool:
    """Whether the brows are low and near each other; a smile lowers them, too."""
    low = reading.both("browDown") > 0.3 and reading.of("browInnerUp") < -0.2
    return low and reading.both("mouthSmile") < 0.2


def _wink(side: str, other: str) -> Evidence:
    return _while_still(lambda reading: reading.of(f"eyeBlink{side}") > 0.5 and reading.of(f"eyeBlink{other}") < 0.25)


@dataclass(frozen=True)
class Request:
    """Something that a recording has to show."""

    key: str
    title: str  # in a list
    words: str  # what to do, a clause without a period
    gain: float  # how much it helps an avatar, relative to the others
    needed: float  # amount of evidence of each part: seconds, or syllables
    evidence: Evidence
    parts: tuple[str, ...] = ("",)
    patience: float = 5.0  # seconds that it is asked for
    held: bool = False  # whether what was shown for too short a time is forgotten: sounds pass through many expressions


_SENTENCE = "We found five big umbrellas by the old school, which my mother put on the chair."
REST = "rest"
FREELY = "freely"
#: In the order of gain: what an avatar cannot guess first.
REQUESTS: Mapping[str, Request] = {
    request.key: request
    for request in (
        Request(
            REST, "face at rest", "look at the camera with your face at rest and your mouth closed", 10, 1,
            lambda reading, _: {"": float(reading.at_rest)},
        ),
        Request(
            "turn left", "turn left", f"turn your head slowly by {YAW_TARGET} degrees to the left", 9, SECTOR_SECONDS,
            _sector, ("left",), 6,
        ),
        Request(
            "turn right", "turn right", f"turn your head slowly by {YAW_TARGET} degrees to the right", 9,
            SECTOR_SECONDS, _sector, ("right",), 6,
        ),
        Request(
            "mouth open", "mouth wide open", "say a long 'aah' with your mouth wide open", 8, 0.4,
            _while(lambda reading: reading.of("jawOpen") > 0.4),
        ),
        Request(
            "blinking", "blink", "blink a few times and close your eyes for a second", 7, 0.35,
            _while(lambda reading: min(reading.of("eyeBlinkLeft"), reading.of("eyeBlinkRight")) > 0.6),
        ),
        Request(
            "smile", "smile", "smile broadly with your teeth showing", 6, 0.4,
            _while(lambda reading: reading.both("mouthSmile") > 0.3), held=True,
        ),
        Request(
            "look up", "look up", f"tilt your head slowly by {PITCH_TARGET} degrees up", 5, SECTOR_SECONDS,
            _sector, ("up",),
        ),
        Request(
            "look down", "look down", f"tilt your head slowly by {PITCH_TARGET} degrees down", 5, SECTOR_SECONDS,
            _sector, ("down",),
        ),
        Request(
            "speech", "read aloud", f'read aloud: "{_SENTENCE}"', 4, 8,
            lambda reading, _: {"": float(reading.syllables)}, patience=10,
        ),
        Request(
            "brows up", "brows up", "raise your brows as if surprised", 3, 0.3,
            _while_still(lambda reading: reading.both("browOuterUp") + reading.of("browInnerUp") > 0.8), held=True,
        ),
        Request(
            "brows down", "frown", "frown", 2.5, 0.3, _while_still(_frowns), held=True
        ),
        Request(
            "gaze", "look around", "look left, right, up and down with the head still", 2.4, 0.2, _eyes,
            ("left", "right", "up", "down"), 7, held=True,
        ),
        Request(
            "pucker", "pucker", "pucker your lips as for a kiss", 2, 0.3,
            _while(lambda reading: reading.of("mouthPucker") > 0.4 and reading.of("jawOpen") < 0.3), held=True,
        ),
        Request(
            "circle", "head circle", "move your head slowly in a wide circle", 1.8, SECTOR_SECONDS, _sector,
            SECTORS[1::2], 8,
        ),
        Request(
            "laugh", "laugh", "laugh with your mouth open", 1.5, 0.3,
            _while(lambda r: r.both("mouthSmile") > 0.25 and r.of("jawOpen") > 0.28), held=True,
        ),
        Request(
            "wink left", "wink left", "wink with your left eye", 0.7, 0.15, _wink("Left", "Right"),
            patience=4, held=True,
        ),
        Request(
            "wink right", "wink right", "wink with your right eye", 0.7, 0.15, _wink("Right", "Left"),
            patience=4, held=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Something that spoils a recording."""

    key: str
    words: str  # what to do, a clause without a period
    shown: Callable[[FaceState, float], bool]  # by a frame, and the head's speed in degrees per second
    blocks: bool = False  # whether nothing in such a frame counts


def side_light(ratio: float) -> float:
    """The brighter half of a face over the darker one, of its left half over the right one."""
    return max(ratio, 1 / max(ratio, 1e-6))


def _fills_the_frame(state: FaceState, _: float) -> bool:
    left, top, right, bottom = state.box
    return right - left > _NEAREST[0] or bottom - top > _NEAREST[1]


def _leaves_the_frame(state: FaceState, _: float) -> bool:
    left, top, right, bottom = state.box
    return min(left, top, 1 - right, 1 - bottom) < _EDGE


def _is_soft(state: FaceState) -> bool:
    return state.blur > SOFT


#: In the order of their importance; only the first one that applies is shown.
WARNINGS: Mapping[str, Fault] = {
    fault.key: fault
    for fault in (
        Fault("no face", "come back into the frame, with the face upright", lambda face, _: not face.found, True),
        Fault("people", "stay alone, with only one person in the frame", lambda face, _: face.faces > 1, True),
        Fault("dark", "turn to a window or turn on more light", lambda face, _: face.brightness < DARK),
        Fault("overexposed", "step out of the direct light", lambda face, _: face.clipped > CLIPPED),
        Fault("side light", "face the window or lamp", lambda face, _: side_light(face.side_light) > SIDE_LIGHT),
        Fault("small", "come closer", lambda face, _: face.eye_pixels < FACE_PIXELS),
        Fault("large", "move back a little", _fills_the_frame),
        Fault("edge", "move to the middle of the frame", _leaves_the_frame),
        Fault("blurred", "move slowly", lambda face, speed: _is_soft(face) and speed > _FAST),
        Fault(
            "soft",
            "hold still, wipe the lens, and use more light",
            lambda face, speed: _is_soft(face) and speed <= _FAST,
        ),
    )
}


def sentence(words: str) -> str:
    """A clause of the table as a sentence."""
    return words[:1].upper() + words[1:] + ("" if words.endswith(('."', ".")) else ".")
