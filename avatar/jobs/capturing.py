"""Capturing: from a video, photos or a folder of several cameras to a folder of tracked frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.common.files import check_output, path_text
from avatar.common.photo_files import are_photos
from avatar.errors import HeadsplatError
from avatar.jobs.notices import SILENT, Notices, Notify, ignore
from avatar.jobs.option_types import EMBEDDED, checked
from avatar.jobs.outputs import Output, reserved
from capture.options import CaptureOptions

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.data.kept_images import KeptImages
    from capture.report import CaptureReport


#: A video that only moves an avatar, or is read, is stored in frames of this size, which suffices for the avatar's own
#: tracking and for what the pixels show.
_TRACKED_SIZE = 320
_MAX_FRAMES = 100_000


@dataclass(frozen=True)
class Captured:
    """A finished capture."""

    capture: Capture
    report: CaptureReport

    def summary(self) -> str:
        """One line about the capture."""
        return summary(self.capture)


def capture(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    options: CaptureOptions | None = None,
    *,
    overlay: bool = True,
    notify: Notify = ignore,
) -> Captured:
    """Decode, detect the face, matte and track; resumes after an interruption.

    Args:
        source: a video of one person, 1 to 20 photos, or a folder of several cameras.
        out: the capture folder to write.
        options: how to capture; None: as `headsplat capture` by default.
        overlay: whether to write overlay.mp4, the video with the tracked head as an overlay.
        notify: receives progress and messages.

    Raises:
        HeadsplatError: the source cannot be captured, or `out` exists or cannot be written.
    """
    from capture.sources import check_source

    sources = paths_of(source)
    out = Path(out)
    options = checked(options or CaptureOptions())
    check_source(sources)
    options = replace(options, consent=path_text(options.consent))
    head = None if options.head == EMBEDDED else options.head
    notices = Notices(notify)
    with reserved(
        [Output(out, folder=True, in_place=True)], (*sources, options.mattes, head), overwrite=options.overwrite
    ):
        found = _without_report(sources, out, options, notices)
        if found is None:
            if (out / "capture.json").exists():
                check_output(out, options.overwrite, folder=True)
            found = make_capture(sources, out, options, notices)
        return Captured(found, report_capture(found, notices, overlay=overlay))


def paths_of(source: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """One or several paths as a tuple."""
    return (Path(source),) if isinstance(source, str | Path) else tuple(Path(path) for path in source)


def _without_report(sources: Sequence[Path], out: Path, options: CaptureOptions, notices: Notices) -> Capture | None:
    """The requested capture if it is finished except for its report."""
    from capture.workspace import REPORT_FILE

    if options.overwrite or (out / REPORT_FILE).exists():
        return None
    try:
        if _difference(sources, out, options) is not None:
            return None
    except HeadsplatError:  # damaged: the next check reports that --overwrite replaces it
        return None
    from avatar.data.capture_folder import Capture

    notices.say(f"{out} is finished; writing its report")
    return Capture.load(out)


def make_capture(
    source: Sequence[Path],
    out: Path,
    options: CaptureOptions,
    notices: Notices = SILENT,
    kept: KeptImages | None = None,
) -> Capture:
    """Capture the source, or resume an unfinished capture of it; sends progress and, at the end, warnings.

    Args:
        source: a video, a folder of several cameras, or photos.
        out: the capture folder.
        options: see CaptureOptions.
        notices: of the job.
        kept: where the training images of a video are kept in memory, for a training that follows.
    """
    from capture.sources import check_source

    check_source(source)
    name = f"{len(source)} photos" if len(source) > 1 else source[0].name
    notices.say(f"capturing {name} into {out}")
    with notices.counted_stages() as report:
        capture = _captured(source, out, options, report, kept)
    for note in capture.metadata["head"].get("notes", ()):
        notices.say(note)
    if (solved := capture.metadata.get("solved")) is not None:
        from capture.stages.photos import geometry_sentence

        notices.say(geometry_sentence(solved))
    for warning in capture.metadata.get("warnings", ()):
        notices.say(f"warning: {warning}")
    return capture


def _captured(
    source: Sequence[Path],
    out: Path,
    options: CaptureOptions,
    report: Callable[[str, int, int], None],
    kept: KeptImages | None,
) -> Capture:
    if are_photos(source):
        from capture.photos import capture_photos

        return capture_photos(source, out, options, report)
    from capture.pipeline import run_capture

    return run_capture(source[0], out, options, report, kept=kept)


def track_video(video: Path, out: Path, passes: int, notices: Notices = SILENT) -> Path:
    """Capture `video` into the folder `out`, which is returned, for its motion: all frames, small."""
    from capture.sources import check_source

    check_source([video])
    if are_photos([video]):
        raise HeadsplatError(f"{path_text(video)}: a photo, which shows no motion; give a video, or a motion file")
    options = CaptureOptions(max_frames=_MAX_FRAMES, max_size=_TRACKED_SIZE, passes=passes)
    make_capture((video,), out, options, notices)
    return out


def report_capture(capture: Capture, notices: Notices = SILENT, *, overlay: bool) -> CaptureReport:
    """Write the report into the capture's folder, and send the progress of the overlay video."""
    from avatar.data.capture_head import head_of
    from capture.report import write_report

    with notices.counted_stages() as progress:
        return write_report(capture, head_of(capture), overlay, progress)


