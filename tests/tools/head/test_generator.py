"""The generator reproduces the stored head; properties of its stages."""

from __future__ import annotations

import platform
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head import stored
from avatar.head.anatomy import base
from avatar.head.anatomy.mesh import MIRROR
from avatar.head.subdivision import loop_matrix, midpoint_matrix, split_faces, unique_edges
from tools.head import assemble, atlas, cartoon, mean_face
from tools.head.__main__ import main
from tools.head.assemble import build_head
from tools.head.cage import build_cage, symmetric_triangles

REMADE = [item.name for item in fields(stored.StoredHead) if item.name not in ("regressor_weight",)]
#: indices: the same on every platform
TOPOLOGY = (
    *("cage_faces", "cage_uv_faces", "curve_columns", "part_faces", "part_of", "half_part_vertices", "half_part_faces"),
    *("regressor_joint", "regressor_vertex", "landmark_vertex"),
)


@pytest.fixture(scope="module")
def remade() -> stored.StoredHead:
    return build_head(base.load())


@pytest.fixture(scope="module")
def kept() -> stored.StoredHead:
    return stored.read()


@pytest.mark.parametrize("name", [name for name in REMADE if not name.endswith("_names")])
def test_remaking_gives_the_stored_arrays(remade: stored.StoredHead, kept: stored.StoredHead, name: str) -> None:
    """Bit for bit on Linux with x86-64, whatever SIMD level NumPy and BLAS use; indices bit for bit everywhere.

    Other platforms have other math libraries: there at most one value in a thousand may differ by one unit (1e-5 m).
    """
    new, old = getattr(remade, name), getattr(kept, name)
    assert new.dtype == old.dtype and new.shape == old.shape
    if name in TOPOLOGY or (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        assert np.array_equal(new, old)
    elif name != "regions":
        difference = np.abs(new.astype(float) - old.astype(float))
        assert difference.max() <= (1 if np.issubdtype(old.dtype, np.integer) else 1e-6)
        assert np.count_nonzero(difference > 1e-6) <= old.size // 1000


def test_rounding_errors_do_not_decide_texture_coordinates(kept: stored.StoredHead) -> None:
    """Vertices moved symmetrically by 1e-12 cm, far more than SIMD levels differ, give the same 16-bit coordinates."""
    cage = build_cage(base.load())
    noise = np.random.default_rng(0).normal(0, 1e-12, cage.vertices.shape)
    moved = cage.vertices + (noise + (noise * MIRROR)[cage.mirror]) / 2
    flat, faces, island = atlas.cage_atlas(replace(cage, vertices=moved))
    packed, _ = atlas.pack((flat, faces, island), [])
    skin = island == 0
    assert np.array_equal(assemble.to_fractions(packed[skin]), kept.cage_uv[skin])


def test_remaking_gives_the_stored_names(remade: stored.StoredHead, kept: stored.StoredHead) -> None:
    assert remade.expression_names == kept.expression_names
    assert remade.identity_names == kept.identity_names
    assert np.allclose(remade.regressor_weight, kept.regressor_weight, atol=1e-6)


def test_the_file_is_small_and_writes_the_same_bytes_twice(kept: stored.StoredHead, tmp_path: Path) -> None:
    assert stored.ARRAYS.stat().st_size < 2_500_000
    kept.write(tmp_path / "first.npz")
    kept.write(tmp_path / "second.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_a_foreign_file_is_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", anything=np.zeros(3))
    with pytest.raises(HeadsplatError, match=r"other\.npz: expected headsplat-head version 2"):
        stored.read(tmp_path / "other.npz")
    with pytest.raises(HeadsplatError, match="missing"):
        stored.read(tmp_path / "absent.npz")


def test_the_base_is_symmetric_level_and_has_human_pupils() -> None:
    mean = base.load()
    assert np.abs(mean.points - (mean.points * [-1, 1, 1])[mean.mirror]).max() < 1e-5
    assert (mean.mirror[mean.mirror] == np.arange(478)).all()
    assert (mean.mirror[:468] == np.arange(468)).sum() == 28
    assert abs(np.linalg.norm(mean.points[468] - mean.points[473]) - 6.3) < 1e-4
    assert abs(mean_face.frankfurt_pitch(mean.points)) < 1e-3


def test_the_face_has_852_symmetric_triangles() -> None:
    mean = base.load()
    triangles = symmetric_triangles(mean)
    own = {frozenset(face) for face in triangles.tolist()}
    assert len(own) == 852
    assert own == {frozenset(mean.mirror[list(face)].tolist()) for face in own}


def test_a_base_is_built_from_any_landmark_network() -> None:
    """With a network that always returns the stored mean face, tilted like the output for a flat drawing."""
    mean = base.load()
    seen = []

    def network(image: np.ndarray) -> tuple[np.ndarray, float]:
        seen.append(image.shape)
        angle = np.radians(6.0)
        lean = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        return mean.points @ lean.T * [6.0, -6.0, -6.0] + 96, 1.0

    again = mean_face.build(network, mean.triangles)
    assert set(seen) == {(1, cartoon.SIZE, cartoon.SIZE, 3)} and len(seen) == 48
    assert np.abs(again.points - mean.points).max() < 1e-3
    assert (again.mirror == mean.mirror).all()


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(HeadsplatError, match=r"expected points \[478,3\], got \[68, 3\]"):
        mean_face.build(lambda image: (np.zeros((68, 3)), 1.0), base.load().triangles)


def test_the_tessellation_is_read_as_triangles() -> None:
    text = "FACEMESH_TESSELATION = frozenset([(127, 34), (34, 139), (139, 127), (11, 0), (0, 37), (37, 11)])"
    assert mean_face.read_tessellation(text).tolist() == [[127, 34, 139], [11, 0, 37]]


def test_rebuilding_without_a_model_file_is_an_error_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rebuild-base", "capture.faces.landmarks:AttentionMesh"]) == 1
    assert "--landmark-model" in capsys.readouterr().err


def test_loop_subdivision_keeps_a_flat_disc_flat_and_a_plane_linear() -> None:
    """Loop's scheme reproduces linear functions away from borders, and its rows sum to 1 everywhere."""
    ring = np.array([[np.cos(k * np.pi / 3), np.sin(k * np.pi / 3)] for k in range(6)])
    points = np.vstack([[0, 0], ring, 2 * ring])
    inner = [(0, 1 + k, 1 + (k + 1) % 6) for k in range(6)]
    outer = [(1 + k, 7 + k, 7 + (k + 1) % 6) for k in range(6)]
    outer += [(1 + k, 7 + (k + 1) % 6, 1 + (k + 1) % 6) for k in range(6)]
    faces = np.array(inner + outer)
    matrix = loop_matrix(faces, len(points))
    assert np.allclose(np.asarray(matrix.sum(1)).ravel(), 1)
    assert np.allclose((matrix @ points)[0], 0)
    assert matrix[0, 0] == pytest.approx(5 / 8) and matrix[0, 1] == pytest.approx(1 / 16)


def test_splitting_keeps_area_winding_and_order_of_children() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    points = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    edges, _ = unique_edges(faces)
    fine = split_faces(faces, 4)
    finer = midpoint_matrix(faces, 4) @ points
    a, b, c = (finer[fine[:, corner]] for corner in range(3))
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert len(edges) == 5 and len(fine) == 8
    assert np.allclose(area, 1 / 8)
    assert fine[:3, :].tolist()[0][0] == 0  # the first child keeps the face's first corner
