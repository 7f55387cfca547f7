"""Scoring an avatar on the held-out frames of a capture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from avatar.common.files import atomic_folder, path_text, write_text
from avatar.errors import HeadsplatError
from avatar.jobs.appearance import appearance_of, read_in_appearance
from avatar.jobs.lpips_network import checked_network, named_file
from avatar.jobs.notices import SILENT, Notices, Notify, ignore
from avatar.jobs.option_types import SIDE, AppearanceName, Device, OptionalInt, OptionalPath, checked
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.parsing import requested_device
from avatar.rendering.backends import Rasterizer, backend_of

if TYPE_CHECKING:
    import torch

    from avatar.data.capture_folder import Capture
    from avatar.evaluation.landmarks import Landmarker
    from avatar.evaluation.report import Report
    from avatar.model.avatar import Avatar
    from avatar.performance.speech.phones import Speech
    from avatar.refine.options import RefineOptions
    from avatar.refine.track import RefinedTrack

DEFAULT_SIZE = 256  # pixels, for avatars whose header has no settings


@dataclass(frozen=True)
class EvaluateOptions:
    """what is measured and written"""

    json: OptionalPath = None
    """JSON file for all figures"""
    markdown: OptionalPath = None
    """Markdown file for the table"""
    save_images: OptionalPath = None
    """folder for prediction, truth and matte of every held-out frame, as PNG"""
    size: Annotated[OptionalInt, SIDE] = None
    """longer side of the compared images in pixels; default: that of the training"""
    full: bool = False
    """add the baselines: no blendshapes, a static face, the textured mesh; and the columns at twice the size"""
    lpips: Annotated[str, arg(metavar="auto|none|alex|vgg|squeeze|FILE")] = "auto"
    """auto: the LPIPS network on this machine, if there is one; a network of the package lpips (alex, vgg or squeeze),
    or an ONNX file with two inputs"""
    appearance: AppearanceName = None
    """of an avatar of several recordings: the look of one of them, or a mix; default: that of this capture"""
    refine: bool = True
    """add rows with poses and expressions of the held-out frames corrected by one step a frame, and refined, by the
    avatar"""
    landmarks: bool = True
    """measure distances of face landmarks to true frames, and the response to a driven blink and jaw"""
    sound: OptionalPath = None
    """measure lip sync with this sound, which starts with the video; default: the video of the capture, if it has
    sound and lies beside the capture folder"""
    text: Annotated[str | None, arg(metavar="TEXT")] = None
    """what is said in the sound, in English: closures of the lips are found better"""
    rasterizer: Rasterizer = "native"
    """rasterizer: headsplat's kernels (native; own: no other package), or gsplat (CUDA; pip install gsplat)"""
    device: Device = "auto"
    """auto: the first GPU, if native kernels can run there, else the CPU"""
    overwrite: bool = False
    """replace outputs that exist"""


def evaluate(
    avatar: str | Path, capture: str | Path, options: EvaluateOptions | None = None, *, notify: Notify = ignore
) -> Report:
    """Score an avatar, and baselines if asked for, on the held-out frames of a capture.

    Args:
        avatar: an .avatar file.
        capture: the capture folder on which it was trained.
        options: see EvaluateOptions; None: those of `headsplat eval` by default.
        notify: receives progress and messages.

    Raises:
        HeadsplatError: not an avatar, another capture than its own, an option that is not valid, or an output that
            cannot be written.
    """
    chosen = checked(options or EvaluateOptions())
    path = Path(avatar)
    inputs = (path, Path(capture), named_file(chosen.lpips), chosen.sound)
    with reserved(_outputs(chosen), inputs, overwrite=chosen.overwrite):
        report = _evaluate(path, Path(capture), chosen, Notices(notify))
        if chosen.json is not None:
            write_text(chosen.json, report.to_json() + "\n")
        if chosen.markdown is not None:
            write_text(chosen.markdown, report.to_markdown() + "\n")
    return report


def _evaluate(path: Path, folder: Path, options: EvaluateOptions, notices: Notices) -> Report:
    network = checked_network(options.lpips, notices.say)  # what is wrong with it fails before the work
    backend_of(options.rasterizer).check()
    device = requested_device(options.device)
    from avatar.data.capture_folder import Capture

    capture = Capture.load(folder)
    speech = heard(capture, options.sound, options.text, notices)
    return evaluate_file(path, capture, options, network=network, device=device, speech=speech, notices=notices)


def _outputs(options: EvaluateOptions) -> Iterator[Output]:
    """What is written, with the options of the command that name it."""
    if options.json is not None:
        yield Output(options.json, "--json", (".json",))
    if options.markdown is not None:
        yield Output(options.markdown, "--markdown", (".md", ".markdown"))
    if options.save_images is not None:
        yield Output(options.save_images, "--save-images", folder=True)


