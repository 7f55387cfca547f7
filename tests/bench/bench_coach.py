"""The coach before drawn people who do what it asks, with faults, and before clips of people who do not hear it.

    python -m tests.bench.bench_coach -o FOLDER                  # every scene
    python -m tests.bench.bench_coach -o FOLDER plain-vera dark  # some
    python -m tests.bench.bench_coach -o FOLDER clip.mp4         # and clips

Pixels go through the live tracker, the observer and the coach, as in `headsplat film`. Written are FOLDER/NAME.txt, a
transcript, and of clips FOLDER/NAME.png, frames at which each item was measured: whether they show it is for the eye.
Printed are a line each: seconds of the recording, share of what helps, kept frames, seconds from each start of a fault
to its warning, other warnings, what was given up, and what was asked for again although it was shown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from capture.live.camera import FileFeed
from tests.support.actor import Role
from tests.support.rehearsal import Rehearsal, Row, asked_although_shown, requests, transcript, warned

_FOREVER = ((0.0, float("inf")),)
_TWICE = ((0.0, 5.0), (14.0, 18.0))
_LATER = ((9.0, 13.0), (20.0, 24.0))
#: The recordings: who acts, and the warnings that are right.
SCENES: dict[str, tuple[Role, tuple[str, ...]]] = {
    "plain-noor": (Role("noor"), ()),
    "plain-kofi": (Role("kofi", seed=2), ()),
    "plain-ines": (Role("ines", seed=3), ()),
    "plain-vera": (Role("vera", seed=4), ()),
    "mute": (Role("ines", "mute"), ()),
    "frontal": (Role("noor", "frontal"), ()),
    "talks": (Role("kofi", "talks"), ()),
    "dark": (Role("ines", "dark", _TWICE), ("dark",)),
    "overexposed": (Role("noor", "overexposed", _TWICE), ("overexposed",)),
    "half-lit": (Role("noor", "half-lit", _TWICE), ("side light",)),
    "blurred": (Role("noor", "blurred", _TWICE), ("soft", "blurred")),
    "near": (Role("vera", "near", _TWICE), ("large",)),
    "far": (Role("noor", "far", _TWICE), ("small",)),
    "edge": (Role("noor", "edge", _TWICE), ("edge",)),
    "leaves": (Role("kofi", "leaves", _LATER), ("no face",)),
    "second": (Role("noor", "second", _LATER), ("people",)),
}
#: Seconds for which an actor has done something, with which it was shown.
_SHOWN = 1.5
_TILE = 120


def perform(name: str, out: Path) -> str:
    """Record a scene; its line."""
    role, right = SCENES[name]
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = Rehearsal.of(role, Path(folder) / "film.capture")
        rows = rehearsal.run()
    (out / f"{name}.txt").write_text(transcript(rows) + "\n")
    parts = [_totals(rows, rehearsal.filming.kept)]
    if right:
        delays = [warned(rows, start, end, right) for start, end in role.times if start < rows[-1].time]
        parts.append("warned " + ", ".join("never" if delay is None else f"{delay:.1f} s" for delay in delays))
    other = {row.advice.warning for row in rows} - {"", *right}
    again = asked_although_shown(rows, rehearsal.acted, _SHOWN)
    asked = requests(rows)
    parts += [f"also warned of {', '.join(sorted(other))}"] * bool(other)
    twice = sorted({key for key in asked if asked.count(key) > 1} - {"freely"})
    parts += [f"asked twice: {', '.join(twice)}"] * bool(twice)
    parts += [f"AGAIN ALTHOUGH SHOWN: {', '.join(again)}"] * bool(again)
    return "; ".join(parts)


def watch(path: Path, out: Path) -> str:
    """Record a clip; its line."""
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = Rehearsal(lambda hear: FileFeed(path, "all"), Path(folder) / "film.capture", images=True)
        rows = rehearsal.run()
    (out / f"{path.stem}.txt").write_text(transcript(rows) + "\n")
    cv2.imwrite(str(out / f"{path.stem}.png"), _sheet(rows)[..., ::-1])
    return _totals(rows, rehearsal.filming.kept)


def _totals(rows: list[Row], kept: int) -> str:
    last = rows[-1].advice
    missing = [item.key for item in last.items if item.status != "done"]
    text = f"{rows[-1].time:.0f} s{'' if last.finished else ' (not finished)'}, {last.share:.0%}, {kept} kept"
    return text + (f"; not shown: {', '.join(missing)}" if missing else "")


def _sheet(rows: list[Row]) -> np.ndarray:
    """Frames at one and two thirds of the evidence of each item that was done, with its name."""
    tiles = []
    for index, item in enumerate(rows[-1].advice.items):
        shares = np.array([row.advice.items[index].share for row in rows])
        if item.status != "done":
            continue
        end = int(np.argmax(shares >= 1))
        below = np.flatnonzero(shares[:end] == 0)
        first = int(below[-1]) + 1 if len(below) else 0
        for row in (rows[(2 * first + end) // 3], rows[(first + 2 * end) // 3]):
            scale = _TILE / row.rgb.shape[0]
            tile = cv2.resize(row.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:, :_TILE]
            tile = cv2.copyMakeBorder(tile, 14, 0, 0, _TILE - tile.shape[1], cv2.BORDER_CONSTANT)
            cv2.putText(tile, f"{item.key} {row.time:.1f}", (2, 11), 0, 0.36, (255, 255, 0), 1, cv2.LINE_AA)
            tiles.append(tile)
    if not tiles:
        return np.zeros((_TILE, _TILE, 3), np.uint8)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 6)
    return np.vstack([np.hstack(tiles[first : first + 6]) for first in range(0, len(tiles), 6)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SCENES), metavar="NAME", help="a scene or a clip")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="for transcripts and images")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        start = time.perf_counter()
        line = perform(name, arguments.out) if name in SCENES else watch(Path(name), arguments.out)
        print(f"{Path(name).stem:12s} {line}; took {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
