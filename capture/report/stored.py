"""The report in a capture folder, read back; needs neither images nor PyTorch."""

from __future__ import annotations

from typing import Any

from avatar.common.json_values import JsonValue, read_json_object
from avatar.common.links import check_within
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.refine.track import RefinedTrack
from capture.workspace import REPORT_FILE


def read_report(capture: Capture) -> dict[str, Any] | None:
    """report.json of a capture, or None where there is none, or it is damaged or of another track.

    Every training that refines poses creates another track.
    """
    try:
        path = check_within(capture.root, capture.root / REPORT_FILE)
        report = JsonValue(read_json_object(path, ""), str(path), "")
        refined = RefinedTrack.load(capture)
        described = report.get("refined", nullable=True)
        of_track = None if described is None else described["fingerprint"].value
        words = report["words"].entries()
        whole = report["capture"].value == capture.fingerprint and all(word.text(empty=True) for word in words)
    except HeadsplatError:
        return None
    return report.value if whole and of_track == (refined.fingerprint if refined else None) else None
