"""Avatars of a person who is being filmed: a process of its own trains one after another, each on more frames."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar import ops
from avatar.errors import HeadsplatError
from capture.film.snapshot import FRAMES_SUFFIX, capture_so_far, count_frames

if TYPE_CHECKING:
    from avatar.driving.live.pipeline import LivePipeline
    from avatar.driving.live.samples import AvatarPose, Sample, SourceStats
    from avatar.types import Camera, Gaussians
    from capture.film.session import Filming
    from capture.options import FaceModels

log = logging.getLogger(__name__)

#: Seconds between two looks at the film, and until the process is ended by force.
_POLL = 0.1
_GRACE = 2.0
#: So many more frames after those in which too few showed a face.
_MORE = 8
#: Pixels and background of the avatar's image.
SIDE = 448
BACKGROUND = (0.09, 0.10, 0.11)


@dataclass(frozen=True)
class Stage:
    """A training, once there are enough frames; the last stage is repeated for every so many more frames."""

    frames: int
    size: int  # pixels
    steps: int
    gaussians: int


STAGES = (Stage(12, 160, 150, 5000), Stage(30, 192, 400, 8000), Stage(40, 224, 800, 12000))


class FilmPreview:
    """The process; it writes nothing but avatars in a folder of its own, which is deleted at the end."""

    def __init__(self, film: Path) -> None:
        """Args: the folder of the film, which grows (`capture.film.folder.growing_film`)."""
        self._film = film
        self._temporary = tempfile.TemporaryDirectory(prefix="headsplat-film-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self._pipe: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        """Start the process: it loads what it needs while the first frames come."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self._film, self.folder)
        self._process = context.Process(target=_process, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def newest(self) -> Path | None:
        """The newest avatar, once; None where there is no newer one."""
        found, pipe = None, self._pipe  # another thread may stop the process meanwhile
        with suppress(EOFError, OSError):
            while pipe is not None and pipe.poll():
                found = pipe.recv()
        return found

    def stop(self) -> None:
        """End the process and delete its folder."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.terminate()
            self._process.join(_GRACE)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None
        self._temporary.cleanup()


def _process(pipe: Connection, film: Path, folder: Path) -> None:
    """The process: Ctrl-C is for the one that films, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    importlib.import_module("avatar.training.fit")  # a second or more of libraries, before there are frames
    with suppress(EOFError, OSError), ops.one_thread_each():
        serve(pipe, film, folder, STAGES)


def serve(
    pipe: Connection, film: Path, folder: Path, stages: Sequence[Stage], models: FaceModels | None = None
) -> None:
    """Train the stages, the last one again and again, and send the path of each avatar.

    Args:
        pipe: receives the paths.
        film: the folder of the film.
        folder: for captures and avatars.
        stages: at least one.
        models: makers of the networks.

    Raises:
        EOFError, OSError: the other end of the pipe is closed.
    """
    number, wanted = 0, stages[0].frames
    while True:
        while (frames := count_frames(film)) < wanted:
            if pipe.poll(_POLL):
                pipe.recv()
        avatar = _train(film, folder, number, stages[min(number, len(stages) - 1)], models)
        number += avatar is not None
        wanted = frames + (stages[min(number, len(stages) - 1)].frames if avatar is not None else _MORE)
        if avatar is not None:
            pipe.send(avatar)


def _train(film: Path, folder: Path, number: int, stage: Stage, models: FaceModels | None) -> Path | None:
    """The avatar of a stage; None where the frames do not suffice."""
    from avatar.head import load_head
    from avatar.model.avatar_file import save_avatar
    from avatar.training.config import TrainConfig
    from avatar.training.fit import fit

    scratch = folder / f"{time.monotonic_ns()}.capture"
    try:
        capture = capture_so_far(film, scratch, models)
        config = TrainConfig(size=stage.size, steps=stage.steps, gaussians=stage.gaussians, refine_at=1.0)
        avatar = fit(capture, load_head(), config).avatar
    except HeadsplatError as error:
        log.info("no avatar of the film yet: %s", error)
        return None
    finally:
        for path in (scratch, scratch.with_suffix(FRAMES_SUFFIX)):
            shutil.rmtree(path, ignore_errors=True)
    path = folder / f"{number}.avatar"
    save_avatar(path, avatar)
    return path


def portrait(path: Path) -> np.ndarray:
    """The avatar of a file at rest, from the front [SIDE,SIDE,3] uint8.

    Raises:
        HeadsplatError: the file is no avatar.
    """
    import torch

    from avatar.driving.live.calibrated_driver import resting_face
    from avatar.driving.live.pipeline import resting_params
    from avatar.model.avatar_file import load_avatar
    from avatar.rendering.cameras import front_camera, subject_of

    avatar = load_avatar(path)
    with torch.no_grad():
        params = resting_params(avatar, resting_face(avatar))
        return _drawn(avatar(params), front_camera(subject_of(avatar, params), SIDE, SIDE))


def _drawn(gaussians: Gaussians, camera: Camera) -> np.ndarray:
    """An image [SIDE,SIDE,3] uint8 of Gaussians."""
    import torch

    from avatar.rendering.render import render

    with torch.no_grad():
        rgb = render(gaussians, camera, BACKGROUND, with_depth=False).rgb[0].numpy()
    return (rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8)


class FilmedFace:
    """The live tracker of a recording as a pose source."""

    def __init__(self, filming: Filming) -> None:
        """Args: the recording; it is started and stopped by others."""
        self.name = filming.name
        self._filming = filming
        self._last: Sample | None = None

    def start(self) -> None:
        """Nothing: the recording runs."""

    def stop(self) -> None:
        """Nothing: the recording runs on."""

    def latest(self) -> Sample | None:
        """The newest sample, once."""
        shown = self._filming.shown()
        sample = None if shown is None else shown.sample
        if sample is None or sample is self._last:
            return None
        self._last = sample
        return sample

    def earlier(self) -> Sequence[Sample]:
        """The face at rest, with which a recording begins."""
        return tuple(self._filming.resting)

    def stats(self) -> SourceStats:
        """None."""
        return {}


class AvatarMirror:
    """Images of the newest avatar, driven by the face that is filmed."""

    def __init__(self, preview: FilmPreview, filming: Filming, notify: Callable[[str], object]) -> None:
        """
        Args:
            preview: trains the avatars.
            filming: the recording.
            notify: receives a line when there is a new avatar.
        """
        self._preview = preview
        self._filming = filming
        self._notify = notify
        self._pipeline: LivePipeline | None = None
        self._camera: Camera | None = None
        self._image: np.ndarray | None = None
        self.number = 0  # of the image

    def image(self) -> np.ndarray | None:
        """The newest image [SIDE,SIDE,3] uint8; None before the first avatar."""
        import torch

        path = self._preview.newest()
        if path is not None:
            with suppress(HeadsplatError):  # gone: the recording has just ended
                self._load(path)
        if self._pipeline is None:
            return None
        pose = self._pipeline.latest()
        if pose.fresh or self._image is None:
            with torch.no_grad(), ops.one_thread():
                self._image = self._render(pose)
            self.number += 1
        return self._image

    def _load(self, path: Path) -> None:
        from avatar.driving.live.pipeline import LivePipeline, resting_params
        from avatar.model.avatar_file import load_avatar
        from avatar.rendering.cameras import front_camera, subject_of

        avatar = load_avatar(path)
        path.unlink(missing_ok=True)
        self._pipeline = LivePipeline(avatar, FilmedFace(self._filming))
        self._pipeline.start()
        params = resting_params(avatar, self._pipeline.resting_face)
        self._camera = front_camera(subject_of(avatar, params), SIDE, SIDE)
        shown = self._filming.shown()
        if shown is not None:
            self._notify(f"an avatar of what was filmed so far, after {shown.seconds:.0f} s")

    def _render(self, pose: AvatarPose) -> np.ndarray:
        assert self._pipeline is not None and self._camera is not None
        return _drawn(self._pipeline.avatar(pose.params), self._camera)
