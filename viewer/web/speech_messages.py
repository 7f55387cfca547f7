"""Messages of `headsplat serve`, version VERSION of the protocol that docs/guides/serve.md specifies."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.performance.speech.pcm import pcm16, samples16
from avatar.performance.speech.stream import SpeechStream
from avatar.types import HeadParams

VERSION = 1
#: Frames in a message to a viewer.
BUNDLE = 2
#: Characters of text in a segment.
MOST_TEXT = 8000
_HEADER = struct.Struct("<IHH")
_NUMBER = (int, float)


class ProtocolError(HeadsplatError):
    """A message that the protocol does not have."""


class AgentMessages:
    """Calls a stream by the messages of one agent."""

    def __init__(self, stream: SpeechStream) -> None:
        """Args: the stream."""
        self._stream = stream
        self._rate: float | None = None
        self._text = (-1, 0)  # segment, characters of it
        #: Of each type: the function, and its arguments with their types.
        self._types: dict[str, tuple[Callable[..., str | None], dict[str, Any]]] = {
            "start": (self._start, {"rate": _NUMBER}),
            "text": (self._push_text, {"text": str}),
            "emotion": (self._set_emotion, {"name": (str, dict), "amount": _NUMBER, "seconds": _NUMBER}),
            "heard": (self._push_heard, {"rate": _NUMBER, "sound": str}),
            "end": (lambda: stream.end_segment(), {}),
            "interrupt": (lambda: stream.interrupt(), {}),
            "state": (self._state, {}),
        }

    def receive(self, message: str | bytes) -> str | None:
        """Take a message; returns the answer to it, if any.

        Raises:
            ProtocolError: the protocol has no such message.
            HeadsplatError: the stream refuses what it says.
        """
        if isinstance(message, bytes):
            if self._rate is None:
                raise ProtocolError('sound before the message {"type":"start","rate":...}')
            self._stream.push_audio(_samples(message), self._rate)
            return None
        entries = _parsed(message)
        kind = entries.pop("type", None)
        if not isinstance(kind, str) or kind not in self._types:
            raise ProtocolError(f"unknown type; there are {', '.join(self._types)}")
        function, arguments = self._types[kind]
        for name, value in entries.items():
            if name not in arguments:
                raise ProtocolError(f"{kind}: unknown key; there are {', '.join(arguments) or 'none'}")
            if isinstance(value, bool) or not isinstance(value, arguments[name]):
                raise ProtocolError(f"{kind}: {name} is of another type")
        try:
            return function(**entries)
        except TypeError as error:  # a missing argument: types and names are checked
            raise ProtocolError(f"{kind}: expected {', '.join(arguments)}") from error

    def _start(self, rate: float) -> None:
        if not 8000 <= rate <= 48000:
            raise HeadsplatError(f"start: a rate of {rate:g}, expected 8000 to 48000")
        self._rate = rate

    def _push_text(self, text: str) -> None:
        segment = self._stream.segment
        count = len(text) + (self._text[1] if self._text[0] == segment else 0)
        if count > MOST_TEXT:
            raise HeadsplatError(f"text: more than {MOST_TEXT} characters in one segment; end it first")
        self._stream.push_text(text)
        self._text = segment, count

    def _set_emotion(self, name: str | dict[str, Any], amount: float = 1.0, seconds: float = 0.4) -> None:
        if isinstance(name, dict) and not all(type(value) in _NUMBER for value in name.values()):
            raise ProtocolError("emotion: weights are numbers")
        if not 0 <= seconds <= 60:
            raise HeadsplatError(f"emotion: {seconds:g} seconds, expected 0 to 60")
        self._stream.emotion(name, amount, seconds)

    def _push_heard(self, rate: float, sound: str) -> None:
        if not 8000 <= rate <= 48000:
            raise HeadsplatError(f"heard: a rate of {rate:g}, expected 8000 to 48000")
        try:
            samples = _samples(base64.b64decode(sound, validate=True))
        except ValueError as error:
            raise ProtocolError("heard: the sound is not base64") from error
        self._stream.push_heard(samples, rate)

    def _state(self) -> str:
        stream = self._stream
        state = {"time": stream.time, "waiting": stream.waiting, "delay": stream.delay, "segment": stream.segment}
        return event("state", **{name: round(value, 4) for name, value in state.items()})


def event(kind: str, **entries: object) -> str:
    """A text message of the server."""
    return json.dumps({"type": kind, **entries}, separators=(",", ":"))


def bundle(number: int, poses: Sequence[NDArray[np.float32]], sound: NDArray[np.float32]) -> bytes:
    """A message of frames for viewers.

    Args:
        number: of the first frame.
        poses: of each frame, as by `pose_values`.
        sound: [n] -1..1, of all of them.
    """
    header = _HEADER.pack(number & 0xFFFFFFFF, len(poses), len(poses[0]))
    return header + np.stack(poses).astype("<f4").tobytes() + pcm16(sound)


def read_bundle(message: bytes) -> tuple[int, NDArray[np.float32], NDArray[np.int16]]:
    """The first number, poses [frames,E+18] and samples [n] of a message of frames.

    Raises:
        HeadsplatError: it is no such message.
    """
    if len(message) < _HEADER.size:
        raise HeadsplatError(f"a message of frames has {len(message)} bytes, expected at least {_HEADER.size}")
    number, frames, length = _HEADER.unpack_from(message)
    end = _HEADER.size + 4 * frames * length
    if len(message) < end:
        raise HeadsplatError(f"a message of frames has {len(message)} bytes, expected at least {end}")
    poses = np.frombuffer(message[_HEADER.size : end], "<f4").reshape(frames, length)
    return number, poses, _samples(message[end:])


def pose_values(params: HeadParams) -> NDArray[np.float32]:
    """[E+18] of a frame: expression [E], joint rotations [5,3] axis-angle radians, translation [3] meters."""
    parts = params.expression[0], params.joint_rot[0].flatten(), params.translation[0]
    return np.concatenate([part.numpy() for part in parts]).astype(np.float32)


def _samples(data: bytes) -> NDArray[np.int16]:
    if len(data) % 2:
        raise ProtocolError("sound of 16-bit samples has an even number of bytes")
    return samples16(data, 1)[:, 0]


def _parsed(text: str) -> dict[str, Any]:
    def refuse(name: str) -> object:
        raise ValueError(name)

    try:
        found = json.loads(text, parse_constant=refuse)
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a text message is one JSON object") from error
    return found
