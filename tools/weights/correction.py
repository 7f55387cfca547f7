"""Learn the correction of the landmark tracker.

    python -m tools.weights.correction -o avatar/performance/readout/correction.csv

Random synthetic people show action units, mixtures of them, emotions, and speech with a turning head; `headsplat
capture` tracks them, and what it finds is compared with what was shown. Takes two to four minutes per person on one
core; videos and captures stay in the work folder and are reused. The people are others than in `bench_action_units`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import head_of
from avatar.head.arkit import ARKIT_52
from avatar.motion.from_capture import motion_of
from avatar.performance.facs.emotions import EmotionReader
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import arkit_columns, arkit_weights
from avatar.performance.readout.correction import KEPT
from avatar.performance.readout.signals import MIRROR, resting_face, without_resting
from capture.synthetic.scripts import Script
from capture.synthetic.truth import SyntheticTruth
from tools.weights.acted_units import UNITS, expressions_of, film, intensities

Floats = NDArray[np.float64]

#: First seeds of the people who show action units, and of those who speak.
UNITS_FROM, SPEECH_FROM = 101, 201
RIDGE = 5.0  # on the squared coefficients; the errors of the frames are summed
SPEECH_WEIGHT = 2.0  # of a frame of people who speak
SHOWN, ABSENT = 0.3, 0.05  # weights of an expression from which on it is shown, and below which it is not there
QUIET, QUIET_PART = 0.2, 0.98  # results are scaled up as long as this part of the frames without it stays below
MAX_SCALE = 4.0

_ALONE = (*UNITS, "AU23", "AU29", "AU30")
_REST, _FACE, _END = 2.0, 0.7, 0.5  # seconds
_EMOTIONS, _MIXTURES = 14, 12
_RATE = 15.0


def unit_script(seed: int, table: FacsTable) -> tuple[Script, float]:
    """Units alone, emotions and mixtures in random order and intensity, and the seconds that this takes."""
    rng = np.random.default_rng(seed)
    rows = [intensities(table, **{key: rng.uniform(0.35, 1)}) for key in _ALONE]
    for _ in range(_EMOTIONS):
        emotion = table.emotions[rng.integers(len(table.emotions))]
        rows.append(EmotionReader(table).face(emotion.name, rng.uniform(0.4, 1)))
    for _ in range(_MIXTURES):
        keys = rng.choice(UNITS, rng.integers(2, 4), replace=False).tolist()
        rows.append(intensities(table, **{key: rng.uniform(0.3, 1) for key in keys}))
    rng.shuffle(rows)
    seconds = _REST + _FACE * len(rows) + _END
    faces = tuple(
        ((_REST + _FACE * k) / seconds, (_REST + _FACE * (k + 0.85)) / seconds, 1.0, expressions_of(row, table))
        for k, row in enumerate(rows)
    )
    turns = [(at, rng.uniform(-12, 12), rng.uniform(-8, 8), rng.uniform(-5, 5)) for at in (0.25, 0.6)]
    return Script(np.array([(0, 0, 0, 0), *turns, (1, 0, 0, 0)], np.float64), faces, ((0.0, 1.0),)), seconds


def capture_of(seed: int, work: Path, table: FacsTable) -> Capture:
    """The capture of one person who shows action units or speaks; made where it is not in `work`."""
    stem = work / f"p{seed}"
    if seed < SPEECH_FROM:
        script, seconds = unit_script(seed, table)
        return film(stem, seed, script, frames=round(seconds * _RATE), fps=_RATE)
    return film(stem, seed, None, performance=("demo", "talk")[seed % 2], frames=240, fps=12.0, yaw=20.0)


def tracked_and_true(capture: Capture) -> tuple[Floats, Floats]:
    """Weights [T,52] of the tracker above the resting face, and those of the truth."""
    motion = motion_of(capture, head_of(capture))
    tracked = arkit_weights(motion.weights.numpy(), arkit_columns(motion.names))
    face = np.ones(len(tracked), bool) if motion.confidence is None else motion.confidence.numpy() > 0
    truth = SyntheticTruth.load(capture.root.with_suffix(".mp4.truth.npz"))
    truth_weights = arkit_weights(truth.expression, arkit_columns(truth.expression_names))
    rows = np.abs(truth.time[None] - motion.time.numpy()[:, None]).argmin(1)
    return without_resting(tracked, resting_face(tracked[face]))[face], truth_weights[rows][face]


def fit(tracked: Floats, true: Floats, importance: Floats) -> Floats:
    """The correction [52,52] of weights `tracked` [T,52] to those that are `true` [T,52], of an importance [T] each.

    It maps means of both sides.
    """
    tracked, true = (tracked + tracked[:, MIRROR]) / 2, (true + true[:, MIRROR]) / 2
    matrix = (tracked * importance[:, None]).T @ tracked + RIDGE * np.eye(len(ARKIT_52))
    right, result = (tracked * importance[:, None]).T @ true, np.zeros_like(matrix)
    for column, truth in enumerate(true.T):
        there, absent = truth > SHOWN, truth < ABSENT
        if KEPT[column] or not there.any():
            continue
        result[:, column] = np.linalg.solve(matrix, right[:, column])
        row = np.clip(tracked @ result[:, column], 0, 1)
        missing = (truth[there] @ truth[there]) / max(float(truth[there] @ row[there]), 1e-6)
        allowed = QUIET / max(float(np.quantile(row[absent], QUIET_PART)), 1e-6) if absent.any() else MAX_SCALE
        result[:, column] *= np.clip(min(missing, allowed), 1, MAX_SCALE)
    return np.asarray(result)


def write(path: Path, result: Floats) -> None:
    """Write a correction as the table that `avatar.performance.readout.correction` reads."""
    lines = ["tracked," + ",".join(ARKIT_52)]
    for name, row in zip(ARKIT_52, result, strict=True):
        lines.append(f"{name}," + ",".join(f"{value:.4f}" for value in row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--people", type=int, nargs=2, default=(9, 9), metavar=("UNITS", "SPEECH"))
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args(arguments)
    table, people = FacsTable.load(), []
    for first, count in zip((UNITS_FROM, SPEECH_FROM), args.people, strict=True):
        for seed in range(first, first + count):
            tracked, true = tracked_and_true(capture_of(seed, args.work, table))
            people.append((tracked, true, np.full(len(tracked), SPEECH_WEIGHT if first == SPEECH_FROM else 1.0)))
            print(f"person {seed}: {len(tracked)} frames", flush=True)
    write(args.out, fit(*(np.concatenate(column) for column in zip(*people, strict=True))))


if __name__ == "__main__":
    main()
