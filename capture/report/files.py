"""The report's files in the capture folder: coverage.png, overlay.mp4 and, last, report.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import cv2

from avatar.captured import Capture
from avatar.files import atomic_path
from avatar.head.model import HeadModel
from avatar.pictures import write_picture
from capture.report.geometry import Poses, TrackedGeometry, tracked_poses
from capture.report.overlay import write_overlay
from capture.report.picture import coverage_picture
from capture.report.summary import CaptureReport, report_on
from capture.workspace import COVERAGE_FILE, OVERLAY_FILE, REPORT_FILE, write_atomically


def write_report(
    capture: Capture,
    head: HeadModel,
    overlay: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
    poses: Poses = tracked_poses,
) -> CaptureReport:
    """Measure a finished capture and write its report into its folder.

    Args:
        capture: the capture.
        head: the head model it was tracked with.
        overlay: whether to draw overlay.mp4; an older one is removed when not.
        progress: called as `progress("overlay", done, total)`.
        poses: gives the head parameters of all its pictures.
    """
    root = capture.root
    for torn in (*root.glob(".*.part.mp4"), *root.glob(".*.partial.png")):
        torn.unlink(missing_ok=True)
    (root / REPORT_FILE).unlink(missing_ok=True)  # it says that the files beside it are of this capture
    geometry = TrackedGeometry.of(capture, head, poses)
    report = report_on(capture, geometry)
    with atomic_path(root / COVERAGE_FILE) as path:
        write_picture(path, cv2.cvtColor(coverage_picture(capture, geometry, report), cv2.COLOR_RGB2BGR))
    if overlay:
        write_overlay(capture, head, root / OVERLAY_FILE, poses, progress)
    else:
        (root / OVERLAY_FILE).unlink(missing_ok=True)
    write_atomically(root / REPORT_FILE, report.to_json().encode())
    return report


def read_report(capture: Capture) -> dict[str, Any] | None:
    """report.json of a capture as it is now, or None where there is none or it is of another track."""
    try:
        stored = json.loads((capture.root / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) and stored.get("capture") == capture.fingerprint else None
