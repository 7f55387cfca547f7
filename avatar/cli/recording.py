"""What a live run leaves on the disk: takes and films that are in step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from avatar.common.files import check_output
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import numpy as np

    from avatar.model.avatar import Avatar
    from avatar.types import HeadParams

T = TypeVar("T")
#: Seconds without a new sample after which time goes on: longer than the slowest camera takes from one to the next.
_PATIENCE = 0.15
_TAKES, _FILMS = (".csv", ".json", ".motion.npz"), (".mp4", ".mov", ".webm")


class Recording:
    """Takes (what drove the avatar) and films (what was seen), started and stopped together.

        with Recording([Path("take.csv"), Path("take.mp4")]) as recording:
            recording.sample(sample)  # what the next picture shows
            recording.picture(picture, time.monotonic())
        print(*recording.sentences)

    Paths that were given record from the beginning of the block. Every further `start` makes new files: take_2.csv,
    take_2.mp4. A picture's place in the film is the time of the sample it shows, so that the moment between camera and
    pixel does not part film and take; both begin with the first sample.

    Where an error ends the block while something is recorded, takes that hold anything are written and films are not.
    The window's session ends its recording before that, so that both are written whatever ended the run.

    Attributes:
        sentences: what was written so far, and what could not be.
        failed: how many files could not be.
    """

    def __init__(self, paths: Iterable[Path], *, overwrite: bool = False) -> None:
        """
        Args:
            paths: `.csv` (Live Link Face), `.json` and `.motion.npz` are takes, `.mp4`, `.mov` and `.webm` films. None:
                `start` makes a film and a take in the current folder, named after date and time.
            overwrite: whether those paths may be replaced; what `start` makes later never replaces anything.

        Raises:
            HeadsplatError: another suffix, a path given twice, a file that exists, a folder that cannot be.
        """
        self._paths = tuple(Path(path) for path in paths)
        self._overwrite = overwrite
        for path in self._paths:
            if not _is(path, _TAKES + _FILMS):
                raise HeadsplatError(
                    f"--record: {path}: a take is recorded as .csv (Live Link Face), .json or .motion.npz, the picture "
                    "as .mp4, .mov or .webm; name it so"
                )
            if self._paths.count(path) > 1:
                raise HeadsplatError(f"--record: {path}: is there twice; give each name once")
            _advised(check_output, path, overwrite)
        self.sentences: list[str] = []
        self.failed = 0
        self._begun = False
        self._now: _Files | None = None

    def __enter__(self) -> Recording:
        if self._paths:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):
            self.close()
        elif self._now is not None:
            now, self._now = self._now, None
            now.abandon()
            self._note(now)

    def start(self) -> None:
        """Record from now on, into files that are not there yet; nothing where it does already.

        Raises:
            HeadsplatError: the disk refuses.
        """
        if self._now is None:
            self._now = _Files(self._next_paths(), self._overwrite and not self._begun)
            self._begun = True

    @property
    def running(self) -> tuple[Path, ...]:
        """The files that are being recorded."""
        return () if self._now is None else self._now.paths

    @property
    def lost(self) -> bool:
        """Whether none of them can be written any more."""
        return self._now is not None and self._now.lost

    def sample(self, sample: Any) -> None:
        """Keep what the next picture shows, a capture.live.Sample."""
        if self._now is not None:
            self._now.sample(sample)

    def picture(self, picture: np.ndarray, time: float) -> None:
        """Show `picture` uint8 [H,W,3], drawn at `time` seconds (time.monotonic())."""
        if self._now is not None:
            self._now.picture(picture, time)

    def hold(self, time: float) -> None:
        """Show the last picture until `time` seconds (time.monotonic()): nothing has changed since it came."""
        if self._now is not None:
            self._now.hold(time)

    def stop(self, time: float | None = None) -> tuple[str, ...]:
        """Write what is being recorded; returns a sentence for each file and for what could not be written.

        Args:
            time: seconds until which the last picture was seen; None: no longer than till it came.
        """
        if self._now is None:
            return ()
        now, self._now = self._now, None
        now.finish(time)
        return self._note(now)

    def close(self) -> tuple[str, ...]:
        """Stop; returns the sentences of the whole run."""
        self.stop()
        return tuple(self.sentences)

    def stats(self) -> dict[str, Any]:
        """Whether it is `recording`, `seconds` so far, `takes` and `films` by path, and how many `failed`."""
        if self._now is None:
            return {"recording": False, "seconds": 0.0, "takes": {}, "films": {}, "failed": self.failed}
        facts = self._now.stats()
        return facts | {"recording": True, "failed": facts["failed"] + self.failed}

    def _note(self, done: _Files) -> tuple[str, ...]:
        self.sentences += done.sentences
        self.failed += done.failed
        return tuple(done.sentences)

    def _next_paths(self) -> tuple[Path, ...]:
        """The paths of the next recording: as given the first time, then numbered so that nothing has the names."""
        if not self._begun and self._paths:
            return self._paths
        stem = f"headsplat_{datetime.now():%Y-%m-%d_%H-%M-%S}"
        wanted = self._paths or (Path(f"{stem}.mp4"), Path(f"{stem}.motion.npz"))
        number = 2 if self._paths else 1
        while any(_numbered(path, number).exists() for path in wanted):
            number += 1
        return tuple(_numbered(path, number) for path in wanted)


class _Files:
    """The takes and films of one start."""

    def __init__(self, paths: tuple[Path, ...], overwrite: bool) -> None:
        from capture.live.recorder import Recorder
        from viewer.outputs.video_recorder import VideoRecorder

        # One recorder a file: of one that cannot hold the samples the others know nothing.
        takes = [path for path in paths if _is(path, _TAKES)]
        self._takes = {path: _advised(Recorder, [path], overwrite=overwrite) for path in takes}
        self._films = dict[Path, VideoRecorder]()
        self._clock = _Clock(waits=bool(takes))
        self.paths = paths
        self.sentences: list[str] = []
        self.failed = 0
        try:
            for path in paths:
                if path not in self._takes:
                    self._films[path] = _advised(VideoRecorder, path)
        except HeadsplatError:
            self.abandon()
            raise

    @property
    def lost(self) -> bool:
        return not self._takes and all(film.failed for film in self._films.values())

    def sample(self, sample: Any) -> None:
        for path, recorder in list(self._takes.items()):
            try:
                recorder.add(sample)
            except HeadsplatError as failure:  # the format cannot hold these: the others go on
                self._fail(failure)
                del self._takes[path]
        self._clock.sampled(sample.time)
        for film in self._films.values():
            film.begin(sample.time)

    def picture(self, picture: np.ndarray, time: float) -> None:
        shown = self._clock.shown(time)
        if shown is not None:
            for film in self._films.values():
                film.add(picture, shown)

    def hold(self, time: float) -> None:
        shown = self._clock.shown(time)
        if shown is not None:
            for film in self._films.values():
                film.hold(shown)

    def finish(self, time: float | None) -> None:
        """Write everything; what fails does not cost the others."""
        self._write_takes()
        if time is not None:
            self.hold(time)
        for path, film in self._films.items():
            try:
                _advised(film.stop)
                self.sentences.append(_film_sentence(path, film.stats()))
            except HeadsplatError as failure:
                self._fail(failure)

    def abandon(self) -> None:
        """After an error: takes are kept where there is anything in them, films are not."""
        for film in self._films.values():
            film.discard()
        self._takes = {path: recorder for path, recorder in self._takes.items() if recorder.stats()["frames"]}
        self._write_takes()

    def stats(self) -> dict[str, Any]:
        takes = {str(path): recorder.stats() for path, recorder in self._takes.items()}
        films = {str(path): film.stats() for path, film in self._films.items()}
        seconds = [told["seconds"] for told in (*takes.values(), *films.values())]
        failed = self.failed + sum(told["failure"] is not None for told in films.values())
        return {"seconds": max(seconds, default=0.0), "takes": takes, "films": films, "failed": failed}

    def _write_takes(self) -> None:
        for path, recorder in self._takes.items():
            try:
                _advised(recorder.write)
                facts = recorder.stats()
                self.sentences += [_take_sentence(path, facts), *facts["notes"]]
            except HeadsplatError as failure:
                self._fail(failure)

    def _fail(self, failure: HeadsplatError) -> None:
        self.sentences.append(str(failure))
        self.failed += 1


class _Clock:
    """When in the run a picture is seen: at the time of the sample it shows.

    Drawn once more it is still at that time, so that it never stands in the way of the next sample, which may come from
    the camera to the window faster than it did. Only where none comes any more does time go on.
    """

    def __init__(self, waits: bool) -> None:
        """Args: whether pictures before the first sample have no time."""
        self._waits = waits
        self._sampled: float | None = None  # of a sample that no picture has shown yet
        self._time: float | None = None
        self._from = 0.0  # when it goes on from there

    def sampled(self, time: float) -> None:
        self._sampled = time

    def shown(self, drawn: float) -> float | None:
        """The time for a picture drawn at `drawn` seconds; None: it has none yet."""
        if self._sampled is not None:
            self._time, self._from, self._sampled = self._sampled, drawn + _PATIENCE, None
        if self._time is None:
            if self._waits:
                return None
            self._time, self._from = drawn, drawn
        return self._time + max(0.0, drawn - self._from)


def _is(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _numbered(path: Path, number: int) -> Path:
    """`take_2.motion.npz` of `take.motion.npz`; 1 adds nothing."""
    suffix = next(suffix for suffix in _TAKES + _FILMS if _is(path, (suffix,)))
    stem, suffix = path.name[: -len(suffix)], path.name[-len(suffix) :]
    return path if number == 1 else path.with_name(f"{stem}_{number}{suffix}")


def _advised(work: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What `work` gives; its sentences name the option of these commands."""
    try:
        return work(*arguments, **options)
    except HeadsplatError as error:
        raise HeadsplatError(str(error).replace(" with -o", " with --record")) from error


