"""Motion sources: expression files and capture folders are read by one function."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.driving.motion_source import load_motion_source
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.motion import write_motion
from avatar.motion.from_capture import motion_of
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("parent") / "person", frames=6, size=16)


def test_a_capture_folder_gives_its_motion_its_head_and_the_capture(capture: Capture) -> None:
    source = load_motion_source(capture.root)
    assert (source.label, source.head) == ("person", load_head())
    assert source.capture is not None and source.capture.fingerprint == capture.fingerprint
    assert torch.equal(source.motion.weights, motion_of(capture, load_head()).weights)


def test_an_expression_file_has_no_capture_and_only_a_given_head(capture: Capture, tmp_path: Path) -> None:
    write_motion(tmp_path / "a.motion.npz", motion_of(capture, load_head()))
    source = load_motion_source(tmp_path / "a.motion.npz")
    assert (source.label, source.head, source.capture) == ("a.motion.npz", None, None)
    assert len(source.motion) == 6
    assert load_motion_source(tmp_path / "a.motion.npz", "embedded").head is load_head()


def test_a_capture_of_another_head_model_is_refused(tmp_path: Path) -> None:
    other = tiny_capture(tmp_path / "other", frames=2, size=16)
    metadata = dict(other.metadata) | {"head": other.metadata["head"] | {"model_id": "0" * 16}}
    (other.root / METADATA_FILE).write_text(json.dumps(metadata))
    with pytest.raises(HeadsplatError, match="tracked with another head model"):
        load_motion_source(other.root)
