"""Per-frame metrics of rendered frames against the truth, averaged into one row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import head_box, region_masks
from avatar.data.training_frames import TrainingFrames
from avatar.evaluation import metrics
from avatar.head.regions import torso_weight
from avatar.model.avatar import Avatar

REGIONS = ("mouth", "eyes", "hair")


#: Renders the frame `index` of some frames: [H,W,3] in 0..1 over white, and its alpha [H,W].
Picture = tuple[np.ndarray, np.ndarray]


Renderer = Callable[[TrainingFrames, int], Picture]


class Scorer:
    """Means of per-frame metrics, row by row."""

    def __init__(
        self,
        avatar: Avatar,
        capture: Capture,
        network: tuple[str, metrics.Lpips] | None,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self.capture, self.network, self.progress = capture, network, progress
        self.head_vertices = torch.from_numpy(torso_weight(avatar.head) < 0.1)

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
        rows, cols = head_box(self._project(frames, index), camera.width, camera.height)
        values = {
            "psnr": metrics.psnr(predicted, truth),
            "psnr_head": metrics.psnr(predicted[rows, cols], truth[rows, cols]),
            "ssim": metrics.ssim(predicted, truth),
        }
        if self.network:
            values[f"lpips_{self.network[0]}"] = self.network[1](predicted, truth)
        scale = camera.width / self.capture.metadata["width"]
        landmarks = self.capture.track["landmarks"][source] * scale
        masks = region_masks(landmarks, matte)
        return values | {f"psnr_{name}": metrics.psnr(predicted, truth, masks[name]) for name in REGIONS}

    def _project(self, frames: TrainingFrames, index: int) -> np.ndarray:
        world = frames.vertices(index)[self.head_vertices] @ frames.rotation[index].T + frames.translation[index]
        return frames.view(index).project(world).numpy()


def save_row(folder: Path, number: int, predicted: np.ndarray, truth: np.ndarray, matte: np.ndarray) -> None:
    """Write pred_, truth_ (both over white) and matte_NNNNN.png of source frame `number`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (("pred", predicted[..., ::-1]), ("truth", truth[..., ::-1]), ("matte", matte)):
        write_image(folder / f"{name}_{number:05d}.png", (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
