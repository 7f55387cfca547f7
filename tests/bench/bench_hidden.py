"""Hands and other things before a face: `python -m tests.bench.bench_hidden CLIP... [--rounds 1] [--seconds 8]`.

Each clip goes through the live tracker as it is, which counts false alarms, and with things that slide before mouth or
eyes, stay for a second and leave: how many frames with more than half of the region covered are found from .2 s on,
after how long, and how far the expressions of the region are from those without the thing: `guess` of the landmarks
behind it, `held` by the pipeline.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from avatar.driving.live.region_hold import RegionHold
from avatar.driving.live.samples import Sample
from avatar.head import load_head
from avatar.head.arkit import HIDEABLE, region_columns
from capture.live.camera import Lens, LiveFrame
from capture.live.face_tracker import FaceTracker
from capture.live.identity import LearnOptions
from capture.options import FaceModels
from capture.video.decoding import SourceFrame, open_video
from tests.support.sliding import Sliding, slide

THINGS = (
    ("hand", "mouth"), ("mug", "mouth"), ("microphone", "mouth"), ("tissue", "mouth"), ("phone", "mouth"),
    ("hand", "eyes"), ("tissue", "eyes"), ("phone", "eyes"),
)  # fmt: skip
#: Seconds of a clip before the first thing comes, and from one to the next.
FIRST = 3.0
PERIOD = 2.2
LATE = 0.2
_LARGEST = 960  # pixels of a side
HEAD = load_head()


Table = dict[tuple[str, str], dict[str, list[float]]]
#: Samples and landmarks of frames, None where there is no face.
Tracked = tuple[list[Sample | None], list[np.ndarray | None]]


class Film:
    """A clip, and things before the face in it."""

    def __init__(self, path: Path, seconds: float = np.inf) -> None:
        video = open_video(path)
        scale = min(1.0, _LARGEST / max(video.width, video.height))
        self.lens = Lens(round(scale * video.width), round(scale * video.height), video.focal_35mm)
        size = self.lens.width, self.lens.height
        self.frames: list[SourceFrame] = [
            replace(frame, rgb=cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA))
            for frame in takewhile(lambda frame: frame.time < seconds, video)
        ]

    def tracked(
        self, images: Sequence[np.ndarray], detect: bool = True
    ) -> tuple[list[Sample | None], list[np.ndarray | None]]:
        """Samples and landmarks of the frames as `images`; without `detect` as if nothing were ever hidden."""
        tracker = FaceTracker(HEAD, self.lens, FaceModels(), LearnOptions(), wait=True, torso=False)
        if not detect:
            tracker._regions = lambda *frame: ()  # type: ignore[assignment]
        samples, points = [], []
        for frame, image in zip(self.frames, images, strict=True):
            samples.append(tracker(LiveFrame(frame.number, frame.time, image, frame.time)))
            points.append(tracker.points)
        return samples, points

    def covered(self, points: list[np.ndarray | None], first: int) -> tuple[list[np.ndarray], list[tuple[int, float]]]:
        """The images with one thing after another, from number `first` of THINGS on; per frame its number and cover."""
        images, cover = [], []
        for frame, found in zip(self.frames, points, strict=True):
            event = int((frame.time - FIRST) // PERIOD)
            image, share = frame.rgb, 0.0
            if event >= 0 and found is not None:
                number = first + event
                thing = Sliding(*THINGS[number % len(THINGS)], seed=number)
                image, share = thing.draw(image, found, slide(frame.time - FIRST - event * PERIOD))
            images.append(image)
            cover.append((first + event, share))
        return images, cover


def hidden(sample: Sample | None) -> tuple[str, ...]:
    """The hidden regions of a sample; all where the face is lost: nothing is shown of it."""
    return tuple(HIDEABLE) if sample is None or sample.confidence == 0 else sample.hidden


def measure(film: Film, first: int, clean: list[Sample | None], points: list[np.ndarray | None], table: Table) -> int:
    """Add the events of a film to `table`; returns their number."""
    images, cover = film.covered(points, first)
    samples, _ = film.tracked(images)
    guesses, _ = film.tracked(images, detect=False)
    hold = RegionHold(HEAD.expression_names)
    times = np.array([frame.time for frame in film.frames])
    held = [None if each is None else hold(each, each.hidden, time) for each, time in zip(samples, times, strict=True)]
    numbers = sorted({number for number, share in cover if share > 0.5})
    for number in numbers:
        kind, region = THINGS[number % len(THINGS)]
        rows = [k for k, (event, share) in enumerate(cover) if event == number and share > 0.5]
        columns = region_columns(HEAD.expression_names, region)
        start = times[rows[0]]
        found = [k for k in range(rows[0] - 5, rows[-1] + 1) if region in hidden(samples[k])]
        late = [k for k in rows if times[k] - start > LATE]
        if not late:  # the clip ends
            continue
        entry = table[region, kind]
        entry["delay"].append(times[found[0]] - start if found else np.inf)
        entry["found"] += [
            samples[k] is None or samples[k].confidence == 0 or region in samples[k].hidden for k in late
        ]
        for name, states in (("guess", guesses), ("held", held)):
            pairs = [(states[k], clean[k]) for k in rows]
            entry[name] += [
                np.abs(a.weights[columns] - b.weights[columns]).mean()
                for a, b in pairs
                if a is not None and b is not None and a.confidence > 0
            ]
    return len(numbers)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=1, help="times that each clip goes through with other things")
    parser.add_argument("--seconds", type=float, default=np.inf, help="of each clip")
    parser.add_argument("--first", type=int, default=0, help="number of the first thing")
    arguments = parser.parse_args()
    table: Table = defaultdict(lambda: defaultdict(list))
    first = arguments.first
    print(f"{'clip':32} frames  mouth   eyes")
    for path in arguments.clips:
        film = Film(path, arguments.seconds)
        clean, points = film.tracked([frame.rgb for frame in film.frames])
        seen = [each.hidden for each in clean if each is not None]
        shares = [np.mean([region in hidden for hidden in seen]) for region in ("mouth", "eyes")]
        print(f"{path.stem:32} {len(seen):6} {shares[0]:6.2%} {shares[1]:6.2%}", flush=True)
        for _ in range(arguments.rounds):
            first += measure(film, first, clean, points, table)
    print(f"\n{'thing':18} events  found  delay median, max  error guess   held")
    for (region, kind), entry in sorted(table.items()):
        delays = entry["delay"]
        print(
            f"{f'{kind}, {region}':18} {len(delays):6} {np.mean(entry['found']):6.1%} {np.median(delays):12.2f}"
            f" {max(delays):5.2f} {np.mean(entry['guess']):12.3f} {np.mean(entry['held']):6.3f}"
        )


if __name__ == "__main__":
    main()
