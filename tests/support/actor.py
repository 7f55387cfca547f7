"""A drawn person in the camera's place who does what the coach asks, in the time that people need, with faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch

from avatar.types import FACING_CAMERA, JOINT_NAMES, NECK, ROOT, HeadParams
from capture.live.camera import Lens, LiveFrame
from capture.synthetic.appearance import APPEARANCES
from capture.synthetic.motion import VISEMES, smooth_noise
from capture.synthetic.person import Person
from capture.synthetic.phone import Phone
from capture.synthetic.renderer import Image, Pose, Renderer
from capture.synthetic.view import View

#: Seconds from a request to the movement.
REACTION = 0.6
#: Time constants of the movement of face and head, seconds: an expression takes about 0.3 s, a turn about 1 s.
_FACE_SECONDS = 0.06
_SPEECH_SECONDS = 0.03
_HEAD_SECONDS = 0.22
#: Focal length over image width of a laptop's camera, and where the head is, meters.
_FOCAL = 0.95
_POSITION = (0.0, 0.008, -0.48)
_DETAIL = 0.7
_NOISE = 0.009
#: Eye rotation at an eyeLook weight of 1, and inward rotation of each eye that looks at the camera, degrees.
_EYE_RANGE = 26.0
_VERGENCE = 3.8
_LONGEST = 150.0  # seconds

Fault = Literal[
    "dark", "overexposed", "half-lit", "blurred", "near", "far", "edge", "leaves", "second", "talks", "mute", "frontal"
]
#: What somebody with this fault does not do.
REFUSED: Mapping[str, tuple[str, ...]] = {
    "mute": ("mouth open", "laugh", "speech"),
    "frontal": ("turn left", "turn right", "look up", "look down", "circle"),
}
_FACES: Mapping[str, Mapping[str, float]] = {
    "mouth open": {"jawOpen": 0.85, "mouthLowerDown": 0.2},
    "smile": {"mouthSmile": 1.0, "cheekSquint": 0.6, "mouthUpperUp": 0.4, "mouthLowerDown": 0.25, "jawOpen": 0.06},
    "brows up": {"browInnerUp": 0.9, "browOuterUp": 0.9, "eyeWide": 0.4},
    "brows down": {"browDown": 0.9, "eyeSquint": 0.3},
    "pucker": {"mouthPucker": 0.95, "mouthFunnel": 0.15},
    "wink left": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 0.1, "cheekSquintLeft": 0.6, "mouthSmileLeft": 0.2},
    "wink right": {"eyeBlinkRight": 1.0, "eyeBlinkLeft": 0.1, "cheekSquintRight": 0.6, "mouthSmileRight": 0.2},
}
_TURNS = {"turn left": (33.0, 0.0), "turn right": (-33.0, 0.0), "look up": (0.0, 17.0), "look down": (0.0, -17.0)}
_GLANCES = ((22.0, 0.0), (-22.0, 0.0), (0.0, 18.0), (0.0, -18.0))


@dataclass(frozen=True)
class Role:
    """Who acts, and what goes wrong."""

    person: str = "noor"  # in capture.synthetic.appearance.APPEARANCES
    fault: Fault | None = None
    times: tuple[tuple[float, float], ...] = ((0.0, math.inf),)  # seconds with the fault
    seed: int = 1

    def shows(self, fault: Fault, time: float) -> bool:
        """Whether the fault is there at `time` seconds."""
        return self.fault == fault and any(start <= time < end for start, end in self.times)


@dataclass(frozen=True)
class Acted:
    """What a frame shows."""

    time: float
    request: str  # that is followed; empty while the person reacts
    fault: bool


@dataclass
class _Intent:
    """Where face and head move to: weights by stem, degrees to the person's left and up."""

    weights: Mapping[str, float]
    turn: tuple[float, float] = (0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    speech: bool = False


class _Follower:
    """Moves values to a target without overshoot."""

    def __init__(self, count: int) -> None:
        self.value = np.zeros(count)
        self._half = np.zeros(count)

    def step(self, target: np.ndarray, mix: np.ndarray | float) -> np.ndarray:
        """The next values."""
        self._half += mix * (target - self._half)
        self.value += mix * (self._half - self.value)
        return self.value


class Body:
    """The motion of a person who follows requests."""

    def __init__(self, names: tuple[str, ...], role: Role, fps: float) -> None:
        self._columns = {name: column for column, name in enumerate(names)}
        self._role = role
        self._fps = fps
        self._random = np.random.default_rng(role.seed)
        self._sway = smooth_noise(round(_LONGEST * fps), fps, 0.5, self._random, 6)
        self._face = _Follower(len(names))
        self._head = _Follower(2)
        self._eyes = _Follower(2)
        self._asked = ""
        self._since = 0.0
        self._intent = _Intent({})
        self._viseme: tuple[float, Mapping[str, float]] = (0.0, {})  # its end, weights
        self._blink = 1.5  # seconds of the next one
        self.following = ""

    def step(self, frame: int, request: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights [E], rotations [J,3] and the head's position [3] of a frame, while `request` is asked for."""
        time = frame / self._fps
        if request != self._asked:
            self._asked = request
            self._since = time
        # Until they react, people go on with what they were doing.
        if time - self._since >= REACTION:
            refuses = request in REFUSED.get(self._role.fault or "", ())
            self.following = "" if refuses else request
            self._intent = self._intent_of(self.following, time - self._since - REACTION)
        intent = self._intent
        talks = intent.speech or self._role.shows("talks", time)
        weights = dict(intent.weights)
        if talks:
            for stem, weight in self._said(time).items():
                weights[stem] = max(weights.get(stem, 0.0), weight)
        face = self._weights(weights)
        seconds = np.full(len(face), _SPEECH_SECONDS if talks else _FACE_SECONDS)
        expression = np.clip(self._face.step(face, self._mix(seconds)), 0, 1)
        sway = self._sway[frame]
        turn = self._head.step(np.array(intent.turn), self._mix(_HEAD_SECONDS)) + sway[:2] * [1.2, 0.9]
        # The eyes stay on the camera while the head turns.
        gaze = self._eyes.step(np.array(intent.gaze), self._mix(_FACE_SECONDS)) - 0.75 * turn
        self._look(expression, gaze)
        if not any("Blink" in stem for stem in intent.weights):
            self._add_blink(expression, time)
        joints = np.zeros((len(JOINT_NAMES), 3))
        angles = np.radians([-turn[1], turn[0], 0.7 * sway[2]])
        joints[ROOT], joints[NECK] = 0.15 * angles, 0.85 * angles
        return expression.astype(np.float32), joints.astype(np.float32), sway[3:] * [0.004, 0.002, 0.006]

    def _mix(self, seconds: np.ndarray | float) -> np.ndarray | float:
        return 1 - np.exp(-1 / (self._fps * seconds))

    def _intent_of(self, request: str, since: float) -> _Intent:
        """What somebody does who has followed a request for `since` seconds."""
        if request == "blinking":
            closed = since < 0.2 or 0.6 < since < 0.8 or since > 1.2
            return _Intent({"eyeBlink": float(closed)})
        if request == "gaze":
            return _Intent({}, gaze=_GLANCES[int(since / 0.8) % 4])
        if request == "circle":
            angle = 2 * math.pi * since / 6
            return _Intent({}, (33 * math.cos(angle), 17 * math.sin(angle)))
        if request == "laugh":
            shaken = 0.35 + 0.1 * math.sin(2 * math.pi * 4 * since)
            return _Intent({**_FACES["smile"], "jawOpen": shaken})
        if request == "freely":
            return _Intent({}, (12 * math.sin(since), 5 * math.sin(1.7 * since)), speech=True)
        return _Intent(_FACES.get(request, {}), _TURNS.get(request, (0.0, 0.0)), speech=request == "speech")

    def _said(self, time: float) -> Mapping[str, float]:
        """The weights of the sound that is spoken."""
        if time >= self._viseme[0]:
            sound = VISEMES[self._random.integers(len(VISEMES))]
            self._viseme = time + self._random.uniform(0.09, 0.18), sound
        return self._viseme[1]

    def _weights(self, stems: Mapping[str, float]) -> np.ndarray:
        weights = np.zeros(len(self._columns))
        for stem, weight in stems.items():
            for name in [stem] if stem in self._columns else [f"{stem}Left", f"{stem}Right"]:
                weights[self._columns[name]] = weight
        return weights

    def _look(self, expression: np.ndarray, gaze: np.ndarray) -> None:
        """Add the weights of a gaze in degrees to the person's left and up."""
        left, up = np.clip(gaze / _EYE_RANGE, -1, 1)
        for side, outward in (("Left", 1.0), ("Right", -1.0)):
            away = outward * left - _VERGENCE / _EYE_RANGE
            expression[self._columns[f"eyeLookOut{side}"]] = max(away, 0)
            expression[self._columns[f"eyeLookIn{side}"]] = max(-away, 0)
            expression[self._columns[f"eyeLookUp{side}"]] = max(up, 0)
            expression[self._columns[f"eyeLookDown{side}"]] = max(-up, 0)

    def _add_blink(self, expression: np.ndarray, time: float) -> None:
        since = time - self._blink
        if since > 0.3:
            self._blink = time + self._random.uniform(2, 4.5)
        closed = min(max((since + 0.1) / 0.09, 0), max((0.22 - since) / 0.19, 0), 1)
        for side in ("Left", "Right"):
            column = self._columns[f"eyeBlink{side}"]
            expression[column] = max(expression[column], closed)


class Actor:
    """A camera before a drawn person."""

    def __init__(
        self, hear: Callable[[], str], role: Role | None = None, size: tuple[int, int] = (640, 480), fps: float = 15.0
    ) -> None:
        """
        Args:
            hear: the present request's key; called before each frame.
            role: the person and the fault.
            size: width and height of the frames, pixels.
            fps: frames per second.
        """
        self._hear = hear
        self._role = role or Role()
        self._size = size
        self._fps = fps
        self.name = self._role.person
        self.acted: list[Acted] = []

    def open(self) -> Lens:
        """Paint the person."""
        role = self._role
        width, height = self._size
        focal = _FOCAL * width
        intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)
        self._view = View(intrinsics, np.array(FACING_CAMERA, np.float32), width, height)
        self._phone = Phone(width, height, _NOISE, role.seed)
        self._person = Person(APPEARANCES[role.person])
        self._body = Body(self._person.head.expression_names, role, self._fps)
        self._renderers: dict[str, Renderer] = {}
        return Lens(width, height)

    def frames(self) -> Iterator[LiveFrame]:
        """Frames of what the person does."""
        for number in range(round(_LONGEST * self._fps)):
            time = number / self._fps
            yield LiveFrame(number, time, self._frame(number, self._hear()), time)

    def close(self) -> None:
        """Nothing to close."""

    def _frame(self, number: int, request: str) -> np.ndarray:
        role = self._role
        time = number / self._fps
        weights, joints, sway = self._body.step(number, request)
        self.acted.append(Acted(time, self._body.following, role.fault is not None and role.shows(role.fault, time)))
        x, y, z = np.array(_POSITION) + sway
        x += self._aside(time) + 0.19 * role.shows("edge", time)
        z = z * 0.5 if role.shows("near", time) else z * 2.6 if role.shows("far", time) else z
        image = self._render(role.person, weights, joints, (x, y, z))
        if role.shows("second", time):
            other = next(name for name in APPEARANCES if name != role.person)
            beside = self._render(other, 0 * weights, 0 * joints, (0.2, 0.0, -0.58))
            behind = 1 - image.alpha[..., None]
            image = Image(image.rgb + behind * beside.rgb, image.alpha + behind[..., 0] * beside.alpha)
        return self._spoil(self._phone.expose(image, (0.0, 0.0), 1.0, number), time)

    def _aside(self, time: float) -> float:
        """Meters by which somebody who leaves is beside the camera's view."""
        if self._role.fault != "leaves":
            return 0.0
        return max(min(0.6, 1.5 * (time - start), 1.5 * (end - time)) if start < time < end else 0.0
                   for start, end in self._role.times)  # fmt: skip

    def _render(
        self, name: str, weights: np.ndarray, joints: np.ndarray, position: tuple[float, float, float]
    ) -> Image:
        if name not in self._renderers:
            person = self._person if name == self._role.person else Person(APPEARANCES[name])
            self._renderers[name] = Renderer(APPEARANCES[name], person, self._role.seed, _DETAIL)
        renderer = self._renderers[name]
        person = renderer.person
        params = HeadParams(
            person.identity,
            torch.from_numpy(weights)[None],
            torch.from_numpy(joints)[None],
            torch.tensor([position], dtype=torch.float32),
        )
        rotations, offsets = person.transforms(params)
        return renderer.render(Pose(weights, rotations[0], offsets[0]), [self._view])[0]

    def _spoil(self, rgb: np.ndarray, time: float) -> np.ndarray:
        """The frame with the faults of light and lens."""
        role = self._role
        if role.shows("dark", time):
            return (rgb * 0.14 + 0.5).astype(np.uint8)
        if role.shows("overexposed", time):
            return np.clip(rgb * 2.2, 0, 255).astype(np.uint8)
        if role.shows("half-lit", time):
            across = np.linspace(0, 1, rgb.shape[1])
            return (rgb * np.interp(across, (0.46, 0.54), (1.0, 0.3))[:, None]).astype(np.uint8)
        if role.shows("blurred", time):
            return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.006 * rgb.shape[1]), np.uint8)
        return rgb
