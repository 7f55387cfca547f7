"""Asks for what a recording does not show yet: the state of each frame in, advice out, without a camera or a clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from capture.coach.face_state import FaceState
from capture.coach.requests import (
    FREELY,
    REQUESTS,
    REST,
    SECTOR_SECONDS,
    SECTORS,
    SOFT_AT_TIMES,
    WARNINGS,
    Fault,
    Reading,
    Request,
    sentence,
)

#: Seconds with a face that a recording takes, and seconds after which it ends in any case.
SHORTEST = 25.0
LONGEST = 60.0
_PATIENCE = 120.0
#: Seconds of a frame at most: after a gap nothing is known of what happened in it.
_MOST_SECONDS = 0.2
#: Times that something is asked for at most; a second time only with this gain.
_TRIES = 2
_GAIN_OF_A_SECOND_TRY = 2.0
#: Seconds that a fault is shown before the warning (twice as long as it then takes to disappear).
_FAULTY = 0.6
_FAULT_GONE = 0.2
#: Seconds of a face at rest, and how much weights (the 10th to the 90th percentile) and degrees change in it at most.
_REST_SECONDS = 0.8
_REST_WEIGHT = 0.2
_REST_JAW = 0.08
_REST_DEGREES = 4.0
#: Seconds that a face at rest is asked for at most while a warning is shown: first the light, then the rest.
_SET_UP = 4.0
#: Degrees that the head of a person who looks at the camera may seem to be turned, and tilted, at most: a camera stands
#: low or high, and a track from one direction is off by 10 to 15 degrees in pitch.
_YAW_BIAS = 6.0
_PITCH_BIAS = 20.0
#: Percentile of the frames that the weights at rest are; of the jaw of a person who never rests.
_TYPICAL = 50.0
_LOW_JAW = 20.0
#: Change of the jaw's weight that counts as an opening or a closing in speech.
_SYLLABLE = 0.06
#: How much less sharp than the face at rest a frame that counts may be, where nothing is sharp.
_SOFTER = 0.06
_WORDS = {FREELY: "talk and move your head freely", "": "done, thank you; now the avatar is made"}
_PAUSED = "paused"

Status = Literal["open", "asked", "done", "given up"]


@dataclass(frozen=True)
class Item:
    """A request in the list."""

    key: str
    title: str
    share: float  # 0..1 of the evidence
    status: Status


@dataclass(frozen=True)
class Advice:
    """What to do now, and what was shown."""

    request: str  # key of the request; empty once the recording is finished
    words: str  # of the request, a sentence
    warning: str  # key of the warning; empty: none
    warning_words: str  # a sentence
    items: tuple[Item, ...]
    ring: tuple[float, ...]  # 0..1, how much of each of SECTORS was shown
    pointing: tuple[float, float]  # where the head points: to the person's left and up; 1: the ring
    share: float  # 0..1 of all that helps an avatar
    counts: bool  # whether the frame shows the face well enough to be used
    paused: bool
    finished: bool


@dataclass
class _Progress:
    """How far a request is."""

    shown: dict[str, float]  # evidence by part
    tries: int = 0

    def share(self, request: Request) -> float:
        """0..1 of the evidence."""
        return sum(min(amount / request.needed, 1.0) for amount in self.shown.values()) / len(self.shown)


@dataclass
class _Rest:
    """The face at rest."""

    seen: list[FaceState] = field(default_factory=list)
    window: deque[FaceState] = field(default_factory=deque)
    weights: dict[str, float] = field(default_factory=dict)
    yaw: float = 0.0
    pitch: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    known: bool = False

    def see(self, state: FaceState) -> bool:
        """Add a frame; whether the face has been at rest for long enough."""
        self.seen.append(state)
        self.window.append(state)
        while state.time - self.window[0].time > _REST_SECONDS + _MOST_SECONDS:
            self.window.popleft()
        if state.time - self.window[0].time < _REST_SECONDS:
            return False
        names = [name for name in state.expression if not name.startswith(("eyeBlink", "eyeLook"))]
        weights = np.array([[each.expression.get(name, 0.0) for name in names] for each in self.window])
        turns = np.array([(each.yaw, each.pitch) for each in self.window])
        spread = np.subtract(*np.percentile(weights, (90, 10), axis=0))
        most = np.where(np.array(names) == "jawOpen", _REST_JAW, _REST_WEIGHT)
        return bool((spread < most).all() and np.ptp(turns, axis=0).max() < _REST_DEGREES)

    def learn(self, states: list[FaceState], jaw: float) -> None:
        """Take the face at rest from these frames; `jaw`: percentile of the jaw's weight."""
        self.weights = {
            name: float(
                np.percentile(
                    [each.expression.get(name, 0.0) for each in states], jaw if name == "jawOpen" else _TYPICAL
                )
            )
            for name in states[-1].expression
        }
        medians = np.median([(each.yaw, each.pitch, *each.gaze, each.blur) for each in states], axis=0)
        yaw, pitch, *gaze, self.blur = (float(value) for value in medians)
        self.yaw = max(-_YAW_BIAS, min(yaw, _YAW_BIAS))
        self.pitch = max(-_PITCH_BIAS, min(pitch, _PITCH_BIAS))
        self.gaze = (gaze[0], gaze[1])
        self.known = True


