"""Which frames the benchmark of closed lids holds out and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatar.data.capture_folder import Capture
from avatar.evaluation.response import BLINK
from tests.bench.bench_closed_lids import held_out


def capture() -> Capture:
    """40 frames with closures at 10 to 12, 20 and 30; the last ten are held out already."""
    expression = np.full((40, 2), 0.2)
    expression[[10, 11, 12, 20, 30]] = 0.9
    track = {"expression": expression, "is_test": np.arange(40) >= 30}
    return Capture(Path(), {"head": {"expression_names": list(BLINK)}}, track)


def test_all_closures_or_every_second_one_are_held_out_with_the_frames_beside_them() -> None:
    for split, expected in (("none", [*range(9, 14), 19, 20, 21, 29]), ("half", [*range(9, 14), 29])):
        left, closed, opened = held_out(capture(), split)
        assert np.flatnonzero(left.track["is_test"]).tolist() == [*expected, *range(30, 40)]
        assert closed.tolist() == ([10, 11, 12, 20, 30] if split == "none" else [10, 11, 12, 30])
        assert opened.tolist() == list(range(31, 40))


def test_a_capture_without_closures_has_none_to_score() -> None:
    whole = capture()
    whole.track["expression"][:] = 0.2
    left, closed, opened = held_out(whole, "none")
    assert not len(closed) and len(opened) == 10
    assert np.array_equal(left.track["is_test"], whole.track["is_test"])
