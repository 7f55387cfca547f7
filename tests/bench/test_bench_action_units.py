"""The bench of action units scores a take that follows its script exactly, without rendering."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.performance.readout.take import read_take
from tests.avatar.performance.readout.acted import TABLE, Acted
from tests.bench.bench_action_units import INTENSITY, SECONDS, UNITS, longest_common, report, score, spans


def test_a_take_of_the_script_itself_scores_full(capsys: pytest.CaptureFixture[str]) -> None:
    acted = Acted(SECONDS)
    for name, start, end in spans():
        acted.face(name, start, end, INTENSITY)
    found = score(read_take(acted.motion()))
    np.testing.assert_allclose(found.peaks, INTENSITY, atol=0.02)
    assert found.found.all() and found.order == 1 and found.neutral == 1
    assert found.emotions == tuple(emotion.name for emotion in TABLE.emotions)
    both, only_read, only_true = found.hits.sum(0)
    assert 2 * both / (2 * both + only_read + only_true) > 0.95
    report([found, found])
    assert "| AU12 lip corner puller | 0.85 | 0% | 1.00 | 2 of 2 |" in capsys.readouterr().out


def test_a_face_at_rest_scores_nothing_but_neutral() -> None:
    found = score(read_take(Acted(SECONDS).motion()))
    assert not found.found.any() and found.order == 0 and found.neutral == 1 and len(found.peaks) == len(UNITS)


def test_the_longest_common_subsequence_keeps_the_order() -> None:
    assert longest_common("abcd", "xaybzd") == 3
    assert longest_common("abc", "cba") == 1
    assert longest_common("", "a") == 0
