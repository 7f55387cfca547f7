"""The evaluation protocol: self-reenactment of held-out frames, with the baselines in the same harness."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.driving.driver import render_track
from avatar.errors import HeadsplatError
from avatar.evaluation import metrics
from avatar.evaluation.baselines import TexturedMesh
from avatar.evaluation.report import Report
from avatar.evaluation.scoring import Picture, Scorer
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.refine.clip import ClipFit, refine_clip
from avatar.refine.options import RefineOptions
from avatar.refine.track import RefinedTrack
from avatar.rendering.backends import Rasterizer, check_rasterizer
from avatar.rendering.render import render

#: Training frames that are scored beside the held-out ones, and that the baselines learn from, at most.
TRAIN_SAMPLE = 40


def evaluate(
    avatar: Avatar,
    capture: Capture,
    *,
    size: int,
    lpips: Path | None = None,
    save_images: Path | None = None,
    asset_bytes: int = 0,
    rasterizer: Rasterizer = "native",
    refine: RefineOptions | None = None,
    track: RefinedTrack | None = None,
    trained_size: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Score `avatar` on the held-out frames of `capture`.

    In the row "test" poses and expressions are the tracker's, nothing is fitted; in the row "refined" each held-out
    frame's were refined against the avatar, frozen, by the frame's own pixels, starting from the tracker's. The row
    "train" shows training frames as the training saw them.

    Args:
        avatar: trained on the training frames of this capture.
        capture: must hold held-out frames (`--test-fraction` or `--test-every` at capture).
        size: longer side of the pictures, pixels.
        lpips: two-input ONNX network; without it the LPIPS columns are left out.
        save_images: folder that receives `tracked/` and `refined/{pred,truth,matte}_NNNNN.png` for each held-out frame.
        asset_bytes: size of the avatar file, for the report.
        rasterizer: what splats the avatar.
        refine: how held-out frames are refined; None leaves that row out.
        track: the refined track the avatar was trained on, if it was.
        trained_size: longer side of the pictures it was trained with; None: `size`.
        progress: called with (row, done, total).

    Raises:
        HeadsplatError: the capture holds no held-out frames, or its expressions are not those of the avatar's head, or
            `rasterizer` cannot run here.
    """
    check_rasterizer(rasterizer)
    indices = capture.test_indices
    if len(indices) == 0:
        raise HeadsplatError(
            f"{capture.root}: no held-out frames; capture again with --test-fraction 0.2 or --test-every 5, "
            "then train on that"
        )
    if capture.expression_names != avatar.head.expression_names:
        raise HeadsplatError(f"{capture.root}: its expressions are not those of the avatar's head; capture again")
    started = time.perf_counter()
    network = metrics.load_lpips(lpips) if lpips else None
    train_indices = capture.train_indices
    sample = train_indices[np.linspace(0, len(train_indices) - 1, min(TRAIN_SAMPLE, len(train_indices))).astype(int)]
    test, train = (load_frames(capture, rows, size, avatar.head) for rows in (indices, sample))
    if track is not None:
        train = replace(train, states=track.states(capture, sample, avatar.head))
    scorer = Scorer(avatar, capture, network, progress)
    still = _mean_expression(avatar, capture)
    mesh = TexturedMesh(avatar.head, train)
    picture = partial(render_avatar_frame, avatar, rasterizer=rasterizer)
    found = None
    rows = {"test": scorer.score("test", picture, test, indices, save_images and save_images / "tracked")}
    if refine is not None:
        found = _refined(avatar, test, refine, trained_size, progress)
        better = replace(test, states=found.states)
        rows["refined"] = scorer.score("refined", picture, better, indices, save_images and save_images / "refined")
    rows |= {
        "train": scorer.score("train", picture, train, sample),
        "blendshapes off": scorer.score("blendshapes off", partial(picture, blend=False), test, indices),
        "static head": scorer.score("static head", partial(picture, still=still), test, indices),
        "textured mesh": scorer.score(
            "textured mesh",
            lambda f, i: mesh.render(f.vertices(i), f.rotation[i], f.translation[i], f.view(i)),
            test,
            indices,
        ),
    }
    facts = {
        "test_frames": len(indices),
        "width": test.camera.width,
        "height": test.camera.height,
        "background": "white",
        "rasterizer": rasterizer,
        "poses": {
            "test": "tracked",
            "train": "tracked" if track is None else "refined in training",
            **({} if refine is None else {"refined": "fitted to each held-out frame's own pixels, avatar frozen"}),
        },
        "refinement": found.to_dict() if found else None,
        "split": capture.metadata.get("split", {}),
        "gaussians": len(avatar),
        "bytes": asset_bytes,
        "frames_per_second": _speed(avatar, capture, size, rasterizer),
        "reprojection": float(np.median(capture.track["reprojection"][indices])),
        "seconds": {
            "capture": capture.metadata.get("seconds", {}),
            "training": avatar.summary.get("seconds_training"),
            "evaluation": round(time.perf_counter() - started, 2),
        },
        "peak_memory_mb": _peak_memory_mb(),
        "lpips_network": network[0] if network else None,
    }
    return Report(rows, facts)


