"""The capture's own quality numbers, as JSON and in words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar import __version__
from avatar.common.jsonable import to_jsonable
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.refine.track import RefinedTrack
from capture.report.advice import Check, check_coverage
from capture.report.coverage import Coverage
from capture.report.face_pixels import PixelStatistics
from capture.report.geometry import TrackedGeometry

#: Landmarks that lie farther off than this (percent of the inter-ocular distance) are worth a look at the overlay.
POOR_FIT = 3.0


@dataclass(frozen=True)
class CaptureReport:
    """What a capture is worth; plain values throughout."""

    headsplat: str  # version that wrote it
    capture: str  # fingerprint of the track
    source: str  # name of the video
    frames: Mapping[str, int]  # "training", "held_out", "lost"
    lost: tuple[int, ...]  # frame numbers of the plan that did not show the face, where they are known
    flagged: tuple[Mapping[str, Any], ...]  # {"frame", "reason", "weight"} of images that count less
    reprojection_percent_iod: Mapping[str, Mapping[str, float]]  # "training", "held_out" -> region -> mean distance
    jitter: Mapping[str, Mapping[str, float]]  # "before", "after" smoothing; empty where it was not measured
    refined: Mapping[str, Any] | None  # of the refined track that was measured: {"fingerprint", "frames", "flagged"}
    cameras: tuple[Mapping[str, Any], ...]  # {"name", "focal_px", "focal_sigma_px", "focal_measured"}
    seconds: Mapping[str, float]  # by stage
    coverage: Coverage
    checks: tuple[Check, ...]

    @property
    def advice(self) -> list[str]:
        """What to film again, one sentence each."""
        return [check.advice for check in self.checks if not check.good]

    def to_json(self) -> str:
        """Everything as one JSON object; `advice` holds the sentences of failed checks, `words` the lines to show."""
        extra = {"advice": self.advice, "words": self.to_text().splitlines()}
        return json.dumps(to_jsonable({**dataclasses.asdict(self), **extra}), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """A dozen lines for a person."""
        lines = [self._frames(), *self._flags(), *self._refined(), *self._fit(), *self._jitter(), *self._focal()]
        lines += ["seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in self.seconds.items())]
        lines += [f"  {'ok ' if check.good else 'LOW'} {check.topic}: {check.found}" for check in self.checks]
        advice = self.advice
        lines += ["what to film again:"] if advice else ["nothing to film again: the clip shows what an avatar needs"]
        return "\n".join([line for line in lines if line] + [f"  - {sentence}" for sentence in advice])

    def _frames(self) -> str:
        lost = f", {self.frames['lost']} lost" if self.frames["lost"] else ""
        return f"{self.source}: {self.frames['training']} training frames, {self.frames['held_out']} held out{lost}"

    def _flags(self) -> list[str]:
        if not self.flagged:
            return []
        reasons = Counter(str(flag["reason"]) for flag in self.flagged)
        return ["flagged, so that they count less: " + ", ".join(f"{n} {reason}" for reason, n in reasons.items())]

    def _refined(self) -> list[str]:
        if self.refined is None:
            return []
        apart = len(self.refined["flagged"])
        return [
            f"the head in {self.refined['frames']} frames is as a training refined it"
            + (f" ({apart} ran away and follow their neighbors)" if apart else "")
            + ", in the others as tracked"
        ]

    def _fit(self) -> list[str]:
        lines = []
        for name, row in self.reprojection_percent_iod.items():
            regions = ", ".join(f"{region} {value:.1f}" for region, value in row.items())
            poor = " (poor: look at overlay.mp4)" if row["all"] > POOR_FIT else ""
            lines.append(
                f"landmarks of {name.replace('_', '-')} frames within, % of the eyes' distance: {regions}{poor}"
            )
        return lines

    def _jitter(self) -> list[str]:
        if not self.jitter:
            return []
        before, after = self.jitter["before"], self.jitter["after"]
        whose = " of the tracker" if self.refined else ""
        return [
            f"jitter{whose}, smoothed from: {before['rotation_deg']:.2f} to {after['rotation_deg']:.2f} degrees, "
            f"{before['depth_cm']:.2f} to {after['depth_cm']:.2f} cm of depth"
        ]

    def _focal(self) -> list[str]:
        lines = []
        for camera in self.cameras:
            sigma = camera["focal_sigma_px"]
            spread = f" +- {sigma:.0f}" if sigma is not None else ""
            origin = {
                True: "measured from the clip",
                False: "not measured: the head turned too little for that",
                None: "given",
            }
            lines.append(
                f"focal of camera {camera['name']}: {camera['focal_px']:.0f}{spread} pixels, "
                f"{origin[camera['focal_measured']]}"
            )
        return lines


def report_on(capture: Capture, geometry: TrackedGeometry, refined: RefinedTrack | None = None) -> CaptureReport:
    """Measure a finished capture, whose heads are `geometry`: of the track `refined`, or as they were tracked."""
    facts, rows = capture.metadata, {"training": capture.train_indices, "held_out": capture.test_indices}
    if not len(rows["training"]):
        raise HeadsplatError(f"{capture.root}: no training frames to report on; capture again and hold out fewer")
    coverage = Coverage.of(capture, geometry, PixelStatistics.of(capture, rows["training"], geometry.projected))
    landmarks = capture.track["landmarks"].astype(np.float64)
    fits = {name: geometry.reprojection(landmarks, picked) for name, picked in rows.items()}
    quality = facts.get("quality", {})
    known = "jitter" in quality and "jitter_per_frame" in quality
    lost = tuple(int(number) for number in facts.get("lost", ()))
    return CaptureReport(
        headsplat=__version__,
        capture=capture.fingerprint,
        source=str(facts["source"].get("name", capture.root.name)),
        frames={**{name: len(picked) for name, picked in rows.items()}, "lost": len(lost)},
        lost=lost,
        flagged=tuple(facts.get("flagged", ())),
        reprojection_percent_iod={name: fit for name, fit in fits.items() if fit},
        jitter={"before": quality["jitter_per_frame"], "after": quality["jitter"]} if known else {},
        refined=_refined(capture, refined) if refined else None,
        cameras=tuple(_camera(camera, facts.get("options", {}).get("focal")) for camera in facts["cameras"]),
        seconds=dict(facts.get("seconds", {})),
        coverage=coverage,
        checks=tuple(check_coverage(coverage)),
    )


def _refined(capture: Capture, track: RefinedTrack) -> dict[str, Any]:
    numbers = capture.track["frame_number"]
    return {
        "fingerprint": track.fingerprint,
        "frames": int(track.refined.sum()),
        "flagged": [int(number) for number in numbers[track.flagged]],
    }


def _camera(facts: Mapping[str, Any], given: float | None) -> dict[str, Any]:
    sigma = facts.get("focal_sigma")
    known = given is None and sigma is not None and math.isfinite(sigma)
    return {
        "name": str(facts["name"]),
        "focal_px": float(facts["K"][0][0]),
        "focal_sigma_px": float(sigma) if known else None,
        "focal_measured": facts.get("focal_estimated") if given is None else None,
    }
