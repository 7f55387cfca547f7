"""The evaluation protocol: self-reenactment of held-out frames, with the baselines in the same harness."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar import metrics, ops
from avatar.baselines import TexturedMesh
from avatar.blendshapes import expression_features
from avatar.captured import Capture
from avatar.drive import render_track
from avatar.errors import HeadsplatError
from avatar.frames import TrainingFrames, load_frames
from avatar.initialise import torso_share
from avatar.model import Avatar
from avatar.pictures import write_picture
from avatar.rasterizer import Rasterizer, check_rasterizer
from avatar.refine.clip import ClipFit, refine_clip
from avatar.refine.options import RefineOptions
from avatar.refine.track import RefinedTrack
from avatar.render import render

#: Training frames that are scored beside the held-out ones, and that the baselines learn from, at most.
TRAIN_SAMPLE = 40
REGIONS = ("mouth", "eyes", "hair")

#: Renders the frame `index` of some frames: [H,W,3] in 0..1 over white, and its alpha [H,W].
Picture = tuple[np.ndarray, np.ndarray]
Renderer = Callable[[TrainingFrames, int], Picture]


@dataclass(frozen=True)
class Report:
    """What `headsplat eval` prints and writes."""

    rows: dict[str, dict[str, float]]  # "test", "train" and a row for each baseline
    facts: dict[str, Any]

    def to_json(self) -> str:
        """All rows and facts as one JSON object; what could not be measured is null."""
        return json.dumps(_finite({**self.rows, **self.facts}), indent=2, allow_nan=False)

    def to_markdown(self) -> str:
        """The table, and one line of facts."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        lines = ["| row | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in self.rows.items():
            cells = [_cell(row.get(column)) for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        facts = self.facts
        lines.append("")
        if "refined" in self.rows:
            lines.append(
                "test: held-out frames in the tracker's poses; refined: poses and expressions fitted to their own "
                "pixels, the avatar frozen."
            )
        lines.append(
            f"{facts['test_frames']} held-out frames, {facts['width']}x{facts['height']}, matted over white; "
            f"{facts['gaussians']} Gaussians, {facts['bytes'] / 1e6:.1f} MB, {facts['frames_per_second']:.0f} frames/s "
            f"from coefficients to pixels, tracker reprojection {100 * facts['reprojection']:.2f} % of the "
            f"inter-ocular distance, peak memory {facts['peak_memory_mb']:.0f} MB."
        )
        return "\n".join(lines)


def _finite(value: Any) -> Any:
    """`value` with every number that is not finite replaced by None."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


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
    scorer = _Scorer(avatar, capture, network, progress)
    still = _mean_expression(avatar, capture)
    mesh = TexturedMesh(avatar.head, train)
    picture = partial(avatar_picture, avatar, rasterizer=rasterizer)
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
        "refinement": found.to_facts() if found else None,
        "split": capture.facts.get("split", {}),
        "gaussians": len(avatar),
        "bytes": asset_bytes,
        "frames_per_second": _speed(avatar, capture, size, rasterizer),
        "reprojection": float(np.median(capture.track["reprojection"][indices])),
        "seconds": {
            "capture": capture.facts.get("seconds", {}),
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


def avatar_picture(
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


class _Scorer:
    """Means of per-frame metrics, row by row."""

    def __init__(
        self,
        avatar: Avatar,
        capture: Capture,
        network: tuple[str, metrics.Lpips] | None,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self.capture, self.network, self.progress = capture, network, progress
        self.head_vertices = torch.from_numpy(torso_share(avatar.head) < 0.1)

    def score(
        self,
        row: str,
        renderer: Renderer,
        frames: TrainingFrames,
        indices: np.ndarray,
        save_images: Path | None = None,
    ) -> dict[str, float]:
        columns: dict[str, list[float]] = {}
        flicker, change = metrics.Flicker(), metrics.TemporalDifference()
        for index, source in enumerate(indices):
            matte = frames.alpha[index].numpy()[..., None].astype(np.float32) / 255
            picture = frames.rgb[index].numpy().astype(np.float32) / 255
            truth = picture * matte + 1 - matte
            predicted, alpha = renderer(frames, index)
            values = self._frame(predicted, truth, frames, index, int(source))
            dark = predicted - (1 - alpha)[..., None]
            values["psnr_black"] = metrics.psnr(dark, truth - (1 - matte))
            for name, value in values.items():
                columns.setdefault(name, []).append(value)
            flicker.add(predicted, truth)
            change.add(predicted, truth)
            if save_images is not None:
                number = int(self.capture.track["frame_number"][source])
                save_row(save_images, number, predicted, truth, matte)
            if self.progress:
                self.progress(row, index + 1, len(indices))
        result = {name: float(np.nanmean(values)) for name, values in columns.items() if np.isfinite(values).any()}
        steps = np.diff(self.capture.track["frame_number"][indices])
        if len(steps) and (steps == steps[0]).all() and steps[0] <= 2:
            result["flicker"] = flicker.value
            result["psnr_temporal"] = change.value
        return result

    def _frame(
        self,
        predicted: np.ndarray,
        truth: np.ndarray,
        frames: TrainingFrames,
        index: int,
        source: int,
    ) -> dict[str, float]:
        camera = frames.camera
        matte = frames.alpha[index].numpy().astype(np.float32) / 255
        rows, cols = metrics.head_box(self._project(frames, index), camera.width, camera.height)
        values = {
            "psnr": metrics.psnr(predicted, truth),
            "psnr_head": metrics.psnr(predicted[rows, cols], truth[rows, cols]),
            "ssim": metrics.ssim(predicted, truth),
        }
        if self.network:
            values[f"lpips_{self.network[0]}"] = self.network[1](predicted, truth)
        scale = camera.width / self.capture.facts["width"]
        landmarks = self.capture.track["landmarks"][source] * scale
        masks = metrics.region_masks(landmarks, matte)
        return values | {f"psnr_{name}": metrics.psnr(predicted, truth, masks[name]) for name in REGIONS}

    def _project(self, frames: TrainingFrames, index: int) -> np.ndarray:
        camera = frames.view(index)
        view = camera.world_to_cam[0]
        world = frames.vertices(index)[self.head_vertices] @ frames.rotation[index].T + frames.translation[index]
        seen = (world @ view[:3, :3].T + view[:3, 3]) @ camera.K[0].T
        return (seen[:, :2] / seen[:, 2:]).numpy()


def save_row(folder: Path, number: int, predicted: np.ndarray, truth: np.ndarray, matte: np.ndarray) -> None:
    """Write pred_, truth_ (both over white) and matte_NNNNN.png of source frame `number`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (("pred", predicted[..., ::-1]), ("truth", truth[..., ::-1]), ("matte", matte)):
        write_picture(folder / f"{name}_{number:05d}.png", (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


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
