"""A damaged file gives a motion or a HeadsplatError on one line, never another error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.motion import read_motion
from tests.avatar.motion.files.small import FILES

_PIECE = st.one_of(
    st.binary(min_size=1, max_size=6),
    st.sampled_from([b"nan", b"-1e999", b",", b"\n", b'"', b"[", b"}", b"\xff\xfe", b"\0", b"1" * 5000, b"null"]),
)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_give_a_motion_or_an_error_of_ours(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    whole = path.read_bytes()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(st.tuples(st.floats(0, 1), _PIECE, st.booleans()), max_size=3), st.floats(0, 1), st.booleans())
    def damage(edits: list[tuple[float, bytes, bool]], cut: float, cuts: bool) -> None:
        data = whole[: int(cut * len(whole))] if cuts else whole
        for place, piece, replaces in edits:
            at = int(place * len(data))
            data = data[:at] + piece + data[at + (len(piece) if replaces else 0) :]
        path.write_bytes(data)
        try:
            found = read_motion(path)
        except HeadsplatError as error:
            assert str(error).startswith(str(tmp_path)) and "\n" not in str(error)
        else:
            assert len(found) and bool((found.time.diff() > 0).all()) and bool(found.weights.isfinite().all())

    damage()
