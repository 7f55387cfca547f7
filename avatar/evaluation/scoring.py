"""Metrics of rendered frames against the truth, averaged over frames into one row of the report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from avatar import ops
from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import head_box, inner_face, region_masks
from avatar.data.training_frames import TrainingFrames, over_white
from avatar.evaluation import metrics
from avatar.evaluation.double_size import evenly
from avatar.evaluation.frame_rendering import head_pixels, head_vertices
from avatar.evaluation.landmarks import MOST_FRAMES, LandmarkDistance
from avatar.evaluation.lpips import LpipsNetwork
from avatar.head.model import HeadModel
from avatar.ops.ordered_map import ordered_map

#: Frames that are rendered and scored at the same time, at most.
MOST_THREADS = 8
REGIONS = ("mouth", "eyes", "hair")

#: Renders the image `index` of some frames: color [H,W,3] in 0..1 over white, and alpha [H,W].
FrameRenderer = Callable[[TrainingFrames, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Judged:
    """One frame with its metrics."""

    predicted: np.ndarray  # [H,W,3] in 0..1, over white
    truth: np.ndarray  # [H,W,3] in 0..1, over white
    matte: np.ndarray  # [H,W,1] in 0..1
    values: dict[str, float]


class Scorer:
    """Computes rows of the report: metrics per frame, averaged over frames."""

    def __init__(
        self,
        head: HeadModel,
        capture: Capture,
        network: LpipsNetwork | None,
        progress: Callable[[str, int, int], None] | None,
        landmarks: LandmarkDistance | None = None,
    ) -> None:
        """
        Args:
            head: the baked head; its projection gives the box of the head.
            capture: the capture of the frames.
            network: for LPIPS; None: no LPIPS column.
            progress: called with (row, done, total).
            landmarks: for the distances of landmarks; None: none of these columns.
        """
        self.capture = capture
        self.network = network
        self.progress = progress
        self.vertices = head_vertices(head)
        self.landmarks = landmarks

    def score(
        self,
        row: str,
        renderer: FrameRenderer,
        frames: TrainingFrames,
        indices: np.ndarray,
        save_images: Path | None = None,
    ) -> dict[str, float]:
        """Mean metrics of all `frames`.

        Args:
            row: name of the row, for the progress.
            renderer: renders the prediction.
            frames: the truth, with the poses for the prediction.
            indices: [n] int, rows of the frames in the capture.
            save_images: folder for predictions, truths and mattes.
        """
        columns: dict[str, list[float]] = {}
        flicker = metrics.Flicker()
        change = metrics.TemporalDifference()
        measured = set(evenly(len(indices), MOST_FRAMES).tolist()) if self.landmarks else set()
        threads = min(ops.kernel_threads(), MOST_THREADS) if frames.rgb.device.type == "cpu" else 1
        judge = partial(self._judge, renderer, frames)
        with contextlib.closing(ordered_map(lambda: judge, enumerate(indices.tolist()), threads)) as judged:
            for index, (image, source) in enumerate(zip(judged, indices.tolist(), strict=True)):
                if index in measured:  # in this thread: the network holds its buffers
                    image.values.update(self._landmark_distances(image.predicted, image.truth, source))
                for name, value in image.values.items():
                    columns.setdefault(name, []).append(value)
                flicker.add(image.predicted, image.truth)
                change.add(image.predicted, image.truth)
                if save_images is not None:
                    number = int(self.capture.track["frame_number"][source])
                    save_frame(save_images, number, image.predicted, image.truth, image.matte)
                if self.progress:
                    self.progress(row, index + 1, len(indices))
        result = {name: float(np.nanmean(values)) for name, values in columns.items() if np.isfinite(values).any()}
        if self.capture.still:
            result |= psnr_by_side(np.array(columns["psnr"]), camera_side(frames))
        steps = np.diff(self.capture.track["frame_number"][indices])
        if len(steps) and (steps == steps[0]).all() and steps[0] <= 2:
            result["flicker"] = flicker.value
            result["psnr_temporal"] = change.value
        return result

    def _judge(self, renderer: FrameRenderer, frames: TrainingFrames, chosen: tuple[int, int]) -> _Judged:
        """Render and score one frame: its index in `frames` and its row in the capture."""
        index, source = chosen
        matte = frames.alpha[index].cpu().numpy()[..., None].astype(np.float32) / 255
        truth = over_white(frames.rgb[index].cpu().numpy(), frames.alpha[index].cpu().numpy())
        predicted, alpha = renderer(frames, index)
        values = self._frame(predicted, truth, frames, index, source)
        values["psnr_black"] = metrics.psnr(predicted - (1 - alpha)[..., None], truth - (1 - matte))
        return _Judged(predicted, truth, matte, values)

    def _frame(
        self,
        predicted: np.ndarray,
        truth: np.ndarray,
        frames: TrainingFrames,
        index: int,
        source: int,
    ) -> dict[str, float]:
        """Metrics of one frame; `source` is its row in the capture."""
        camera = frames.camera
        matte = frames.alpha[index].cpu().numpy().astype(np.float32) / 255
        rows, cols = head_box(head_pixels(self.vertices, frames, index), camera.width, camera.height)
        values = {
            "psnr": metrics.psnr(predicted, truth),
            "psnr_head": metrics.psnr(predicted[rows, cols], truth[rows, cols]),
            "ssim": metrics.ssim(predicted, truth),
        }
        scale = camera.width / self.capture.metadata["width"]
        landmarks = self.capture.track["landmarks"][source] * scale
        if self.network:
            values[f"lpips_{self.network.name}"] = self.network.distance(predicted, truth)
            crops = (inner_face(image, landmarks) for image in (predicted, truth))
            values[f"lpips_face_{self.network.name}"] = self.network.distance(*crops)
        masks = region_masks(landmarks, matte)
        return values | {f"psnr_{name}": metrics.psnr(predicted, truth, masks[name]) for name in REGIONS}

    def _landmark_distances(self, predicted: np.ndarray, truth: np.ndarray, source: int) -> dict[str, float]:
        """Columns of the landmarks of one frame; `source` is its row in the capture."""
        assert self.landmarks is not None
        start = self.capture.track["landmarks"][source] * (truth.shape[1] / self.capture.metadata["width"])
        return self.landmarks.measure(source, start.astype(np.float32), predicted, truth)


#: Sides of a head from which frames show it, by the angle of the camera from the front, degrees.
SIDES = (("front", 45.0), ("side", 135.0), ("back", 180.0))


def camera_side(frames: TrainingFrames) -> np.ndarray:
    """Angle [n] of the camera from the front of the face in each of the frames, degrees 0..180, whatever the height."""
    view = frames.camera.world_to_cam.cpu().numpy().astype(np.float64)
    eye = -np.einsum("nji,nj->ni", view[:, :3, :3], view[:, :3, 3])
    away = eye - frames.translation.cpu().numpy()
    local = np.einsum("nji,nj->ni", frames.rotation.cpu().numpy().astype(np.float64), away)
    angle: np.ndarray = np.degrees(np.abs(np.arctan2(local[:, 0], local[:, 2])))
    return angle


def psnr_by_side(values: np.ndarray, angle: np.ndarray) -> dict[str, float]:
    """Mean PSNR by SIDES.

    Args:
        values: [n] PSNR of the frames, dB.
        angle: [n] of `camera_side`.
    """
    low = -1.0
    result = {}
    for name, high in SIDES:
        chosen = (angle > low) & (angle <= high)
        if chosen.any():
            result[f"psnr_{name}"] = float(values[chosen].mean())
        low = high
    return result


def save_frame(folder: Path, number: int, predicted: np.ndarray, truth: np.ndarray, matte: np.ndarray) -> None:
    """Write pred_NNNNN.png, truth_NNNNN.png and matte_NNNNN.png of a source frame.

    Args:
        folder: the folder; made if it does not exist.
        number: of the source frame.
        predicted: [H,W,3] in 0..1, over white.
        truth: [H,W,3] in 0..1, over white.
        matte: [H,W] or [H,W,1] in 0..1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("pred", predicted[..., ::-1]), ("truth", truth[..., ::-1]), ("matte", matte)):
        write_image(folder / f"{name}_{number:05d}.png", (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
