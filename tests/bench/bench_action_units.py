"""Action units and emotions driven on random synthetic people, filmed, tracked and read back.

    python -m tests.bench.bench_action_units --people 10 --work bench

Every person shows a resting face, each action unit alone, then each of the seven emotions, with blinks and small head
motion. The frames are rendered from the person's own mesh, tracked by `capture`, and read as `headsplat motion report`
reads them. Printed are for each unit the peak that is read (mean over the people, and the spread: standard deviation
over the mean), F1 of its frames, how many people's event was found; then the order of events (length of the longest
common subsequence over that of the script), the labels of the emotions, and the frames at rest that read as neutral.
Videos and captures stay in the work folder and are reused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import head_of
from avatar.motion.from_capture import motion_of
from avatar.performance.facs.emotions import EmotionReader
from avatar.performance.facs.table import FacsTable
from avatar.performance.readout.take import ReadOptions, Take, read_take
from capture.synthetic.scripts import Script
from tools.weights.acted_units import UNITS, expressions_of, film, intensities

TABLE = FacsTable.load()
INTENSITY = 0.85
FPS = 20.0
REST, UNIT, EMOTION, END = 2.5, 0.8, 1.0, 0.7  # seconds of each part; the gap to the next one is a fifth of it
SECONDS = REST + UNIT * len(UNITS) + EMOTION * len(TABLE.emotions) + END


def spans() -> list[tuple[str, float, float]]:
    """(unit or emotion, start, end) of every part in seconds."""
    starts = REST + UNIT * np.arange(len(UNITS) + 1)
    parts = [(key, start, start + 0.8 * UNIT) for key, start in zip(UNITS, starts, strict=False)]
    starts = starts[-1] + EMOTION * np.arange(len(TABLE.emotions))
    named = zip(TABLE.emotions, starts, strict=True)
    return parts + [(emotion.name, float(start), float(start + 0.8 * EMOTION)) for emotion, start in named]


def weights_of(name: str) -> dict[str, float]:
    """Expression weights of a unit or an emotion at INTENSITY."""
    if name in TABLE.keys:
        return expressions_of(intensities(TABLE, **{name: INTENSITY}), TABLE)
    return expressions_of(EmotionReader(TABLE).face(name, INTENSITY), TABLE)


def script() -> Script:
    """The performance of the bench."""
    faces = tuple((start / SECONDS, end / SECONDS, 1.0, weights_of(name)) for name, start, end in spans())
    still = np.array([[0, 0, 0, 0], [0.5, 1, 1, 0], [1, 0, 0, 0]], np.float64)
    return Script(still, faces, ((0.0, 1.0),))


def captured(seed: int, work: Path) -> Capture:
    """The capture of one person, from `work` if it is there."""
    return film(work / f"units{seed}", seed, script(), frames=round(SECONDS * FPS), fps=FPS)


@dataclass(frozen=True, eq=False)
class Score:
    """What was read of one person."""

    peaks: np.ndarray  # [n] largest intensity in the span of each unit, above what its pauses show
    hits: np.ndarray  # [n,3] frames of each unit: both true and read, only read, only true
    found: np.ndarray  # [n] bool, an event of the unit has its apex in the span
    order: float  # longest common subsequence of the read and the scripted order, over the script
    emotions: tuple[str, ...]  # the label of the most certain frame of each span
    neutral: float  # fraction of the frames at rest that read as neutral


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


def score(take: Take) -> Score:
    """Compare a take with the script."""
    time, keys = take.time - take.time[0], take.table.keys
    parts = spans()
    units = [part for part in parts if part[0] in keys]
    whole = script_intensities(time)
    peaks, hits, found = [], [], []
    for number, (key, start, end) in enumerate(units):
        signal = take.sides[:, keys.index(key)].max(1)
        inside = (time >= start) & (time < end)
        peaks.append(signal[inside].max())
        # Frames of the part with the single units only: emotions use several, of which the script does not say when.
        rows = time < REST + UNIT * len(UNITS)
        true, read = whole[rows, number] >= 0.5, signal[rows] >= 0.5 * peaks[-1]
        read &= signal[rows] >= take.table.letters[1]
        hits.append([(true & read).sum(), (read & ~true).sum(), (true & ~read).sum()])
        names = (key, "both") if key == "AU43" else (key,)  # closed eyes are events of the lids
        apexes = [event.apex - take.time[0] for event in take.events if event.name in names]
        found.append(any(start - 0.1 <= apex <= end + 0.1 for apex in apexes))
    named = {key: (start, end) for key, start, end in units}
    events = [("AU43" if event.name == "both" else event.name, event.apex) for event in take.events]
    read_order = [name for name, _ in sorted(events, key=lambda event: event[1]) if name in named]
    order = longest_common([key for key, *_ in units], read_order) / len(units)
    labels = []
    for _, start, end in parts[len(units) :]:
        inside = np.flatnonzero((time >= start) & (time < end))
        emotional = take.distribution[inside][:, :-2]
        best = inside[emotional.max(1).argmax()]
        labels.append(take.table.labels[take.labels()[best]])
    rest = (time > 0.3) & (time < REST - 0.1)
    neutral = float((take.labels()[rest] == len(take.table.labels) - 2).mean())
    return Score(np.array(peaks), np.array(hits), np.array(found), order, tuple(labels), neutral)


def script_intensities(time: np.ndarray) -> np.ndarray:
    """Intensity [T,n] of each unit relative to its peak, as the script shows it."""
    columns = []
    for key, start, end in spans():
        if key in UNITS:
            edge = (end - start) / 3
            level = np.clip(np.minimum((time - start) / edge, (end - time) / edge), 0, 1)
            columns.append(level * level * (3 - 2 * level))
    return np.stack(columns, 1)


def report(scores: Sequence[Score]) -> None:
    """Print the tables."""
    print("| unit | peak, driven at 0.85 | spread | F1 of frames | events found |\n|---|---|---|---|---|")
    peaks, hits = np.stack([one.peaks for one in scores]), np.sum([one.hits for one in scores], 0)
    for k, key in enumerate(UNITS):
        both, only_read, only_true = hits[k]
        f1 = 2 * both / max(2 * both + only_read + only_true, 1)
        mean, spread = peaks[:, k].mean(), peaks[:, k].std() / max(peaks[:, k].mean(), 1e-6)
        seen = sum(bool(one.found[k]) for one in scores)
        print(f"| {key} {TABLE.unit(key).name} | {mean:.2f} | {spread:.0%} | {f1:.2f} | {seen} of {len(scores)} |")
    print("\n| person | order of events (LCS) | neutral at rest | emotions with their own label |\n|---|---|---|---|")
    names = [emotion.name for emotion in TABLE.emotions]
    for person, one in enumerate(scores, 1):
        wrong = [f"{name} as {got}" for name, got in zip(names, one.emotions, strict=True) if name != got]
        right = f"{len(names) - len(wrong)} of {len(names)}{': ' if wrong else ''}{', '.join(wrong)}"
        print(f"| {person} | {one.order:.2f} | {one.neutral:.0%} | {right} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args()
    scores = []
    for seed in range(1, args.people + 1):
        capture = captured(seed, args.work)
        motion = motion_of(capture, head_of(capture), pixels=True)
        scores.append(tuple(score(read_take(motion, TABLE, ReadOptions(True, own))) for own in (False, True)))
        print("captured", seed, flush=True)
    for title, way in (("as tracked", 0), ("in each person's own range", 1)):
        print(f"\n{title}\n")
        report([pair[way] for pair in scores])


if __name__ == "__main__":
    main()
