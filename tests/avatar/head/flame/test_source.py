"""FLAME files of every version and container are recognized and validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.flame.source import read_flame

from .made_up import VERSIONS, tiny_arrays, write_npz, write_pickle


def _written(folder: Path, version: str, suffix: str) -> Path:
    return (write_pickle if suffix == ".pkl" else write_npz)(folder / f"made_up{suffix}", tiny_arrays(version))


@pytest.mark.parametrize("suffix", [".pkl", ".npz"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_and_its_license_are_recognized_by_content(version: str, suffix: str, tmp_path: Path) -> None:
    read = read_flame(_written(tmp_path, version, suffix))
    assert read.version.name == f"FLAME {version}"
    assert ("CC-BY-4.0" in read.version.license) == (version == "2023 Open")
    assert ("non-commercial" in read.version.license) == (version != "2023 Open")


def test_an_unknown_version_is_read_and_treated_as_non_commercial(tmp_path: Path) -> None:
    read = read_flame(write_npz(tmp_path / "generic_model.npz", tiny_arrays("")))
    assert read.version.name == "FLAME (version not recognized)"
    assert "non-commercial" in read.version.license


@pytest.mark.parametrize(("name", "version"), [("flame2023_Open.npz", "2023"), ("FLAME2020.npz", "2020")])
def test_a_file_name_gives_the_version_but_no_freer_license(name: str, version: str, tmp_path: Path) -> None:
    read = read_flame(write_npz(tmp_path / name, tiny_arrays("")))
    assert read.version.name == f"FLAME {version}"
    assert "non-commercial" in read.version.license


def test_both_containers_give_the_same_arrays(tmp_path: Path) -> None:
    one, two = (read_flame(_written(tmp_path, "2020", suffix)) for suffix in (".pkl", ".npz"))
    for name in ("v_template", "faces", "identity", "expressions", "posedirs", "weights"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.allclose(one.regressor, two.regressor, atol=1e-12)
    assert one.identity.shape[2] == 300 and one.expressions.shape[2] == 100


def _changed(name: str, value: Any) -> dict[str, Any]:
    return {**tiny_arrays("2020"), name: value(tiny_arrays("2020")[name])}


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("v_template", lambda a: a[:, :2], r"`v_template` expected \[N,3\]"),
        ("v_template", lambda a: a * np.nan, "`v_template` has values that are not lengths"),
        ("shapedirs", lambda a: a[:-1], r"`shapedirs` expected \[\d+,3,N\]"),
        ("posedirs", lambda a: a[:, :, :9], r"`posedirs` expected \[\d+,3,36\]"),
        ("weights", lambda a: a * 0.9, "rows of `weights` must sum to 1"),
        ("J_regressor", lambda a: a * 2, "rows of `J_regressor` must sum to 1"),
        ("J_regressor", lambda a: a[:4], r"`J_regressor` expected \[5,\d+\]"),
        ("f", lambda a: a + 10**6, "`f` has vertex numbers outside"),
        ("f", lambda a: a + 0.5, r"`f` expected faces \[F,3\]"),
        ("kintree_table", lambda a: a * np.nan, "`kintree_table` expected parents"),
        ("kintree_table", lambda a: a[:, ::-1].copy(), "`kintree_table` expected parents"),
    ],
)
def test_inconsistent_arrays_are_named(name: str, change: Any, reason: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "broken.npz", _changed(name, change))
    with pytest.raises(HeadsplatError, match=rf"broken\.npz: {reason}"):
        read_flame(path)


def test_the_error_for_a_missing_array_lists_those_in_the_file(tmp_path: Path) -> None:
    members = tiny_arrays("2020")
    del members["posedirs"]
    with pytest.raises(HeadsplatError, match=r"no `posedirs` in it \(it has J_regressor, f, "):
        read_flame(write_npz(tmp_path / "part.npz", members))


def test_an_npz_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "objects.npz", {**tiny_arrays("2020"), "J_regressor": np.array([{}, []], dtype=object)})
    with pytest.raises(HeadsplatError, match=r"`J_regressor` cannot be read .*not numbers"):
        read_flame(path)


def test_an_npz_whose_header_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "huge.npz", {**tiny_arrays("2020"), "posedirs": np.zeros((123, 3, 36))})
    path.write_bytes(path.read_bytes().replace(b"(123, 3, 36)", b"(9e9, 3, 36)".replace(b"9e9", b"999")))
    with pytest.raises(HeadsplatError, match="`posedirs` cannot be read"):
        read_flame(path)


@pytest.mark.parametrize("name", ["absent.pkl", "notes.txt", "garbage.npz", "garbage.pkl", "list.pkl"])
def test_other_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "list.pkl":
        path.write_bytes(b"].")
    elif name != "absent.pkl":
        path.write_bytes(b"not a model")
    with pytest.raises(HeadsplatError, match=name.replace(".", r"\.")):
        read_flame(path)


def test_a_landmark_embedding_with_wrong_faces_is_refused(tmp_path: Path) -> None:
    landmarks = {
        "mp_lmk_face_idx": np.array([10**6]),
        "mp_lmk_b_coords": np.ones((1, 3)) / 3,
        "mp_landmark_indices": np.array([13]),
    }
    with pytest.raises(HeadsplatError, match="landmark embedding does not match"):
        read_flame(write_npz(tmp_path / "landmarks.npz", {**tiny_arrays("2020"), **landmarks}))


def test_a_pickle_saved_again_by_python_3_reads_the_same(tmp_path: Path) -> None:
    old = read_flame(_written(tmp_path, "2023", ".pkl"))
    new = read_flame(write_pickle(tmp_path / "again.pkl", tiny_arrays("2023"), protocol=4, python2=False))
    assert np.array_equal(old.v_template, new.v_template) and np.array_equal(old.regressor, new.regressor)


@pytest.mark.parametrize(("index", "weight"), [(-1, 0.3), (13, np.nan), (13, 1e9), (13.5, 0.3)])
def test_landmarks_out_of_their_range_are_refused(index: float, weight: float, tmp_path: Path) -> None:
    landmarks = {
        "mp_lmk_face_idx": np.array([1]),
        "mp_lmk_b_coords": np.full((1, 3), weight),
        "mp_landmark_indices": np.array([index]),
    }
    with pytest.raises(HeadsplatError, match="landmark embedding does not match"):
        read_flame(write_npz(tmp_path / "landmarks.npz", {**tiny_arrays("2020"), **landmarks}))


def test_names_of_members_are_printed_on_one_short_line(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError) as refused:
        read_flame(write_npz(tmp_path / "odd.npz", {"a\nb\x1b[31m" + "c" * 5000: np.zeros(1)}))
    assert str(refused.value).isprintable() and len(str(refused.value)) < 400
