"""Phones with times in seconds from runs of frames."""

from __future__ import annotations

from dataclasses import replace

from avatar.performance.speech.decoding import Run
from avatar.performance.speech.phones import FRAME_RATE, PHONES, SILENCE, Phone

#: Silences shorter than this many frames inside of speech are the closure of a stop or a weak end, not a pause.
_GAP = 6


def phones_of_runs(runs: list[Run], seconds: float) -> tuple[Phone, ...]:
    """Phones that cover a sound of `seconds`, from at least one run; frame k is heard around k / FRAME_RATE s."""
    edges = [0.0, *((run.start - 0.5) / FRAME_RATE for run in runs[1:]), seconds]
    edges = [min(edge, seconds) for edge in edges]
    phones = (
        Phone(PHONES[run.phone], start, end, 0, run.confidence)
        for run, start, end in zip(runs, edges[:-1], edges[1:], strict=True)
    )
    return tuple(phone for phone in phones if phone.end > phone.start)


def continuous(runs: list[Run]) -> list[Run]:
    """Runs with short silences inside of speech joined to the run before."""
    silence = PHONES.index(SILENCE)
    found: list[Run] = []
    for index, run in enumerate(runs):
        inside = found and index < len(runs) - 1
        if inside and run.phone == silence and run.end - run.start < _GAP:
            found[-1] = replace(found[-1], end=run.end)
        elif found and found[-1].phone == run.phone:
            confidence = max(found[-1].confidence, run.confidence)
            found[-1] = replace(found[-1], end=run.end, confidence=confidence)
        else:
            found.append(run)
    return found
