"""What a training came to, as JSON beside the avatar (`me.report.json`) and in words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.common.jsonable import to_jsonable
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import region_masks
from avatar.geometry.rotations import matrix_to_axis_angle

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar

REGIONS = ("all", "face", "mouth", "eyes", "hair", "torso")
#: A region this many levels (of 255) above the whole picture is where the avatar and the video disagree.
_WORSE = 1.5


@dataclass(frozen=True)
class RefinementFigures:
    """What refining poses, and expressions if asked, against the avatar changed."""

    frames: int  # refined
    turn_deg: float  # mean size of the change
    shift_cm: float
    jitter_before: Mapping[str, float]  # name with unit -> root mean square, as of the track
    jitter_after: Mapping[str, float]
    flagged: tuple[int, ...] = ()  # numbers of frames that ran away or were not understood, and follow their neighbors
    cost: tuple[float, float] | None = None  # mean of a frame's robust cost, before and after
    expression: float | None = None  # mean change of an expression's weight; None where they were left alone

    @staticmethod
    def of(avatar: Avatar, capture: Capture) -> RefinementFigures | None:
        """What the training of `avatar` changed in the track of `capture`; None where it refined nothing."""
        told: Mapping[str, Any] = avatar.summary
        track = avatar.refined
        if track is None or "refinement" not in told:
            return None
        rows = np.flatnonzero(track.refined & ~track.flagged)
        every = np.arange(len(capture))
        before, after = (avatar.with_identity(params) for params in (capture.params(every), track.params(capture)))
        (turned, moved), (turn, move) = avatar.head.skull_pose(before), avatar.head.skull_pose(after)
        angle = matrix_to_axis_angle(turn @ turned.transpose(1, 2)).norm(dim=-1).numpy()[rows]
        change = np.abs(track.expression - capture.track["expression"])[rows]
        changed = (change > 1e-6).any(0)  # tracks are kept in more digits than training has
        return RefinementFigures(
            frames=len(rows),
            turn_deg=float(np.degrees(angle).mean()) if len(rows) else 0.0,
            shift_cm=float(100 * (move - moved).norm(dim=-1).numpy()[rows].mean()) if len(rows) else 0.0,
            jitter_before=told["refinement"]["jitter_before"],
            jitter_after=told["refinement"]["jitter_after"],
            flagged=tuple(int(number) for number in capture.track["frame_number"][track.flagged]),
            cost=(told["refinement"]["cost_before"], told["refinement"]["cost_after"]),
            expression=float(change[:, changed].mean()) if changed.any() else None,
        )


@dataclass(frozen=True)
class TrainReport:
    """One training; plain values throughout."""

    avatar: str  # file name
    capture: str  # fingerprint of the capture
    frames: int  # training pictures
    gaussians: int
    steps: int
    train_psnr: float  # dB, running mean at the end
    finished: bool  # False: Ctrl-C ended it; it can go on
    seconds: Mapping[str, float]  # by stage, in their order
    residual: Mapping[str, Mapping[str, float]]  # region -> {"levels": mean absolute difference, "psnr": dB}
    refinement: RefinementFigures | None = None
    headsplat: str = __version__

    @staticmethod
    def of(avatar: Avatar, capture: Capture, name: str) -> TrainReport:
        """The report of the training that made `avatar` from `capture`; `name` is the avatar's file name."""
        told: Mapping[str, Any] = avatar.summary
        return TrainReport(
            avatar=name,
            capture=capture.fingerprint,
            frames=len(capture.train_indices),
            gaussians=len(avatar),
            steps=told["steps"],
            train_psnr=told["train_psnr"],
            finished=told["finished"],
            seconds=told["seconds"],
            residual=told["residual"],
            refinement=RefinementFigures.of(avatar, capture),
        )

    def to_json(self) -> str:
        """Everything as one JSON object, `words` included; what is not finite is null."""
        facts = {**dataclasses.asdict(self), "words": self.to_text().splitlines()}
        return json.dumps(to_jsonable(facts), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A few lines for a person."""
        end = "" if self.finished else ", stopped before its end"
        lines = [
            f"{self.avatar}: {self.gaussians} Gaussians from {self.frames} frames, {self.steps} steps, "
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
        lines = [f"mean difference from the training pictures, levels of 255: {row}"]
        parts = {name: figures["levels"] for name, figures in known.items() if name != "all"}
        worst = max(parts, key=lambda name: parts[name], default=None)
        if worst and "all" in known and parts[worst] > _WORSE + known["all"]["levels"]:
            lines.append(f"the {worst} is where the avatar and the video differ most")
        return lines

    def _refinement(self) -> list[str]:
        found = self.refinement
        if found is None:
            return []
        lines = [
            f"{found.frames} frames refined against the avatar: turned {found.turn_deg:.2f} degrees, moved "
            f"{found.shift_cm:.2f} cm on average"
        ]
        if found.expression is not None:
            lines[0] += f", expressions changed by {found.expression:.3f}"
        both = [name for name in found.jitter_before if name in found.jitter_after]
        if both:
            pairs = (f"{name} {found.jitter_before[name]:.3g} to {found.jitter_after[name]:.3g}" for name in both)
            lines.append("jitter, refined from: " + ", ".join(pairs))
        if found.flagged:
            some = ", ".join(map(str, found.flagged[:8])) + (", ..." if len(found.flagged) > 8 else "")
            lines.append(f"{len(found.flagged)} frames could not be refined and follow their neighbors: {some}")
        return lines


def residual_by_region(
    pictures: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> dict[str, dict[str, float]]:
    """Mean photometric difference by region; regions that no picture holds are nan.

    Args:
        pictures: of each frame what was drawn and the truth [H,W,3] in 0..1 over the same background, the matte [H,W]
            in 0..1, and the landmarks [478,2+] in pixels of these pictures, nan where none were found.
    """
    absolute, squared, count = dict.fromkeys(REGIONS, 0.0), dict.fromkeys(REGIONS, 0.0), dict.fromkeys(REGIONS, 0)
    for drawn, truth, matte, landmarks in pictures:
        difference = drawn.astype(np.float64) - truth
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
