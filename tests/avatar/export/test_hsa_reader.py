"""The reference reader of .hsa files in examples/: the test vectors, the script, what it refuses."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar.geometry.rotations import SH_C0
from examples.hsa_light import layer_light
from examples.hsa_reader import Hsa, matrices

EXAMPLES = Path(__file__).parents[3] / "examples"
VECTORS = json.loads((EXAMPLES / "hsa_vectors" / "vectors.json").read_text(encoding="utf-8"))
MAX_LINES = 150  # of code: without comments, docstrings and empty lines


def gaussians_of(hsa: Hsa, params: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """What the reader finds, by the names of the test vectors."""
    arrays = (np.array(params[name], float) for name in ("expression", "joint_rot", "translation"))
    return dict(zip(("means", "rotations", "scales", "opacities", "colors"), hsa.gaussians(*arrays), strict=True))


def differences(found: dict[str, NDArray[Any]], expected: dict[str, Any]) -> dict[str, float]:
    """Largest difference of each value, rotations in degrees, scales relative to the expected ones."""
    turned = found["rotations"].swapaxes(1, 2) @ matrices(np.array(expected["quats"], float))
    cosines = (np.trace(turned, axis1=1, axis2=2) - 1) / 2
    by_name = {name: np.abs(found[name] - np.array(expected[name])) for name in ("means", "opacities", "colors")}
    by_name["scales"] = np.abs(found["scales"] / np.array(expected["scales"]) - 1)
    by_name["rotations"] = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return {name: float(values.max()) for name, values in by_name.items()}


def within(found: dict[str, float], tolerances: dict[str, float]) -> bool:
    return all(found[name] <= tolerance for name, tolerance in tolerances.items())


@pytest.fixture(scope="module")
def sample() -> Hsa:
    hsa = Hsa((EXAMPLES / "hsa_vectors" / "sample.hsa").read_bytes())
    hsa.light = layer_light
    return hsa


@pytest.mark.parametrize("pose", VECTORS["poses"], ids=lambda pose: pose["name"])
def test_the_reader_finds_the_test_vectors(sample: Hsa, pose: dict[str, Any]) -> None:
    found = differences(gaussians_of(sample, pose), pose)
    assert within(found, VECTORS["tolerances"]), found


def test_the_poses_of_the_vectors_differ_by_more_than_their_tolerances(sample: Hsa) -> None:
    first, *others = VECTORS["poses"]
    for pose in others:
        found = differences(gaussians_of(sample, first), pose)
        assert all(found[name] > 3 * tolerance for name, tolerance in VECTORS["tolerances"].items()), found


def test_without_light_the_layer_differs(sample: Hsa) -> None:
    bare = Hsa((EXAMPLES / "hsa_vectors" / "sample.hsa").read_bytes())
    pose = VECTORS["poses"][1]
    assert differences(gaussians_of(bare, pose), pose)["colors"] > 0.2


def test_the_script_writes_the_ply_of_the_reader(sample: Hsa, tmp_path: Path) -> None:
    pose = {"expression": {"jawOpen": 0.5}, "turn": [0, 0.3, 0]}
    (tmp_path / "pose.json").write_text(json.dumps(pose), encoding="utf-8")
    script, source = EXAMPLES / "hsa_reader.py", EXAMPLES / "hsa_vectors" / "sample.hsa"
    subprocess.run([sys.executable, script, source, tmp_path / "pose.json", tmp_path / "me.ply"], check=True)
    header, values = (tmp_path / "me.ply").read_bytes().split(b"end_header\n", 1)
    rows = np.frombuffer(values, "<f4").reshape(-1, 17)
    expression = sample.neutral + 0.5 * (np.array(sample.names) == "jawOpen")
    means, rotations, scales, opacities, colors = sample.gaussians(expression, *sample.rest([0, 0.3, 0]))
    assert f"element vertex {len(means)}\n".encode() in header and len(rows) == len(means)
    placed = (means - sample.mean_translation) @ sample.mean_rotation * [-1, -1, 1]
    np.testing.assert_allclose(rows[:, :3], placed, atol=1e-6)
    np.testing.assert_allclose(rows[:, 6:9] * SH_C0 + 0.5, colors, atol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-rows[:, 9])), opacities, atol=1e-5)
    np.testing.assert_allclose(np.exp(rows[:, 10:13]), scales, rtol=1e-4)
    turned = np.diag([-1, -1, 1]) @ sample.mean_rotation.T @ rotations
    np.testing.assert_allclose(matrices(rows[:, 13:].astype(float)), turned, atol=1e-5)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: b"PK" + data[2:], lambda data: b""])
def test_a_damaged_file_is_refused(change: Any) -> None:
    data = (EXAMPLES / "hsa_vectors" / "sample.hsa").read_bytes()
    with pytest.raises(ValueError, match=r"not a \.hsa of version 2, or a damaged one; write it with headsplat export"):
        Hsa(change(data))


def test_the_reader_is_short_and_imports_numpy_alone() -> None:
    text = (EXAMPLES / "hsa_reader.py").read_text(encoding="utf-8")
    tree, lines = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            lines |= set(range(node.lineno, (node.body[0].lineno if hasattr(node, "body") else node.end_lineno + 1)))
    code = [line for number, line in enumerate(text.splitlines(), 1) if number in lines and line.strip()]
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert len([line for line in code if not line.strip().startswith(("#", '"""'))]) <= MAX_LINES
    assert imported == {"json", "struct", "sys", "zlib", "numpy"}
