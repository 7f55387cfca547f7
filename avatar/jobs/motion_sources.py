"""Reading what drives an avatar, stacks of layers included, and the sources of their layers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.data.capture_metadata import METADATA_FILE
from avatar.jobs.notices import SILENT, Notices
from avatar.jobs.option_types import EMBEDDED

if TYPE_CHECKING:
    from avatar.driving.motion_source import MotionSource
    from avatar.performance.mixing.sources import Loaders
    from avatar.types import Motion


def is_expression_file(path: Path) -> bool:
    """Whether `path` is read as an expression file: neither a capture folder nor a TOML file of layers or keyframes."""
    return not (path / METADATA_FILE).is_file() and (path.suffix.lower() != ".toml" or path.is_dir())


def load_source(
    path: Path, head: str | None = None, fps: float | None = None, *, notices: Notices = SILENT
) -> MotionSource:
    """Read an expression file, a capture folder, or a TOML file of layers or keyframes, which is mixed.

    Args:
        path: the file or folder.
        head: name or file of the head model that the motion was made for; None: the capture's own, or not known.
        fps: frames per second of a file without times; of layers, of the mix.
        notices: of the job.

    Raises:
        HeadsplatError: it cannot be read.
    """
    from avatar.driving.motion_source import MotionSource, load_motion_source

    if path.suffix.lower() != ".toml" or path.is_dir():
        return load_motion_source(path, head, fps, log=notices.say)
    from avatar.performance.mixing.stack import mix_file

    mixed = mix_file(path, loaders(notices), fps)
    notices.say(f"{path.name}: mixed\n{mixed.report.to_text()}")
    return MotionSource(path.name, mixed.motion, None, None)


def loaders(notices: Notices) -> Loaders:
    """How the layers of a stack are read."""
    from avatar.performance.mixing.sources import Loaders

    return Loaders(partial(_motion, notices), partial(_photo, notices), partial(_speech, notices), _emotion)


def _motion(notices: Notices, path: Path, head: str | None, fps: float | None) -> Motion:
    """The motion of a file or a capture in ARKit's expressions, where its head model is known."""
    from avatar.driving.motion_source import load_motion_source
    from avatar.head import load_head
    from avatar.motion import load_bridge

    source = load_motion_source(path, head, fps, log=notices.say)
    if source.motion.space == "arkit52" or source.head is None:
        return source.motion
    return load_bridge(source.head, load_head(EMBEDDED)).motion(source.motion, "arkit52")


def _photo(notices: Notices, path: Path) -> Mapping[str, float]:
    """The expression of a face in a photo, tracked as for `headsplat capture`."""
    from avatar.data.capture_head import head_of
    from avatar.motion.from_capture import motion_of
    from capture.photos import capture_photos

    notices.say(f"{path.name}: reading the face")
    with tempfile.TemporaryDirectory(prefix="headsplat-photo-") as folder:
        capture = capture_photos([path], Path(folder) / "photo.capture")
        motion = motion_of(capture, head_of(capture))
    return dict(zip(motion.names, motion.weights[0].tolist(), strict=True))


def _speech(notices: Notices, path: Path, text: str | None, seed: int) -> Motion:
    """The motion of a face that speaks a sound."""
    from avatar.jobs.speech_options import SpeechOptions
    from avatar.performance.speech.speaking import DEFAULT_FPS

    options = SpeechOptions(text=text, seed=seed)
    options.check(path)
    return options.speak(path, DEFAULT_FPS, log=notices.say)[0]


def _emotion(text: str) -> Mapping[str, float]:
    """The face that words describe."""
    from avatar.head.arkit import ARKIT_52
    from avatar.performance.facs.phrases import face_of_text
    from avatar.performance.facs.units import to_weights

    return dict(zip(ARKIT_52, to_weights(face_of_text(text).units[None])[0].tolist(), strict=True))
