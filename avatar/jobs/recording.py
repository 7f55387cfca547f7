"""Recording of a run: motions and videos with common times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from avatar.common.files import check_output
from avatar.common.jsonable import counted
from avatar.common.partial_files import partial_files
from avatar.errors import HeadsplatError
from avatar.jobs.notices import SILENT, Notices

if TYPE_CHECKING:
    import numpy as np

    from avatar.driving.live.recorder import RecorderStats
    from avatar.driving.live.samples import Sample
    from avatar.model.avatar import Avatar
    from avatar.types import HeadParams
    from viewer.outputs.video_recorder import VideoStats

T = TypeVar("T")
#: Seconds without a new sample after which the video's time advances: longer than the slowest camera's frame period.
_SAMPLE_TIMEOUT = 0.15
_MOTIONS = (".csv", ".json", ".motion.npz")
_VIDEOS = (".mp4", ".mov", ".webm")


@dataclass(frozen=True)
class RecordingStats:
    """State of a recording."""

    recording: bool
    seconds: float  # recorded so far
    motions: dict[str, RecorderStats]  # by path
    videos: dict[str, VideoStats]  # by path
    failed: int  # files of the run that could not be written


class Recording:
    """Motions (the samples) and videos (the rendered images), started and stopped together.

        with Recording([Path("take.csv"), Path("take.mp4")]) as recording:
            recording.add_sample(sample)  # that the next image shows
            recording.add_image(image, time.monotonic())
        print(*recording.messages)

    The given paths are recorded from the start of the block. Every further `start` creates new files: take_2.csv,
    take_2.mp4. An image's time in the video is that of the sample it shows, so that the latency does not shift the
    video against the motion; both start with the first sample.

    Both are on disk as they grow, in take.partial.csv and take.partial.mp4 beside the outputs, so that at most a second
    is lost where the process is killed. However the block ends, the files are completed; the partial file of one that
    cannot be completed stays.

    Attributes:
        messages: on files that were written, and errors.
        failed: count of files that could not be written.
    """

    def __init__(self, paths: Iterable[Path], *, overwrite: bool = False, notices: Notices = SILENT) -> None:
        """
        Args:
            paths: `.csv` (Live Link Face), `.json` and `.motion.npz` are motions, `.mp4`, `.mov` and `.webm` videos.
                Without any, `start` creates a video and a motion in the current folder, named by date and time.
            overwrite: whether these paths may be replaced; later files never replace existing ones.
            notices: of the job; receives errors as they happen, and all messages where the block ends by an error.

        Raises:
            HeadsplatError: another suffix, a path given twice, an existing file, a folder that cannot be created.
        """
        self._paths = tuple(Path(path) for path in paths)
        self._overwrite = overwrite
        self._notices = notices
        for path in self._paths:
            if not _has_suffix(path, _MOTIONS + _VIDEOS):
                raise HeadsplatError(
                    f"--record: {path}: a motion is recorded as .csv (Live Link Face), .json or .motion.npz, a video "
                    "as .mp4, .mov or .webm; use such a name"
                )
            if self._paths.count(path) > 1:
                raise HeadsplatError(f"--record: {path}: given twice; give each name once")
            _with_record_option(check_output, path, overwrite)
        self.messages: list[str] = []
        self.failed = 0
        self._started = False
        self._files: _Files | None = None

    def __enter__(self) -> Recording:
        if self._paths:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None and not isinstance(error, KeyboardInterrupt):
            for message in self.messages:  # an error ends the job without its report
                self._notices.say(message)

    def start(self) -> None:
        """Start a recording to new files; has no effect during one.

        Raises:
            HeadsplatError: writing fails.
        """
        if self._files is None:
            paths = self._next_paths()
            for path in _unfinished(paths):
                self._notices.say(
                    f"{path}: the file of a recording that has not ended, or was killed; it can be read and is kept"
                )
            self._files = _Files(paths, self._overwrite and not self._started, self._notices)
            self._started = True

    @property
    def running(self) -> tuple[Path, ...]:
        """Files of the current recording."""
        return () if self._files is None else self._files.paths

    @property
    def lost(self) -> bool:
        """Whether none of these can be written any more."""
        return self._files is not None and self._files.lost

    def add_sample(self, sample: Sample) -> None:
        """Add the sample that the next image shows."""
        if self._files is not None:
            self._files.add_sample(sample)

    def add_image(self, image: np.ndarray, time: float) -> None:
        """Add `image` uint8 [H,W,3], rendered at `time` seconds (time.monotonic())."""
        if self._files is not None:
            self._files.add_image(image, time)

    def hold(self, time: float) -> None:
        """Show the last image until `time` seconds (time.monotonic())."""
        if self._files is not None:
            self._files.hold(time)

    def stop(self, time: float | None = None) -> tuple[str, ...]:
        """Complete the current recording; returns a message for each file and each error.

        Args:
            time: seconds until which the last image is shown; None: one frame.
        """
        if self._files is None:
            return ()
        files = self._files
        self._files = None
        files.finish(time)
        return self._collect(files)

    def close(self) -> tuple[str, ...]:
        """Stop; returns the messages of the whole run."""
        self.stop()
        return tuple(self.messages)

    def stats(self) -> RecordingStats:
        """State now."""
        if self._files is None:
            return RecordingStats(False, 0.0, {}, {}, self.failed)
        return self._files.stats(self.failed)

    def _collect(self, files: _Files) -> tuple[str, ...]:
        self.messages += files.messages
        self.failed += files.failed
        return tuple(files.messages)

    def _next_paths(self) -> tuple[Path, ...]:
        """The paths of the next recording: those given at first, then with the next number that is unused."""
        if not self._started and self._paths:
            return self._paths
        stem = f"headsplat_{datetime.now():%Y-%m-%d_%H-%M-%S}"
        paths = self._paths or (Path(f"{stem}.mp4"), Path(f"{stem}.motion.npz"))
        number = 2 if self._paths else 1
        while any(_numbered(path, number).exists() for path in paths):
            number += 1
        return tuple(_numbered(path, number) for path in paths)


class _Files:
    """The motions and videos of one recording."""

    def __init__(self, paths: tuple[Path, ...], overwrite: bool, notices: Notices) -> None:
        from avatar.driving.live.recorder import MotionRecorder
        from viewer.outputs.video_recorder import VideoRecorder

        motions = [path for path in paths if _has_suffix(path, _MOTIONS)]
        self._motion: MotionRecorder | None = None
        if motions:
            self._motion = _with_record_option(MotionRecorder, motions, overwrite=overwrite)
        self._videos = dict[Path, VideoRecorder]()
        self._clock = _VideoClock(wait_for_sample=bool(motions))
        self.paths = paths
        self._notices = notices
        self.messages: list[str] = []
        self.failed = 0
        try:
            for path in paths:
                if path not in motions:
                    self._videos[path] = _with_record_option(VideoRecorder, path)
        except HeadsplatError:
            self.finish(None)
            raise

    @property
    def lost(self) -> bool:
        motion_lost = self._motion is None or self._motion.lost
        return motion_lost and all(video.failed for video in self._videos.values())

    def add_sample(self, sample: Sample) -> None:
        if self._motion is not None:
            try:
                self._motion.add(sample)
            except HeadsplatError as failure:  # a format cannot store these samples, or the disk is full
                self._fail(failure, now=True)
        self._clock.add_sample(sample.time)
        for video in self._videos.values():
            video.set_start(sample.time)

    def add_image(self, image: np.ndarray, time: float) -> None:
        video_time = self._clock.time_of(time)
        if video_time is not None:
            for video in self._videos.values():
                video.add(image, video_time)
        self._report_failures()

    def hold(self, time: float) -> None:
        video_time = self._clock.time_of(time)
        if video_time is not None:
            for video in self._videos.values():
                video.hold(video_time)

    def finish(self, time: float | None) -> None:
        """Write all files, also where one of them fails."""
        from avatar.common.credentials import reason_without_mark

        self._write_motions()
        if time is not None:
            self.hold(time)
        for path, video in self._videos.items():
            try:
                _with_record_option(video.stop)
                self.messages.append(_video_message(path, video.stats()))
            except HeadsplatError as failure:
                self._fail(failure)
                continue
            if reason := reason_without_mark(path):
                self.messages.append(reason)

    def stats(self, failed_before: int) -> RecordingStats:
        motion = self._motion
        motions = {} if motion is None else {str(path): motion.stats() for path in motion.paths}
        videos = {str(path): video.stats() for path, video in self._videos.items()}
        seconds = [*(motion.seconds for motion in motions.values()), *(video.seconds for video in videos.values())]
        return RecordingStats(True, max(seconds, default=0.0), motions, videos, failed_before + self.failed)

    def _write_motions(self) -> None:
        if self._motion is None:
            return
        for path, result in self._motion.complete().items():
            if isinstance(result, HeadsplatError):
                self._fail(result)
            else:
                self.messages += [_motion_message(path, self._motion.stats()), *result]

    def _report_failures(self) -> None:
        """Report videos that cannot be written any more; the other files go on."""
        for video in self._videos.values():
            if (failure := video.stats().failure) is not None:
                self._fail(HeadsplatError(failure), now=True)

    def _fail(self, failure: HeadsplatError, now: bool = False) -> None:
        """Count a failure and note it for the end of the recording; `now`: also send it."""
        message = _record_option(str(failure))
        if message not in self.messages:
            self.messages.append(message)
            self.failed += 1
            if now:
                self._notices.say(message)


class _VideoClock:
    """An image's time in the video: the time of the sample it shows.

    A second image of the same sample has the same time: otherwise it could come after the next sample, whose latency
    may be smaller. Time advances only where no further samples arrive.
    """

    def __init__(self, wait_for_sample: bool) -> None:
        """Args: whether images before the first sample have no time."""
        self._wait_for_sample = wait_for_sample
        self._sample_time: float | None = None  # of a sample that no image has shown yet
        self._time: float | None = None
        self._advances_from = 0.0  # seconds, from which the time advances again

    def add_sample(self, time: float) -> None:
        self._sample_time = time

    def time_of(self, rendered: float) -> float | None:
        """The time of an image rendered at `rendered` seconds; None before the first sample."""
        if self._sample_time is not None:
            self._time = self._sample_time
            self._advances_from = rendered + _SAMPLE_TIMEOUT
            self._sample_time = None
        if self._time is None:
            if self._wait_for_sample:
                return None
            self._time = rendered
            self._advances_from = rendered
        return self._time + max(0.0, rendered - self._advances_from)


def _has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _numbered(path: Path, number: int) -> Path:
    """`take_2.motion.npz` of `take.motion.npz`; 1 adds nothing."""
    suffix = next(suffix for suffix in _MOTIONS + _VIDEOS if _has_suffix(path, (suffix,)))
    stem = path.name[: -len(suffix)]
    suffix = path.name[-len(suffix) :]
    return path if number == 1 else path.with_name(f"{stem}_{number}{suffix}")


def _with_record_option(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """The result of `function`; its errors name the option of the command."""
    try:
        return function(*arguments, **options)
    except HeadsplatError as error:
        raise HeadsplatError(_record_option(str(error))) from error


def _record_option(message: str) -> str:
    return message.replace(" with -o", " with --record")


def _unfinished(paths: Iterable[Path]) -> list[Path]:
    """The partial files of recordings to the same paths."""
    suffixes = {path: path.suffix if _has_suffix(path, _VIDEOS) else ".csv" for path in paths}
    return sorted({found for path, suffix in suffixes.items() for found in partial_files(path, suffix)})


def _motion_message(path: Path, stats: RecorderStats) -> str:
    dropped = counted(stats.dropped, "sample")
    note = f"; {dropped} dropped: other expression space, not finite or late" if stats.dropped else ""
    return f"{path}: motion, {counted(stats.frames, 'frame')}, {stats.seconds:.1f} s{note}"


def _video_message(path: Path, stats: VideoStats) -> str:
    assert stats.size is not None
    width, height = stats.size
    note = f"; {counted(stats.dropped, 'image')} dropped because encoding was too slow" if stats.dropped else ""
    frames = f"{counted(stats.frames, 'frame')} at {stats.rate:g} fps"
    return f"{path}: video, {frames}, {width}x{height} pixels, {stats.seconds:.1f} s{note}"


def sample_of(avatar: Avatar, params: HeadParams, time: float) -> Sample:
    """A sample from the avatar's parameters, for sliders and motions.

    `headsplat render --neutral as-is --pose absolute --travel 1 --no-soft-clamp` reproduces such a motion, except for
    the mean position of the head, which is always the avatar's.

    Args:
        avatar: of the parameters.
        params: [1] frame.
        time: seconds, time.monotonic().

    Returns:
        The sample, of confidence 1.
    """
    from avatar.driving.live.samples import Sample
    from avatar.driving.trained_range import pivot_position
    from avatar.geometry.rotations import axis_angle_to_matrix
    from avatar.motion.files.names import ARKIT
    from avatar.types import ROOT

    head = avatar.head
    rotation = axis_angle_to_matrix(params.joint_rot[:, ROOT])
    position = pivot_position(head, params.identity, rotation, params.translation, avatar.rig.torso.pivot)
    return Sample(
        time=time,
        names=head.expression_names,
        space=ARKIT if "arkit" in head.capabilities else head.name,
        weights=params.expression[0].float().cpu().numpy().copy(),
        joint_rot=params.joint_rot[0].float().cpu().numpy().copy(),
        translation=position[0].float().cpu().numpy().copy(),
        confidence=1.0,
    )
