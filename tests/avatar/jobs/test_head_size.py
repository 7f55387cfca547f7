"""Where the true size of the head of a capture comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import head_of
from avatar.data.iris_size import IrisSize
from avatar.errors import HeadsplatError
from avatar.jobs.head_size import GivenSize, size_of, size_sentence
from avatar.jobs.training import TrainJob, TrainOptions
from avatar.model.avatar import bake_identity
from avatar.model.true_size import TrueSize
from capture.options import CaptureOptions


def stated(capture: Capture, **entries: Any) -> Capture:
    return replace(capture, metadata={**capture.metadata, **entries})


def measured(monkeypatch: pytest.MonkeyPatch, millimeters: float | None) -> None:
    """Let the frames show irises of this diameter in millimeters of the capture."""
    found = None if millimeters is None else IrisSize(millimeters / 1000, 0.01, ())
    monkeypatch.setattr("avatar.data.iris_size.measure_irises", lambda *_: found)


def test_a_given_distance_comes_first(tiny: Capture) -> None:
    head = head_of(tiny)
    size = size_of(stated(tiny, interocular=60.0), head, GivenSize(63.0))
    baked = bake_identity(head, tiny.params(range(1)).identity)
    assert size_sentence(size, baked) == "true size: 63.0 +- 0.6 mm between the pupils (given: interpupillary 63 mm)"
    assert size_of(stated(tiny, interocular=63.0), head) == size


def test_calibrated_cameras_are_true(tiny: Capture) -> None:
    capture = stated(tiny, world={"unit": "millimetres"})
    assert size_of(capture, head_of(tiny)) == TrueSize(1.0, 0.01, "calibrated cameras")


def test_irises_are_measured_where_nothing_is_stated(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of(tiny)
    measured(monkeypatch, 11.0)
    size = size_of(stated(tiny, world={"unit": "unknown"}), head)
    assert size.scale == pytest.approx(11.7 / 11) and size.source == "irises of 11.7 mm"
    assert size.sigma == pytest.approx(0.0374, abs=1e-3)
    assert size_of(tiny, head, GivenSize(iris=8.0)).scale == pytest.approx(8 / 11)
    measured(monkeypatch, 7.0)  # drawn eyes
    assert size_of(tiny, head) == TrueSize()
    assert size_of(tiny, head, GivenSize(iris=7.14)).scale == pytest.approx(1.02)
    measured(monkeypatch, None)
    assert size_of(tiny, head) == TrueSize()


def test_irises_of_few_pixels_say_nothing(tiny: Capture) -> None:
    assert size_of(tiny, head_of(tiny)) == TrueSize()


def test_a_capture_keeps_the_given_distance_which_changes_no_frame() -> None:
    assert CaptureOptions(interocular=63.0).key() == CaptureOptions().key()
    with pytest.raises(HeadsplatError, match="--interocular: expected 10 to 300, got 5"):
        CaptureOptions(interocular=5.0)


def test_two_sizes_are_one_too_many(tmp_path: Any) -> None:
    with pytest.raises(HeadsplatError, match="--iris: gives the size of the head, as --interocular does"):
        TrainJob((tmp_path,), tmp_path / "me.avatar", TrainOptions(interocular=63.0, iris=11.0)).run()
