"""Untrusted mesh files give a mesh or an error of ours, whatever their content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.ict import load_ict
from avatar.head.ict.load import _anchors
from avatar.head.ict.obj import read_mesh, read_vertices

from .made_up_ict import write_folder

_POINTS = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"v \n", b"\0" * 1000, b"v nan 0 0\n", b"v 1e400 0 0\n", b"v 1e200 0 0\n" + _POINTS + b"f 1 2 3\n",
        b"v \xff 1 2\n", _POINTS, _POINTS + b"f 1 2\n", _POINTS + b"f 1 2 \xff\n", _POINTS + b"f / / /\n",
        _POINTS + b"f 1 2 99999999999999999999\n", _POINTS + b"f 1 2 " + b"9" * 10_000, _POINTS + b"f 1 2 1000000\n",
        _POINTS + b"f -1 -2 -3\n", _POINTS + b"f 1/-1 2/-2 3/-3\n", _POINTS + b"f 1/1 2/2 3/9\n",
        _POINTS + b"vt nan 1\nf 1/4 2/2 3/3\n", _POINTS + b"vt 1e300 1\nf 1/4 2/2 3/3\n",
        _POINTS + b"vt 1\nvt 2\nf 1 2 3\n",
    ],
)  # fmt: skip
def test_an_invalid_mesh_is_an_error_of_ours(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mesh.obj"
    path.write_bytes(data)
    with pytest.raises(HeadsplatError, match=r"mesh\.obj"):
        read_mesh(path)


def test_a_file_larger_than_any_mesh_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "mesh.obj"
    with path.open("wb") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(HeadsplatError, match="8192 MB"):
        read_mesh(path)


def test_a_folder_in_place_of_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=tmp_path.name):
        read_mesh(tmp_path)


def test_a_link_to_itself_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(HeadsplatError, match="loop"):
        load_ict(tmp_path / "loop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("ict"), identities=0)


def _moved(path: Path, vertices: np.ndarray) -> None:
    rest = [line for line in path.read_text().splitlines() if not line.startswith("v ")]
    path.write_text("\n".join([*("v {} {} {}".format(*row) for row in vertices.tolist()), *rest]) + "\n")


def _copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_jaw_that_does_not_open_is_an_error_of_ours(folder: Path, tmp_path: Path) -> None:
    copy = _copy(folder, tmp_path / "copy")
    _moved(copy / "jawOpen.obj", read_vertices(copy / "generic_neutral_mesh.obj"))
    with pytest.raises(HeadsplatError, match=r"jawOpen\.obj: does not open the jaw"):
        load_ict(copy)


def test_a_jaw_without_rotation_gives_finite_weights(folder: Path, tmp_path: Path) -> None:
    copy = _copy(folder, tmp_path / "copy")
    lower = read_vertices(copy / "generic_neutral_mesh.obj")
    _moved(copy / "jawOpen.obj", lower + (lower.max(0) - lower.min(0)) * np.array([0, -0.1, 0]))
    head = load_ict(copy)
    assert head.lbs_weights.isfinite().all() and head.exprdirs.isfinite().all()


def test_a_flat_head_is_an_error_of_ours(folder: Path, tmp_path: Path) -> None:
    copy = _copy(folder, tmp_path / "copy")
    neutral = copy / "generic_neutral_mesh.obj"
    _moved(neutral, read_vertices(neutral) * np.array([1, 1, 0]))
    with pytest.raises(HeadsplatError, match="meshes are not a head"):
        load_ict(copy)


@pytest.mark.parametrize("listed", ["[" * 100_000, json.dumps([5] * 68), f"[{'1e999,' * 67}1]", '["a"]', "7"])
def test_an_invalid_landmark_list_is_ignored(listed: str, tmp_path: Path) -> None:
    (tmp_path / "vertex_indices.json").write_text(f'{{"idx_to_landmark_verts": {listed}}}')
    assert _anchors(tmp_path, np.ones(100, bool)) == {}
