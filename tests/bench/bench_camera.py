"""How closely the camera of an exported page follows `headsplat live --webcam`: one clip as the camera of both.

    python -m tests.bench.bench_camera me.avatar clip.mp4 [--every 3] [--seconds 60]

A headless Chromium plays the clip as its camera, each frame with its number as bright and dark squares at the upper
edge, so that poses are compared frame by frame. Both start with the same frame; the native pipeline sees every one, the
page those that it has time for: on a busy machine, play every third frame only. Prints a Markdown table of
correlations. The first use downloads MediaPipe's models and library.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from avatar.driving.live.pipeline import LiveOptions, LivePipeline
from avatar.export.web import web_container
from avatar.jobs.web_page import page_camera
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import read_avatar
from capture.live.camera import FileFeed
from capture.live.face_source import FaceSource
from capture.video.decoding import SourceFrame, open_video
from tests.support.browser import Page, chromium, find_chromium
from tests.support.fake_camera import camera_options, write_y4m
from viewer.web.page import build_page

#: Squares that number a frame, the lowest bit first, and their side in pixels.
BITS, SIDE = 12, 12
WINDOW = (420, 380)  # of the browser, pixels: on a machine without a graphics card drawing must leave time to track
_WATCH = """
(() => {
  const make = globalThis.createImageBitmap, canvas = new OffscreenCanvas(BITS * SIDE, SIDE);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let number = -1;
  globalThis.createImageBitmap = async (source, options) => {
    const image = await make(source, options);
    if (!(source instanceof HTMLVideoElement)) return image;
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, SIDE / 2, BITS * SIDE, 1);
    number = 0;
    for (let bit = 0; bit < BITS; bit++) number += data[4 * (bit * SIDE + SIDE / 2)] > 127 ? 2 ** bit : 0;
    globalThis.firstFrame ??= number;
    return image;
  };
  globalThis.rows = [];
  const { reports } = app.camera, { moved } = reports;
  reports.moved = () => {
    moved();
    const { calibration, presence } = app.camera;
    if (!calibration?.isDone || presence.isLost) return;
    const { expression, jointRot, translation } = presence.last;
    rows.push([number, ...expression, ...jointRot, ...translation]);
  };
  app.camera.start();
})();
"""


@dataclass(frozen=True)
class Clip:
    """Every so-many-th frame of a video, at its speed."""

    path: Path
    every: int = 1

    @property
    def rate(self) -> float:
        """Frames per second."""
        return open_video(self.path).fps / self.every

    def source(self) -> Iterator[SourceFrame]:
        """The frames with their times."""
        return islice(open_video(self.path), 0, None, self.every)

    def frames(self) -> Iterator[np.ndarray]:
        """Images [H,W,3] uint8 of one repetition; a width and a height that are odd lose a pixel."""
        for frame in self.source():
            height, width = frame.rgb.shape[:2]
            yield np.ascontiguousarray(frame.rgb[: height // 2 * 2, : width // 2 * 2])

    def numbered(self) -> Iterator[np.ndarray]:
        """The images with their numbers drawn on them."""
        for number, rgb in enumerate(self.frames()):
            for bit in range(BITS):
                rgb[:SIDE, bit * SIDE : (bit + 1) * SIDE] = 255 * ((number >> bit) & 1)
            yield rgb


class _Repeated:
    """The frames of a clip for the native pipeline, twice, with the times of its rate."""

    def __init__(self, clip: Clip, start: int) -> None:
        self._clip, self._start, video = clip, start, open_video(clip.path)
        self.width, self.height, self.focal_35mm, self.fps = video.width, video.height, None, clip.rate

    def __iter__(self) -> Iterator[Any]:
        number = 0
        for _ in range(2):
            for frame in self._clip.source():
                if number >= self._start:
                    yield replace(frame, time=number / self.fps)
                number += 1


def native_rows(avatar: Avatar, clip: Clip, start: int) -> np.ndarray:
    """What the native pipeline shows, from frame `start` on until the second end of the clip.

    Returns:
        Number of the frame, expression weights, joint rotations and translation of each frame with a face [T,1+E+18].
    """
    feed = FileFeed(_Repeated(clip, start), "all")  # type: ignore[arg-type]
    pipeline = LivePipeline(avatar, FaceSource(feed, lossless=True, torso=False), LiveOptions(clock="source"))
    rows = []
    pipeline.start()
    try:
        while not pipeline.source.finished:
            pose = pipeline.latest()
            if not pose.fresh or pose.sample is None:
                time.sleep(0.001)
                continue
            number = round((pose.sample.source_time or 0.0) * clip.rate)
            params = (pose.params.expression, pose.params.joint_rot.flatten(1), pose.params.translation)
            rows.append(np.concatenate([[number], *(part[0].numpy() for part in params)]))
    finally:
        pipeline.stop()
    return np.array(rows)


def page_rows(page: Page, address: Path, seconds: float) -> tuple[np.ndarray, int]:
    """The same of the page, once its camera is calibrated, and the number of its first frame."""
    page.open(address)
    page.run(_WATCH.replace("BITS", str(BITS)).replace("SIDE", str(SIDE)))
    page.wait("rows.length")
    time.sleep(seconds)
    rows, start = np.array(page.run("app.camera.stop(), rows")), page.run("firstFrame")
    assert not page.errors() or all("XNNPACK" in json.dumps(error) for error in page.errors()), page.errors()
    return rows, start


def agreement(found: np.ndarray, native: np.ndarray, columns: Mapping[str, int], frames: int) -> dict[str, float]:
    """Correlation of each column over the frames that both have; of the native ones the last repetition."""
    last = {int(row[0]) % frames: row for row in native}
    pairs = [(row, last[int(row[0])]) for row in found if int(row[0]) in last]
    page, expected = (np.array([pair[k] for pair in pairs]) for k in (0, 1))
    return {name: float(np.corrcoef(page[:, column], expected[:, column])[0, 1]) for name, column in columns.items()}


def columns_of(names: tuple[str, ...]) -> dict[str, int]:
    """Columns of rows that are compared."""
    shown = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker", "browInnerUp")
    found = {name: 1 + names.index(name) for name in shown}
    start = 1 + len(names)
    return {**found, "pitch": start, "yaw": start + 1, "roll": start + 2, "gaze": start + 10}


def compared(avatar: Avatar, clip: Clip, seconds: float) -> tuple[dict[str, float], float]:
    """Correlations, and the frames per second that the page has tracked."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        frames = write_y4m(folder / "camera.y4m", clip.numbered(), clip.rate)
        container = web_container(avatar, {}, "benchmark")
        page_file = folder / "page.html"
        page_file.write_text(build_page(container, "benchmark", camera=page_camera(avatar.head)), encoding="utf-8")
        with chromium(folder / "profile", WINDOW, camera_options(folder / "camera.y4m")) as page:
            found, start = page_rows(page, page_file, seconds)
    native = native_rows(avatar, clip, start)
    return agreement(found, native, columns_of(avatar.head.expression_names), frames), len(found) / seconds


def main() -> None:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--every", type=int, default=1, help="play every so-many-th frame")
    parser.add_argument("--seconds", type=float, default=60.0, help="that the calibrated page is watched for")
    given = parser.parse_args()
    if find_chromium() is None:
        raise SystemExit("The benchmark needs Chromium; install it (apt-get install chromium).")
    _, avatar = read_avatar(given.avatar)
    names = list(columns_of(avatar.head.expression_names))
    print(f"| clip | tracked a second | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for path in given.clips:
        found, rate = compared(avatar, Clip(path, given.every), given.seconds)
        print(f"| {path.stem} | {rate:.1f} | {' | '.join(f'{found[name]:.3f}' for name in names)} |", flush=True)


if __name__ == "__main__":
    main()
