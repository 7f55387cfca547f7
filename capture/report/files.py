"""Files of the report in the capture folder: coverage.png, overlay.mp4 and, last, report.json."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from avatar import ops
from avatar.common.files import atomic_path
from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.head.model import HeadModel
from avatar.refine.track import RefinedTrack
from capture.report.coverage_image import coverage_image
from capture.report.geometry import TrackedGeometry
from capture.report.overlay import write_overlay
from capture.report.summary import CaptureReport, report_on
from capture.workspace import COVERAGE_FILE, OVERLAY_FILE, REPORT_FILE


def write_report(
    capture: Capture,
    head: HeadModel,
    overlay: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> CaptureReport:
    """Measure a finished capture and write its report into its folder.

    If a training refined poses and expressions, the report describes the refined ones.

    Args:
        capture: the capture.
        head: the head model it was tracked with.
        overlay: whether to write overlay.mp4; if not, an older one is removed.
        progress: called as `progress("overlay", done, total)`.

    Raises:
        HeadsplatError: there are no training frames, or the refined track of the capture is damaged.
    """
    root = capture.root
    refined = RefinedTrack.load(capture)
    for partial in (*root.glob(".*.part.mp4"), *root.glob(".*.partial.png")):
        partial.unlink(missing_ok=True)
    (root / REPORT_FILE).unlink(missing_ok=True)  # its presence means that the other files are complete
    with ops.one_thread():
        geometry = TrackedGeometry.of(capture, head, refined.params(capture) if refined else None)
        report = report_on(capture, geometry, refined)
        with atomic_path(root / COVERAGE_FILE) as path:
            write_image(path, cv2.cvtColor(coverage_image(capture, geometry, report), cv2.COLOR_RGB2BGR))
        if overlay:
            write_overlay(capture, head, root / OVERLAY_FILE, refined, progress)
        else:
            (root / OVERLAY_FILE).unlink(missing_ok=True)
    with atomic_path(root / REPORT_FILE) as path:
        path.write_text(report.to_json(), encoding="utf-8", newline="")
    return report
