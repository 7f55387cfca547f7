"""The Blender add-on: shape keys and Gaussians are the engine's; motions and VMC drive them; it leaves nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from avatar import drive, read_motion, save_avatar
from avatar.driving.driver import DriveOptions
from avatar.driving.trained_range import TrainedRange
from avatar.export.posed import posed
from avatar.export.web import WebMotion, web_container
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.types import HeadParams
from examples.hsa_light import layer_light
from examples.hsa_reader import Hsa, matrices, quaternions
from tests.system.web.test_driving import take

ROOT = Path(__file__).parents[2]
#: A Python that has bpy: Blender's wheel is for one version of Python only.
BLENDER = "HEADSPLAT_BLENDER_PYTHON"
AXES = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
FRAMES = (1, 10, 25)  # of tests/support/blender_scenes.py
POSES = ("rest", "slider", "live", *(f"frame {frame}" for frame in FRAMES))


class Found(NamedTuple):
    """What Blender has."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]


def python_with_blender() -> str:
    """A Python that has bpy; skips where there is none."""
    if importlib.util.find_spec("bpy") is not None:
        return sys.executable
    if BLENDER not in os.environ:
        pytest.skip(f"needs Blender's wheel bpy, or a Python that has it in {BLENDER}")
    return os.environ[BLENDER]


@pytest.fixture(scope="module")
def layered(tiny_avatar: Avatar) -> Avatar:
    avatar = deepcopy(tiny_avatar).requires_grad_(False)
    avatar.add_part(MeshLayer(avatar.head).requires_grad_(False))
    avatar.blendshapes.basis += 0.01 * torch.randn(
        avatar.blendshapes.basis.shape, generator=torch.Generator().manual_seed(0)
    )
    return avatar


def moving(avatar: Avatar) -> HeadParams:
    """Poses [60] of the avatar: a head that turns and travels, an opening mouth, eyes and jaw that joints rotate."""
    params = posed(avatar, {"jawOpen": 0.6}, (20, 10, 5))
    steps = torch.linspace(0, 1, 60)[:, None]
    rest = posed(avatar)
    joint_rot = torch.lerp(rest.joint_rot, params.joint_rot, steps[..., None])
    joint_rot[:, 2:] += 0.05 * steps[..., None]
    translation = params.translation + 0.02 * steps
    return HeadParams(params.identity, torch.lerp(rest.expression, params.expression, steps), joint_rot, translation)


