"""Benchmark of the live pipeline without a window: latencies, neutral calibration, blinks, recovery.

    python -m tests.bench.bench_live AVATAR CLIP.mp4 [--realtime] [--seconds 12] [--sheet sheet.png]

In real time late frames are dropped, as a camera's are; otherwise every frame is processed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.signal import find_peaks

from avatar.common.jsonable import to_jsonable
from avatar.driving.lid_closure import LidClosure
from avatar.driving.live.calibrated_driver import CalibratedDriver, Neutral
from avatar.head import load_head
from avatar.jobs.render_inputs import fit_camera, stored_camera
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header
from avatar.rendering.animator import Animator
from avatar.types import Camera, HeadParams
from capture.faces.landmarks import Landmarks, LandmarkTracker, Roi
from capture.live import AvatarPose, FaceSource, LiveOptions, LivePipeline
from capture.live.camera import FileFeed
from capture.live.face_tracker import FaceTracker
from capture.live.identity import LearnOptions
from capture.options import FaceModels
from capture.video.decoding import SourceFrame, VideoSource, open_video
from tests.capture.live.synthetic import QueueSource

#: Columns and rows of the contact sheet, and the side of its images in pixels.
_COLUMNS, _ROWS, _SIDE = 4, 4, 256
#: Fraction of the distance from rest to the performer's pose that counts as recovered.
_RECOVERED = 0.9
_PARTS = ("weights", "joint_rot", "translation")


@dataclass
class Covered:
    """The start of a video, black over the face from `hide` on for one second."""

    video: VideoSource
    seconds: float
    hide: float | None = None

    def __post_init__(self) -> None:
        self.width, self.height, self.fps = self.video.width, self.video.height, self.video.fps
        self.focal_35mm = self.video.focal_35mm

    def __iter__(self) -> Iterator[SourceFrame]:
        for frame in self.video:
            if frame.time > self.seconds:
                return
            if self.hide is not None and self.hide <= frame.time < self.hide + 1:
                rgb = frame.rgb.copy()
                rgb[: int(0.9 * len(rgb))] = 0
                frame = replace(frame, rgb=rgb)
            yield frame


@dataclass
class Run:
    """The poses of a run."""

    pipeline: LivePipeline
    source: FaceSource
    poses: list[tuple[float, AvatarPose]] = field(default_factory=list)  # source seconds
    images: list[np.ndarray] = field(default_factory=list)

    @property
    def driven(self) -> list[tuple[float, AvatarPose]]:
        """Poses with a face, once calibrated."""
        return [row for row in self.poses if row[1].phase == "driving" and row[1].fresh]


def drive_live(avatar: Avatar, video: Covered, realtime: bool, keep: bool = False) -> Run:
    """Drive `avatar` by `video`, in real time or frame by frame; `keep` the camera frames."""
    feed = FileFeed(video, "realtime" if realtime else "all")
    source = FaceSource(feed, lossless=not realtime)
    run = Run(LivePipeline(avatar, source, LiveOptions(clock="arrival" if realtime else "source")), source)
    run.pipeline.start()
    try:
        while not source.finished:
            pose = run.pipeline.latest()
            if pose.fresh or pose.phase == "lost":
                clock = pose.sample.source_time if pose.sample is not None else None
                run.poses.append((clock or 0.0, pose))
                if keep and pose.fresh and (preview := source.preview()) is not None:
                    run.images.append(preview.image)
            if not pose.fresh:
                time.sleep(5e-4)
    finally:
        run.pipeline.stop()
    return run


class _Timed(LandmarkTracker):
    """Stores the time at which it finished."""

    wall = cpu = 0.0

    def locate(self, rgb: np.ndarray, roi: Roi) -> Landmarks:
        found = super().locate(rgb, roi)
        self.wall, self.cpu = time.perf_counter(), time.thread_time()
        return found


def serial(avatar: Avatar, video: Covered) -> dict[str, float]:
    """Milliseconds from landmarks to parameters with all stages in one thread, without competing threads.

    Wall-clock and CPU time of this thread, after identity fit and calibration.
    """
    queue = QueueSource()
    pipeline = LivePipeline(avatar, queue, LiveOptions(clock="source"))
    lens = FileFeed(video, "all").open()
    network = _Timed()
    tracker = FaceTracker(load_head(), lens, FaceModels(landmarks=lambda: network), LearnOptions(), wait=True)
    wall, cpu = [], []
    for frame in FileFeed(video, "all").frames():
        queue.sample = tracker(frame)
        queue.before = tracker.earlier
        pose = pipeline.latest()
        if pose.phase == "driving" and pose.fresh:
            wall.append(time.perf_counter() - network.wall)
            cpu.append(time.thread_time() - network.cpu)
        tracker.finish()
    found = {}
    for name, seconds in (("wall", wall), ("cpu", cpu)):
        found |= {f"{name}_p{part}": float(np.percentile(seconds, part)) * 1e3 for part in (50, 95)}
    return {"frames": float(len(wall)), **found}


def neutral_rms(run: Run) -> dict[str, float]:
    """RMS distance of the avatar from its neutral while the performer's face is at rest.

    Of the neutral itself, and of earlier samples: one half of them as the neutral, the other half retargeted, if the
    person rests in them (without blinks: lids are compared too).
    """
    driver, resting = run.pipeline.driver, run.pipeline.resting_face
    earlier = run.source.earlier()
    if driver is None or not earlier:
        return {}
    parts = [torch.from_numpy(np.stack([getattr(sample, part) for sample in earlier])) for part in _PARTS]
    median = [driver.neutral.weights[None], *(part[:1] for part in parts[1:])]
    half = len(earlier) // 2
    base = run.pipeline._calibrator._base  # type: ignore[union-attr]
    other = CalibratedDriver.of(base, Neutral.of(earlier[:half]), run.pipeline.options.calibration.closed)
    shown = other(*(part[half:] for part in parts)).expression - resting
    return {
        "neutral": _rms(driver(*median).expression - resting),
        "other_half_median_of_frames": float(shown.square().mean(1).sqrt().median()),
        "other_half_median_face": _rms(shown.median(0).values),
        "resting_face_from_stored_neutral": _rms(resting - run.pipeline.avatar.neutral),
    }


def _rms(off: torch.Tensor) -> float:
    return float(off.square().mean().sqrt())


def lids_of(run: Run) -> dict[str, float]:
    """The minimum opening of each eye, 1 at rest, and the largest blink weights of driver and avatar."""
    lids, names = LidClosure.of(run.pipeline.avatar.head), run.pipeline.avatar.head.expression_names
    shown = torch.cat([pose.params.expression for _, pose in run.driven])
    seen = np.stack([pose.sample.weights for _, pose in run.driven if pose.sample is not None])
    found = {}
    for side, name in enumerate(("eyeBlinkRight", "eyeBlinkLeft")):
        column = names.index(name)
        found[f"{name}_driver"] = float(seen[:, column].max())
        found[f"{name}_avatar"] = float(shown[:, column].max())
        if lids is not None:
            found[f"{name}_opening"] = float((1 - shown @ lids.closing[side]).min())
    return found


def recovery(avatar: Avatar, video: VideoSource, hide: float) -> dict[str, float]:
    """Seconds from the reappearance of the face to its first sample, and to 90 % of the performer's pose; real time."""
    run = drive_live(avatar, Covered(video, hide + 3, hide), realtime=True)
    rest = run.pipeline._presence.neutral
    lost = [pose for clock, pose in run.poses if pose.phase == "lost" and clock < hide + 1]
    if not lost:
        return {"never_lost": 1.0}
    back = [row for row in run.poses if row[0] >= hide + 1 and row[1].fresh]
    first = back[0][0] - (hide + 1)
    driver = run.pipeline.driver
    assert driver is not None
    for clock, pose in back:
        assert pose.sample is not None
        live = driver(*(torch.from_numpy(getattr(pose.sample, part))[None] for part in _PARTS))
        if _distance(pose.params, live) <= (1 - _RECOVERED) * _distance(rest, live) + 1e-4:
            return {
                "distance_to_neutral": _distance(lost[-1].params, rest),
                "first_sample": first,
                "recovered": clock - (hide + 1),
            }
    return {"first_sample": first}