def evaluate_file(
    path: Path,
    capture: Capture,
    options: EvaluateOptions,
    *,
    network: str | Path | None = None,
    device: torch.device | None = None,
    speech: tuple[str, Speech] | None = None,
    notices: Notices = SILENT,
) -> Report:
    """The report of an avatar file.

    Args:
        path: the avatar file.
        capture: the capture on which it was trained.
        options: see EvaluateOptions; its `lpips`, `device`, `sound`, `text` and the files other than `save_images` are
            not used here.
        network: an LPIPS network of the package `lpips`, or an ONNX file; None: no LPIPS.
        device: where the avatar is rendered and the frames are refined; None: the CPU.
        speech: name of the file with the video's sound, and what is said in it; None: no lip sync.
        notices: of the job.

    Raises:
        HeadsplatError: not an avatar file, another capture, or one of `avatar.evaluate`.
    """
    from avatar import ops
    from avatar.evaluation import protocol
    from avatar.jobs.landmarker import landmarker

    header, avatar, trained, capture = _of_capture(path, capture, options.appearance)
    trained_size = header.get("settings", {}).get("size", DEFAULT_SIZE)
    size = options.size or trained_size
    locate = landmarker() if options.landmarks else None
    images = nullcontext() if options.save_images is None else atomic_folder(options.save_images)
    packages = ops.other_packages(options.rasterizer != "own")
    with notices.stage("evaluation") as update, images as folder, packages:
        report = protocol.evaluate(
            avatar if device is None else avatar.to(device),
            capture,
            size=size,
            lpips=network,
            full=options.full,
            save_images=folder,
            rasterizer=options.rasterizer,
            refine=refine_options(header) if options.refine else None,
            trained_size=trained_size,
            track=trained_track(header, capture, notices) if trained else None,
            landmarker=locate,
            progress=lambda row, done, total: update(done / total, row),
        )
    report = replace(report, metadata=replace(report.metadata, bytes=path.stat().st_size))
    if speech is None:
        return report
    return _with_lip_sync(report, avatar, capture, speech, locate, size, options.rasterizer, notices)


def _with_lip_sync(
    report: Report,
    avatar: Avatar,
    capture: Capture,
    speech: tuple[str, Speech],
    found: Landmarker | None,
    size: int,
    rasterizer: Rasterizer,
    notices: Notices,
) -> Report:
    """The report with the lip sync to `speech`: name of the sound, and what is said in it."""
    from avatar.performance.speech.speaking_frames import measure_capture

    name, said = speech
    with notices.stage("lip sync") as update:
        measured = measure_capture(
            avatar,
            capture,
            said,
            name,
            found,
            size,
            rasterizer,
            progress=lambda row, done, total: update(done / total, row),
        )
    return replace(report, metadata=replace(report.metadata, lip_sync=measured))


def _of_capture(path: Path, capture: Capture, appearance: str | None) -> tuple[dict[str, Any], Avatar, bool, Capture]:
    """Header and avatar of the file, whether `capture` is its first recording, and the capture with poses that fit."""
    from avatar.jobs.render_inputs import is_trained_on

    header, avatar = read_in_appearance(path, appearance)
    first = is_trained_on(header, capture)
    recording = appearance_of(header, capture)
    if recording is None and not first:
        raise HeadsplatError(
            f"{capture.root}: not the capture on which {path.name} was trained, so its held-out frames may have been "
            "training frames; train on this capture or give the other one"
        )
    if recording is not None:
        avatar, capture = avatar_of_recording(avatar, header, capture, recording)
    return header, avatar, first, capture


def avatar_of_recording(
    avatar: Avatar, header: Mapping[str, Any], capture: Capture, recording: str
) -> tuple[Avatar, Capture]:
    """The avatar in the look of the `recording` that `capture` is, unless it is mixed already, and its capture.

    Poses of another recording than the first are moved to the identity of the avatar, as in the training.
    """
    from avatar.data.capture_head import head_of
    from avatar.data.recordings import with_baked_identity
    from avatar.jobs.render_inputs import is_trained_on
    from avatar.model.parts.appearance import Appearances, with_appearance

    if avatar.part(Appearances) is not None:
        avatar = with_appearance(avatar, {recording: 1.0})
    if not is_trained_on(header, capture):
        capture = with_baked_identity(capture, avatar.head, head_of(capture))
    return avatar, capture


def trained_track(header: Mapping[str, Any], capture: Capture, notices: Notices = SILENT) -> RefinedTrack | None:
    """The refined track on which the avatar with this header was trained; None if `capture` does not have it."""
    from avatar.refine.track import RefinedTrack

    entry = header.get("track")
    if not isinstance(entry, Mapping) or entry.get("name") != "refined":
        return None
    found = RefinedTrack.load(capture)
    if found is None or found.fingerprint != entry.get("fingerprint"):
        notices.say(
            f"{capture.root}: its refined track is not that of this avatar; training frames keep the tracker's poses"
        )
        return None
    return found


def refine_options(header: Mapping[str, Any]) -> RefineOptions:
    """Options of the refinement in the training of the avatar with this header; defaults if it has none."""
    from avatar.common.toml_config import apply_values
    from avatar.refine.options import RefineOptions

    settings = header.get("settings")
    stored = settings.get("refine") if isinstance(settings, Mapping) else None
    if not isinstance(stored, Mapping):
        return RefineOptions()
    known = {name: value for name, value in stored.items() if name in RefineOptions.__dataclass_fields__}
    return apply_values(RefineOptions(), known, "the avatar's settings")


def heard(capture: Capture, sound: Path | None, text: str | None, notices: Notices) -> tuple[str, Speech] | None:
    """The name of the file with the sound of a capture's video, and what is said in it.

    Args:
        capture: the capture.
        sound: the file; None: the video of the capture, if it lies beside the folder, unchanged, and has sound.
        text: what is said; None: not known.
        notices: of the job.

    Returns:
        None where `sound` is None and there is no such video.

    Raises:
        HeadsplatError: `sound` has no sound, `text` is not what is said in it, or there is a text without a sound.
    """
    from avatar.video.audio import has_audio
    from capture.sources import file_digest

    source = capture.metadata["source"]
    if sound is None:
        beside = capture.root.resolve().parent / source.get("name", "")
        if beside.is_file() and file_digest(beside) == source.get("sha256") and has_audio(beside):
            sound = beside
    if sound is None:
        if text is not None:
            raise HeadsplatError("--text is what is said in a sound; give the video or its sound with --sound FILE")
        return None
    from avatar.performance.speech.listen import listen

    return path_text(sound.name), listen(sound, text, log=notices.say)
