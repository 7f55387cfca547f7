"""The evaluation protocol: self-reenactment of held-out frames, scored together with baselines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.capture_head import check_in_front
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.errors import HeadsplatError
from avatar.evaluation.baselines import TexturedMesh
from avatar.evaluation.cost import frames_per_second, peak_memory_mb
from avatar.evaluation.double_size import DoubleSize
from avatar.evaluation.frame_rendering import mean_expression, render_avatar_frame
from avatar.evaluation.landmarks import MOST_FRAMES, LandmarkDistance, Landmarker
from avatar.evaluation.lpips import load_lpips
from avatar.evaluation.report import EvaluationMetadata, Report
from avatar.evaluation.response import measure_response
from avatar.evaluation.scoring import Scorer
from avatar.model.avatar import Avatar
from avatar.model.moving import moved
from avatar.refine.clip import ClipFit, refine_clip
from avatar.refine.corrected_pose import with_corrected_pose
from avatar.refine.measured_torso import with_measured_torso
from avatar.refine.options import RefineOptions
from avatar.refine.track import RefinedTrack
from avatar.rendering.backends import Rasterizer, backend_of

#: Maximum number of training frames that are scored, and from which the textured mesh takes its colors.
TRAIN_SAMPLE = 40


def evaluate(
    avatar: Avatar,
    capture: Capture,
    *,
    size: int,
    lpips: str | Path | None = None,
    save_images: Path | None = None,
    rasterizer: Rasterizer = "native",
    refine: RefineOptions | None = None,
    track: RefinedTrack | None = None,
    trained_size: int | None = None,
    landmarker: Landmarker | None = None,
    full: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Score `avatar` on the held-out frames of `capture`.

    In the row "driven" poses and expressions are the tracker's, corrected by what the avatar learned from its training
    frames (`learn_torso_regression`, `learn_pose_corrector`); nothing is fitted to the held-out frames. In the row
    "refined" they are refined against the frozen avatar on the pixels of each held-out frame. The row "train" scores
    training frames in the poses on which the avatar was trained.

    Args:
        avatar: trained on the training frames of this capture; it is rendered, and refined against, on its device.
        capture: a capture with held-out frames (`--test-fraction` of `headsplat capture`, for example).
        size: longer side of the images, pixels.
        lpips: "alex", "vgg" or "squeeze" of the package `lpips`, or an ONNX network with two inputs; None: no LPIPS.
        save_images: folder for `tracked/` and `refined/{pred,truth,matte}_NNNNN.png` of each held-out frame.
        rasterizer: rasterizer that renders the avatar.
        refine: options of the refinement of held-out frames; None: no row "refined".
        track: the refined track on which the avatar was trained; None: it was trained on the tracker's poses.
        trained_size: longer side of the images on which it was trained; None: `size`.
        landmarker: finds the face in rendered and true frames; None: no columns of landmark distances, and no
            response to a driven blink and jaw.
        full: add the rows of the baselines ("blendshapes off", "static head", "textured mesh") and the columns `_2x`.
        progress: called with (row, done, total).

    Raises:
        HeadsplatError: the capture has no held-out frames, its expressions are not those of the avatar's head, or
            `rasterizer` is not available.
    """
    started = time.perf_counter()
    _check(avatar, capture, rasterizer)
    frames = _Frames.load(avatar, capture, size, track)
    network = load_lpips(lpips) if lpips else None
    scorer = Scorer(avatar.head, capture, network, progress, LandmarkDistance.of(landmarker))
    subject = _Subject.of(avatar, capture, rasterizer, (trained_size or size) if full else None)
    rows = {"driven": _score_test(scorer, subject, frames, save_images)}
    found = None if refine is None else _refine(avatar, frames.test, refine, trained_size, progress)
    if found is not None:
        refined = replace(frames, test=replace(frames.test, states=found.states))
        rows["refined"] = _score_test(scorer, subject, refined, save_images, "refined")
    rows["train"] = subject.score(scorer, "train", frames.train, frames.train_rows)
    rows |= _score_baselines(scorer, subject, frames) if full else {}
    metadata = EvaluationMetadata(
        **_about(avatar, capture, frames, trained_size or size, landmarker),
        rasterizer=rasterizer,
        poses=_pose_sources(avatar, refined=refine is not None, trained_on_refined=track is not None),
        refinement=found.to_dict() if found else None,
        response=measure_response(avatar, landmarker),
        frames_per_second=frames_per_second(avatar, capture, size, rasterizer),
        seconds=_seconds(avatar, capture, started),
        peak_memory_mb=peak_memory_mb(),
        lpips_network=network.name if network else None,
    )
    return Report(rows, metadata)


@dataclass(frozen=True)
class _Frames:
    """The held-out frames, a sample of the training frames, and their rows in the capture."""

    test: TrainingFrames
    train: TrainingFrames
    test_rows: np.ndarray
    train_rows: np.ndarray

    @staticmethod
    def load(avatar: Avatar, capture: Capture, size: int, track: RefinedTrack | None) -> _Frames:
        """Frames at a longer side of `size` pixels; training frames in the poses of the refined `track`, if any."""
        every = capture.train_indices
        sample = every[np.linspace(0, len(every) - 1, min(TRAIN_SAMPLE, len(every))).astype(int)]
        test = load_frames(capture, capture.test_indices, size, avatar.head)
        train = load_frames(capture, sample, size, avatar.head)
        corrected = with_corrected_pose(avatar, capture, capture.test_indices, test.states)
        test = replace(test, states=with_measured_torso(avatar, capture, capture.test_indices, corrected))
        if track is not None:
            train = replace(train, states=track.states(capture, sample, avatar.head))
        return _Frames(test, train, capture.test_indices, sample)