def _distance(first: HeadParams, second: HeadParams) -> float:
    expression = (first.expression - second.expression).norm()
    return float(expression + 3 * (first.joint_rot - second.joint_rot).norm())


def blinks_of(run: Run) -> list[dict[str, float]]:
    """Each blink of the driver, and the minimum opening of the avatar's eyes in it: 0 is closed, 1 at rest."""
    lids, driven = LidClosure.of(run.pipeline.avatar.head), run.driven
    if lids is None or not driven:
        return []
    names = run.pipeline.avatar.head.expression_names
    columns = [names.index("eyeBlinkRight"), names.index("eyeBlinkLeft")]
    seen = np.stack([pose.sample.weights[columns] for _, pose in driven if pose.sample is not None])
    opening = np.stack([(1 - pose.params.expression[0] @ lids.closing.T).numpy() for _, pose in driven])
    peaks, _ = find_peaks(seen.mean(1), prominence=0.2, height=0.45)
    return [
        {
            "second": driven[peak][0],
            **{f"driver_{side}": float(value) for side, value in zip(("right", "left"), seen[peak], strict=True)},
            **{
                f"open_{side}": float(opening[max(peak - 2, 0) : peak + 3, place].min())
                for place, side in enumerate(("right", "left"))
            },
        }
        for peak in peaks
    ]


