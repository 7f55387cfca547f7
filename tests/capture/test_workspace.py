"""The folder of an unfinished capture: what goes on, what starts afresh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.captured import FACTS_FILE
from capture.workspace import Workspace


@pytest.fixture
def begun(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "clip")
    workspace.open({"source": "0"}, overwrite=False)
    workspace.save_partial("stage.npz", {"a": np.arange(1000)})
    return workspace


def test_a_truncated_partial_result_counts_as_none(begun: Workspace) -> None:
    path = begun.root / "partial" / "stage.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert begun.load_partial("stage.npz") is None


def test_overwrite_continues_an_unfinished_capture_of_the_same_key(begun: Workspace) -> None:
    begun.open({"source": "0"}, overwrite=True)
    assert begun.load_partial("stage.npz") is not None


def test_overwrite_clears_an_unfinished_capture_of_another_key(begun: Workspace) -> None:
    begun.open({"source": "1"}, overwrite=True)
    assert begun.load_partial("stage.npz") is None


def test_overwrite_clears_a_finished_capture(begun: Workspace) -> None:
    (begun.root / FACTS_FILE).write_text("{}")
    begun.open({"source": "0"}, overwrite=True)
    assert not (begun.root / FACTS_FILE).exists()
    assert begun.load_partial("stage.npz") is None
