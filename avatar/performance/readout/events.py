"""Events of a take: what begins, peaks and ends, in action units, emotions, lids and the head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, peak_widths

from avatar.performance.readout.signals import moving_mean

Floats = NDArray[np.float64]

#: Shorter events of the face are micro-expressions (Ekman and Friesen: less than half a second).
MICRO_SECONDS = 0.5
#: A closure of the lids that is shorter is a blink.
BLINK_SECONDS = 0.5
LEAST_SECONDS = 0.08
#: Seconds that probabilities are averaged over, and pause within one face of an emotion.
_STEADY = 0.15
_PAUSE = 0.3
#: A peak stands out from what surrounds it by this part of its height; it begins and ends at this part of that.
_STANDS_OUT = 0.4
_FOOT = 0.75
_CLOSED = 0.5  # weights of a lid: closed, and open beside a wink
_WINK_OPEN = 0.4
#: Gestures: degrees of a swing, seconds between two swings; degrees of a tilt with hysteresis, seconds.
_SWING = 2.0
_BETWEEN = 0.7
_TILT = 8.0
_TILT_LEFT = 5.0
_TILT_SECONDS = 0.4
_POSE_TREND = 1.2  # seconds: slower head motion is a turn, not a gesture


@dataclass(frozen=True)
class Event:
    """Something with a beginning, a peak and an end."""

    kind: str  # unit, emotion, blink, wink, closure, nod, shake or tilt
    name: str  # AU12, happiness, left ...
    onset: float  # seconds
    apex: float  # seconds
    offset: float  # seconds
    peak: float  # intensity, probability, weight or degrees
    micro: bool = False  # a face shorter than MICRO_SECONDS
    side: str = ""  # left or right, where one side is clearly stronger
    count: int = 1  # of the swings of a gesture
    note: str = ""
    frame: int = field(default=0, compare=False)  # of the apex

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.offset - self.onset


def peaks(signal: Floats, time: Floats, least: float, shortest: float = LEAST_SECONDS) -> Iterator[tuple[int, Event]]:
    """Frame and event (without kind and name) of every peak of `signal` [T] that reaches `least`.

    A peak must stand out from the valleys beside it by 40 % of its height; onset and offset are where it has lost 75 %
    of that.
    """
    if len(signal) < 2 or signal.max() < least:
        return
    padded = np.concatenate([[0.0], signal, [0.0]])
    found, properties = find_peaks(padded, height=least, prominence=1e-6)
    chosen = properties["prominences"] >= _STANDS_OUT * properties["peak_heights"]
    found = found[chosen]
    data = tuple(properties[key][chosen] for key in ("prominences", "left_bases", "right_bases"))
    _, _, left, right = peak_widths(padded, found, _FOOT, prominence_data=data)
    for middle, onset, offset in _apart(found - 1, left - 1, right - 1, signal):
        start, end = np.interp([onset, offset], np.arange(len(time)), time).tolist()
        if end - start >= shortest:
            yield middle, Event("", "", start, float(time[middle]), end, float(signal[middle]), frame=middle)


def _apart(found: NDArray[np.int64], left: Floats, right: Floats, signal: Floats) -> Iterator[tuple[int, float, float]]:
    """Peaks in order with their edges, in frames; where two overlap, the lower one ends at the lowest frame between."""
    order = np.argsort(found)
    found = found[order]
    left = left[order].copy()
    right = right[order].copy()
    for k in range(1, len(found)):
        if right[k - 1] > left[k]:
            valley = found[k - 1] + int(signal[found[k - 1] : found[k] + 1].argmin())
            right[k - 1] = min(right[k - 1], valley)
            left[k] = max(left[k], valley)
    for row in range(len(found)):
        yield int(found[row]), float(min(left[row], found[row])), float(max(right[row], found[row]))


def unit_events(sides: Floats, time: Floats, keys: Sequence[str], names: Sequence[str], least: float) -> list[Event]:
    """Events of action units.

    Args:
        sides: [T,U,2] intensities of the left and the right side; 0 in frames without a face.
        time: [T] seconds.
        keys: of the units [U].
        names: the units to look at.
        least: smallest intensity at the apex.
    """
    found = []
    for name in names:
        both = np.asarray(sides[:, list(keys).index(name)], np.float64)
        for apex, event in peaks(both.max(1), time, least):
            left, right = both[apex]
            side = "left" if right < 0.5 * left else "right" if left < 0.5 * right else ""
            found.append(_named(event, "unit", name, micro=event.seconds < MICRO_SECONDS, side=side))
    return found


def emotion_events(
    distribution: Floats, time: Floats, labels: Sequence[str], rate: float, least: float = 0.5
) -> list[Event]:
    """Events of the emotions (all labels but the last two) whose probability reaches `least`.

    Events of one emotion with a short pause between, such as a syllable, are one.
    """
    smooth = moving_mean(np.asarray(distribution, np.float64), _STEADY, rate)
    found: list[Event] = []
    for column, label in enumerate(labels[:-2]):
        run: Event | None = None
        for _, event in peaks(smooth[:, column], time, least, 0.12):
            if run is not None and event.onset - run.offset <= _PAUSE:
                best = max(run, event, key=lambda one: one.peak)
                run = replace(best, kind="emotion", name=label, onset=run.onset, offset=event.offset)
                continue
            found += [] if run is None else [run]
            run = replace(event, kind="emotion", name=label)
        found += [] if run is None else [run]
    return [replace(event, micro=event.seconds < MICRO_SECONDS) for event in found]


def lid_events(closure: Floats, time: Floats) -> list[Event]:
    """Blinks, winks and longer closures from the closure of the left and the right lids [T,2]."""
    found = []
    for apex, event in peaks(closure.max(1), time, _CLOSED, 0.0):
        other = float(closure[apex].min())
        if other < _WINK_OPEN * event.peak:
            side = ("left", "right")[int(closure[apex].argmax())]
            found.append(_named(event, "wink", side, side=side))
        else:
            found.append(_named(event, "blink" if event.seconds < BLINK_SECONDS else "closure", "both"))
    return found


def gesture_events(angles: Floats, time: Floats, rate: float) -> list[Event]:
    """Nods, shakes and tilts from yaw, pitch and roll [T,3] in degrees from the mean pose."""
    if len(time) < 3:
        return []
    band = moving_mean(angles, 0.1, rate) - moving_mean(angles, _POSE_TREND, rate)
    found = [*_swings(band, 1, time, "nod", 2), *_swings(band, 0, time, "shake", 3)]
    roll = moving_mean(angles[:, 2], 0.1, rate)
    for side, signal in (("right", roll), ("left", -roll)):
        for start, end in _held(signal, _TILT, _TILT_LEFT):
            if time[end - 1] - time[start] >= _TILT_SECONDS:
                apex = start + int(signal[start:end].argmax())
                span = float(time[start]), float(time[apex]), float(time[end - 1])
                found.append(Event("tilt", side, *span, float(signal[apex]), side=side, frame=apex))
    return found


def _swings(band: Floats, axis: int, time: Floats, kind: str, fewest: int) -> Iterator[Event]:
    """Runs of alternating swings about one axis that is the strongest one meanwhile."""
    signal = band[:, axis]
    at = np.sort(np.concatenate([find_peaks(sign * signal, height=_SWING)[0] for sign in (1, -1)]))
    run: list[int] = []
    for frame in [*at.tolist(), -1]:
        fits = run and frame >= 0 and time[frame] - time[run[-1]] <= _BETWEEN
        if fits and np.sign(signal[frame]) == np.sign(signal[run[-1]]):
            if abs(signal[frame]) > abs(signal[run[-1]]):
                run[-1] = frame
            continue
        if not fits:
            if len(run) >= fewest:
                power = (band[run[0] : run[-1] + 1] ** 2).mean(0)
                if power.argmax() == axis:
                    apex = max(run, key=lambda row: abs(float(signal[row])))
                    pause = (time[run[-1]] - time[run[0]]) / (2 * (len(run) - 1))
                    onset = max(time[0], time[run[0]] - pause)
                    offset = min(time[-1], time[run[-1]] + pause)
                    peak = abs(float(signal[apex]))
                    span = float(onset), float(time[apex]), float(offset)
                    yield Event(kind, "", *span, peak, count=len(run) // 2, frame=apex)
            run = []
        run.append(frame)


def _held(signal: Floats, high: float, low: float) -> Iterator[tuple[int, int]]:
    """Start and end of the runs above `low` that reach `high`."""
    edges = np.diff(np.concatenate([[0], (signal > low).astype(np.int8), [0]]))
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if signal[start:end].max() >= high:
            yield int(start), int(end)


def _named(event: Event, kind: str, name: str, micro: bool = False, side: str = "") -> Event:
    return Event(kind, name, event.onset, event.apex, event.offset, event.peak, micro, side, frame=event.frame)
