"""The truth bench finds every track of a capture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.bench.bench_truth import REFINED_FILE, tracks
from tests.support.tiny import tiny_capture


def test_a_refined_track_beside_the_capture_is_found(tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "capture", frames=6)
    assert list(tracks(capture)) == ["landmarks"]
    names = ("expression", "joint_rot", "translation")
    moved = {name: capture.track[name] + np.float32(0.25) for name in names}
    np.savez(capture.root / REFINED_FILE, **moved)
    found = tracks(capture)
    assert list(found) == ["landmarks", "refined"]
    for name in names:
        np.testing.assert_array_equal(getattr(found["refined"], name).numpy(), moved[name])
