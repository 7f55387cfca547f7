"""`headsplat capture`: a video in, tracked frames on disk out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import EMBEDDED, OptionalFloat, OptionalHead, OptionalInt, OptionalText, Out
from avatar.cli.progress import Update, say, stage
from avatar.errors import HeadsplatError
from avatar.files import check_output

if TYPE_CHECKING:
    from avatar.captured import Capture


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
    """training frames at most, spread evenly over the video"""
    head: OptionalHead = None
    """embedded (also when left out), embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    consent: str = ""
    """who agreed to what; kept in the capture and in every avatar made from it"""
    overwrite: bool = False
    """replace a capture that exists"""

    def run(self) -> int:
        """Capture the video; returns the exit code."""
        request = CaptureRequest(
            self.source,
            self.out,
            self.test_fraction,
            self.test_every,
            self.max_frames,
            self.consent,
            self.head or EMBEDDED,
            self.test_camera,
            self.solve_cameras,
        )
        if (self.out / "capture.json").exists():
            check_output(self.out, self.overwrite, folder=True)
        print(summary(make_capture(request, self.overwrite)))
        return 0


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
    test_camera: str | None = None
    solve_cameras: bool = False

    def __post_init__(self) -> None:
        if not self.source.exists():
            raise HeadsplatError(
                f"{self.source}: no such file; give a video (`headsplat train` takes a capture folder as well)"
            )


def make_capture(request: CaptureRequest, overwrite: bool) -> Capture:
    """Capture a video with progress on stderr; an unfinished capture of it goes on. Warnings are said at the end."""
    from capture.options import CaptureOptions
    from capture.pipeline import run_capture

    options = CaptureOptions(
        test_fraction=request.test_fraction,
        test_every=request.test_every,
        max_frames=request.max_frames,
        consent=request.consent,
        head=request.head,
        test_camera=request.test_camera,
        solve_cameras=request.solve_cameras,
        overwrite=overwrite,
    )
    say(f"capturing {request.source.name} into {request.out}")
    with _stages() as report:
        capture = run_capture(request.source, request.out, options, report)
    for note in capture.facts["head"].get("notes", ()):
        say(note)
    for warning in capture.facts.get("warnings", ()):
        say(f"warning: {warning}")
    return capture


def reuse_or_capture(request: CaptureRequest, overwrite: bool) -> Capture:
    """The finished capture of this video and split in the folder, or a new one.

    Raises:
        HeadsplatError: the folder holds a capture of another video or split, and `overwrite` is off.
    """
    difference = _difference(request)
    if difference is None:
        from avatar.captured import Capture

        say(f"using the finished capture {request.out}")
        return Capture.load(request.out)
    if difference and not overwrite:
        raise HeadsplatError(f"{request.out}: a capture {difference} is there; give --overwrite to capture again")
    return make_capture(request, overwrite)


def _difference(request: CaptureRequest) -> str | None:
    """How the finished capture in the folder differs from the request: None not at all, "" there is none."""
    from avatar.captured import FACTS_FILE, Capture
    from avatar.head import lasting_source
    from capture.pipeline import source_digest
    from capture.split import Split

    split = Split(request.test_fraction, request.test_every)
    if not (request.out / FACTS_FILE).exists():
        return ""
    facts = Capture.load(request.out).facts
    if facts["source"]["sha256"] != source_digest(request.source):
        return "of another video"
    if facts["head"].get("source", EMBEDDED) != lasting_source(request.head):
        return "with another head model"
    made = facts["split"]
    return None if (made["mode"], made["value"]) == (split.mode, split.value) else "with another split"


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
    facts, track = capture.facts, capture.track
    error = float(track["reprojection"].mean())
    return (
        f"{capture.root}: {len(capture)} frames of {facts['width']}x{facts['height']}, "
        f"{len(capture.test_indices)} held out, landmarks within {error:.1%} of the inter-ocular distance"
    )
