"""Tables of coefficients are read by their arrays or columns, and faults are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.performance.coefficients.table import read_coefficients

_TABLE = np.arange(24.0).reshape(6, 4) / 10


def test_the_only_array_of_an_archive_is_read_with_its_rate_or_times(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", exp=_TABLE[:, None], fps=25, id=np.arange(80.0))
    found = read_coefficients(tmp_path / "a.npz")
    assert np.array_equal(found.values, _TABLE) and found.names == ("exp0", "exp1", "exp2", "exp3")
    assert found.time is None and found.fps == 25 and read_coefficients(tmp_path / "a.npz", fps=50).fps == 50
    np.savez(tmp_path / "b.npz", exp=_TABLE, timestamps=np.array([0.5, 0.1, 0.3, 0.3, 0.7, 0.9]))
    found = read_coefficients(tmp_path / "b.npz")
    assert found.time is not None and found.time.tolist() == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert found.values[:, 0].tolist() == [0.4, 0.8, 0.0, 1.6, 2.0]
    assert found.notes == ("1 rows have the time of the row before: dropped",)


def test_arrays_and_columns_are_chosen_by_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", exp=_TABLE, angle=_TABLE[:, :3], jaw=_TABLE[:, 0])
    with pytest.raises(HeadsplatError, match=r"a\.npz: has angle \[6, 3\], exp \[6, 4\]; name those of the face"):
        read_coefficients(tmp_path / "a.npz")
    found = read_coefficients(tmp_path / "a.npz", ("jaw", "angle"))
    assert found.names == ("jaw0", "angle0", "angle1", "angle2")
    assert np.array_equal(found.values, _TABLE[:, [0, 0, 1, 2]])
    (tmp_path / "a.csv").write_text("frame;exp_0;exp_1;rot_x\n0;1,5;2;3\n1;;2;nan\n")
    assert read_coefficients(tmp_path / "a.csv").names == ("exp_0", "exp_1", "rot_x")
    found = read_coefficients(tmp_path / "a.csv", ("rot_x", "exp_*"))
    assert found.values[0].tolist() == [1.5, 2, 3] and found.has_face.tolist() == [True, False]
    assert found.time is not None and found.time.tolist() == pytest.approx([0, 1 / 30])
    np.save(tmp_path / "a.npy", _TABLE)
    assert np.array_equal(read_coefficients(tmp_path / "a.npy", fps=24).values, _TABLE)


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def _arrays(**arrays: object) -> Callable[[Path], object]:
    return lambda path: np.savez(path, **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "write", "keys", "sentence"),
    [
        ("a.npz", _arrays(exp=_TABLE), "none", "no array 'none'; it has exp"),
        ("a.npz", _arrays(a=_TABLE, b=_TABLE[:3]), "a,b", "arrays of different lengths"),
        ("a.npz", _arrays(id=np.zeros(80)), "", r"has no array \[T,D\]; name those of the face with --keys"),
        ("a.npz", _arrays(exp=np.full((3, 2), np.nan)), "", "no frame has all of its 2 numbers; export it again"),
        ("a.npz", _arrays(exp=np.full((3, 2), 1e9)), "", r"frame 1: exp0 is 1e\+09; export it again"),
        ("a.npz", _arrays(exp=np.array(["x"])), "", "not numbers; save the coefficients of all frames as one array"),
        ("a.npz", _arrays(exp=np.zeros((2, 3000))), "", "3000 coefficients, at most 2000 are read; choose some"),
        ("a.npy", lambda path: np.save(path, _TABLE), "exp", "an .npy has one array without a name; leave it out"),
        ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY"), "", "save the coefficients of all frames as one array"),
        ("a.csv", _text("a,b\n1,2\n"), "c", "no column 'c'; it has a, b"),
        ("a.csv", _text("a,a\n1,2\n"), "", "line 1: the column a is there twice; remove one of the two"),
        ("a.csv", _text("a,b\n1,x\n"), "", "line 2: b: 'x' is not a valid number"),
        ("a.csv", _text("a,b\n1,2,3,4\n"), "", "line 2: 4 columns, the header has 2"),
        ("a.csv", _text("a,b\n"), "", "has no frames; export it again"),
        ("a.mat", lambda path: path.write_bytes(b"MATLAB 5.0"), "", "a MATLAB file, as DECA"),
        ("a.pkl", lambda path: path.write_bytes(b"\x80\x04x"), "", "a Python pickle, which is not opened"),
        ("a.bin", lambda path: path.write_bytes(b"\0" * 64), "", "not a table of coefficients"),
    ],
)  # fmt: skip
def test_faults_are_named_with_the_remedy(
    name: str, write: Callable[[Path], object], keys: str, sentence: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(HeadsplatError, match=rf"{name}: .*{sentence}|{name}: {sentence}"):
        read_coefficients(tmp_path / name, tuple(filter(None, keys.split(","))))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"no\.npz: no such file; check its path"):
        read_coefficients(tmp_path / "no.npz")
