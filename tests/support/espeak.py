"""Speech with known phones: eSpeak NG's library speaks a text and says what it speaks when.

A phone of the lips (P, B, M) is the time during which the lips are shut: from the end of the sound before to the burst or
the opening. eSpeak reports a stop at its burst, after the silence of the closure, so the edges of the closures are looked
for in the waveform. All other phones last until the next one starts.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar.speech.phones import BILABIALS, SILENCE, VOWELS, Phone
from tests.support.ipa import arpabet

#: Longest closure that is taken from a silence before a burst, s; in a longer silence nobody knows when the lips met.
LONGEST_CLOSURE = 0.12
_HOP = 0.0025  # s between two energies
_PHONEME_EVENTS, _IPA_NAMES = 1, 2
_SAMPLES_EVENT_END, _PHONEME = 0, 7
_RATE, _PITCH = 1, 3
_UTF8 = 1


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _library() -> tuple[Any, int]:
    """The library, and the samples per second that it speaks with."""
    loader = pytest.importorskip("espeakng_loader", reason="needs espeakng-loader, which the extra dev installs")
    library = ctypes.CDLL(loader.get_library_path())
    rate = library.espeak_Initialize(_UTF8, 0, loader.get_data_path().encode(), _PHONEME_EVENTS | _IPA_NAMES)
    return library, rate


def spoken(
    text: str, voice: str = "en-us", speed: int = 160, pitch: int = 50
) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """Speak a text.

    Args:
        text: what to say.
        voice: a name of eSpeak's, optionally with a variant: "en-us", "gmw/en" (British), "gmw/en-GB-scotland",
            "en-us+f3" (female), "en-us+m7".
        speed: words per minute, 80 to 450.
        pitch: 0 to 99.

    Returns:
        samples [n] in -1..1; samples per second; the phones, which cover the sound.
    """
    samples, rate, events = events_of(text, voice, speed, pitch)
    return samples, rate, phones_of(samples, rate, named(events, english="en" in voice.lower()[:6]))


def events_of(
    text: str, voice: str, speed: int = 160, pitch: int = 50
) -> tuple[NDArray[np.float32], int, list[tuple[float, str]]]:
    """Samples [n] in -1..1, samples per second, and eSpeak's events: seconds and the IPA name of a phoneme."""
    library, rate = _library()
    blocks: list[NDArray[np.int16]] = []
    events: list[tuple[float, str]] = []

    def receive(wave: Any, count: int, event: Any) -> int:
        if count > 0:
            blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while event[index].type != _SAMPLES_EVENT_END:
            if event[index].type == _PHONEME:
                name = event[index].id.string.decode("utf-8", "ignore")
                events.append((event[index].milliseconds / 1000, name))
            index += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    assert library.espeak_SetVoiceByName(voice.encode()) == 0, f"eSpeak has no voice {voice}"
    library.espeak_SetParameter(_RATE, speed, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    words = text.encode()
    library.espeak_Synth(words, len(words) + 1, 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return np.concatenate(blocks).astype(np.float32) / 32768, rate, events


def named(events: list[tuple[float, str]], *, english: bool = True) -> list[tuple[float, str, int]]:
    """Start, ARPABET name and stress of the phones of events; an event of several phones is divided evenly."""
    found: list[tuple[float, str, int]] = []
    for index, (time, ipa) in enumerate(events):
        end = events[index + 1][0] if index + 1 < len(events) else time
        names = arpabet(ipa, english=english)
        stress = 1 if "ˈ" in ipa else 2 if "ˌ" in ipa else 0
        found += [
            (time + (end - time) * k / len(names), name, stress if name in VOWELS else 0)
            for k, name in enumerate(names)
        ]
    return found


def phones_of(samples: NDArray[np.float32], rate: int, starts: list[tuple[float, str, int]]) -> list[Phone]:
    """Phones that cover a sound, from their starts; edges of closures are where the sound falls and rises the most."""
    seconds = len(samples) / rate
    if not starts or starts[0][0] > 0:
        starts = [(0.0, SILENCE, 0), *starts]
    edges = [time for time, _, _ in starts] + [seconds]
    level = _levels(samples, rate)
    names = [name for _, name, _ in starts]
    index = 0
    while index < len(names):
        last = index
        while last + 1 < len(names) and names[index] in BILABIALS and names[last + 1] in BILABIALS:
            last += 1
        if names[index] in BILABIALS:
            _place(level, edges, names, index, last)
        index = last + 1
    phones = [Phone(n, edges[i], edges[i + 1], stress) for i, (_, n, stress) in enumerate(starts)]
    return _joined([phone for phone in phones if phone.end > phone.start])


def _place(level: NDArray[np.float64], edges: list[float], names: list[str], first: int, last: int) -> None:
    """Set the edges of a run of bilabials, `names[first : last + 1]`, to where the lips meet and part."""
    stop, after = edges[last], edges[last + 1]
    released = last + 1 == len(names) or names[last + 1] == SILENCE
    if released and names[last] == "M":
        end = after
    else:
        lowest = stop - 0.01 if names[last] == "P" else stop + 0.01
        end = _steepest(level, max(lowest, 0.0), min(after + 0.01, stop + 0.1), 1)
    earliest = max(edges[first] - LONGEST_CLOSURE, edges[first - 1] + 0.02 if first else 0.0)
    if names[first] == "M" or first == 0:
        start = edges[first]
    elif names[first - 1] == SILENCE:
        start = max(edges[first - 1], min(edges[first], end - 0.08))
    else:
        start = _steepest(level, earliest, min(edges[first] + 0.01, end - 0.02), -1)
    start = min(start, end - 0.02)
    inner = np.linspace(start, end, last - first + 2)
    for k, value in enumerate(inner):
        edges[first + k] = float(value)
    for k in range(first - 1, 0, -1):  # a start before is never later
        edges[k] = min(edges[k], edges[k + 1])
    for k in range(last + 2, len(edges)):
        edges[k] = max(edges[k], edges[k - 1])


def _levels(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Level in dB every _HOP of the sound without its low frequencies, which voicing lets through closed lips."""
    sharp = np.diff(samples.astype(np.float64), prepend=0.0) ** 2
    total = np.concatenate(([0.0], np.cumsum(sharp)))
    centers = (np.arange(int(len(samples) / rate / _HOP) + 1) * _HOP * rate).astype(int)
    half = int(0.005 * rate)
    low, high = np.clip(centers - half, 0, len(samples)), np.clip(centers + half, 0, len(samples))
    return 10 * np.log10((total[high] - total[low]) / (2 * half) + 1e-7)


def _steepest(level: NDArray[np.float64], start: float, end: float, sign: int) -> float:
    """Second within start..end at which the level rises (sign 1) or falls (-1) the most."""
    first, last = int(np.ceil(start / _HOP)), max(int(end / _HOP), int(np.ceil(start / _HOP)))
    padded = np.pad(level, (6, 6), mode="edge")
    at = np.arange(first, min(last, len(level) - 1) + 1)
    if not len(at):
        return start
    before = np.mean([padded[at + 6 - k] for k in range(2, 6)], axis=0)
    behind = np.mean([padded[at + 6 + k] for k in range(2, 6)], axis=0)
    return float(at[np.argmax(sign * (behind - before))] * _HOP)


def _joined(phones: list[Phone]) -> list[Phone]:
    """Phones with neighboring silences made one."""
    found: list[Phone] = []
    for phone in phones:
        if found and phone.name == SILENCE and found[-1].name == SILENCE:
            found[-1] = Phone(SILENCE, found[-1].start, phone.end)
        else:
            found.append(phone)
    return found