def _take_sentence(path: Path, facts: dict[str, Any]) -> str:
    dropped = facts["dropped"]
    lost = (
        f"; {counted(dropped, 'sample')} left out: of other weights than the first, broken or late" if dropped else ""
    )
    if facts["full"]:
        lost = "; memory for more ran out"
    return f"{path}: {counted(facts['frames'], 'frame')} of what drove, {facts['seconds']:.1f} s{lost}"


def _film_sentence(path: Path, facts: dict[str, Any]) -> str:
    (width, height), dropped = facts["size"], facts["dropped"]
    lost = f"; {counted(dropped, 'picture')} left out, which this machine could not encode in time" if dropped else ""
    frames = f"{counted(facts['frames'], 'frame')} at {facts['rate']:g} a second"
    return f"{path}: {frames}, {width}x{height} pixels, {facts['seconds']:.1f} s{lost}"


def sample_of(avatar: Avatar, params: HeadParams, time: float) -> Any:
    """What the avatar does at `time`, as a capture.live.Sample: for sliders and motions, which no camera saw.

    `headsplat render --neutral as-is --pose absolute --travel 1 --no-soft-clamp` shows such a take as it was, but for
    the mean of the head's places, which is always the avatar's own.

    Args:
        avatar: whose parameters they are.
        params: [1] frame.
        time: seconds, time.monotonic().
    """
    from avatar.driving.trained_range import pivot_position
    from avatar.geometry.rotations import axis_angle_to_matrix
    from avatar.motion.files.names import ARKIT
    from avatar.types import ROOT
    from capture.live.sample import Sample

    head = avatar.head
    rotation = axis_angle_to_matrix(params.joint_rot[:, ROOT])
    place = pivot_position(head, params.identity, rotation, params.translation, avatar.rig.torso.pivot)
    return Sample(
        time=time,
        names=head.expression_names,
        space=ARKIT if "arkit" in head.capabilities else head.name,
        weights=params.expression[0].float().cpu().numpy().copy(),
        joint_rot=params.joint_rot[0].float().cpu().numpy().copy(),
        translation=place[0].float().cpu().numpy().copy(),
        confidence=1.0,
    )
