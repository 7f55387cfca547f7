"""The program that learns the correction of the landmark tracker; `fit` itself is tested with the correction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.table import FacsTable
from tools.weights import correction
from tools.weights.correction import SPEECH_FROM, UNITS_FROM, unit_script


def test_the_program_learns_from_people_who_show_units_and_who_speak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = np.random.default_rng(0).uniform(0, 1, (200, 52))
    monkeypatch.setattr(correction, "capture_of", lambda seed, work, table: None)
    monkeypatch.setattr(correction, "tracked_and_true", lambda capture: (0.5 * shown, shown))
    correction.main(["-o", str(tmp_path / "correction.csv"), "--people", "1", "2", "--work", str(tmp_path)])
    lines = (tmp_path / "correction.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == ["tracked", *ARKIT_52]
    assert [line.split(",")[0] for line in lines[1:]] == list(ARKIT_52)
    people = [int(line.split()[1][:-1]) for line in capsys.readouterr().out.splitlines()]
    assert people == [UNITS_FROM, SPEECH_FROM, SPEECH_FROM + 1]


def test_the_units_of_a_person_follow_each_other_within_the_film() -> None:
    script, seconds = unit_script(UNITS_FROM, FacsTable.load())
    starts = [start for start, *_ in script.faces]
    ends = [end for _, end, *_ in script.faces]
    assert starts[0] > 0 and all(end < start for end, start in zip(ends, starts[1:], strict=False)) and ends[-1] < 1
    assert seconds > len(script.faces) * 0.7
