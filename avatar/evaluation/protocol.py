"""The evaluation protocol: self-reenactment of held-out frames, scored together with baselines.

A baseline that an avatar must beat: the tracked mesh with a mean texture.

Cost of an avatar at run time: speed of rendering and memory.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.capture_head import check_in_front
from avatar.data.training_frames import HeadStates, TrainingFrames, load_frames
from avatar.errors import HeadsplatError
from avatar.evaluation.double_size import DoubleSize
from avatar.evaluation.frame_rendering import mean_expression, render_avatar_frame
from avatar.evaluation.landmarks import MOST_FRAMES, LandmarkDistance, Landmarker
from avatar.evaluation.lpips import load_lpips
from avatar.evaluation.orbit import measure_orbit
from avatar.evaluation.report import EvaluationMetadata, Report
from avatar.evaluation.response import measure_response
from avatar.evaluation.scoring import Scorer
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.parts.person import PoseCorrector, TorsoRegression
from avatar.model.to_device import to_device
from avatar.refine.clip import ClipFit, refine_clip
from avatar.refine.corrected_pose import with_corrected_pose
from avatar.refine.measured_torso import with_measured_torso
from avatar.refine.options import RefineOptions
from avatar.refine.step_clip import step_clip
from avatar.refine.track import RefinedTrack
from avatar.rendering.animator import render_track
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.types import Camera

#: Maximum number of training frames that are scored, and from which the textured mesh takes its colors.
TRAIN_SAMPLE = 40

TEXTURE_SIZE = 512
TEXTURE_FRAMES = 40

FRAMES = 30


def frames_per_second(avatar: Avatar, capture: Capture, size: int, rasterizer: Rasterizer) -> float:
    """Frames per second from expression weights to the bytes of an image, one frame at a time (median).

    Args:
        avatar: the avatar.
        capture: its held-out frames are rendered.
        size: longer side of the images, pixels.
        rasterizer: rasterizer that renders the avatar.
    """
    rows = np.resize(capture.test_indices, FRAMES)
    images = render_track(avatar, capture.params(rows), capture.camera(size, rows), rasterizer=rasterizer)
    seconds = []
    for _ in range(FRAMES):
        start = time.perf_counter()
        next(images)
        seconds.append(time.perf_counter() - start)
    return float(1 / np.median(seconds))


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB; nan where the platform does not report it."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


class TexturedMesh:
    """The tracked head mesh with the mean color of the training frames as texture."""

    def __init__(self, head: HeadModel, frames: TrainingFrames) -> None:
        self.head = head
        total = np.zeros((TEXTURE_SIZE * TEXTURE_SIZE, 4))
        for index in np.linspace(0, len(frames) - 1, min(TEXTURE_FRAMES, len(frames))).astype(int):
            pose = (frames.rotation[index], frames.translation[index])
            uv, covered, _ = self._rasterize(frames.vertices(index), *pose, frames.view(index))
            texels = (uv[covered] * (TEXTURE_SIZE - 1)).round().to(torch.int64).clamp(0, TEXTURE_SIZE - 1).cpu().numpy()
            alpha = frames.alpha[index][covered].cpu().numpy()
            rgb = frames.rgb[index][covered].cpu().numpy()
            weight = alpha / 255.0
            values = np.concatenate([rgb / 255.0, np.ones((len(texels), 1))], 1)
            cell = texels[:, 1] * TEXTURE_SIZE + texels[:, 0]
            for channel in range(4):
                total[:, channel] += np.bincount(cell, values[:, channel] * weight, TEXTURE_SIZE**2)
        self.texture = self._filled(total.reshape(TEXTURE_SIZE, TEXTURE_SIZE, 4)).to(head.v_template.device)

    @staticmethod
    def _filled(total: np.ndarray) -> Tensor:
        """Mean colors [1,3,S,S] from sums of colors and weights [S,S,4]; gaps are filled with ever coarser blurs."""
        color = total[..., :3].astype(np.float32)
        weight = total[..., 3].astype(np.float32)
        filled = np.where(weight[..., None] > 0.5, color / np.maximum(weight, 1e-6)[..., None], np.nan)
        for size in (3, 9, 27, 81, 243):
            soft = cv2.blur(color, (size, size)) / np.maximum(cv2.blur(weight, (size, size)), 1e-6)[..., None]
            usable = cv2.blur(weight, (size, size)) > 1e-4
            filled = np.where(np.isnan(filled) & usable[..., None], soft, filled)
        filled = np.nan_to_num(filled, nan=0.5)
        return torch.from_numpy(np.ascontiguousarray(filled.transpose(2, 0, 1)[None], np.float32))

    def _rasterize(
        self, vertices: Tensor, rotation: Tensor, translation: Tensor, camera: Camera
    ) -> tuple[Tensor, Tensor, Tensor]:
        """UV [H,W,2], coverage [H,W] bool and triangle indices [H,W] of the mesh.

        Args:
            vertices: [V,3] meters, skull frame.
            rotation: [3,3] skull frame -> world.
            translation: [3] meters, origin of the skull frame in the world.
            camera: [1].
        """
        seen = camera.to_camera(vertices @ rotation.T + translation)
        face, bary, _ = ops.mesh(seen[None], self.head.faces, camera.K, camera.width, camera.height)
        covered = face[0] >= 0
        corners = self.head.uv[self.head.uv_faces[face[0].clamp_min(0).to(torch.int64)]]
        return (corners * bary[0][..., None]).sum(-2), covered, face[0]

    def render_frame(self, frames: TrainingFrames, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The mesh [H,W,3] in 0..1 over white and its coverage [H,W], 0 or 1, at image `index` of `frames`."""
        pose = (frames.rotation[index], frames.translation[index])
        uv, covered, _ = self._rasterize(frames.vertices(index), *pose, frames.view(index))
        image = F.grid_sample(self.texture, uv[None] * 2 - 1, align_corners=True, padding_mode="border")
        rgb = image[0].permute(1, 2, 0)
        color = torch.where(covered[..., None], rgb, torch.ones_like(rgb))
        return color.cpu().numpy(), covered.float().cpu().numpy()


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
    frames (`learn_torso_regression`, `learn_pose_corrector`); nothing is fitted to the held-out frames. The row
    "raw" leaves out the pose corrector; the row "live" has the states of a live tracker. In the row "stepped" the
    states of "raw" are corrected by one step a frame against the frozen avatar, on the pixels of the held-out frames so
    far; in the row "refined" they are refined on the pixels of all of them. The row "train" scores training frames in
    the poses on which the avatar was trained.

    Args:
        avatar: trained on the training frames of this capture; it is rendered, and refined against, on its device.
        capture: a capture with held-out frames (`--test-fraction` of `headsplat capture`, for example).
        size: longer side of the images, pixels.
        lpips: "alex", "vgg" or "squeeze" of the package `lpips`, or an ONNX network with two inputs; None: no LPIPS.
        save_images: folder for {pred,truth,matte}_NNNNN.png of each held-out frame in `tracked/`, `raw/`, `live/`,
            `stepped/` and `refined/`.
        rasterizer: rasterizer that renders the avatar.
        refine: options of the refinement of held-out frames; None: no rows "stepped" and "refined".
        track: the refined track on which the avatar was trained; None: it was trained on the tracker's poses.
        trained_size: longer side of the images on which it was trained; None: `size`.
        landmarker: finds the face in rendered and true frames; None: no columns of landmark distances, no response
            to a driven blink and jaw, and no row "live".
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
    if frames.uncorrected is not None:
        rows["raw"] = _score_test(scorer, subject, frames.driven_by(frames.uncorrected), save_images, "raw")
    live = _live(avatar, capture, frames, landmarker)
    if live is not None:
        rows["live"] = _score_test(scorer, subject, frames.driven_by(live), save_images, "live")
    stepped = None if refine is None else _stepped(avatar, frames, progress)
    if stepped is not None:
        rows["stepped"] = _score_test(scorer, subject, frames.driven_by(stepped), save_images, "stepped")
    found = None if refine is None else _refine(avatar, frames.test, refine, trained_size, progress)
    if found is not None:
        rows["refined"] = _score_test(scorer, subject, frames.driven_by(found.states), save_images, "refined")
    rows["train"] = subject.score(scorer, "train", frames.train, frames.train_rows)
    rows |= _score_baselines(scorer, subject, frames) if full else {}
    metadata = EvaluationMetadata(
        **_about(avatar, capture, frames, trained_size or size, landmarker),
        rasterizer=rasterizer,
        poses=_pose_sources(avatar, rows, trained_on_refined=track is not None),
        refinement=found.to_dict() if found else None,
        response=measure_response(avatar, landmarker),
        orbit=measure_orbit(avatar, rasterizer),
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
    uncorrected: HeadStates | None  # of the held-out frames without the pose corrector; None where there is none

    def driven_by(self, states: HeadStates) -> _Frames:
        """The held-out frames in other states."""
        return replace(self, test=replace(self.test, states=states))

    @staticmethod
    def load(avatar: Avatar, capture: Capture, size: int, track: RefinedTrack | None) -> _Frames:
        """Frames at a longer side of `size` pixels; training frames in the poses of the refined `track`, if any."""
        every = capture.train_indices
        sample = every[np.linspace(0, len(every) - 1, min(TRAIN_SAMPLE, len(every))).astype(int)]
        test = load_frames(capture, capture.test_indices, size, avatar.head)
        train = load_frames(capture, sample, size, avatar.head)
        tracked = with_measured_torso(avatar, capture, capture.test_indices, test.states)
        corrected = with_corrected_pose(avatar, capture, capture.test_indices, test.states)
        test = replace(test, states=with_measured_torso(avatar, capture, capture.test_indices, corrected))
        uncorrected = None if torch.equal(corrected.rotation, tracked.rotation) else tracked
        if track is not None:
            train = replace(train, states=track.states(capture, sample, avatar.head))
        return _Frames(test, train, capture.test_indices, sample, uncorrected)


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
    params = avatar.with_identity(to_device(capture.params(range(len(capture))), avatar.offsets.device))
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


def _stepped(avatar: Avatar, frames: _Frames, progress: Callable[[str, int, int], None] | None) -> HeadStates | None:
    """States of the held-out frames by the step tracker, which runs on the CPU; None for several cameras or a walk."""
    test = frames.test if frames.uncorrected is None else replace(frames.test, states=frames.uncorrected)
    if len(test) != len(test.states) or test.states.still:
        return None
    device = test.rgb.device
    if device.type != "cpu":
        avatar, test = copy.deepcopy(avatar).cpu(), test.to(torch.device("cpu"))
    report = None if progress is None else partial(progress, "stepping")
    return to_device(step_clip(avatar, test, report), device)


def _live(avatar: Avatar, capture: Capture, frames: _Frames, landmarker: Landmarker | None) -> HeadStates | None:
    """States of the held-out frames by a live tracker, with the torso of the row "raw".

    None for several cameras, and for one that is carried around.
    """
    test = frames.test
    if landmarker is None or landmarker.track_live is None or len(test) != len(test.states) or test.states.still:
        return None
    device = test.rgb.device
    head = avatar.head if device.type == "cpu" else copy.deepcopy(avatar).cpu().head
    params = landmarker.track_live(head, capture, frames.test_rows)
    if params is None:
        return None
    states = to_device(HeadStates.of(params, head), device)
    return replace(states, torso=(frames.uncorrected or test.states).torso)


def _pose_sources(avatar: Avatar, rows: Mapping[str, object], *, trained_on_refined: bool) -> dict[str, str]:
    """Where the poses of each row come from, as text for the report."""
    corrected = "" if avatar.part(PoseCorrector) is None else ", corrected by what training frames showed"
    measured = "" if avatar.part(TorsoRegression) is None else ", torso registered in the image"
    sources = {
        "driven": f"tracked{corrected}{measured}",
        "train": "refined in training" if trained_on_refined else "tracked",
    }
    others = {
        "raw": f"tracked{measured}",
        "live": f"one landmark pass a frame, no later frame{measured}",
        "stepped": f"tracked{measured}, one step on the pixels of each frame so far, avatar frozen",
        "refined": "fitted to each held-out frame's own pixels, avatar frozen",
    }
    return sources | {row: source for row, source in others.items() if row in rows}


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