def reuse_or_capture(
    source: Sequence[Path],
    out: Path,
    options: CaptureOptions,
    notices: Notices = SILENT,
    kept: KeptImages | None = None,
) -> Capture:
    """Load the finished capture of the source with these options from its folder, or make it.

    Args:
        source: a video, a folder of several cameras, or photos.
        out: the capture folder.
        options: see CaptureOptions; with `overwrite`, a capture that differs is replaced.
        notices: of the job.
        kept: see make_capture.

    Raises:
        HeadsplatError: the folder has a capture of another source or with other options, and `overwrite` is off.
    """
    from capture.sources import check_source

    check_source(source)
    try:
        difference = _difference(source, out, options)
    except HeadsplatError:
        if not options.overwrite:
            raise
        difference = "that cannot be read"  # --overwrite replaces it
    if difference is None:
        from avatar.data.capture_folder import Capture

        notices.say(f"using the finished capture {out}")
        return Capture.load(out)
    if difference and not options.overwrite:
        raise HeadsplatError(f"{out}: contains a capture {difference}; give --overwrite to capture again")
    capture = make_capture(source, out, options, notices, kept)
    for advice in report_capture(capture, notices, overlay=False).advice:
        notices.say(f"to film again: {advice}")
    return capture


def finish_recording(folder: Path, notices: Notices = SILENT, kept: KeptImages | None = None) -> Capture | None:
    """Complete the capture of a recording of `headsplat film`, also of one that was killed; None for others.

    Args:
        folder: the capture folder.
        notices: of the job.
        kept: see make_capture.

    Raises:
        HeadsplatError: the recording is damaged, or has too few frames.
    """
    from capture.workspace import growing_film

    if growing_film(folder) is None:
        return None
    from capture.film.folder import finish_film

    notices.say(f"completing the capture {folder}")
    with notices.counted_stages() as progress:
        capture = finish_film(folder, progress, kept=kept)
    assert capture is not None
    for warning in capture.metadata.get("warnings", ()):
        notices.say(f"warning: {warning}")
    for advice in report_capture(capture, notices, overlay=False).advice:
        notices.say(f"to film again: {advice}")
    return capture


def _difference(source: Sequence[Path], out: Path, options: CaptureOptions) -> str | None:
    """The difference between the finished capture in the folder and the requested one; None: equal, "": no capture."""
    from avatar.data.capture_folder import METADATA_FILE, Capture
    from avatar.head import stored_source
    from capture.sources import source_digest

    if not (out / METADATA_FILE).exists():
        return ""
    metadata = Capture.load(out).metadata
    if metadata["source"].get("sha256") != source_digest(source):
        return "of other photos" if are_photos(source) else "of another video"
    if metadata["head"].get("source", EMBEDDED) != stored_source(options.head):
        return "with another head model"
    return _other_option(options.key(), metadata)


def _other_option(requested: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """The first difference between a capture's options and the requested ones; the head model is compared elsewhere."""
    used = metadata.get("options")
    if not isinstance(used, dict):  # captures of other programs contain only their split
        split = metadata["split"]
        known = {f"test_{split.get('mode')}": split.get("value")}
        used = {**requested, "test_fraction": None, "test_every": None, "test_yaw": None, "test_camera": None, **known}
    defaults = CaptureOptions().key()
    others = [name for name in requested if name != "head" and used.get(name, defaults[name]) != requested[name]]
    if any(name.startswith("test_") for name in others):
        return "with another split"
    return f"with another --{others[0].replace('_', '-')}" if others else None


def summary(capture: Capture) -> str:
    """One line about a capture."""
    metadata = capture.metadata
    track = capture.track
    error = float(track["reprojection"].mean())
    return (
        f"{capture.root}: {len(capture)} frames of {metadata['width']}x{metadata['height']}, "
        f"{len(capture.test_indices)} held out, landmarks within {error:.1%} of the inter-ocular distance"
    )
