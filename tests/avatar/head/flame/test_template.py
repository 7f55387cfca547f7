"""The user's texture template is used unchanged; added parts go into its free area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.flame.template import apply_template
from avatar.head.flame.unwrap import Island

FACES = np.array([[0, 1, 2], [2, 1, 3]])
ISLAND = Island(np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[0, 1, 2]]), np.array([2]))


def _template(path: Path, faces: str = "f 3/3 1/1 2/2\nf 3/3 2/2 4/4\n", corner: str = "1.0") -> Path:
    vertices = "".join(f"v {k} 0 0\n" for k in range(4))
    path.write_text(f"{vertices}vt 0 0.5\nvt {corner} 0.5\nvt 0 1\nvt 1 1\n{faces}")
    return path


def test_coordinates_are_the_templates_in_any_order_of_its_faces(tmp_path: Path) -> None:
    uv, faces = apply_template(_template(tmp_path / "t.obj"), FACES, [ISLAND, ISLAND])
    assert faces[:2].tolist() == [[0, 1, 2], [2, 1, 3]]
    assert uv[:4].tolist() == [[0, 0.5], [1, 0.5], [0, 1], [1, 1]]


def test_islands_do_not_overlap(tmp_path: Path) -> None:
    uv, faces = apply_template(_template(tmp_path / "t.obj"), FACES, [ISLAND, ISLAND])
    first, second = uv[faces[2]], uv[faces[3]]
    assert first[:, 1].max() < 0.5 and second[:, 1].max() < 0.5
    assert first[:, 0].max() < second[:, 0].min() or first[:, 1].max() < second[:, 1].min()
    assert np.ptp(first[:, 0]) > 0.1


@pytest.mark.parametrize(
    ("faces", "corner", "reason"),
    [
        ("f 1/1 2/2 3/3\n", "1.0", r"no face with the vertices \[2, 1, 3\]"),
        ("f 1 2 3\n", "1.0", "no triangles with texture coordinates"),
        ("f 1/1 2/2 3/3 4/4\n", "1.0", "no triangles with texture coordinates"),
        ("f 1/1 2/2 3/9\n", "1.0", "no triangles with texture coordinates"),
        ("f 1/1 2/2 3/3\nf 3/3 2/2 4/4\n", "3.0", r"outside 0\.\.1"),
        ("f 1/1 2/2 3/3\nf 3/3 2/2 4/4\n", "nan", r"outside 0\.\.1"),
    ],
)
def test_other_templates_are_refused(faces: str, corner: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=rf"t\.obj: .*{reason}"):
        apply_template(_template(tmp_path / "t.obj", faces, corner), FACES, [])


def test_a_missing_template_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"t\.obj: no such texture template"):
        apply_template(tmp_path / "t.obj", FACES, [])
