"""The truth bench finds every track of a capture, and can leave the landmark network out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatar.data.capture_folder import Capture, track_defaults
from capture.synthetic import APPEARANCES, SyntheticOptions, SyntheticScene
from tests.bench.bench_truth import REFINED_FILE, tracks
from tests.bench.exact_landmarks import exact_capture
from tests.bench.track_comparison import score_tracks
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


def test_the_tracker_alone_follows_exact_landmarks_closely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bald = replace(
        APPEARANCES["noor"], hair=replace(APPEARANCES["noor"].hair, strands=100)
    )  # fast to create, and not rendered
    monkeypatch.setitem(APPEARANCES, "noor", bald)
    options = SyntheticOptions(width=270, height=360, frames=30, fps=3.75)
    truth = SyntheticScene(options).truth()
    rows = np.arange(options.frames)
    facts = {
        "cameras": [{"K": np.eye(3).tolist()}],
        "crop": {"x": 0, "y": 0, "width": options.width, "height": options.height, "scale": 1.0},
        "head": {"source": "embedded", "expression_names": list(truth.expression_names)},
    }
    empty = {**track_defaults(len(rows)), "frame_number": rows, "time": truth.time, "is_test": rows >= 24}
    capture = exact_capture(Capture(tmp_path, facts, empty), truth)
    scores = score_tracks(capture, truth, tracks(capture))
    found, shuffled = scores["landmarks"], scores["landmarks, expressions shuffled"]
    assert found.posed < 2 and found.lids < 0.06 and found.jaw < 0.1 and found.rotation < 4
    assert shuffled.lids > 3 * found.lids and shuffled.expression > 1.5 * found.expression
    assert scores["landmarks, constant pose"].rotation > 2 * found.rotation