def endurance(avatar: Avatar, video: Covered, seconds: float, camera: Camera) -> dict[str, float]:
    """A looped clip in real time with every sample rendered: age of samples when rendered, and memory over time."""
    source = FaceSource(FileFeed(video, "realtime", repeat=True))
    pipeline, animator = LivePipeline(avatar, source), Animator(avatar, _SIDE, _SIDE)
    view, ages, memory = fit_camera(camera, _SIDE, _SIDE), [], []
    pipeline.start()
    started = time.monotonic()
    try:
        while (now := time.monotonic()) < started + seconds:
            pose = pipeline.latest()
            if pose.fresh:
                animator.render(pose.params, view)
                ages.append(time.monotonic() - pose.stamps["camera"])
            else:
                time.sleep(1e-3)
            if not memory or now - memory[-1][0] > 1:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                memory.append((now, pages * os.sysconf("SC_PAGESIZE") / 1e6))
    finally:
        pipeline.stop()
    late = np.array([row for row in memory if row[0] > started + 30])
    return {
        "frames": float(len(ages)),
        **{f"age_ms_p{part}": float(np.percentile(ages, part)) * 1e3 for part in (50, 95, 99, 100)},
        "memory_mb": float(late[-1, 1]),
        "memory_mb_a_minute": float(np.polyfit(late[:, 0] / 60, late[:, 1], 1)[0]),
    }


def jitter(run: Run) -> dict[str, float]:
    """Jitter of the avatar's head rotation (degrees) and expressions."""
    shown = torch.cat([pose.params.expression for _, pose in run.driven]).numpy()
    turns = torch.cat([pose.params.joint_rot[:, 0] for _, pose in run.driven]).numpy()
    rough = [values[1:-1] - (values[:-2] + values[2:]) / 2 for values in (shown, turns)]
    return {
        "expression_jitter": float(np.sqrt((rough[0] ** 2).mean())),
        "turn_jitter_deg": float(np.degrees(np.sqrt((rough[1] ** 2).mean()))),
    }


def sheet(run: Run, camera: Camera, path: Path) -> None:
    """The performer's frames next to the avatar's, as a PNG."""
    animator = Animator(run.pipeline.avatar, _SIDE, _SIDE)
    fresh = [pose for _, pose in run.poses if pose.fresh]
    rows = []
    for chosen in np.linspace(0, len(fresh) - 1, _COLUMNS * _ROWS).round().astype(int):
        seen = cv2.resize(run.images[chosen], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        rendered = animator.render(fresh[chosen].params, fit_camera(camera, _SIDE, _SIDE)).cpu().numpy()
        rows.append(np.concatenate([seen, rendered], 1))
    lines = [np.concatenate(rows[k : k + _COLUMNS], 1) for k in range(0, len(rows), _COLUMNS)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(lines), cv2.COLOR_RGB2BGR))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--hide", type=float, help="cover the face from this second on, for one second")
    parser.add_argument("--endure", type=float, help="loop the clip for this many seconds, over 30")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    avatar, video = load_avatar(args.avatar), open_video(args.clip)
    run = drive_live(avatar, Covered(video, args.seconds), args.realtime, keep=args.sheet is not None)
    report = run.pipeline.meter.report()
    print(report.to_text())
    found = {
        "serial_ms": serial(avatar, Covered(video, args.seconds)),
        "neutral_rms": neutral_rms(run),
        "lids": lids_of(run),
        "blinks": blinks_of(run),
        "calibration": run.pipeline.stats()["calibration"],
        **jitter(run),
    }
    if args.hide is not None:
        found["recovery"] = recovery(avatar, video, args.hide)
    if args.endure is not None:
        camera = stored_camera(read_header(args.avatar)["capture"])
        found["endurance"] = endurance(avatar, Covered(video, args.seconds), args.endure, camera)
    print(json.dumps(to_jsonable({**found, "input": run.source.stats()}), indent=1))
    if args.sheet:
        sheet(run, stored_camera(read_header(args.avatar)["capture"]), args.sheet)


if __name__ == "__main__":
    main()
