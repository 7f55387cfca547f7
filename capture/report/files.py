"""The report's files in the capture folder: coverage.png, overlay.mp4 and, last, report.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import cv2

from avatar import ops
from avatar.common.files import atomic_path
from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.refine.track import RefinedTrack
from capture.report.coverage_image import coverage_image
from capture.report.geometry import TrackedGeometry
from capture.report.overlay import write_overlay
from capture.report.summary import CaptureReport, report_on
from capture.workspace import COVERAGE_FILE, OVERLAY_FILE, REPORT_FILE, write_atomically


def write_report(
    capture: Capture,
    head: HeadModel,
    overlay: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> CaptureReport:
    """Measure a finished capture and write its report into its folder.

    Where a training refined poses and expressions, the report is on those.

    Args:
        capture: the capture.
        head: the head model it was tracked with.
        overlay: whether to draw overlay.mp4; an older one is removed when not.
        progress: called as `progress("overlay", done, total)`.

    Raises:
        HeadsplatError: there is nothing to report on, or the refined track beside the capture is damaged.
    """
    root, refined = capture.root, RefinedTrack.load(capture)
    for torn in (*root.glob(".*.part.mp4"), *root.glob(".*.partial.png")):
        torn.unlink(missing_ok=True)
    (root / REPORT_FILE).unlink(missing_ok=True)  # it says that the files beside it are of this capture
    with ops.one_thread():
        geometry = TrackedGeometry.of(capture, head, refined.params(capture) if refined else None)
        report = report_on(capture, geometry, refined)
        with atomic_path(root / COVERAGE_FILE) as path:
            write_image(path, cv2.cvtColor(coverage_image(capture, geometry, report), cv2.COLOR_RGB2BGR))
        if overlay:
            write_overlay(capture, head, root / OVERLAY_FILE, refined, progress)
        else:
            (root / OVERLAY_FILE).unlink(missing_ok=True)
    write_atomically(root / REPORT_FILE, report.to_json().encode())
    return report


def read_report(capture: Capture) -> dict[str, Any] | None:
    """report.json of a capture as it is now, or None where there is none or it is of another track.

    A training that refined poses makes another track, and so does the next one.
    """
    try:
        stored = json.loads((capture.root / REPORT_FILE).read_text(encoding="utf-8"))
        refined = RefinedTrack.load(capture)
    except (OSError, ValueError, HeadsplatError):
        return None
    if not isinstance(stored, dict) or stored.get("capture") != capture.fingerprint:
        return None
    told = (stored.get("refined") or {}).get("fingerprint")
    return stored if told == (refined.fingerprint if refined else None) else None