class Coach:
    """Leads a person through a recording of 25 to 60 s."""

    def __init__(self) -> None:
        self._progress = {key: _Progress(dict.fromkeys(request.parts, 0.0)) for key, request in REQUESTS.items()}
        self._sectors = dict.fromkeys(SECTORS, 0.0)
        self._faults = dict.fromkeys(WARNINGS, 0.0)  # seconds
        self._rest = _Rest()
        self._warning: Fault | None = None
        self._asked = REST
        self._asked_for = 0.0  # seconds
        self._ended: list[str] = []  # requests that were done or given up, in their order
        self._last: FaceState | None = None
        self._seconds = 0.0  # with a face
        self._total = 0.0
        self._jaw = (0.0, False)  # last extreme of the jaw's weight, and whether it opens
        self._paused = False
        self._finished = False
        self._reading: Reading | None = None
        self._counts = False

    def shown(self) -> dict[str, Any]:
        """What was shown so far, as JSON values."""
        requests = {key: dict(progress.shown) for key, progress in self._progress.items()}
        return {"seconds": self._seconds, "sectors": dict(self._sectors), "requests": requests}

    def go_on(self, shown: Mapping[str, Any]) -> None:
        """Go on with a recording of which an earlier part has `shown` this; the face at rest is asked for again.

        Raises:
            KeyError, TypeError, ValueError: it is not what `shown` returns.
        """
        sectors = {sector: float(shown["sectors"][sector]) for sector in SECTORS}
        requests = {
            key: {part: float(shown["requests"][key][part]) for part in request.parts}
            for key, request in REQUESTS.items()
            if key != REST
        }
        self._seconds = min(float(shown["seconds"]), SHORTEST)
        self._sectors = sectors
        for key, amounts in requests.items():
            self._progress[key].shown = amounts

    def step(self, state: FaceState) -> Advice:
        """Advice after a frame; frames come in the order of time."""
        gap = 0.0 if self._last is None else max(state.time - self._last.time, 0.0)
        seconds = min(gap, _MOST_SECONDS)
        speed = self._speed(state)
        self._last = state
        if self._paused or self._finished:
            self._counts = False
            return self.advice()
        self._total += gap
        self._see_faults(state, seconds, speed)
        blocked = any(fault.blocks and fault.shown(state, speed) for fault in WARNINGS.values())
        is_lit = self._rest.known or self._warning is None
        self._counts = state.found and is_lit and not blocked and state.blur <= self._softest
        if state.measured and not blocked:
            self._seconds += seconds
            self._asked_for += seconds
            self._see(state, seconds)
        self._choose()
        return self.advice()

    def skip(self) -> None:
        """Give up what is asked for now, for good."""
        if self._asked in self._progress:
            self._progress[self._asked].tries = _TRIES
            self._choose()

    def repeat(self) -> None:
        """Ask once more for what was done or given up last."""
        if self._ended and not self._finished:
            self._ask(self._ended.pop())
            self._progress[self._asked] = _Progress(dict.fromkeys(REQUESTS[self._asked].parts, 0.0))

    def pause(self) -> None:
        """Pause, or go on."""
        self._paused = not self._paused

    def advice(self) -> Advice:
        """The present advice."""
        words = REQUESTS[self._asked].words if self._asked in REQUESTS else _WORDS[self._asked]
        warning = self._warning
        reading = self._reading
        gains = sum(request.gain for request in REQUESTS.values())
        shares = {key: self._share(key) for key in REQUESTS}
        return Advice(
            request=self._asked,
            words=sentence(_PAUSED if self._paused else words),
            warning="" if warning is None else warning.key,
            warning_words="" if warning is None else sentence(warning.words),
            items=tuple(Item(key, each.title, shares[key], self._status(key)) for key, each in REQUESTS.items()),
            ring=tuple(min(shown / SECTOR_SECONDS, 1.0) for shown in self._sectors.values()),
            pointing=(0.0, 0.0) if reading is None else reading.pointing,
            share=sum(request.gain * shares[key] for key, request in REQUESTS.items()) / gains,
            counts=self._counts,
            paused=self._paused,
            finished=self._finished,
        )

    @property
    def _softest(self) -> float:
        """Blur of a frame that counts, at most."""
        return max(SOFT_AT_TIMES, self._rest.blur + _SOFTER)

    def _speed(self, state: FaceState) -> float:
        """Degrees per second of the head."""
        last = self._last
        if last is None or not (state.found and last.found) or state.time <= last.time:
            return 0.0
        return math.hypot(state.yaw - last.yaw, state.pitch - last.pitch) / (state.time - last.time)

    def _see_faults(self, state: FaceState, seconds: float, speed: float) -> None:
        """Choose the warning: a fault is shown for some time before it appears, and is away before it disappears."""
        for key, fault in WARNINGS.items():
            applies = fault.shown(state, speed) and (state.found or fault.key == "no face")
            level = self._faults[key] + (seconds if applies else -2 * seconds)
            self._faults[key] = min(max(level, 0.0), 1.5 * _FAULTY)
        found = [
            fault
            for key, fault in WARNINGS.items()
            if self._faults[key] >= (_FAULT_GONE if fault is self._warning else _FAULTY)
        ]
        self._warning = found[0] if found else None

    def _see(self, state: FaceState, seconds: float) -> None:
        """Add what a frame of a face shows."""
        at_rest = self._share(REST) < 1 and self._rests(state)
        if not self._rest.known:
            return
        reading = self._read(state)
        self._reading = replace(reading, at_rest=at_rest, syllables=self._syllables(reading.of("jawOpen")))
        if not self._counts:
            return
        if reading.sector:
            self._sectors[reading.sector] += seconds
        for key, request in REQUESTS.items():
            shown = self._progress[key].shown
            evidence = request.evidence(self._reading, seconds)
            for part, amount in shown.items():
                if part in evidence:
                    shown[part] += evidence[part]
                elif request.held and amount < request.needed:
                    shown[part] = max(amount - 2 * seconds, 0.0)

    def _rests(self, state: FaceState) -> bool:
        """Whether the face has been at rest until this frame; it is learned then, or if it is not asked for longer."""
        rest = self._rest
        is_set_up = self._warning is None or self._asked != REST or self._asked_for > _SET_UP
        if rest.see(state) and is_set_up and (not rest.known or self._is_like_rest(state)):
            rest.learn(list(rest.window), _TYPICAL)
            return True
        if not rest.known and (self._asked != REST or self._asked_for > REQUESTS[REST].patience):
            rest.learn(rest.seen, _LOW_JAW)
        return False

    def _is_like_rest(self, state: FaceState) -> bool:
        """Whether a face that does not move may be the one at rest, by what was taken for it so far."""
        reading = self._read(state)
        return max(reading.of(name) for name in ("jawOpen", "mouthSmileLeft", "browInnerUp")) < _REST_WEIGHT

    def _read(self, state: FaceState) -> Reading:
        rest = self._rest
        weights = {name: value - rest.weights.get(name, 0.0) for name, value in state.expression.items()}
        gaze = state.gaze[0] - rest.gaze[0], state.gaze[1] - rest.gaze[1]
        return Reading(state, weights, state.yaw - rest.yaw, state.pitch - rest.pitch, gaze)

    def _syllables(self, jaw: float) -> int:
        """1 where the jaw, which was opening, closes; else 0."""
        extreme, opens = self._jaw
        if opens:
            closes = jaw < extreme - _SYLLABLE
            self._jaw = (jaw, False) if closes else (max(extreme, jaw), True)
            return int(closes)
        self._jaw = (jaw, True) if jaw > extreme + _SYLLABLE else (min(extreme, jaw), False)
        return 0

    def _share(self, key: str) -> float:
        return self._progress[key].share(REQUESTS[key])

    def _status(self, key: str) -> Status:
        if self._share(key) >= 1:
            return "done"
        if key == self._asked:
            return "asked"
        return "given up" if self._progress[key].tries else "open"

    def _choose(self) -> None:
        """Go on to what helps most once the present request is done or given up, and end once nothing would help."""
        asked = self._asked
        if asked in REQUESTS and self._share(asked) < 1:
            request = REQUESTS[asked]
            if self._progress[asked].tries < _TRIES and self._asked_for <= request.patience:
                self._end_if_over()
                return
            self._progress[asked].tries += 1
        if asked in REQUESTS:
            self._end(asked)
        for tries in range(_TRIES):
            left = {
                key: request.gain * (1 - self._share(key))
                for key, request in REQUESTS.items()
                if self._share(key) < 1
                and self._progress[key].tries == tries
                and (not tries or request.gain >= _GAIN_OF_A_SECOND_TRY)
            }
            if left:
                self._ask(max(left, key=lambda key: left[key]))
                self._end_if_over()
                return
        self._ask(FREELY)
        if self._seconds >= SHORTEST:
            self._finish()
        self._end_if_over()

    def _ask(self, key: str) -> None:
        self._asked = key
        self._asked_for = 0.0

    def _end(self, key: str) -> None:
        if key in self._ended:
            self._ended.remove(key)
        self._ended.append(key)

    def _end_if_over(self) -> None:
        if self._seconds >= LONGEST or self._total >= _PATIENCE:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        self._asked = ""
