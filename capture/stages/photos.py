"""Photos as frames of one camera: solved together before they are stored, and tracked with the poses found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.common.files import path_text
from avatar.head.model import HeadModel
from capture.matching import FaceMesh, PhotoMatcher
from capture.stages.landmarks import LandmarkTable
from capture.tracker.camera import FILM_DIAGONAL, FocalPrior
from capture.tracker.clip import ClipTrack, Observations, Person, TrackerOptions, track_posed
from capture.tracker.indices import inter_ocular
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.photos import PhotoFit, fit_photos
from capture.tracker.problem import Pinhole
from capture.video.decoding import wanted_frames


@dataclass(frozen=True)
class SolvedPhotos:
    """Photos on a canvas where the focal lengths found are one."""

    video: Any  # PhotoSource
    training: LandmarkTable  # landmarks on its canvas
    focal: FocalPrior  # pixels of the canvas
    fit: PhotoFit  # in pixels of the canvas before
    metadata: dict[str, Any]  # what capture.json says of it

    def track(
        self, model: LandmarkModel, seen: Observations, center: tuple[float, float], scale: float
    ) -> tuple[Person, ClipTrack]:
        """Person and track.

        Args:
            model: landmark model of the head.
            seen: landmarks in pixels of the canvas times `scale`.
            center: of the canvas, in these pixels.
            scale: of the stored frames.
        """
        person = Person(
            model,
            self.fit.identity,
            Pinhole(self.focal.at_scale(scale).focal, *center),
            self.focal.log_sigma,
            True,
            float(np.nanmedian(inter_ocular(seen.points))),
            np.arange(len(seen)),
            np.eye(3),
            TrackerOptions(),
        )
        return person, track_posed(person, seen, self.fit.states)


def solve_photos(head: HeadModel, video: Any, training: LandmarkTable) -> SolvedPhotos | None:
    """Solve photos together; None where no two show enough of the same skin.

    Args:
        head: the head model.
        video: a PhotoSource.
        training: landmarks, on their canvas, of those that count.
    """
    if len(training) < 2:
        return None
    model = LandmarkModel.from_head(head)
    mesh = FaceMesh.from_head(head, model)
    points = np.stack(training.points).astype(np.float64)
    spread = np.stack(training.spread).astype(np.float64)
    numbers = np.array(training.number)
    matcher = PhotoMatcher(mesh, (frame.rgb for frame in wanted_frames(video, numbers)), points)
    cameras = [Pinhole(video.prior.focal, video.width / 2, video.height / 2)] * len(numbers)
    sigmas = np.array([video.priors[number].log_sigma for number in numbers])
    fit = fit_photos(model, mesh.surface, points, spread, cameras, sigmas, matcher.find)
    if not fit.matches:
        return None
    focals = np.full(len(video), video.prior.focal)
    focals[numbers] = [camera.focal for camera in fit.cameras]
    solved, ratios = video.with_focals(focals)
    prior = FocalPrior(solved.prior.focal, float(fit.focal_log_sigmas.max()), "matched photos")
    moved = _moved(training, ratios[numbers], (video.width, video.height), (solved.width, solved.height))
    return SolvedPhotos(solved, moved, prior, fit, _metadata(video, numbers, fit))


def _moved(
    training: LandmarkTable, ratios: np.ndarray, before: tuple[int, int], after: tuple[int, int]
) -> LandmarkTable:
    """Landmarks of photos enlarged by `ratios` [K] around the center of a canvas, of sizes `before` and `after`."""
    moved = training.keep(np.arange(len(training)))
    for row, ratio in enumerate(ratios):
        points = training.points[row] * ratio
        points[:, :2] += (np.array(after) - np.array(before) * ratio) / 2
        moved.points[row] = points.astype(np.float32)
        moved.spread[row] = (training.spread[row] * ratio).astype(np.float32)
    return moved


def _metadata(video: Any, numbers: np.ndarray, fit: PhotoFit) -> dict[str, Any]:
    """Focal lengths as 35 mm equivalents, and the error of the fit."""
    photos = []
    for number, camera, sigma in zip(numbers, fit.cameras, fit.focal_log_sigmas, strict=True):
        equivalent = camera.focal / video.factors[number] * FILM_DIAGONAL / float(np.hypot(*video.sizes[number]))
        stated = video.priors[number].origin == "metadata"
        photos.append(
            {
                "name": path_text(video.paths[number].name),
                "focal_35mm": round(equivalent, 1),
                "focal_35mm_sigma": round(equivalent * float(sigma), 1),
                "focal_stated": stated,
            }
        )
    pairs = sum(len(match.points) for match in fit.matches)
    return {"photos": photos, "matches": pairs, "error_percent_iod": round(fit.match_error, 2)}


def geometry_sentence(metadata: dict[str, Any]) -> str:
    """What was found of photos that were solved together, from `SolvedPhotos.metadata`."""

    def focal(photo: dict[str, Any]) -> str:
        if photo["focal_stated"]:
            return f"{photo['name']} {photo['focal_35mm']:.0f} mm (EXIF)"
        return f"{photo['name']} {photo['focal_35mm']:.0f} +- {photo['focal_35mm_sigma']:.0f} mm (found)"

    focals = ", ".join(map(focal, metadata["photos"]))
    return (
        f"photos solved together: {metadata['matches']} points match to {metadata['error_percent_iod']:.1f} % of the "
        f"inter-ocular distance; focal lengths as on 35 mm film: {focals}"
    )
