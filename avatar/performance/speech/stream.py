"""A face for a voice that arrives in pieces, of an agent for example: frames of a face in step with its sound.

All sound goes through a queue into a window of constant length that is heard and not yet played: what the recognizer
hears ahead. Each frame takes a frame's length of sound out of the queue, or silence where there is none, and gives the
sound that leaves the window, with the face of its first moment. So sound and lips cannot drift apart, and what comes
out depends on the calls and the seed alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.driving.driver import Driver
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.files.names import ARKIT
from avatar.motion.presets import FacePreset
from avatar.performance.mixing.mouth import mouth_model
from avatar.performance.mixing.presets import known_names, preset_named
from avatar.performance.mixing.regions import NAMES
from avatar.performance.speech.live import LATENCY, LiveListener, Resampler, mono
from avatar.performance.speech.live_mouth import LiveMouth
from avatar.performance.speech.pulses import minimum_jerk
from avatar.performance.speech.stream_acting import StreamActing
from avatar.performance.speech.text_follower import TextFollower
from avatar.types import JOINT_NAMES, ROOT, HeadParams, Motion

Floats = NDArray[np.float32]

#: Seconds by which the mouth of a moment is ahead of its sound: `LiveMouth` follows the phones so much later.
ADVANCE = 0.02
#: Seconds of the recognizer's step, and what its resampler lags.
_HEARING = 0.012
#: Seconds in which an interrupted mouth rests, and in which its sound ends.
SETTLE = 0.13
_FADE = 0.005
_HELD_BACK = 0.002
#: Seconds after a push after which less than a frame of sound is played although its segment has not ended.
_PATIENCE = 0.05
#: Seconds of sound that may wait.
MOST_WAITING = 600.0
#: Samples of a piece that waits: shorter ones are joined.
_LEAST_PIECE = 4096
#: Seconds up to which an asynchronous reader that is late catches up.
_MOST_LATE = 0.5
#: Expressions of an emotion that speech replaces: it opens and rounds the mouth itself.
_OPENS = np.array([name.startswith(("jaw", "mouthFunnel", "mouthPucker", "mouthLowerDown")) for name in ARKIT_52])


@dataclass(frozen=True, eq=False)
class SpokenFrame:
    """A frame of a face, and the sound to play with it."""

    number: int  # the frame is at `number / fps` seconds of the stream
    weights: Floats  # [52] of ARKIT_52
    head: Floats  # [3] axis-angle radians
    translation: Floats  # [3] meters
    sound: Floats  # [n] -1..1, mono, `rate` a second; silence where nobody speaks
    segment: int | None  # whose sound it is; None: silence
    ended: tuple[int, ...]  # segments whose last sound is in this frame, or that were interrupted before it
    interrupted: bool  # whether the latter


class SpeechDriver:
    """Moves an avatar by the frames of a stream; zero weights are its resting face with closed lips."""

    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar."""
        nothing = torch.zeros(1, len(ARKIT_52)), torch.zeros(1, len(JOINT_NAMES), 3), torch.zeros(1, 3)
        still = Motion(torch.zeros(1), ARKIT_52, nothing[0], ARKIT, *nothing[1:], resting="zero")
        self._driver = Driver.for_motion(avatar, still)

    @torch.no_grad()
    def __call__(self, frame: SpokenFrame) -> HeadParams:
        """Head parameters of the avatar, one frame."""
        joint_rot = torch.zeros(1, len(JOINT_NAMES), 3)
        joint_rot[0, ROOT] = torch.from_numpy(frame.head)
        weights, translation = torch.from_numpy(frame.weights), torch.from_numpy(frame.translation)
        return self._driver(weights[None], joint_rot, translation[None])


@dataclass(frozen=True, eq=False)
class _Piece:
    """Sound of one segment, or silence."""

    sound: Floats
    segment: int | None = None
    last: bool = False  # the segment ends with it

    def split(self, count: int) -> tuple[_Piece, _Piece]:
        """The first `count` samples, and the rest."""
        return replace(self, sound=self.sound[:count], last=False), replace(self, sound=self.sound[count:])


@dataclass(frozen=True, eq=False)
class _Face:
    """What is heard in a hundredth of a second."""

    time: float  # seconds of the stream
    mouth: Floats  # [52]
    shut: float  # 0..1: the lips must meet
    speaks: float  # 0..1


