"""`headsplat capture`: a video in, tracked frames on disk out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from avatar.cli.arguments import EMBEDDED, OptionalFloat, OptionalHead, OptionalInt, OptionalPath, OptionalText, Out
from avatar.cli.progress import Update, say, stage
from avatar.common.files import check_output
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture


@dataclass(frozen=True)
class CaptureCommand:
    """Decode, find the face, matte and track; goes on where it was interrupted."""

    source: Annotated[Positional[Path], arg(metavar="VIDEO|FOLDER")]
    """a video of one person, or a folder of several cameras: transforms.json (NeRF, VHAP / GaussianAvatars, INSTA),
    metrical-tracker's output, or videos that started together"""
    out: Out
    """the capture folder to write"""
    test_fraction: OptionalFloat = None
    """hold out this last part of the frames, such as 0.2; nothing of them reaches identity, camera or smoothing"""
    test_every: OptionalInt = None
    """hold out every Nth frame instead, such as 5"""
    test_camera: OptionalText = None
    """hold out one of several cameras instead: its name or number"""
    solve_cameras: bool = False
    """find where several cameras stood from the face, whatever the folder says"""
    max_frames: int = 600
    """training frames at most; of a longer video those that show the most"""
    max_size: int = 768
    """longer side of the stored frames at most, pixels"""
    passes: int = 5
    """jittered landmark passes averaged per frame; more is steadier and slower"""
    focal: OptionalFloat = None
    """focal length in pixels of the video's frames; left out: the file's own, or a guess"""
    mattes: OptionalPath = None
    """your own mattes: a folder of NNNNN.png by frame number, or a video of them"""
    head: OptionalHead = None
    """embedded (also when left out), embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    consent: str = ""
    """who agreed to what; kept in the capture and in every avatar made from it"""
    overwrite: bool = False
    """replace a capture that exists; the old one stays until the new one is complete"""
    no_overlay: bool = False
    """leave out overlay.mp4, the video with the tracked head drawn over it"""
    json: bool = False
    """print the report as JSON, for programs"""

    def run(self) -> int:
        """Capture the video and report on it; returns the exit code."""
        request = CaptureRequest(
            self.source,
            self.out,
            self.test_fraction,
            self.test_every,
            self.max_frames,
            self.consent,
            self.head or EMBEDDED,
            self.max_size,
            self.passes,
            self.focal,
            self.mattes,
            self.test_camera,
            self.solve_cameras,
        )
        capture = self._without_report(request)
        if capture is None:
            if (self.out / "capture.json").exists():
                check_output(self.out, self.overwrite, folder=True)
            capture = make_capture(request, self.overwrite)
        report = report_capture(capture, overlay=not self.no_overlay)
        print(report.to_json() if self.json else f"{summary(capture)}\n{report.to_text()}")
        return 0

    def _without_report(self, request: CaptureRequest) -> Capture | None:
        """The capture asked for where all that it lacks is the report."""
        from capture.workspace import REPORT_FILE

        if self.overwrite or (self.out / REPORT_FILE).exists():
            return None
        try:
            if _difference(request) is not None:
                return None
        except HeadsplatError:  # damaged: that --overwrite replaces it is said next
            return None
        from avatar.data.capture_folder import Capture

        say(f"{self.out} is finished; writing its report")
        return Capture.load(self.out)


@dataclass(frozen=True)
class CaptureRequest:
    """Which video becomes a capture where, and with which held-out frames."""

    source: Path
    out: Path
    test_fraction: float | None = None
    test_every: int | None = None
    max_frames: int = 600
    consent: str = ""
    head: str = EMBEDDED
    max_size: int = 768
    passes: int = 5
    focal: float | None = None
    mattes: Path | None = None
    test_camera: str | None = None
    solve_cameras: bool = False

    def __post_init__(self) -> None:
        if not self.source.exists():
            raise HeadsplatError(
                f"{self.source}: no such file; give a video (`headsplat train` takes a capture folder as well)"
            )

    def options(self) -> Any:
        """What decides how the capture turns out, as `capture.options.CaptureOptions`."""
        from capture.options import CaptureOptions

        return CaptureOptions(**{item.name: getattr(self, item.name) for item in fields(self)[2:]})


def make_capture(request: CaptureRequest, overwrite: bool) -> Capture:
    """Capture a video with progress on stderr; an unfinished capture of it goes on. Warnings are said at the end."""
    from capture.pipeline import run_capture

    options = replace(request.options(), overwrite=overwrite)
    say(f"capturing {request.source.name} into {request.out}")
    with _stages() as report:
        capture = run_capture(request.source, request.out, options, report)
    for note in capture.metadata["head"].get("notes", ()):
        say(note)
    for warning in capture.metadata.get("warnings", ()):
        say(f"warning: {warning}")
    return capture


def report_capture(capture: Capture, *, overlay: bool) -> Any:
    """Write the report into the capture's folder, with progress on stderr where it draws the overlay video.

    Returns the `capture.report.CaptureReport`.
    """
    from avatar.data.capture_head import head_of
    from capture.report import write_report

    with _stages() as progress:
        return write_report(capture, head_of(capture), overlay, progress)


def reuse_or_capture(request: CaptureRequest, overwrite: bool) -> Capture:
    """The finished capture of this video and split in the folder, or a new one.

    Raises:
        HeadsplatError: the folder holds a capture of another video or split, and `overwrite` is off.
    """
    try:
        difference = _difference(request)
    except HeadsplatError:
        if not overwrite:
            raise
        difference = "that cannot be read"  # which --overwrite is there to repair
    if difference is None:
        from avatar.data.capture_folder import Capture

        say(f"using the finished capture {request.out}")
        return Capture.load(request.out)
    if difference and not overwrite:
        raise HeadsplatError(f"{request.out}: a capture {difference} is there; give --overwrite to capture again")
    capture = make_capture(request, overwrite)
    for sentence in report_capture(capture, overlay=False).advice:
        say(f"to film again: {sentence}")
    return capture


def _difference(request: CaptureRequest) -> str | None:
    """How the finished capture in the folder differs from the request: None not at all, "" there is none."""
    from avatar.data.capture_folder import METADATA_FILE, Capture
    from avatar.head import lasting_source
    from capture.pipeline import source_digest

    asked = request.options()  # refuses what cannot be before anything is read
    if not (request.out / METADATA_FILE).exists():
        return ""
    facts = Capture.load(request.out).metadata
    if facts["source"]["sha256"] != source_digest(request.source):
        return "of another video"
    if facts["head"].get("source", EMBEDDED) != lasting_source(request.head):
        return "with another head model"
    return _other_option(asked.key(), facts)


def _other_option(asked: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    """How the options a capture was made with differ from those asked for; its head model is compared by its file."""
    from capture.options import CaptureOptions

    made = facts.get("options")
    if not isinstance(made, dict):  # captures of other makers state their split alone
        split = facts["split"]
        known = {f"test_{split.get('mode')}": split.get("value")}
        made = {**asked, "test_fraction": None, "test_every": None, "test_camera": None, **known}
    defaults = CaptureOptions().key()
    others = [name for name in asked if name != "head" and made.get(name, defaults[name]) != asked[name]]
    if any(name.startswith("test_") for name in others):
        return "with another split"
    return f"with another --{others[0].replace('_', '-')}" if others else None


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback `(stage, done, total)` that shows one stage after another."""
    updates: dict[str, Update] = {}
    with ExitStack() as shown:

        def report(name: str, done: int, total: int) -> None:
            if name not in updates:
                shown.close()
                updates[name] = shown.enter_context(stage(name))
            updates[name](done / max(total, 1), f"{done} of {total}")

        yield report


def summary(capture: Capture) -> str:
    """One line about a capture."""
    facts, track = capture.metadata, capture.track
    error = float(track["reprojection"].mean())
    return (
        f"{capture.root}: {len(capture)} frames of {facts['width']}x{facts['height']}, "
        f"{len(capture.test_indices)} held out, landmarks within {error:.1%} of the inter-ocular distance"
    )