def _refined(
    avatar: Avatar,
    frames: TrainingFrames,
    options: RefineOptions,
    trained: int | None,
    progress: Callable[[str, int, int], None] | None,
) -> ClipFit:
    def told(done: int, total: int) -> None:
        if progress:
            progress("refining", done, total)

    with ops.one_thread():
        return refine_clip(avatar, frames, options, trained=trained, progress=told)


def render_avatar_frame(
    avatar: Avatar,
    frames: TrainingFrames,
    index: int,
    still: tuple[Tensor, Tensor] | None = None,
    *,
    blend: bool = True,
    rasterizer: Rasterizer = "native",
) -> Picture:
    """The avatar [H,W,3] in 0..1 over white, and its alpha [H,W], at frame `index`.

    `still` replaces the frame's (vertices [V,3], features [F]): a head that never changes its expression.
    """
    vertices, features = still if still is not None else (frames.vertices(index), frames.features[index])
    with torch.no_grad():
        weights = avatar.blendshapes.weights(features[None])
        if not blend:
            weights = torch.zeros_like(weights)
        step, known = frames.step[index], frames.states.torso
        torso = None if known is None else (known[0][step][None], known[1][step][None])
        gaussians = avatar.assemble(
            vertices[None], weights, frames.rotation[index][None], frames.translation[index][None], torso
        )
        out = render(gaussians, frames.view(index), rasterizer=rasterizer)
        return out.rgb[0].clamp(0, 1).numpy(), out.alpha[0].numpy()


def _mean_expression(avatar: Avatar, capture: Capture) -> tuple[Tensor, Tensor]:
    """Skull-frame vertices [V,3] and features [F] of the mean training expression."""
    params = avatar.with_identity(capture.params(capture.train_indices))
    mean = params[0]
    mean.expression[:] = params.expression.mean(0)
    mean.joint_rot[:] = params.joint_rot.mean(0)
    return avatar.head.skull_vertices(mean)[0], expression_features(mean)[0]


def _speed(avatar: Avatar, capture: Capture, size: int, rasterizer: Rasterizer, frames: int = 30) -> float:
    """Frames per second from coefficients to bytes of a picture (median), one frame at a time."""
    params = capture.params(np.resize(capture.test_indices, frames))
    track = render_track(avatar, params, capture.camera(size), rasterizer=rasterizer)
    seconds = []
    for _ in range(frames):
        start = time.perf_counter()
        next(track)
        seconds.append(time.perf_counter() - start)
    return float(1 / np.median(seconds))


def _peak_memory_mb() -> float:
    """Peak resident memory of this process in MB; nan where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
