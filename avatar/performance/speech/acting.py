"""Acting: blinks, gaze, brows and head motion of a speaking face, random by a seed and smooth.

Every event is a minimum-jerk step or pulse (Flash and Hogan 1985), so all curves have a continuous slope and
acceleration. Each kind of event has random numbers of its own, so that a change of one does not change the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.performance.speech.gaze import gaze_weights, saccades
from avatar.performance.speech.gestures import Array
from avatar.performance.speech.phones import SILENCE, Speech
from avatar.performance.speech.prominence import Accent, accents, speaking_at
from avatar.performance.speech.pulses import add_pulse
from avatar.performance.speech.style import SpeakingStyle

#: Blinks: the lids close in this part of a blink, stay closed, and open in the rest, about twice as slowly (Evinger,
#: Manning, Sibony 1991; Trutoiu, Carter, Matthews, Hodgins 2011).
_CLOSE = 0.27
_SHUT = 0.07
#: Intervals between blinks are skewed: log-normal, standard deviation of the logarithm (Bentivoglio et al. 1997).
_SKEW = 0.55
_SHORTEST_INTERVAL = 0.6
#: Probability that the end of a phrase draws the next blink, and the seconds in which it does (Nakano, Kitazawa 2010).
_AT_PHRASE_END = 0.6
_DRAWN_WITHIN = 1.5
_PAUSE = 0.15  # seconds from which on a silence ends a phrase
#: Part of the blinks that stay incomplete, and how far they close (Doane 1980).
_INCOMPLETE = 0.1
_PARTLY = (0.55, 0.8)
#: Squint of the lower lid in a full blink.
_SQUINT = 0.12
#: Brows rise with some accents, before the vowel (Cave et al. 1996: 71 % of raises come with a rise of pitch).
_BROW_WITH_ACCENT = 0.45
_BROW_SIZE = (0.12, 0.32)
#: Seconds before the middle of the vowel at which a raise starts, and in which it rises and falls.
_BROW_LEAD = 0.22
_BROW_RISE = 0.20
_BROW_FALL = 0.45
#: Nods on accents: degrees of pitch (Hadar, Steiner, Grant, Rose 1983; Graf, Cosatto, Strom, Huang 2002).
_NOD_WITH_ACCENT = 0.7
_NOD_DEGREES = (1.0, 2.6)
_NOD_LEAD = 0.15
_NOD_RISE = 0.17
_NOD_FALL = 0.38
#: Part of the slow motion that remains in pauses, and limits of the head's rotation in degrees: far within its range.
_IN_PAUSES = 0.35
HEAD_LIMIT = (8.0, 10.0, 6.0)
#: Sinusoids of the slow motion of one axis, and the range of their frequencies in relation to the mean.
_SINUSOIDS = 5
_FREQUENCIES = (0.35, 1.8)


@dataclass(frozen=True)
class Acting:
    """How strongly a face acts, and with which random numbers."""

    seed: int
    amount: float  # factor of gaze, brows and head
    style: SpeakingStyle


@dataclass(frozen=True, eq=False)
class Performance:
    """T frames of acting."""

    weights: dict[str, Array]  # ARKit name -> [T], 0..1; none of jaw, mouth and tongue
    head: Array  # [T,3] axis-angle radians of the head


def acted(speech: Speech, times: Array, acting: Acting) -> Performance:
    """Blinks, gaze, brows and head motion at `times` [T] seconds, evenly spaced."""
    streams = [np.random.default_rng(stream) for stream in np.random.SeedSequence(acting.seed).spawn(4)]
    marks = accents(speech)
    head = _head(speech, times, marks, acting, streams[0])
    blink = _blinks(speech, times, acting.style, streams[1])
    weights = {f"{name}{side}": values for side in ("Left", "Right") for name, values in blink.items()}
    weights |= gaze_weights(acting.amount * saccades(speech, times, streams[2]), head)
    weights |= _brows(times, marks, acting, streams[3])
    return Performance({name: values.clip(0, 1) for name, values in weights.items()}, np.deg2rad(head))


def _blinks(speech: Speech, times: Array, style: SpeakingStyle, random: np.random.Generator) -> dict[str, Array]:
    """Weights [T] of both lids by name without the side."""
    blink = np.zeros(len(times))
    for start in _blink_times(speech, style, random):
        partly = random.random() < _INCOMPLETE
        depth = random.uniform(*_PARTLY) if partly else 1.0
        length = style.blink_seconds * random.uniform(0.85, 1.15)
        close = _CLOSE * length
        shut = _SHUT * length
        add_pulse(blink, times, start, (close, shut, length - close - shut), depth)
    return {"eyeBlink": blink, "eyeSquint": _SQUINT * blink}


def _blink_times(speech: Speech, style: SpeakingStyle, random: np.random.Generator) -> list[float]:
    """Starts of the blinks in seconds."""
    pauses = (phone for phone in speech.phones if phone.name == SILENCE and phone.end - phone.start > _PAUSE)
    ends = np.array([pause.start for pause in pauses])
    mean = 60 / style.blink_rate
    found: list[float] = []
    time = float(random.uniform(0.2, mean))
    while time < speech.seconds:
        near = ends[np.abs(ends - time) < _DRAWN_WITHIN]
        if len(near) and random.random() < _AT_PHRASE_END:
            time = float(near[np.abs(near - time).argmin()] + random.uniform(-0.05, 0.15))
        if time >= 0 and (not found or time - found[-1] >= _SHORTEST_INTERVAL):
            found.append(time)
        step = mean * float(np.exp(random.normal(-(_SKEW**2) / 2, _SKEW)))
        time = max(time, found[-1] if found else 0.0) + max(step, _SHORTEST_INTERVAL)
    return found


def _brows(times: Array, marks: list[Accent], acting: Acting, random: np.random.Generator) -> dict[str, Array]:
    raised = np.zeros(len(times))
    outer = np.zeros(len(times))
    for mark in marks:
        chance = random.random()
        part = random.random()
        skew = random.uniform(0.5, 0.9)
        if chance < _BROW_WITH_ACCENT * (0.4 + mark.strength):
            size = acting.amount * acting.style.brows * (_BROW_SIZE[0] + part * mark.strength * np.ptp(_BROW_SIZE))
            span = _BROW_RISE, 0.04, _BROW_FALL
            add_pulse(raised, times, mark.time - _BROW_LEAD, span, size)
            add_pulse(outer, times, mark.time - _BROW_LEAD, span, size * skew)
    raised = _bounded(raised, 0.8)
    outer = _bounded(outer, 0.8)
    return {"browInnerUp": raised, "browOuterUpLeft": outer, "browOuterUpRight": outer}


def _head(speech: Speech, times: Array, marks: list[Accent], acting: Acting, random: np.random.Generator) -> Array:
    """Rotation of the head [T,3] in degrees about x (down), y (to its left) and z."""
    style = acting.style
    activity = _IN_PAUSES + (1 - _IN_PAUSES) * speaking_at(speech, times)
    mean_frequency = style.head_speed / (2 * np.pi * max(float(np.linalg.norm(style.head_degrees)), 0.1))
    low, high = _FREQUENCIES
    head = np.zeros((len(times), 3))
    for axis, degrees in enumerate(style.head_degrees):
        frequencies = mean_frequency * np.exp(random.uniform(math.log(low), math.log(high), _SINUSOIDS))
        sizes = random.uniform(0.5, 1, _SINUSOIDS) / np.sqrt(frequencies)
        sizes *= degrees * np.sqrt(2) / np.linalg.norm(sizes)
        phases = random.uniform(0, 2 * np.pi, _SINUSOIDS)
        for frequency, size, phase in zip(frequencies, sizes, phases, strict=True):
            head[:, axis] += size * np.sin(2 * np.pi * frequency * times + phase)
    head *= activity[:, None]
    for mark in marks:
        chance = random.random()
        part = random.random()
        yaw = random.normal(0, 0.35)
        if chance < _NOD_WITH_ACCENT * (0.5 + mark.strength / 2):
            size = mark.strength * (_NOD_DEGREES[0] + part * np.ptp(_NOD_DEGREES))
            for axis, degrees in ((0, size), (1, size * yaw)):
                add_pulse(head[:, axis], times, mark.time - _NOD_LEAD, (_NOD_RISE, 0.0, _NOD_FALL), degrees)
    head = np.array(style.head_mean) + acting.amount * head
    return np.stack([_bounded(head[:, axis], limit) for axis, limit in enumerate(HEAD_LIMIT)], 1)


def _bounded(values: Array, limit: float) -> Array:
    """`values` within -limit..limit, smoothly."""
    return np.asarray(limit * np.tanh(values / limit))
