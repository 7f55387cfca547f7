"""Phones, words, loudness and pitch of the sound of a file, with its text or without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.performance.speech.acoustic import LOOKAHEAD, AcousticStream, acoustic_model
from avatar.performance.speech.alignment import aligned, check_fit, text_path
from avatar.performance.speech.decoding import PathFinder, free_graph
from avatar.performance.speech.features import HOP, RATE, FrameCutter, log_mel
from avatar.performance.speech.phones import SILENCE, Phone, Speech, Word
from avatar.performance.speech.runs import continuous, phones_of_runs
from avatar.performance.speech.sound import sound_blocks
from avatar.performance.speech.stress import stressed
from avatar.performance.speech.tracks import PitchTracker, levels, voiced_only

Floats = NDArray[np.float32]

#: Level of loud speech that the acoustic model expects, dB relative to full scale.
REFERENCE = -17.0
#: Sounds of which nothing is louder are silence, dB relative to full scale.
_SILENT = -65.0
_CLIPPED = 0.985  # of full scale
_CLIPPED_SHARE = 1e-4
_MOST_GAIN = 45.0  # dB


@dataclass(frozen=True)
class Loudness:
    """What the first reading of a sound finds."""

    samples: int
    levels: Floats  # [n] dB relative to full scale, 100 per second
    loud: float  # level of loud speech, dB relative to full scale
    clipped: float  # share of the samples

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return self.loud < _SILENT


def listen(path: Path, text: str | None = None, *, log: Callable[[str], None] | None = None) -> Speech:
    """What is said in a file, and when.

    The file is read twice, in blocks; what is kept grows by 0.6 MB a minute, by twice that with a text. A phone of
    BILABIALS lasts as long as the lips are shut: it ends at the burst or opening. Without a text the phones are the
    likeliest ones of any language.

    Args:
        path: any media file with a sound.
        text: what is said, English; None if unknown.
        log: receives a line of progress now and then.

    Raises:
        HeadsplatError: the sound cannot be read, the text has no words or does not fit the sound, or the dictionary
            that a text needs is not installed.
    """
    report = log or (lambda line: None)
    words = text_path(text) if text is not None else None
    heard = measure(path)
    seconds = heard.samples / RATE
    report(f"{path.name}: {seconds:.1f} s of sound")
    notes = _notes(heard)
    if heard.silent:
        if words is not None:
            raise HeadsplatError(
                f"{path}: is silence, in which no text is said; leave the text out or give another sound"
            )
        blank = np.zeros(len(heard.levels), np.float32)
        whole = (Phone(SILENCE, 0.0, seconds),)
        return Speech(seconds, whole, (), np.full_like(blank, _SILENT), blank, notes)
    if words is not None:
        check_fit(path, words, len(heard.levels))
    graph = free_graph(acoustic_model()) if words is None else words.graph
    finder = PathFinder(graph, acoustic_model())
    pitch = _hear(path, heard, finder, report)
    runs = finder.finish()
    loudness = heard.levels - heard.loud
    pitch = voiced_only(pitch, loudness)
    spoken: tuple[Word, ...] = ()
    if words is None:
        phones = phones_of_runs(continuous(runs), seconds)
    else:
        phones, spoken, more = aligned(path, words, runs, seconds)
        notes += more
    return Speech(seconds, stressed(phones, spoken, loudness, pitch), spoken, loudness, pitch, notes)


def measure(path: Path) -> Loudness:
    """Read a sound once for its length and levels."""
    cutter = FrameCutter()
    parts = []
    samples = 0
    clipped = 0
    for block in sound_blocks(path):
        samples += len(block)
        clipped += int((np.abs(block) >= _CLIPPED).sum())
        parts.append(levels(cutter.push(block)))
    parts.append(levels(cutter.finish()))
    found = np.concatenate(parts)
    return Loudness(samples, found, loud_level(found), clipped / max(samples, 1))


def loud_level(found: Floats) -> float:
    """Level of loud speech: 19 of 20 frames of the speech are quieter."""
    return float(np.quantile(found[found > found.max() - 30], 0.95))


def _hear(path: Path, heard: Loudness, finder: PathFinder, report: Callable[[str], None]) -> Floats:
    """Push a sound through the acoustic model into `finder`; returns the pitch [n]."""
    gain = np.float32(10 ** (min(REFERENCE - heard.loud, _MOST_GAIN) / 20))
    cutter = FrameCutter()
    stream = AcousticStream()
    tracker = PitchTracker()
    skipped = LOOKAHEAD
    pitch = []
    frames = 0

    def known(probabilities: Floats) -> Floats:
        nonlocal skipped
        dropped = min(skipped, len(probabilities))
        skipped -= dropped
        return probabilities[dropped:]

    for block in sound_blocks(path):
        finder.push(known(stream.push(log_mel(cutter.push(block * gain)))))
        pitch.append(tracker.push(block))
        frames += len(block) // HOP
        if frames % 6000 == 0:
            report(f"{path.name}: heard {frames // 6000} of {len(heard.levels) / 6000:.0f} minutes")
    finder.push(known(stream.push(log_mel(cutter.finish()))))
    finder.push(known(stream.finish()))
    pitch.append(tracker.finish())
    found = np.concatenate(pitch)[: len(heard.levels)]
    return np.pad(found, (0, len(heard.levels) - len(found)))


def _notes(heard: Loudness) -> tuple[str, ...]:
    notes = []
    if heard.silent:
        notes.append("The sound is silence.")
    elif heard.clipped > _CLIPPED_SHARE:
        notes.append(
            f"{100 * heard.clipped:.2g} % of the sound is clipped, which hides phones; record it again with less gain."
        )
    if not heard.silent and heard.loud < REFERENCE - _MOST_GAIN:
        notes.append("The sound is very quiet; its phones are uncertain.")
    return tuple(notes)
