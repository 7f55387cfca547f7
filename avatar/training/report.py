"""The report of a training, as JSON beside the avatar (`me.report.json`) and as text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.common.jsonable import to_jsonable
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import region_masks
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.model.avatar import Avatar
from avatar.refine.track import RefinedTrack

REGIONS = ("all", "face", "mouth", "eyes", "hair", "torso")
#: The worst region is reported if its difference is larger than that of the whole image by this many levels (of 255).
_WORSE = 1.5


@dataclass(frozen=True)
class RefinementFigures:
    """Changes of poses, and of expressions if configured, by the refinement against the avatar."""

    frames: int  # refined frames
    turn_deg: float  # mean absolute change of rotation
    shift_cm: float  # mean absolute change of position
    jitter_before: Mapping[str, float]  # name with unit -> root mean square, of the landmark track
    jitter_after: Mapping[str, float]
    flagged: tuple[int, ...] = ()  # numbers of the frames whose refinement failed; they follow their neighbors
    cost: tuple[float, float] | None = None  # mean robust cost of a frame, before and after
    expression: float | None = None  # mean absolute change of an expression weight; None: expressions unchanged

    @staticmethod
    def of(avatar: Avatar, capture: Capture, track: RefinedTrack) -> RefinementFigures:
        """Differences of the refined `track` of `avatar` from the track of `capture`."""
        figures: Mapping[str, Any] = avatar.provenance["refinement"]
        rows = np.flatnonzero(track.refined & ~track.flagged)
        every = np.arange(len(capture))
        before, after = (avatar.with_identity(params) for params in (capture.params(every), track.params(capture)))
        (turned, moved), (turn, move) = avatar.head.skull_pose(before), avatar.head.skull_pose(after)
        angle = matrix_to_axis_angle(turn @ turned.transpose(1, 2)).norm(dim=-1).numpy()[rows]
        change = np.abs(track.expression - capture.track["expression"])[rows]
        changed = (change > 1e-6).any(0)  # the track of the capture has more digits than training works with
        return RefinementFigures(
            frames=len(rows),
            turn_deg=float(np.degrees(angle).mean()) if len(rows) else 0.0,
            shift_cm=float(100 * (move - moved).norm(dim=-1).numpy()[rows].mean()) if len(rows) else 0.0,
            jitter_before=figures["jitter_before"],
            jitter_after=figures["jitter_after"],
            flagged=tuple(int(number) for number in capture.track["frame_number"][track.flagged]),
            cost=(figures["cost_before"], figures["cost_after"]),
            expression=float(change[:, changed].mean()) if changed.any() else None,
        )


@dataclass(frozen=True)
class TrainReport:
    """One training, as plain values."""

    avatar: str  # file name; empty before it is saved
    capture: str  # fingerprint of the capture
    frames: int  # training images
    gaussians: int
    steps: int
    train_psnr: float  # dB, running mean at the end
    finished: bool  # False: stopped before the end of the schedule; it can be resumed
    seconds: Mapping[str, float]  # by stage, in order
    residual: Mapping[str, Mapping[str, float]]  # region -> {"levels": mean absolute difference, "psnr": dB}
    refinement: RefinementFigures | None = None
    headsplat: str = __version__

    @staticmethod
    def of(avatar: Avatar, capture: Capture, track: RefinedTrack | None) -> TrainReport:
        """The report of a training.

        Args:
            avatar: as `fit` trained it.
            capture: the capture it was trained on.
            track: the refined track; None if no frames were refined.
        """
        figures = avatar.provenance
        return TrainReport(
            avatar="",
            capture=capture.fingerprint,
            frames=len(capture.train_indices),
            gaussians=len(avatar),
            steps=figures["steps"],
            train_psnr=figures["train_psnr"],
            finished=figures["finished"],
            seconds=figures["seconds"],
            residual=figures["residual"],
            refinement=None if track is None else RefinementFigures.of(avatar, capture, track),
        )

    def named(self, name: str) -> TrainReport:
        """This report with the file `name` of the avatar."""
        return dataclasses.replace(self, avatar=name)

    def to_json(self) -> str:
        """One JSON object: all fields, and `words`, the lines of `to_text`; numbers that are not finite are null."""
        values = {**dataclasses.asdict(self), "words": self.to_text().splitlines()}
        return json.dumps(to_jsonable(values), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A summary in a few lines."""
        name = self.avatar or "avatar"
        end = "" if self.finished else ", stopped before its end"
        lines = [
            f"{name}: {self.gaussians} Gaussians from {self.frames} frames, {self.steps} steps, "
            f"{self.train_psnr:.1f} dB in training{end}",
            "seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in self.seconds.items()),
        ]
        return "\n".join([*lines, *self._residual(), *self._refinement()])

    def write(self, path: Path) -> None:
        """Write `to_json` to `path`, whole or not at all."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.to_json() + "\n", encoding="utf-8")

    def _residual(self) -> list[str]:
        known = {name: row for name, row in self.residual.items() if math.isfinite(row["levels"])}
        if not known:
            return []
        row = ", ".join(f"{name} {figures['levels']:.1f}" for name, figures in known.items())
        lines = [f"mean difference from the training images, levels of 255: {row}"]
        parts = {name: figures["levels"] for name, figures in known.items() if name != "all"}
        worst = max(parts, key=lambda name: parts[name], default=None)
        if worst and "all" in known and parts[worst] > _WORSE + known["all"]["levels"]:
            lines.append(f"largest difference between avatar and video: {worst}")
        return lines

    def _refinement(self) -> list[str]:
        refinement = self.refinement
        if refinement is None:
            return []
        lines = [
            f"{refinement.frames} frames refined against the avatar: mean change {refinement.turn_deg:.2f} degrees and "
            f"{refinement.shift_cm:.2f} cm"
        ]
        if refinement.expression is not None:
            lines[0] += f", expression weights {refinement.expression:.3f}"
        both = [name for name in refinement.jitter_before if name in refinement.jitter_after]
        if both:
            pairs = (
                f"{name} {refinement.jitter_before[name]:.3g} to {refinement.jitter_after[name]:.3g}" for name in both
            )
            lines.append("jitter before and after: " + ", ".join(pairs))
        if refinement.flagged:
            numbers = ", ".join(map(str, refinement.flagged[:8])) + (", ..." if len(refinement.flagged) > 8 else "")
            lines.append(f"{len(refinement.flagged)} frames could not be refined and follow their neighbors: {numbers}")
        return lines


@dataclass(frozen=True)
class TrainResult:
    """A trained avatar, figures of its training, the refined poses of the training frames, and the last checkpoint."""

    avatar: Avatar
    report: TrainReport
    refined_track: RefinedTrack | None  # None if no frames were refined
    checkpoint: Path | None = None  # of a stopped training; not the requested path if that could not be written


def residual_by_region(
    frames: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> dict[str, dict[str, float]]:
    """Mean photometric difference by region; nan for regions that no frame shows.

    Args:
        frames: for each frame the prediction and the truth [H,W,3] in 0..1 over the same background, the matte [H,W]
            in 0..1, and the landmarks [478,2+] in pixels of these images, nan where no face was found.
    """
    absolute = dict.fromkeys(REGIONS, 0.0)
    squared = dict.fromkeys(REGIONS, 0.0)
    count = dict.fromkeys(REGIONS, 0)
    for prediction, truth, matte, landmarks in frames:
        difference = prediction.astype(np.float64) - truth
        for name, mask in _masks(landmarks, matte).items():
            inside = difference[mask]
            absolute[name] += float(np.abs(inside).sum())
            squared[name] += float(np.square(inside).sum())
            count[name] += inside.size
    return {
        name: {
            "levels": 255 * absolute[name] / count[name],
            "psnr": -10 * math.log10(max(squared[name] / count[name], 1e-10)),
        }
        if count[name]
        else {"levels": math.nan, "psnr": math.nan}
        for name in REGIONS
    }


def _masks(landmarks: np.ndarray, matte: np.ndarray) -> dict[str, np.ndarray]:
    if not np.isfinite(landmarks[:, :2]).all():
        return {"all": np.ones(matte.shape, bool)}
    masks = region_masks(landmarks, matte)
    person = matte > 0.5
    above_chin = np.broadcast_to(np.arange(len(matte))[:, None] < landmarks[152, 1], matte.shape)
    face = person & above_chin & ~(masks["mouth"] | masks["eyes"] | masks["hair"])
    return {"all": np.ones_like(person), "face": face, **masks, "torso": person & ~above_chin}