@dataclass(frozen=True, eq=False)
class _Fade:
    """Weights that change smoothly."""

    after: Floats  # [52]
    before: Floats
    start: float  # seconds
    seconds: float

    def at(self, moment: float) -> Floats:
        """The weights at a time."""
        part = minimum_jerk(np.array((moment - self.start) / max(self.seconds, 1e-6)))
        return (self.before + np.float32(part) * (self.after - self.before)).astype(np.float32)


_STILL: Floats = np.zeros(len(ARKIT_52), np.float32)


class SpeechStream:
    """The face of a voice. Calls come from one thread, or one event loop.

    Iterating asynchronously gives frames at their time; `next_frame` gives the next one at once.
    """

    def __init__(
        self,
        *,
        fps: float = 60.0,
        rate: int = 24_000,
        seed: int = 0,
        acting: float = 1.0,
        presets: Sequence[FacePreset] = (),
    ) -> None:
        """
        Args:
            fps: frames per second, 10 to 120.
            rate: samples per second of the sound that is given back, 8,000 to 48,000; any rate may be pushed.
            seed: of blinks, gaze, brows and motion of the head.
            acting: their size, 0 to 1.5.
            presets: faces that `emotion` finds beside the built-in ones, as of `avatar.motion.presets.own_presets`.

        Raises:
            HeadsplatError: a value out of range.
        """
        for name, value, low, high in (("fps", fps, 10, 120), ("rate", rate, 8000, 48000), ("acting", acting, 0, 1.5)):
            if not low <= value <= high:
                raise HeadsplatError(f"speech stream: {name} of {value:g}, expected {low:g} to {high:g}")
        self.fps, self.rate = fps, rate
        self._mouth = LiveMouth()
        self._acting = StreamActing(seed, acting)
        self._presets = tuple(presets)
        self._emotion = _Fade(_STILL, _STILL, 0.0, 0.0)
        self._resampler: tuple[float, Resampler] | None = None  # of the rate that was pushed last
        self._queue: deque[_Piece] = deque()
        self._window = deque([_Piece(np.zeros(round(_window_seconds(fps) * rate), np.float32))])
        self._segment = 0  # that sound is pushed to
        self._open = False  # whether it has anything
        self._followers: dict[int, TextFollower] = {}
        self._number = self._taken = self._pushed = 0  # frames; samples; the frame of the last push
        self._ended: list[int] = []
        self._interrupted = False
        self._cut = np.zeros(0, np.float32)  # the sound that an interruption ends
        self._listen_anew()

    @property
    def time(self) -> float:
        """Seconds of the stream: of the next frame."""
        return self._number / self.fps

    @property
    def delay(self) -> float:
        """Seconds from pushing a sound to the frame that has it at most, where nothing waits before it."""
        return _window_seconds(self.fps) + 1 / self.fps

    @property
    def segment(self) -> int:
        """Number of the segment that sound is pushed to."""
        return self._segment

    @property
    def waiting(self) -> float:
        """Seconds of sound that wait."""
        return sum(len(piece.sound) for piece in self._queue) / self.rate

    def push_audio(self, samples: NDArray[np.floating] | NDArray[np.int16], rate: float) -> int:
        """Append sound of the voice.

        Args:
            samples: [n] of -1..1 or 16-bit integers, or [n,channels] of them, which are mixed.
            rate: samples per second.

        Returns:
            the number of its segment.

        Raises:
            HeadsplatError: a rate that no sound card has, or more than MOST_WAITING seconds wait.
        """
        if self._resampler is None or self._resampler[0] != rate:
            self._resampler = rate, Resampler(rate, self.rate)
        if self.waiting + len(samples) / rate > MOST_WAITING:
            raise HeadsplatError(f"speech stream: {MOST_WAITING:.0f} s of sound wait; push it as it is played")
        self._append(_Piece(self._resampler[1].push(mono(samples)), self._segment))
        return self._segment

    def push_text(self, text: str) -> int:
        """Append what the voice says in this segment, before its sound or while it comes: English, for better lips.

        Returns:
            the number of the segment.

        Raises:
            HeadsplatError: no words, or the dictionary is not installed.
        """
        follower = self._followers.get(self._segment) or TextFollower()
        follower.add(text)
        self._followers[self._segment] = follower
        return self._segment

    def push_heard(self, samples: NDArray[np.floating] | NDArray[np.int16], rate: float) -> None:
        """What the other side of the conversation says now: the face nods when a phrase of it has ended.

        Args: as of `push_audio`.
        """
        self._acting.hear(samples, rate, self.time)

    def emotion(self, name: str | Mapping[str, float], amount: float = 1.0, seconds: float = 0.4) -> None:
        """Change the expression under the speech.

        Args:
            name: of a preset, such as "smile", or ARKit weights by name. Of an own preset the expressions of ARKit
                count: the voice moves the head.
            amount: 0 to 1.5.
            seconds: in which it changes.

        Raises:
            HeadsplatError: an unknown name, or an amount out of range.
        """
        if isinstance(name, str):
            preset = preset_named(name, self._presets)
            if preset is None:
                raise HeadsplatError(f"speech stream: no emotion {name!r}; there are {known_names(self._presets)}")
            name = preset.arkit_weights if isinstance(preset, FacePreset) else preset.weights
        if unknown := sorted(set(name) - set(ARKIT_52)):
            raise HeadsplatError(f"speech stream: {unknown[0]!r} is no expression of ARKit")
        if not 0 <= amount <= 1.5:
            raise HeadsplatError(f"speech stream: an emotion of {amount:g}, expected 0 to 1.5")
        wanted = np.array([name.get(one, 0.0) for one in ARKIT_52], np.float32) * np.float32(amount)
        self._emotion = _Fade(wanted.clip(0, 1), self._emotion.at(self.time), self.time, seconds)

    def end_segment(self) -> None:
        """The voice has nothing more to say in this turn: what was pushed is played to its end."""
        if not self._open:
            return
        rest = np.zeros(0, np.float32)
        if self._resampler is not None:  # what it holds back, less than 2 ms
            rest = self._resampler[1].push(np.zeros(round(_HELD_BACK * self._resampler[0]), np.float32))
        self._append(_Piece(rest, self._segment, last=True))
        self._begin_segment()

    def interrupt(self) -> None:
        """Be silent now: what was not played is dropped, and the mouth rests within SETTLE seconds."""
        dropped = {piece.segment for piece in (*self._window, *self._queue) if piece.segment is not None}
        self._ended += sorted(dropped)
        self._interrupted = True
        self._cut = np.concatenate([piece.sound for piece in self._window])
        self._window = deque([_Piece(np.zeros_like(self._cut))])
        self._queue.clear()
        if self._open:
            self._begin_segment()
        self._followers.clear()
        left = self._spoken(self.time)
        self._listen_anew()
        self._leaving = _Fade(_STILL, left, self.time, SETTLE)

    def next_frame(self) -> SpokenFrame:
        """The next frame, at once."""
        moment = self.time
        count = round((self._number + 1) / self.fps * self.rate) - round(self._number / self.fps * self.rate)
        self._take(count)
        while self._faces and self._faces[0].time <= moment + ADVANCE:
            self._face = self._faces.popleft()
        weights, head, translation = self._posed(moment)
        sound, segment = self._play(count)
        ended = tuple(self._ended)
        frame = SpokenFrame(self._number, weights, head, translation, sound, segment, ended, self._interrupted)
        self._ended.clear()
        self._interrupted = False
        self._number += 1
        return frame

    async def __aiter__(self) -> AsyncIterator[SpokenFrame]:
        """Frames at their time, for ever; a reader that is late gets the next ones at once, half a second of them."""
        start = time.monotonic() - self.time
        while True:
            late = time.monotonic() - start - self.time
            if late > _MOST_LATE:
                start += late
            await asyncio.sleep(max(-late, 0.0))
            yield self.next_frame()

    def _append(self, piece: _Piece) -> None:
        before = self._queue[-1] if self._queue else None
        if before is not None and before.segment == piece.segment and len(before.sound) < _LEAST_PIECE:
            self._queue.pop()  # many tiny pieces would take time at every frame
            piece = replace(piece, sound=np.concatenate([before.sound, piece.sound]))
        self._queue.append(piece)
        self._open = True
        self._pushed = self._number

    def _begin_segment(self) -> None:
        self._segment += 1
        self._open = False
        self._resampler = None

    def _listen_anew(self) -> None:
        """Forget what was heard."""
        self._listener = LiveListener(self.rate)
        self._start = self._taken / self.rate  # seconds of the stream
        self._mouth.reset()
        self._faces: deque[_Face] = deque()
        self._face = _Face(self.time, _STILL, 0.0, 0.0)
        self._turns: deque[tuple[float, int | None]] = deque([(self._start, None)])  # from when on whose sound is heard
        self._leaving = _Fade(_STILL, _STILL, 0.0, 0.0)  # the mouth that an interruption leaves

    def _take(self, count: int) -> None:
        """Let `count` samples of the queue into the window, or silence where there are none."""
        pieces = []
        while self._queue and (count or (self._queue[0].last and not len(self._queue[0].sound))):
            if not self._is_ready(count):
                break
            piece = self._queue.popleft()
            if len(piece.sound) > count:
                piece, rest = piece.split(count)
                self._queue.appendleft(rest)
            count -= len(piece.sound)
            pieces.append(piece)
        for piece in (*pieces, _Piece(np.zeros(count, np.float32))):
            self._window.append(piece)
            if len(piece.sound):
                self._hear(piece)

    def _is_ready(self, count: int) -> bool:
        """Whether sound is taken: not the part of a frame while more is expected."""
        return (
            any(piece.last for piece in self._queue)
            or self.waiting * self.rate >= count
            or (self._number - self._pushed) / self.fps > _PATIENCE
        )

    def _hear(self, piece: _Piece) -> None:
        now = self._taken / self.rate
        if piece.segment != self._turns[-1][1]:
            self._turns.append((now, piece.segment))
        self._taken += len(piece.sound)
        for frame in self._listener.push(piece.sound):
            moment = self._start + frame.time
            while len(self._turns) > 1 and self._turns[1][0] <= moment:
                self._turns.popleft()
            segment = self._turns[0][1]
            follower = None if segment is None else self._followers.get(segment)
            known = frame.probabilities if follower is None else follower.update(frame.probabilities)
            mouth = self._mouth.update(known)
            speaks = self._acting.listen(frame, moment)
            self._faces.append(_Face(moment, mouth, self._mouth.shut, speaks))

    def _play(self, count: int) -> tuple[Floats, int | None]:
        """The next `count` samples out of the window, and the segment that most of them belong to, if any."""
        sound = []
        shares: Counter[int] = Counter()
        while count or (self._window and not len(self._window[0].sound)):
            piece = self._window.popleft()
            if len(piece.sound) > count:
                piece, rest = piece.split(count)
                self._window.appendleft(rest)
            count -= len(piece.sound)
            sound.append(piece.sound)
            if piece.segment is not None:
                shares[piece.segment] += len(piece.sound)
                if piece.last:
                    self._ended.append(piece.segment)
                    self._followers.pop(piece.segment, None)
        played = np.concatenate(sound)
        if len(self._cut):
            fading = min(round(_FADE * self.rate), len(played), len(self._cut))
            played[:fading] += self._cut[:fading] * np.linspace(1, 0, fading, dtype=np.float32)
            self._cut = np.zeros(0, np.float32)
        return played, shares.most_common(1)[0][0] if shares.total() else None

    def _spoken(self, moment: float) -> Floats:
        """Weights [52] of the mouth that speaks, or that has just been interrupted."""
        return np.maximum(self._face.mouth, self._leaving.at(moment))

    def _posed(self, moment: float) -> tuple[Floats, Floats, Floats]:
        """Weights [52], rotation [3] and translation [3] of the head: speech, emotion, acting."""
        spoken = self._spoken(moment)
        face = self._face
        emotion = self._emotion.at(moment)
        weights = spoken + emotion * np.where(_OPENS, 1 - face.speaks, 1.0).astype(np.float32)
        acted, head, translation = self._acting.at(moment, face.speaks)
        weights = np.maximum(weights, acted).clip(0, 1).astype(np.float32)
        if face.shut > 0 and emotion.any():
            weights += np.float32(face.shut) * (_closed(weights, spoken) - weights)
        return weights, head, translation


def _closed(weights: Floats, spoken: Floats) -> Floats:
    """`weights` [52] with the lip gap of those of the speech."""
    model = mouth_model()
    padded = np.zeros((2, len(NAMES)), np.float32)
    padded[:, : len(ARKIT_52)] = weights, spoken  # NAMES begins with these
    gaps = model.gap(padded)
    closed = model.with_gap(padded[:1], gaps.min(keepdims=True))
    return closed[0, : len(ARKIT_52)].astype(np.float32)


def _window_seconds(fps: float) -> float:
    """Length of the window: from a sound to the face that it moves, less what a frame takes in."""
    return max(ADVANCE + LATENCY + _HEARING - 1 / fps, 0.0)