@pytest.fixture(scope="module")
def found(layered: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What tests/support/blender_scenes.py finds with the packed add-on."""
    python, folder = python_with_blender(), tmp_path_factory.mktemp("blender")
    pack = [sys.executable, ROOT / "examples" / "blender" / "build.py", folder / "addon.zip"]
    subprocess.run(pack, check=True)
    with zipfile.ZipFile(folder / "addon.zip") as archive:
        archive.extractall(folder / "headsplat_blender")
    (folder / "other").mkdir()
    save_avatar(folder / "other" / "me.avatar", layered)
    (folder / "me.hsa").write_bytes(web_container(layered, {}, "me"))
    (folder / "take.csv").write_text(take(60), encoding="utf-8")
    motion = WebMotion("take", np.arange(60) / 30, moving(layered))
    (folder / "moving.hsa").write_bytes(web_container(layered, {}, "me", motion))
    script = [python, ROOT / "tests" / "support" / "blender_scenes.py", folder]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(script, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "found.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return Found(json.loads((folder / "found.json").read_text(encoding="utf-8")), arrays)


def test_shape_keys_have_the_names_of_the_expressions(found: Found, layered: Avatar) -> None:
    assert found.facts["keys"] == ["Basis", *layered.head.expression_names]


@pytest.mark.parametrize("name", ["Basis", "jawOpen", "eyeBlinkLeft", "mouthSmileRight"])
def test_a_shape_key_is_the_mesh_of_the_engine(found: Found, layered: Avatar, name: str) -> None:
    params = layered.head.neutral_params(1)
    if name != "Basis":
        params.expression[0, layered.head.expression_index(name)] = 1
    expected = layered.head.skull_vertices(params)[0].numpy() @ AXES.T
    np.testing.assert_allclose(found.arrays[f"key.{name}"], expected, atol=1e-6)
    np.testing.assert_array_equal(found.arrays["faces"], layered.head.faces)


@pytest.mark.parametrize("pose", POSES)
def test_the_points_are_the_gaussians_of_the_reader(found: Found, layered: Avatar, pose: str) -> None:
    hsa = Hsa(web_container(layered, {}, "me"))
    hsa.light = layer_light
    params = [found.arrays[f"{pose}.{name}"] for name in ("expression", "joint_rot", "translation")]
    means, rotations, scales, opacities, colors = hsa.gaussians(*params)
    upright = AXES @ hsa.mean_rotation.T
    linear = found.arrays[f"{pose}.color"][:, :3]
    display = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(1e-9) ** (1 / 2.4) - 0.055)
    placed = (means - hsa.mean_translation) @ upright.T
    np.testing.assert_allclose(found.arrays[f"{pose}.position"], placed, atol=1e-6)
    np.testing.assert_allclose(matrices(found.arrays[f"{pose}.rotation"]), upright @ rotations, atol=1e-5)
    np.testing.assert_allclose(found.arrays[f"{pose}.scale"], scales, rtol=1e-5)
    np.testing.assert_allclose(found.arrays[f"{pose}.opacity"][:, 0], opacities, atol=1e-6)
    np.testing.assert_allclose(display, colors.clip(0), atol=1e-4)


def test_the_head_and_its_gaussians_turn_together(found: Found, layered: Avatar) -> None:
    rest, slider = (found.arrays[f"{pose}.joint_rot"][0] for pose in ("rest", "slider"))
    hsa = Hsa(web_container(layered, {}, "me"))
    turn = matrices(np.array([0.966, 0.05, 0.1, 0.23]))
    expected = quaternions(hsa.mean_rotation @ AXES.T @ turn @ AXES)
    angles = np.linalg.norm(slider), np.linalg.norm(rest)
    np.testing.assert_allclose(np.cos(angles[0] / 2), expected[0], atol=1e-5)
    assert angles[0] > angles[1] + 0.2


def test_weights_are_limited_as_by_the_engine(found: Found, layered: Avatar) -> None:
    params = layered.head.neutral_params(len(found.arrays["weights"]))
    params.expression[:] = torch.from_numpy(found.arrays["weights"])
    expected = TrainedRange.of(layered)(params).expression
    np.testing.assert_allclose(found.arrays["limited"], expected, atol=2e-5)


def test_a_motion_is_retargeted_as_by_the_engine(found: Found, layered: Avatar, tmp_path: Path) -> None:
    (tmp_path / "take.csv").write_text(take(60), encoding="utf-8")
    expected = drive(layered, read_motion(tmp_path / "take.csv"), DriveOptions(travel=0)).params.expression
    np.testing.assert_allclose(found.arrays["driven"], expected, atol=1e-4)


def test_a_motion_moves_keys_and_head(found: Found) -> None:
    first, *others = (found.arrays[f"frame {frame}.expression"] for frame in FRAMES)
    turns = [found.arrays[f"frame {frame}.turn"] for frame in FRAMES]
    assert all(np.abs(other - first).max() > 0.1 for other in others)
    assert all(np.abs(turn - turns[0]).max() > 0.02 for turn in turns[1:])
    assert found.facts["end"] >= 48  # 60 frames of 30 fps in a scene of 24
    assert "the .hsa has no motion; export it with --motion FILE" in found.facts["no motion"]


def test_a_file_that_is_no_motion_is_refused_with_a_sentence(found: Found) -> None:
    odd, other = found.facts["odd files"]
    assert "odd.csv: the motion has a value that is not a number; repair it" in odd
    assert "not a CSV of Live Link Face; convert it with headsplat motion convert" in other


def test_the_stored_motion_poses_the_avatar_as_its_parameters_do(found: Found, layered: Avatar) -> None:
    params, hsa = moving(layered)[30], Hsa(web_container(layered, {}, "me"))  # a second of 30 frames
    values = [getattr(params, name)[0].double().numpy() for name in ("expression", "joint_rot", "translation")]
    means = (hsa.gaussians(*values)[0] - hsa.mean_translation) @ (AXES @ hsa.mean_rotation.T).T
    assert found.facts["stored"] == ["FINISHED"]
    np.testing.assert_allclose(found.arrays["stored.position"], means, atol=1e-4)  # the motion has 16 bits


def test_what_blender_renders_is_at_the_points(found: Found) -> None:
    np.testing.assert_allclose(found.arrays["stored.instances"], found.arrays["stored.position"], atol=1e-6)


def test_a_vmc_packet_moves_a_shape_key_and_the_head(found: Found) -> None:
    assert found.facts["address"] == "127.0.0.1"
    assert found.facts["silence"] is found.facts["damaged"] is False and found.facts["heard"] is True
    assert found.facts["live jawOpen"] == pytest.approx(0.6, abs=0.05)
    # Unity's y is ours, Blender's z; left-handed, so that the angle changes its sign
    np.testing.assert_allclose(
        np.abs(found.arrays["live.turn"]), [np.cos(np.radians(10)), 0, 0, np.sin(np.radians(10))], atol=0.02
    )
    assert found.arrays["live.turn"][3] * found.arrays["live.turn"][0] < 0


def test_an_avatar_is_converted_by_the_command_or_refused_with_a_sentence(found: Found) -> None:
    sentence = "headsplat is not in PATH; run headsplat export me.avatar -o me.hsa and import that"
    assert sentence in found.facts["without command"]
    assert found.facts["by command"] == ["FINISHED"] and found.facts["written"]


def test_unregistering_leaves_nothing(found: Found) -> None:
    assert len(found.facts["registered"]["classes"]) == 5 and len(found.facts["registered"]["handlers"]) == 3
    assert found.facts["unregistered"] == {"classes": [], "handlers": [], "port": False}
    assert found.facts["live after"] is False
