"""Quality statistics of a capture, as JSON and as text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar import __version__
from avatar.common.jsonable import to_jsonable
from avatar.common.printable import single_line
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.refine.track import RefinedTrack
from capture.faces.face_pose import TURNS, turn_sentence
from capture.report.advice import Check, check_coverage, check_photos, check_walk
from capture.report.coverage import Coverage
from capture.report.face_pixels import PixelStatistics
from capture.report.geometry import TrackedGeometry

#: Mean landmark error (percent of the inter-ocular distance) above which the overlay should be inspected.
POOR_FIT = 3.0


@dataclass(frozen=True)
class CameraSummary:
    """Focal length of a camera."""

    name: str
    focal_px: float  # pixels of the stored frames
    focal_sigma_px: float | None  # None where the focal length is given
    focal_measured: bool | None  # whether it was estimated from the clip; None where it is given


@dataclass(frozen=True)
class RefinedSummary:
    """The refined track that a report describes."""

    fingerprint: str
    frames: int  # refined frames
    flagged: tuple[int, ...]  # numbers of frames that diverged


@dataclass(frozen=True)
class CaptureReport:
    """Quality and coverage of a capture; all values can be written as JSON."""

    headsplat: str  # version that wrote it
    capture: str  # fingerprint of the track
    source: str  # name of the video
    turned: int  # degrees counter-clockwise by which the frames were turned, more than the file states
    frames: Mapping[str, int]  # "training", "held_out", "lost"
    lost: tuple[int, ...]  # numbers of frames without a visible face, where known
    flagged: tuple[Mapping[str, Any], ...]  # {"frame", "reason", "weight"} of images with a reduced weight
    reprojection_percent_iod: Mapping[str, Mapping[str, float]]  # "training", "held_out" -> region -> mean distance
    jitter: Mapping[str, Mapping[str, float]]  # "before", "after" smoothing; empty where not measured
    refined: RefinedSummary | None  # the refined track, if the report describes one
    cameras: tuple[CameraSummary, ...]
    seconds: Mapping[str, float]  # by stage
    coverage: Coverage
    checks: tuple[Check, ...]  # of photos only those that failed, of a few
    still: bool = False  # whether the camera is carried around a person who sits still

    @property
    def advice(self) -> list[str]:
        """What to film again, one sentence each."""
        return [check.advice for check in self.checks if not check.good]

    def to_json(self) -> str:
        """The report as a JSON object; `advice` has the sentences of failed checks, `words` the lines of `to_text`."""
        extra = {"advice": self.advice, "words": self.to_text().splitlines()}
        return json.dumps(to_jsonable({**dataclasses.asdict(self), **extra}), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A readable summary of about a dozen lines."""
        lines = [self._frames(), *self._turn_lines(), *self._flags(), *self._refined_lines()]
        lines += [*self._fit(), *self._jitter(), *self._focal()]
        lines += ["seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in self.seconds.items())]
        lines += [f"  {'ok ' if check.good else 'LOW'} {check.topic}: {check.found}" for check in self.checks]
        if advice := self.advice:
            lines += ["what to film again:", *(f"  - {sentence}" for sentence in advice)]
        elif self.checks and not self.still:
            lines += ["nothing to film again: the clip shows what an avatar needs"]
        return "\n".join(single_line(line) for line in lines if line)

    def _frames(self) -> str:
        lost = f", {self.frames['lost']} lost" if self.frames["lost"] else ""
        return f"{self.source}: {self.frames['training']} training frames, {self.frames['held_out']} held out{lost}"

    def _turn_lines(self) -> list[str]:
        return [turn_sentence(self.turned)] if self.turned else []

    def _flags(self) -> list[str]:
        if not self.flagged:
            return []
        reasons = Counter(str(flag["reason"]) for flag in self.flagged)
        return ["flagged, with a reduced weight: " + ", ".join(f"{n} {reason}" for reason, n in reasons.items())]

    def _refined_lines(self) -> list[str]:
        if self.refined is None:
            return []
        diverged = len(self.refined.flagged)
        return [
            f"poses and expressions of {self.refined.frames} frames are those refined in training"
            + (f" ({diverged} diverged and were interpolated from their neighbors)" if diverged else "")
            + ", the others those of the tracker"
        ]

    def _fit(self) -> list[str]:
        lines = []
        for name, row in self.reprojection_percent_iod.items():
            regions = ", ".join(f"{region} {value:.1f}" for region, value in row.items())
            poor = " (poor: check overlay.mp4)" if row["all"] > POOR_FIT else ""
            lines.append(
                f"landmark error of {name.replace('_', '-')} frames, % of the inter-ocular distance: {regions}{poor}"
            )
        return lines

    def _jitter(self) -> list[str]:
        if not self.jitter:
            return []
        before = self.jitter["before"]
        after = self.jitter["after"]
        source = " of the tracker" if self.refined else ""
        return [
            f"jitter{source}, before and after smoothing: {before['rotation_deg']:.2f} and "
            f"{after['rotation_deg']:.2f} degrees, {before['depth_cm']:.2f} and {after['depth_cm']:.2f} cm of depth"
        ]

    def _focal(self) -> list[str]:
        if self.still:
            return [f"focal of the camera: {self.cameras[0].focal_px:.0f} pixels, estimated from the walk"]
        lines = []
        for camera in self.cameras:
            sigma = camera.focal_sigma_px
            spread = f" +- {sigma:.0f}" if sigma is not None else ""
            origin = {
                True: "estimated from the clip",
                False: "not estimated: the head turned too little",
                None: "given",
            }
            lines.append(
                f"focal of camera {camera.name}: {camera.focal_px:.0f}{spread} pixels, {origin[camera.focal_measured]}"
            )
        return lines


def report_on(capture: Capture, geometry: TrackedGeometry, refined: RefinedTrack | None = None) -> CaptureReport:
    """Measure a finished capture; `geometry` is of the track `refined`, or of the tracker's if that is None."""
    metadata = capture.metadata
    rows = {"training": capture.train_indices, "held_out": capture.test_indices}
    if not len(rows["training"]):
        raise HeadsplatError(f"{capture.root}: no training frames to report on; capture again and hold out fewer")
    coverage = Coverage.of(capture, geometry, PixelStatistics.of(capture, rows["training"], geometry.projected))
    landmarks = capture.track["landmarks"].astype(np.float64)
    fits = {name: geometry.reprojection(landmarks, chosen) for name, chosen in rows.items()}
    quality = metadata.get("quality", {})
    turned = metadata["source"].get("turned", 0)
    known = "jitter" in quality and "jitter_per_frame" in quality
    lost = tuple(int(number) for number in metadata.get("lost", ()))
    return CaptureReport(
        headsplat=__version__,
        capture=capture.fingerprint,
        source=str(metadata["source"].get("name", capture.root.name)),
        turned=turned if turned in TURNS else 0,
        frames={**{name: len(chosen) for name, chosen in rows.items()}, "lost": len(lost)},
        lost=lost,
        flagged=tuple(metadata.get("flagged", ())),
        reprojection_percent_iod={name: fit for name, fit in fits.items() if fit},
        jitter={"before": quality["jitter_per_frame"], "after": quality["jitter"]} if known else {},
        refined=_refined_summary(capture, refined) if refined else None,
        cameras=tuple(_camera(camera, metadata.get("options", {}).get("focal")) for camera in metadata["cameras"]),
        seconds=dict(metadata.get("seconds", {})),
        coverage=coverage,
        checks=tuple(_checks_for(capture)(coverage)),
        still=capture.still,
    )


def _checks_for(capture: Capture) -> Callable[[Coverage], list[Check]]:
    """The checks that apply to this kind of capture."""
    if capture.still:
        return check_walk
    return check_photos if "photos" in capture.metadata["source"] else check_coverage


def _refined_summary(capture: Capture, track: RefinedTrack) -> RefinedSummary:
    numbers = capture.track["frame_number"]
    flagged = tuple(int(number) for number in numbers[track.flagged])
    return RefinedSummary(track.fingerprint, int(track.refined.sum()), flagged)


def _camera(metadata: Mapping[str, Any], given: float | None) -> CameraSummary:
    sigma = metadata.get("focal_sigma") if given is None else None
    return CameraSummary(
        name=str(metadata["name"]),
        focal_px=float(metadata["K"][0][0]),
        focal_sigma_px=float(sigma) if sigma is not None and math.isfinite(sigma) else None,
        focal_measured=metadata.get("focal_estimated") if given is None else None,
    )