def _check(avatar: Avatar, capture: Capture, rasterizer: Rasterizer) -> None:
    """Raise HeadsplatError if `avatar` cannot be evaluated on `capture`."""
    backend_of(rasterizer).check()
    if len(capture.test_indices) == 0:
        raise HeadsplatError(
            f"{capture.root}: no held-out frames; capture again with --test-fraction 0.2 or --test-every 5, "
            "then train on that"
        )
    if capture.expression_names != avatar.head.expression_names:
        raise HeadsplatError(f"{capture.root}: its expressions are not those of the avatar's head; capture again")
    params = avatar.with_identity(moved(capture.params(range(len(capture))), avatar.offsets.device))
    check_in_front(capture, avatar.head, params)


@dataclass(frozen=True)
class _Subject:
    """The avatar that is scored."""

    avatar: Avatar
    rasterizer: Rasterizer
    double: DoubleSize | None  # for the columns `_2x`

    @staticmethod
    def of(avatar: Avatar, capture: Capture, rasterizer: Rasterizer, doubled: int | None) -> _Subject:
        """The avatar with the columns at twice the longer side `doubled` in pixels; None: without them."""
        double = None if doubled is None else DoubleSize(avatar, capture, doubled, rasterizer)
        return _Subject(avatar, rasterizer, double)

    def score(
        self, scorer: Scorer, row: str, frames: TrainingFrames, rows: np.ndarray, folder: Path | None = None
    ) -> dict[str, float]:
        """The row of `frames`, which are the `rows` of the capture; images are saved in `folder`."""
        renderer = partial(render_avatar_frame, self.avatar, rasterizer=self.rasterizer)
        values = scorer.score(row, renderer, frames, rows, folder)
        return values if self.double is None else values | self.double.measure(frames, rows)


def _score_test(
    scorer: Scorer, subject: _Subject, frames: _Frames, save_images: Path | None, row: str = "driven"
) -> dict[str, float]:
    """Score the avatar on the held-out frames and save the images, in the folder `tracked` or `refined`."""
    folder = save_images and save_images / ("tracked" if row == "driven" else row)
    return subject.score(scorer, row, frames.test, frames.test_rows, folder)


def _score_baselines(scorer: Scorer, subject: _Subject, frames: _Frames) -> dict[str, dict[str, float]]:
    """Rows of the baselines, on the held-out frames."""
    avatar = subject.avatar
    test = frames.test
    rows = frames.test_rows
    renderer = partial(render_avatar_frame, avatar, rasterizer=subject.rasterizer)
    static = partial(renderer, static=mean_expression(avatar, scorer.capture))
    mesh = TexturedMesh(avatar.head, frames.train)
    return {
        "blendshapes off": scorer.score("blendshapes off", partial(renderer, blend=False), test, rows),
        "static head": scorer.score("static head", static, test, rows),
        "textured mesh": scorer.score("textured mesh", mesh.render_frame, test, rows),
    }


def _landmark_note(landmarker: Landmarker | None) -> str:
    """How many frames of a row the distances of landmarks are from, or why there are none."""
    if landmarker is None:
        return "not measured"
    return landmarker.absent or f"of up to {MOST_FRAMES} frames of a row"


def _refine(
    avatar: Avatar,
    frames: TrainingFrames,
    options: RefineOptions,
    trained_size: int | None,
    progress: Callable[[str, int, int], None] | None,
) -> ClipFit:
    def report(done: int, total: int) -> None:
        if progress:
            progress("refining", done, total)

    with ops.one_thread():
        return refine_clip(avatar, frames, options, trained_size=trained_size, progress=report)


def _pose_sources(avatar: Avatar, *, refined: bool, trained_on_refined: bool) -> dict[str, str]:
    """Where the poses of each row come from, as text for the report."""
    corrected = "" if avatar.pose_corrector is None else ", corrected by what training frames showed"
    measured = "" if avatar.torso_regression is None else ", torso registered in the image"
    sources = {
        "driven": f"tracked{corrected}{measured}",
        "train": "refined in training" if trained_on_refined else "tracked",
    }
    if refined:
        sources["refined"] = "fitted to each held-out frame's own pixels, avatar frozen"
    return sources


def _about(
    avatar: Avatar, capture: Capture, frames: _Frames, trained_size: int, landmarker: Landmarker | None
) -> dict[str, Any]:
    """Fields of the metadata that describe what was evaluated."""
    return {
        "test_frames": len(frames.test_rows),
        "width": frames.test.camera.width,
        "height": frames.test.camera.height,
        "background": "white",
        "split": capture.metadata.get("split", {}),
        "gaussians": len(avatar),
        "trained_size": trained_size,
        "landmarks": _landmark_note(landmarker),
        "reprojection": float(np.median(capture.track["reprojection"][frames.test_rows])),
    }


def _seconds(avatar: Avatar, capture: Capture, started: float) -> dict[str, object]:
    return {
        "capture": capture.metadata.get("seconds", {}),
        "training": avatar.provenance.get("seconds_training"),
        "evaluation": round(time.perf_counter() - started, 2),
    }
