"""The folder of an unfinished capture: what goes on, what starts afresh."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatar.data.capture_folder import MAGIC, METADATA_FILE
from avatar.errors import HeadsplatError
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


def test_overwrite_leaves_a_finished_capture_until_the_new_one_is_complete(begun: Workspace) -> None:
    begun.finish({"frame_number": np.arange(0)}, {"magic": MAGIC, "made": 1})
    again = Workspace(begun.final)
    again.open({"source": "0"}, overwrite=True)
    assert json.loads((begun.final / METADATA_FILE).read_text()) == {"magic": MAGIC, "made": 1}
    again.finish({"frame_number": np.arange(0)}, {"magic": MAGIC, "made": 2})
    assert json.loads((begun.final / METADATA_FILE).read_text()) == {"magic": MAGIC, "made": 2}
    assert [path.name for path in begun.final.parent.iterdir()] == ["clip"]


def test_images_that_a_killed_run_left_torn_are_removed(begun: Workspace) -> None:
    torn = begun.root / "frames" / "00000.png.tmp"
    torn.write_bytes(b"half")
    begun.open({"source": "0"}, overwrite=False)
    assert not torn.exists()


@pytest.mark.parametrize("place", ["notes.txt", "frames/notes.txt"])
def test_overwrite_clears_nothing_where_other_files_lie(begun: Workspace, place: str) -> None:
    (begun.root / place).write_text("mine")
    with pytest.raises(HeadsplatError, match=r"contains other files too \(notes\.txt\)"):
        begun.open({"source": "1"}, overwrite=True)
    assert begun.load_partial("stage.npz") is not None and (begun.root / place).exists()
