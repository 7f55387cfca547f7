"""A video of the frames with the tracked head as overlay, to find tracking errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.refine.track import RefinedTrack
from avatar.types import LEFT_EYE, RIGHT_EYE, Camera, HeadParams
from avatar.video import Encoding, open_output
from capture.report.face_pixels import read_frame
from capture.tracker.indices import FACE_COUNT, OVAL, inter_ocular

#: Landmarks along the features of a face, indices of MediaPipe's canonical face mesh.
_LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61)
_LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)
_RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
_LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263)
_RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 70)
_LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 300)
_NOSE_RIDGE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
_NOSE_WINGS = (64, 98, 97, 2, 326, 327, 294)
_RIGHT_IRIS = (469, 470, 471, 472, 469)
_LEFT_IRIS = (474, 475, 476, 477, 474)

CONTOURS = tuple(
    np.array(line)
    for line in (
        _LIPS_OUTER,
        _LIPS_INNER,
        _RIGHT_EYE,
        _LEFT_EYE,
        _RIGHT_BROW,
        _LEFT_BROW,
        _NOSE_RIDGE,
        _NOSE_WINGS,
        _RIGHT_IRIS,
        _LEFT_IRIS,
        (*OVAL, OVAL[0]),
    )
)
#: Longer side of the video: enough to check lips and lids, and fast.
SIZE = 512
#: Size of the z-buffer for occlusion relative to the video.
_DEPTH_SCALE = 0.5
_HIDDEN = 0.008  # meters behind the surface up to which a point is visible: contours run along folds
_GAZE = 0.06  # meters, length of the gaze arrows
_MESH = (255, 176, 32)
_DOT = (80, 240, 255)
_ARROW = (255, 80, 160)
_OUTLINE = (120, 220, 120)
_FLAGGED = (255, 150, 60)
_CHUNK = 16
_CHIN = 152
_FOREHEAD = 10
_NECK = 0.1  # end of the outline below the chin, of the face's height: shoulders are not tracked
_SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True)
class PosedHead:
    """The tracked head of one image, in camera axes."""

    surface: Tensor  # [V,3] meters, camera axes
    landmarks: np.ndarray  # [478,3] meters, camera axes
    eyes: np.ndarray  # [2,2,3] start and end of the gaze arrow of each eye
    camera: Camera  # [1]

    def distance(self, measured: np.ndarray) -> float:
        """Mean distance to the landmarks `measured` [L,2], pixels."""
        points = _project(self.landmarks[: len(measured)], self.camera.K[0].numpy())
        return float(np.linalg.norm(points - measured, axis=1).mean())


def write_overlay(
    capture: Capture,
    head: HeadModel,
    path: Path,
    refined: RefinedTrack | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write the overlay video of all images of `capture`, in order of cameras and time.

    Args:
        capture: the capture.
        head: the head model it was tracked with.
        path: the mp4.
        refined: poses and expressions to show instead of the tracker's.
        progress: called as `progress("overlay", done, total)`.
    """
    rows = np.lexsort((capture.track["time"], capture.track["camera"]))
    params = refined.params(capture) if refined else capture.params(np.arange(len(capture)))
    renderer = _OverlayRenderer(capture, head, refined)
    intervals = np.diff(np.unique(capture.track["time"]))
    fps = float(np.clip(1 / np.median(intervals), 1, 120)) if len(intervals) else 25.0
    encoding = Encoding(crf=24, preset="ultrafast")
    with (
        open_output(path, fps, encoding=encoding, complete_only=True) as writer,
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        items = _pose(capture, head, rows, params)
        for batch in _batches(items):
            for image in pool.map(renderer, batch):
                writer.add(image)
            if progress:
                progress("overlay", writer.count, len(rows))


class _OverlayRenderer:
    """Draws the overlay and the caption of one image after another."""

    def __init__(self, capture: Capture, head: HeadModel, refined: RefinedTrack | None) -> None:
        self.capture = capture
        self.refined = refined
        self.faces = outer_faces(head)
        self.flags = {int(flag["frame"]): str(flag["reason"]) for flag in capture.metadata.get("flagged", ())}
        if refined:
            self.flags |= {int(number): "diverged" for number in capture.track["frame_number"][refined.flagged]}
        self.landmarks = capture.track["landmarks"].astype(np.float64)
        known = self.landmarks[np.isfinite(self.landmarks).all((1, 2))]
        # Of the whole clip: in side views the eyes are close together.
        self.unit = float(np.median(inter_ocular(known))) if len(known) else np.nan

    def __call__(self, item: tuple[int, PosedHead]) -> np.ndarray:
        row, posed = item
        scale = posed.camera.width / self.capture.metadata["width"]
        measured = self.landmarks[row, :FACE_COUNT, :2] * scale
        image = draw_head(_frame(self.capture, row, posed.camera), posed, self.faces, measured)
        self._caption(image, row, 100 * posed.distance(measured) / (scale * self.unit))
        return image

    def _caption(self, image: np.ndarray, row: int, error: float) -> None:
        """Write frame number, camera, landmark error (percent; NaN: unknown) and flags along the upper edge."""
        track = self.capture.track
        number = int(self.capture.track["frame_number"][row])
        cameras = self.capture.metadata["cameras"]
        parts = [f"frame {number}"]
        parts += [f"camera {cameras[int(track['camera'][row])]['name']}"] if len(cameras) > 1 else []
        parts += [f"landmarks {error:.1f} %"] if np.isfinite(error) else []
        parts += ["refined"] if self.refined and self.refined.refined[row] else []
        parts += ["held out"] if track["is_test"][row] else []
        parts += [self.flags[number]] if number in self.flags else []
        text = "   ".join(parts).encode("ascii", "replace").decode()
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
        image[:24, : width + 16] = image[:24, : width + 16] // 4
        color = _FLAGGED if number in self.flags else (255, 255, 255)
        cv2.putText(image, text, (8, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)


def outer_faces(head: HeadModel) -> Tensor:
    """The faces [F',3] of the head without the inside of the mouth, for outline and self-occlusion."""
    inside = torch.zeros(len(head.v_template), dtype=torch.bool)
    for name in ("mouth_interior", "lid_interior", "teeth_upper", "teeth_lower", "tongue"):
        if name in head.regions:
            inside |= head.regions[name]
    return head.faces[~inside[head.faces].any(1)].contiguous()


def _batches(items: Iterator[tuple[int, PosedHead]]) -> Iterator[list[tuple[int, PosedHead]]]:
    batch: list[tuple[int, PosedHead]] = []
    for item in items:
        batch.append(item)
        if len(batch) == _CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch


def _pose(capture: Capture, head: HeadModel, rows: np.ndarray, params: HeadParams) -> Iterator[tuple[int, PosedHead]]:
    """The posed head of each image in `rows`, computed in batches."""
    person = bake_identity(head, params.identity)
    for start in range(0, len(rows), _CHUNK):
        chosen = torch.from_numpy(rows[start : start + _CHUNK])
        batch = HeadParams(
            params.identity[:0], params.expression[chosen], params.joint_rot[chosen], params.translation[chosen]
        )
        camera = capture.camera(SIZE, chosen.numpy())
        surface = person.vertices(batch)
        rotations, offsets = person.joint_transforms(batch)
        centers = person.joint_locations(batch.identity)[[LEFT_EYE, RIGHT_EYE]]
        ahead = torch.stack([centers, centers + torch.tensor([0.0, 0.0, _GAZE])], 1)
        eyes = ahead @ rotations[:, [LEFT_EYE, RIGHT_EYE]].transpose(2, 3) + offsets[:, [LEFT_EYE, RIGHT_EYE], None]
        landmarks = camera.to_camera(person.landmarks(surface))
        eyes = camera.to_camera(eyes.flatten(1, 2)).unflatten(1, (2, 2))
        surface = camera.to_camera(surface)
        for index, row in enumerate(chosen.tolist()):
            single = replace(camera, K=camera.K[[index]], world_to_cam=camera.world_to_cam[[index]])
            yield row, PosedHead(surface[index], landmarks[index].numpy(), eyes[index].numpy(), single)


def _frame(capture: Capture, row: int, camera: Camera) -> np.ndarray:
    """The image [H,W,3] RGB of a row at the video's size."""
    image = read_frame(capture, row)
    if image.shape[:2] != (camera.height, camera.width):
        image = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1])


