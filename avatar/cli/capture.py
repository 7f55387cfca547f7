"""`headsplat capture`: from a video to a folder of tracked frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from avatar.cli.arguments import (
    EMBEDDED,
    PASSES,
    Between,
    Framing,
    HeldOutEvery,
    HeldOutFraction,
    HeldOutYaw,
    OptionalFloat,
    OptionalHead,
    OptionalPath,
    OptionalText,
    Out,
)
from avatar.cli.outputs import Output, reserved
from avatar.cli.progress import say, show, stages
from avatar.common.files import check_output, shown
from avatar.common.photo_files import are_photos
from avatar.errors import HeadsplatError

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
    test_fraction: HeldOutFraction = None
    """hold out this last part of the frames, such as 0.2; identity, camera and smoothing do not use them"""
    test_every: HeldOutEvery = None
    """hold out every Nth frame instead, such as 5"""
    test_yaw: HeldOutYaw = None
    """hold out the frames whose yaw is more than this many degrees from the mean instead, such as 15"""
    test_camera: OptionalText = None
    """hold out one of several cameras instead: its name or number"""
    solve_cameras: bool = False
    """estimate the poses of several cameras from the face, ignoring those in the folder"""
    max_frames: Annotated[int, Between(16, 100_000)] = 600
    """maximum number of training frames; of a longer video the most varied ones"""
    framing: Framing = "head"
    """head: stores head and shoulders in a window that follows the head; bust: head and chest; full: the whole frame"""
    max_size: Annotated[int, Between(64, 4096)] = 1024
    """maximum longer side of the stored frames in pixels"""
    passes: Annotated[int, PASSES] = 5
    """jittered landmark passes averaged per frame; more passes are steadier and slower"""
    focal: Annotated[OptionalFloat, Between(10, 1_000_000)] = None
    """focal length in pixels of the video's frames; default: from the file's metadata, or an estimate"""
    mattes: OptionalPath = None
    """your mattes: a folder of NNNNN.png by frame number, or a video of them"""
    head: OptionalHead = None
    """embedded (default), embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    consent: str = ""
    """a note on the person's consent; stored in the capture and in every avatar trained from it"""
    overwrite: bool = False
    """replace an existing capture; the old one is kept until the new one is complete"""
    no_overlay: bool = False
    """do not write overlay.mp4, the video with the tracked head as an overlay"""
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
            shown(self.consent),
            self.head or EMBEDDED,
            self.framing,
            self.max_size,
            self.passes,
            self.focal,
            self.mattes,
            self.test_camera,
            self.solve_cameras,
            self.test_yaw,
        )
        output = Output(self.out, folder=True, in_place=True)
        with reserved([output], (*self.source, self.mattes, self.head), overwrite=self.overwrite):
            return self._capture(request)

    def _capture(self, request: CaptureRequest) -> int:
        capture = self._without_report(request)
        if capture is None:
            if (self.out / "capture.json").exists():
                check_output(self.out, self.overwrite, folder=True)
            capture = make_capture(request, self.overwrite)
        report = report_capture(capture, overlay=not self.no_overlay)
        show(report.to_json() if self.json else f"{summary(capture)}\n{report.to_text()}")
        return 0

    def _without_report(self, request: CaptureRequest) -> Capture | None:
        """The requested capture if it is finished except for its report."""
        from capture.workspace import REPORT_FILE

        if self.overwrite or (self.out / REPORT_FILE).exists():
            return None
        try:
            if _difference(request) is not None:
                return None
        except HeadsplatError:  # damaged: the next check reports that --overwrite replaces it
            return None
        from avatar.data.capture_folder import Capture

        say(f"{self.out} is finished; writing its report")
        return Capture.load(self.out)


