"""Partial files of recorded motions: exact, readable at every moment, errors that name the file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.motion import read_motion
from avatar.motion.files.journal import header_lines, sample_line
from avatar.types import JOINT_NAMES
from tests.avatar.motion.files.small import journal

NAMES = ("expr0", 'a "name", with\na newline')


def values(frames: int, confidence: float = 1.0) -> np.ndarray:
    """[T,1+E+18] random numbers of all sizes."""
    rng = np.random.default_rng(0)
    found = (rng.normal(0, 1, (frames, 3 + 18)) * 10.0 ** rng.integers(-8, 5, (frames, 3 + 18))).astype(np.float32)
    found[:, 0] = confidence
    return found


def test_every_number_is_read_again_exactly(tmp_path: Path) -> None:
    path, table, times = tmp_path / "take.partial.csv", values(20, 0.75), np.arange(20) / 3 + 1e-9
    lines = [sample_line(float(time), row) for time, row in zip(times, table, strict=True)]
    path.write_bytes(header_lines(NAMES, "flame") + b"".join(lines))
    found = read_motion(path)
    assert (found.names, found.space) == (NAMES, "flame")
    np.testing.assert_array_equal(found.time, times - times[0])
    assert found.confidence is not None
    parts = found.confidence[:, None], found.weights, found.joint_rot.reshape(20, -1), found.translation
    np.testing.assert_array_equal(np.concatenate(parts, 1), table)


def test_an_incomplete_last_line_is_left_out(tmp_path: Path) -> None:
    path = journal(tmp_path / "take.partial.csv")
    path.write_bytes(path.read_bytes()[:-30])
    assert len(read_motion(path)) == 2


def test_a_sample_without_a_face_repeats_the_last_one(tmp_path: Path) -> None:
    found = read_motion(journal(tmp_path / "take.partial.csv"))
    assert found.confidence is not None and found.confidence.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found.weights[1], found.weights[0])
    assert found.joint_rot.shape == (3, len(JOINT_NAMES), 3)


def test_files_of_version_1_are_read() -> None:
    found = read_motion(Path(__file__).parents[3] / "data" / "version1.recording.csv")
    assert found.names == ("jawOpen", "mouthSmileLeft") and found.space == "arkit52" and len(found) == 3
    np.testing.assert_allclose(found.weights[:, 0], [0, 0.25, 0.5])


@pytest.mark.parametrize(
    ("pattern", "replacement", "sentence"),
    [
        ('"version": 1', '"version": 2', "version '2', this headsplat reads up to 1; update headsplat"),
        ('"version": 1', '"version": {}', "version '{}', this headsplat"),
        (r'"names": \[[^]]*\]', '"names": "jawOpen"', "line 1: names, joints or space are not valid"),
        (r'"space": "\w+", ', "", "line 1: damaged ('space')"),
        (r"\n0.0,1,", "\n0.0,nan,", "a value that is too large, or times that do not increase"),
        (r"\n0.0,1,", "\n9.0,1,", "a value that is too large, or times that do not increase"),
        (r"\n0.0,1,", "\n0.0,one,", "a line is damaged ("),
        (r"\n0.0,1,", "\n0.0,1,1,", "a line is damaged ("),
        (r"(?s)\n0.0,1,.*", "\n", "no line has a face; record the take again"),
    ],
)
def test_a_damaged_file_is_a_one_line_error(pattern: str, replacement: str, sentence: str, tmp_path: Path) -> None:
    path = journal(tmp_path / "take.partial.csv")
    path.write_text(re.sub(pattern, replacement, path.read_text(), count=1))
    with pytest.raises(HeadsplatError) as caught:
        read_motion(path)
    assert str(caught.value).startswith(f"{path}: {sentence}") and "\n" not in str(caught.value)