def draw_head(image: np.ndarray, posed: PosedHead, faces: Tensor, measured: np.ndarray) -> np.ndarray:
    """Draw silhouette, visible contours, landmarks and gaze of the head on an image.

    Args:
        image: [H,W,3] uint8 RGB at the size of `posed.camera`; changed in place.
        posed: the tracked head.
        faces: [F,3] of its mesh.
        measured: landmarks [L,2] in pixels of `image`.
    """
    camera = posed.camera
    small = camera.resized(round(camera.width * _DEPTH_SCALE), round(camera.height * _DEPTH_SCALE))
    depth = ops.mesh(posed.surface[None], faces, small.K, small.width, small.height)[2][0].numpy()
    K = camera.K[0].numpy()
    points = _project(posed.landmarks, K)
    _outline(image, depth > 0, points[_CHIN, 1] + _NECK * (points[_CHIN, 1] - points[_FOREHEAD, 1]))
    visible = _visible(posed.landmarks, points * _DEPTH_SCALE, depth)
    for line in CONTOURS:
        lines = [_fixed_point(points[run]) for run in _runs(line, visible)]
        cv2.polylines(image, lines, False, _MESH, 1, cv2.LINE_AA, _SHIFT)
    _dots(image, measured)
    for start, end in _project(posed.eyes, K):
        cv2.arrowedLine(image, _pixel(start), _pixel(end), _ARROW, 1, cv2.LINE_AA, tipLength=0.25)
    return image