@dataclass(frozen=True)
class CaptureRequest:
    """A source, the folder of its capture, and the options."""

    source: tuple[Path, ...]  # a video, a folder of several cameras, or photos
    out: Path
    test_fraction: float | None = None
    test_every: int | None = None
    max_frames: int = 600
    consent: str = ""
    head: str = EMBEDDED
    framing: Framing = "head"
    max_size: int = 1024
    passes: int = 5
    focal: float | None = None
    mattes: Path | None = None
    test_camera: str | None = None
    solve_cameras: bool = False
    test_yaw: float | None = None

    def __post_init__(self) -> None:
        for path in self.source:
            if not path.exists():
                raise HeadsplatError(
                    f"{path}: no such file; give a video or photos (`headsplat train` accepts a capture folder as well)"
                )
        if len(self.source) > 1 and not self.of_photos:
            other = next(path for path in self.source if not are_photos([path]))
            raise HeadsplatError(f"{other}: not a photo; give one video, or photos only")

    @property
    def of_photos(self) -> bool:
        """Whether the source is photos."""
        return are_photos(self.source)

    def options(self) -> Any:
        """The options as `capture.options.CaptureOptions`."""
        from capture.options import CaptureOptions

        return CaptureOptions(**{item.name: getattr(self, item.name) for item in fields(self)[2:]})


def make_capture(request: CaptureRequest, overwrite: bool) -> Capture:
    """Capture the source, or resume an unfinished capture of it; progress and, at the end, warnings on stderr."""
    options = replace(request.options(), overwrite=overwrite)
    photos = len(request.source)
    name = f"{photos} photos" if photos > 1 else request.source[0].name
    say(f"capturing {name} into {request.out}")
    with _stages() as report:
        capture = _captured(request, options, report)
    for note in capture.metadata["head"].get("notes", ()):
        say(note)
    for warning in capture.metadata.get("warnings", ()):
        say(f"warning: {warning}")
    return capture


def _captured(request: CaptureRequest, options: Any, report: Callable[[str, int, int], None]) -> Capture:
    if request.of_photos:
        from capture.photos import capture_photos

        return capture_photos(request.source, request.out, options, report)
    from capture.pipeline import run_capture

    return run_capture(request.source[0], request.out, options, report)


def report_capture(capture: Capture, *, overlay: bool) -> Any:
    """Write the report into the capture's folder, with the progress of the overlay video on stderr.

    Returns:
        The `capture.report.CaptureReport`.
    """
    from avatar.data.capture_head import head_of
    from capture.report import write_report

    with _stages() as progress:
        return write_report(capture, head_of(capture), overlay, progress)


def reuse_or_capture(request: CaptureRequest, overwrite: bool) -> Capture:
    """Load the finished capture of the request from its folder, or make it.

    Raises:
        HeadsplatError: the folder has a capture of another video or with other options, and `overwrite` is off.
    """
    try:
        difference = _difference(request)
    except HeadsplatError:
        if not overwrite:
            raise
        difference = "that cannot be read"  # --overwrite replaces it
    if difference is None:
        from avatar.data.capture_folder import Capture

        say(f"using the finished capture {request.out}")
        return Capture.load(request.out)
    if difference and not overwrite:
        raise HeadsplatError(f"{request.out}: contains a capture {difference}; give --overwrite to capture again")
    capture = make_capture(request, overwrite)
    for advice in report_capture(capture, overlay=False).advice:
        say(f"to film again: {advice}")
    return capture


def _difference(request: CaptureRequest) -> str | None:
    """The difference between the finished capture in the folder and the request; None: equal, "": no capture."""
    from avatar.data.capture_folder import METADATA_FILE, Capture
    from avatar.head import stored_source
    from capture.digest import source_digest

    requested = request.options()  # checks the options before anything is read
    if not (request.out / METADATA_FILE).exists():
        return ""
    metadata = Capture.load(request.out).metadata
    if metadata["source"].get("sha256") != source_digest(request.source):
        return "of other photos" if request.of_photos else "of another video"
    if metadata["head"].get("source", EMBEDDED) != stored_source(request.head):
        return "with another head model"
    return _other_option(requested.key(), metadata)


def _other_option(requested: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """The first difference between a capture's options and the requested ones; the head model is compared elsewhere."""
    from capture.options import CaptureOptions

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
    metadata, track = capture.metadata, capture.track
    error = float(track["reprojection"].mean())
    return (
        f"{capture.root}: {len(capture)} frames of {metadata['width']}x{metadata['height']}, "
        f"{len(capture.test_indices)} held out, landmarks within {error:.1%} of the inter-ocular distance"
    )
