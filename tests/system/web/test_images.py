"""The page shows what `headsplat render` shows."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.export.posed import posed
from avatar.export.web import web_container
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.rendering.animator import Animator
from avatar.rendering.cameras import DISTANCE, front_camera, look_at, subject_of
from avatar.types import Camera, HeadParams
from tests.support.browser import Page
from tests.system.web.conftest import HEADER
from tests.system.web.test_damage import rewritten
from viewer.web.page import build_page

SIZE = 512
POSES: tuple[tuple[dict[str, float], tuple[float, float, float]], ...] = (
    ({}, (0, 0, 0)),
    ({"jawOpen": 0.8}, (0, 0, 0)),
    ({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.2}, (20, 0, 0)),
    ({"eyeBlinkLeft": 1, "browInnerUp": 1}, (0, -10, 5)),
    ({"mouthPucker": 0.8, "eyeLookOutLeft": 0.8, "eyeLookInRight": 0.8}, (-20, 10, 0)),
)
#: Degrees to the side, and distance relative to the front camera.
VIEWS = ((0, 1.0), (25, 1.0), (-15, 0.5))
#: Bases are rounded to 127 steps; what a graphics card sums has 11 bits.
MIN_PSNR = 40


def camera_of(avatar: Avatar, degrees: float, distance: float, size: tuple[int, int] = (SIZE, SIZE)) -> Camera:
    subject = subject_of(avatar, posed(avatar))
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float32)
    eye = subject.center + distance * DISTANCE * (turn @ subject.forward)
    return replace(front_camera(subject, *size), world_to_cam=look_at(eye[None], subject.center))


def page_params(params: HeadParams) -> dict[str, Any]:
    return {
        "expression": params.expression[0].tolist(),
        "jointRot": params.joint_rot[0].flatten().tolist(),
        "translation": params.translation[0].tolist(),
    }


def page_camera(camera: Camera) -> dict[str, Any]:
    K, view = camera.K[0], camera.world_to_cam[0]
    numbers = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    return {
        **{name: float(value) for name, value in numbers.items()},
        "rotation": view[:3, :3].flatten().tolist(),
        "translation": view[:3, 3].tolist(),
        "width": camera.width,
        "height": camera.height,
    }


def page_image(page: Page, params: HeadParams, camera: Camera) -> np.ndarray:
    shot = f"app.player.show({json.dumps(page_params(params))}, {json.dumps(page_camera(camera))})"
    return page.image(f"{shot}.then(() => {{ app.player.redraw(); return app.player.canvas.toDataURL(); }})")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.fixture(scope="module")
def white(shown: Page) -> Page:
    shown.run("app.player.setBackground([1, 1, 1])")
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("pose", POSES)
def test_the_page_equals_the_renderer(
    white: Page, layered: Avatar, pose: tuple[dict[str, float], tuple[float, float, float]], view: tuple[float, float]
) -> None:
    params, camera = posed(layered, *pose), camera_of(layered, *view)
    expected = Animator(layered, SIZE, SIZE).render(params, camera).numpy()
    assert psnr(page_image(white, params, camera), expected) > MIN_PSNR


def test_the_page_equals_the_renderer_at_the_size_of_a_phone(white: Page, layered: Avatar) -> None:
    params, camera = posed(layered, {"jawOpen": 0.6}), camera_of(layered, 10, 1, (390, 844))
    expected = Animator(layered, 390, 844).render(params, camera).numpy()
    assert psnr(page_image(white, params, camera), expected) > MIN_PSNR


def test_an_avatar_that_ignores_the_expression_would_be_noticed(white: Page, layered: Avatar) -> None:
    camera = camera_of(layered, 0, 0.5)
    expected = Animator(layered, SIZE, SIZE).render(posed(layered, {"jawOpen": 0.8}), camera).numpy()
    assert psnr(page_image(white, posed(layered), camera), expected) < MIN_PSNR


def test_an_avatar_that_ignores_the_pose_of_the_head_would_be_noticed(white: Page, layered: Avatar) -> None:
    params, camera = posed(layered, {}, (20, 0, 0)), camera_of(layered, 0, 1)
    avatar = deepcopy(layered)
    avatar.remove_part(PoseBlendshapes)
    bare = Animator(avatar, SIZE, SIZE).render(params, camera).numpy()
    assert psnr(page_image(white, params, camera), bare) < MIN_PSNR


def test_a_head_that_turns_by_little_at_a_time_looks_as_one_that_turns_at_once(white: Page, layered: Avatar) -> None:
    camera, turned = camera_of(layered, 0, 1, (128, 128)), posed(layered, {}, (1, 0, 0))
    page_image(white, posed(layered), camera)
    at_once = page_image(white, turned, camera)
    for degrees in np.linspace(0, 1, 100):
        slowly = page_image(white, posed(layered, {}, (float(degrees), 0, 0)), camera)
    assert np.abs(at_once.astype(int) - slowly).mean() < 0.05


def test_the_camera_of_the_page_is_the_front_camera(white: Page, layered: Avatar) -> None:
    found = white.run("(() => { app.orbit.reset(); return app.orbit.camera(640, 480); })()")
    expected = page_camera(front_camera(subject_of(layered, posed(layered)), 640, 480))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("drawn_on", ["card", "processor"])
@pytest.mark.parametrize("kind", ["skin in the layer", "no layer", "offsets by expression", "none by pose"])
def test_every_kind_of_avatar_equals_the_renderer(
    page: Page, layered: Avatar, tmp_path: Path, kind: str, drawn_on: str
) -> None:
    avatar = deepcopy(layered)
    if kind == "skin in the layer":
        avatar.add_part(MeshLayer(avatar.head, skin=True).requires_grad_(False))
    elif kind == "no layer":
        avatar.remove_part(MeshLayer)
        avatar.rig.stretch = None
    elif kind == "none by pose":
        avatar.remove_part(PoseBlendshapes)
    else:
        features = torch.rand(9, len(avatar.blendshapes.mean), generator=torch.Generator().manual_seed(0))
        avatar.blendshapes = Blendshapes("expression", features, 0, 300).requires_grad_(False)
        avatar.blendshapes.basis.normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "me.html"
    path.write_text(build_page(web_container(avatar, HEADER, "me"), "me"), encoding="utf-8")
    page.open(path, f"#{drawn_on}")
    assert page.run("app.player.renderer.onProcessor") == (drawn_on == "processor")
    page.run("app.player.setBackground([1, 1, 1])")
    params, camera = posed(avatar, {"jawOpen": 0.5, "eyeBlinkLeft": 0.6}, (15, -5, 0)), camera_of(avatar, 10, 0.8)
    expected = Animator(avatar, SIZE, SIZE).render(params, camera).numpy()
    assert psnr(page_image(page, params, camera), expected) > MIN_PSNR


def test_a_container_from_before_the_pose_blendshapes_is_shown(page: Page, layered: Avatar, tmp_path: Path) -> None:
    avatar = deepcopy(layered)
    avatar.remove_part(PoseBlendshapes)
    before = rewritten(web_container(avatar, HEADER, "me"), lambda header: header.pop("pose_blendshapes"))
    path = tmp_path / "me.html"
    path.write_text(build_page(before, "me"), encoding="utf-8")
    page.open(path)
    page.run("app.player.setBackground([1, 1, 1])")
    params, camera = posed(avatar, {"jawOpen": 0.5}, (15, -5, 0)), camera_of(avatar, 0, 1)
    expected = Animator(avatar, SIZE, SIZE).render(params, camera).numpy()
    assert psnr(page_image(page, params, camera), expected) > MIN_PSNR
