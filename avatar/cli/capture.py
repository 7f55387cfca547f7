"""`headsplat capture`: from a video to a folder of tracked frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import DisallowNone, OmitArgPrefixes, Positional, arg

from avatar.cli.arguments import EMBEDDED, Out
from avatar.cli.outputs import Output, reserved
from avatar.cli.progress import say, show, stages
from avatar.common.files import check_output, shown
from avatar.common.photo_files import are_photos
from avatar.errors import HeadsplatError
from capture.options import CaptureOptions

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture


@dataclass(frozen=True)
class CaptureCommand:
    """Decode, detect the face, matte and track; resumes after an interruption."""

    source: Annotated[Positional[tuple[Path, ...]], arg(metavar="VIDEO|PHOTOS|FOLDER")]
    """a video of one person, 1 to 20 photos, or a folder of several cameras: transforms.json (NeRF, VHAP /
    GaussianAvatars, INSTA), metrical-tracker's output, or synchronized videos"""
    out: Out
    """the capture folder to write"""
    capture: Annotated[CaptureOptions, OmitArgPrefixes, DisallowNone] = field(default_factory=CaptureOptions)
    no_overlay: bool = False
    """do not write overlay.mp4, the video with the tracked head as an overlay"""
    json: bool = False
    """print the report as JSON, for programs"""

    def run(self) -> int:
        """Capture the video and report on it; returns the exit code."""
        from capture.sources import check_source

        check_source(self.source)
        options = replace(self.capture, consent=shown(self.capture.consent))
        output = Output(self.out, folder=True, in_place=True)
        head = None if options.head == EMBEDDED else options.head
        with reserved([output], (*self.source, options.mattes, head), overwrite=options.overwrite):
            return self._capture(options)

    def _capture(self, options: CaptureOptions) -> int:
        capture = self._without_report(options)
        if capture is None:
            if (self.out / "capture.json").exists():
                check_output(self.out, options.overwrite, folder=True)
            capture = make_capture(self.source, self.out, options)
        report = report_capture(capture, overlay=not self.no_overlay)
        show(report.to_json() if self.json else f"{summary(capture)}\n{report.to_text()}")
        return 0

    def _without_report(self, options: CaptureOptions) -> Capture | None:
        """The requested capture if it is finished except for its report."""
        from capture.workspace import REPORT_FILE

        if options.overwrite or (self.out / REPORT_FILE).exists():
            return None
        try:
            if _difference(self.source, self.out, options) is not None:
                return None
        except HeadsplatError:  # damaged: the next check reports that --overwrite replaces it
            return None
        from avatar.data.capture_folder import Capture

        say(f"{self.out} is finished; writing its report")
        return Capture.load(self.out)


def make_capture(source: Sequence[Path], out: Path, options: CaptureOptions) -> Capture:
    """Capture the source, or resume an unfinished capture of it; progress and, at the end, warnings on stderr.

    Args:
        source: a video, a folder of several cameras, or photos.
        out: the capture folder.
        options: see CaptureOptions.
    """
    from capture.sources import check_source

    check_source(source)
    name = f"{len(source)} photos" if len(source) > 1 else source[0].name
    say(f"capturing {name} into {out}")
    with _stages() as report:
        capture = _captured(source, out, options, report)
    for note in capture.metadata["head"].get("notes", ()):
        say(note)
    for warning in capture.metadata.get("warnings", ()):
        say(f"warning: {warning}")
    return capture


def _captured(
    source: Sequence[Path], out: Path, options: CaptureOptions, report: Callable[[str, int, int], None]
) -> Capture:
    if are_photos(source):
        from capture.photos import capture_photos

        return capture_photos(source, out, options, report)
    from capture.pipeline import run_capture

    return run_capture(source[0], out, options, report)


def report_capture(capture: Capture, *, overlay: bool) -> Any:
    """Write the report into the capture's folder, with the progress of the overlay video on stderr.

    Returns:
        The `capture.report.CaptureReport`.
    """
    from avatar.data.capture_head import head_of
    from capture.report import write_report

    with _stages() as progress:
        return write_report(capture, head_of(capture), overlay, progress)


def reuse_or_capture(source: Sequence[Path], out: Path, options: CaptureOptions) -> Capture:
    """Load the finished capture of the source with these options from its folder, or make it.

    Args:
        source: a video, a folder of several cameras, or photos.
        out: the capture folder.
        options: see CaptureOptions; with `overwrite`, a capture that differs is replaced.

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

        say(f"using the finished capture {out}")
        return Capture.load(out)
    if difference and not options.overwrite:
        raise HeadsplatError(f"{out}: contains a capture {difference}; give --overwrite to capture again")
    capture = make_capture(source, out, options)
    for advice in report_capture(capture, overlay=False).advice:
        say(f"to film again: {advice}")
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


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback `(stage, done, total)` that shows consecutive stages."""
    with stages() as update:
        yield lambda name, done, total: update(name, done / max(total, 1), f"{done} of {total}")


def summary(capture: Capture) -> str:
    """One line about a capture."""
    metadata = capture.metadata
    track = capture.track
    error = float(track["reprojection"].mean())
    return (
        f"{capture.root}: {len(capture)} frames of {metadata['width']}x{metadata['height']}, "
        f"{len(capture.test_indices)} held out, landmarks within {error:.1%} of the inter-ocular distance"
    )
