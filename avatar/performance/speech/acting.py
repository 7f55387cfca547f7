"""Acting: blinks, gaze, brows and head motion of a speaking face, random by a seed and smooth.

Every event is a minimum-jerk step or pulse (Flash and Hogan 1985), so all curves have a continuous slope and
acceleration. Each kind of event has random numbers of its own, so that a change of one does not change the others.

Gaze of a speaking face: fixations on the listener, small shifts, glances away, and the eyes' weights.

Prominence: the accented syllables of speech, and when somebody speaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.performance.speech.gestures import Array, mean_between
from avatar.performance.speech.phones import SILENCE, VOWELS, Speech
from avatar.performance.speech.pulses import add_pulse, minimum_jerk
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

#: Main sequence of saccades: seconds per degree and at 0 degrees (Bahill, Clark, Stark 1975; Carpenter 1988).
PER_DEGREE = 0.0022
AT_ZERO = 0.021
#: Fixations are log-normal: median seconds and standard deviation of the logarithm while the eyes are on the listener,
#: and median seconds of a glance away (Lee, Badler, Badler, Eyes Alive, 2002).
_FIXATION = 1.1
_SPREAD = 0.6
_AWAY = 0.6
_SHORTEST = 0.25
#: Probability of a glance away at a fixation's end, in a pause more often (Kendon 1967), its degrees right or left and
#: up or down; degrees between points on the listener's face.
_GLANCE = 0.1
_GLANCE_IN_PAUSE = 0.3
_GLANCE_DEGREES = ((4.0, 10.0), (-5.0, 4.0))
_ON_FACE = (1.3, 0.9)
#: Degrees of an eye at a weight of 1 of the embedded head's expressions: up, down, to the sides; and the limit.
UP = 22.0
DOWN = 26.0
SIDE = 28.0
#: Part of the head's rotation that the eyes compensate (vestibulo-ocular reflex).
_REFLEX = 0.9

#: Weights of stress, loudness and pitch in the prominence of a vowel (Terken 1991: pitch first; Kochanski, Grabe,
#: Coleman, Rosner 2005: loudness first; both here).
_STRESS = 0.5
_LOUDNESS = 0.5
_PITCH = 0.5
#: Seconds between two accents, and the prominence, in standard deviations, from which a vowel is one.
_APART = 0.45
_LEAST = 0.3
#: Seconds that smooth speech activity.
_ACTIVITY = 0.25


@dataclass(frozen=True)
class Accent:
    """An accented syllable."""

    time: float  # seconds, of the middle of its vowel
    strength: float  # 0..1


def accents(speech: Speech) -> list[Accent]:
    """The accented syllables: vowels that are stressed, loud or high, the strongest first within a short time."""
    vowels = [phone for phone in speech.phones if phone.name in VOWELS]
    if not vowels:
        return []
    score = _STRESS * np.array([1.0 if phone.stress == 1 else 0.0 for phone in vowels])
    score = score + _LOUDNESS * _normalized([mean_between(speech.loudness, p.start, p.end) for p in vowels])
    pitch = np.array([mean_between(speech.pitch, p.start, p.end, voiced=True) for p in vowels])
    score = score + _PITCH * _normalized(np.log2(np.maximum(pitch, 1.0)))
    score = _normalized(score)
    middles = np.array([(phone.start + phone.end) / 2 for phone in vowels])
    free = score >= _LEAST
    found: list[Accent] = []
    for row in np.argsort(-score, kind="stable"):
        if free[row]:
            found.append(Accent(float(middles[row]), float(np.clip(0.4 + 0.3 * score[row], 0, 1))))
            free[slice(*np.searchsorted(middles, (middles[row] - _APART, middles[row] + _APART)))] = False
    return sorted(found, key=lambda mark: mark.time)


def speaking_at(speech: Speech, times: Array) -> Array:
    """Speech activity [T], 0..1, smooth, at `times` [T] seconds: 1 within phrases, 0 in long pauses."""
    edges = [(phone.start, phone.end) for phone in speech.phones if phone.name == SILENCE and phone.end > phone.start]
    silent = np.zeros(len(times))
    for start, end in edges:
        length = end - start
        if length > 2 * _ACTIVITY:
            near = slice(*np.searchsorted(times, (start, end)))
            edge = np.minimum(times[near] - start, end - times[near]) / _ACTIVITY
            x = edge.clip(0, 1)
            silent[near] = x * x * (3 - 2 * x)
    return 1 - silent


def _normalized(values: list[float] | Array) -> Array:
    """Values in standard deviations from their mean; 0 for NaN."""
    found = np.asarray(values, np.float64)
    known = found[np.isfinite(found)]
    if not len(known) or known.std() < 1e-9:
        return np.zeros(len(found))
    return np.nan_to_num((found - known.mean()) / known.std())


def saccades(speech: Speech, times: Array, random: np.random.Generator) -> Array:
    """Direction of gaze from the listener [T,2] in degrees, down and to the person's left, at `times` [T] seconds."""
    starts, targets = _fixations(speech, random)
    row = np.searchsorted(starts, times, side="right") - 1
    before = targets[np.maximum(row - 1, 0)]
    after = targets[row]
    length = AT_ZERO + PER_DEGREE * np.linalg.norm(after - before, axis=1)
    part = minimum_jerk((times - starts[row]) / length)
    return before + (after - before) * part[:, None]


def _fixations(speech: Speech, random: np.random.Generator) -> tuple[Array, Array]:
    """Starts [n] in seconds of fixations, the first at 0, and their directions [n,2]."""
    pauses = np.array([(p.start, p.end) for p in speech.phones if p.name == SILENCE and p.end - p.start > 0.25])
    pauses = pauses.reshape(-1, 2)
    starts = [0.0]
    targets = [np.zeros(2)]
    time = 0.0
    away = False
    while True:
        median = _AWAY if away else _FIXATION
        time += max(median * float(np.exp(random.normal(0, _SPREAD))), _SHORTEST)
        if time >= speech.seconds:
            return np.array(starts), np.array(targets)
        paused = bool(((pauses[:, 0] - 0.3 <= time) & (time <= pauses[:, 1])).any())
        away = not away and random.random() < (_GLANCE_IN_PAUSE if paused else _GLANCE)
        side, down = (random.uniform(*span) for span in _GLANCE_DEGREES)
        near = random.normal(0, _ON_FACE[1]), random.normal(0, _ON_FACE[0])
        starts.append(time)
        targets.append(np.array([down, side * random.choice([-1, 1])] if away else np.clip(near, -2.5, 2.5)))


def gaze_weights(gaze: Array, head: Array) -> dict[str, Array]:
    """ARKit weights by name for eyes that look into a direction while the head turns; lids follow the weights.

    Args:
        gaze: [T,2] degrees from straight at the listener, down and to the person's left.
        head: [T,3] degrees of the head's rotation about x (down), y (to its left) and z.
    """
    down, left = (gaze - _REFLEX * head[:, :2]).T
    return {
        **{f"eyeLookDown{side}": (down / DOWN).clip(0, 1) for side in ("Left", "Right")},
        **{f"eyeLookUp{side}": (-down / UP).clip(0, 1) for side in ("Left", "Right")},
        "eyeLookOutLeft": (left / SIDE).clip(0, 1),
        "eyeLookInRight": (left / SIDE).clip(0, 1),
        "eyeLookInLeft": (-left / SIDE).clip(0, 1),
        "eyeLookOutRight": (-left / SIDE).clip(0, 1),
    }


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