def _outline(image: np.ndarray, covered: np.ndarray, bottom: float) -> None:
    """Draw the outline of the mask `covered` [h,w] above the row `bottom` of the image."""
    outlines, _ = cv2.findContours(covered.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    for outline in outlines:
        points = np.round((np.concatenate([outline, outline[:1]])[:, 0] + 0.5) / _DEPTH_SCALE).astype(np.int32)
        below = points[:, 1] > bottom
        lines = [run[run[:, 1] <= bottom] for run in np.split(points, np.flatnonzero(below))]
        cv2.polylines(image, [line for line in lines if len(line) > 1], False, _OUTLINE, 1, cv2.LINE_AA)


def _dots(image: np.ndarray, points: np.ndarray) -> None:
    """Mark the two by two pixels nearest to each of `points` [L,2]; NaN points are skipped."""
    x, y = np.floor(points[np.isfinite(points).all(1)] - 0.5).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1] - 1) & (y < image.shape[0] - 1)
    x = x[inside]
    y = y[inside]
    for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
        image[y + down, x + right] = _DOT


def _visible(points: np.ndarray, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Mask [L] of points [L,3] (camera axes) at `pixels` [L,2] that are not behind a z-buffer `depth` [h,w]."""
    x = np.clip(np.floor(pixels[:, 0]), 0, depth.shape[1] - 1).astype(int)
    y = np.clip(np.floor(pixels[:, 1]), 0, depth.shape[0] - 1).astype(int)
    surface = depth[y, x]
    return (surface == 0) | (points[:, 2] < surface + _HIDDEN)


def _runs(line: np.ndarray, visible: np.ndarray) -> list[np.ndarray]:
    """The visible parts of a polyline of landmarks, at least two points each."""
    breaks = np.flatnonzero(~visible[line])
    return [run[visible[run]] for run in np.split(line, breaks) if visible[run].sum() > 1]


def _fixed_point(points: np.ndarray) -> np.ndarray:
    """Pixels [n,2] (centers at +0.5) as OpenCV's fixed-point coordinates (centers at 0)."""
    return np.round((points - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return int(np.clip(point[0], -9999, 9999)), int(np.clip(point[1], -9999, 9999))


def _project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Pixels [...,2] of points [...,3] in camera axes."""
    image = points @ K.T
    return image[..., :2] / image[..., 2:]
