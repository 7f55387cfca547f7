"""The viewer's render function: the offline renderer's pixels, and what its controls do to them."""

from __future__ import annotations

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.export.posed import posed
from avatar.model.avatar import Avatar
from avatar.rendering.animator import Animator
from avatar.rendering.backends import GsplatBackend, RasterOutput, backend_of
from avatar.rendering.cameras import front_camera, subject_of
from avatar.rendering.settings import Background, RenderSettings
from avatar.types import Camera, Gaussians, HeadParams
from avatar.video import Pass
from avatar.video.offline_render import RenderColumn, render_frames
from viewer.render.inspection import drawing_order, part_colors
from viewer.render.renderer import Engine
from viewer.render.view_settings import Kind, Look

Color = tuple[float, float, float]
SIZE = 64
GREEN = (0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def take(tiny: Capture) -> HeadParams:
    return tiny.params(range(12))


@pytest.fixture(scope="module")
def engine(tiny_avatar: Avatar) -> Engine:
    return Engine(tiny_avatar)


@pytest.fixture(scope="module")
def camera(engine: Engine) -> Camera:
    return engine.front(SIZE, SIZE)


def offline(
    avatar: Avatar, take: HeadParams, camera: Camera, name: Pass, background: Color = (1.0, 1.0, 1.0)
) -> list[np.ndarray]:
    settings = RenderSettings(camera.width, camera.height, background=Background(background), passes=(name,))
    return [pictures[name] for pictures in render_frames([RenderColumn(avatar, take, camera)], settings)]


def drawn(engine: Engine, look: Look, take: HeadParams, camera: Camera, frame: int = 5) -> np.ndarray:
    return engine.render(take[frame], camera, look).copy()


@pytest.mark.parametrize("kind", ["rgb", "mesh"])
def test_a_take_has_the_bytes_of_the_offline_renderer_at_every_size_in_turn(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, kind: Kind
) -> None:
    background = (0.2, 0.5, 0.9)
    sizes = [engine.front(width, height) for width, height in ((64, 64), (33, 47), (64, 64), (128, 96))]
    expected = [offline(tiny_avatar, take, camera, kind, background) for camera in sizes]
    for frame in range(len(take)):
        for camera, pictures in zip(sizes, expected, strict=True):
            found = engine.render(take[frame], camera, Look(kind, background=background))
            assert np.array_equal(found, pictures[frame]), (frame, camera.width)


def test_pictures_after_other_looks_are_still_the_offline_renderers(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, camera: Camera
) -> None:
    for look in (Look("depth"), Look("binding", 0.5), Look(count=9, splat_scale=2.0), Look(background=GREEN)):
        drawn(engine, look, take, camera)
    assert np.array_equal(drawn(engine, Look(), take, camera), offline(tiny_avatar, take, camera, "rgb")[5])


def test_sizes_that_come_again_are_made_once(
    tiny_avatar: Avatar, take: HeadParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, made, sized = Engine(tiny_avatar), [], Animator.resized
    monkeypatch.setattr(Animator, "__init__", lambda *_, **__: pytest.fail("made again of the whole avatar"))
    monkeypatch.setattr(
        Animator, "resized", lambda self, *size, **more: made.append(size) or sized(self, *size, **more)
    )
    for _ in range(3):
        for side in (64, 48, 32):
            engine.render(take[0], engine.front(side, side), Look())
    assert made == [(64, 64), (48, 48), (32, 32)]


def test_a_picture_is_in_the_memory_of_the_one_before(engine: Engine, take: HeadParams, camera: Camera) -> None:
    first, second = (engine.render(take[frame], camera, Look()) for frame in (0, 8))
    assert first.ctypes.data == second.ctypes.data


@pytest.mark.parametrize("kind", ["rgb", "alpha", "depth", "mesh", "binding"])
def test_every_kind_is_a_picture_in_color(engine: Engine, take: HeadParams, camera: Camera, kind: Kind) -> None:
    for overlay in (0.0, 0.5):
        picture = engine.render(take[5], camera, Look(kind, overlay))
        assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8 and picture.flags.c_contiguous


def test_alpha_is_the_offline_pass_in_gray(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, camera: Camera
) -> None:
    expected = offline(tiny_avatar, take, camera, "alpha")[5]
    assert np.array_equal(drawn(engine, Look("alpha"), take, camera), np.repeat(expected[..., None], 3, 2))


def test_depth_is_brighter_where_it_is_nearer(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, camera: Camera
) -> None:
    meters = offline(tiny_avatar, take, camera, "depth")[5]
    shown = drawn(engine, Look("depth", background=GREEN), take, camera)
    assert (shown[meters == 0] == (0, 255, 0)).all()
    solid = meters > 0
    brightness = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)[solid].astype(float)
    by_distance = brightness[np.argsort(meters[solid])]
    assert (np.diff(by_distance) <= 1).all()
    assert by_distance[0] - by_distance[-1] > 100


def test_the_scale_of_depth_goes_with_the_camera(engine: Engine, take: HeadParams, camera: Camera) -> None:
    view, K = camera.world_to_cam.clone(), camera.K.clone()
    away = float(view[0, 2, :3] @ engine.center + view[0, 2, 3])
    view[:, 2, 3] += away
    K[:, [0, 1], [0, 1]] *= 2
    near, far = (drawn(engine, Look("depth"), take, seen) for seen in (camera, replace(camera, K=K, world_to_cam=view)))
    assert np.median(np.abs(near.astype(int) - far)) <= 4


def test_binding_has_a_hue_for_each_part(tiny_avatar: Avatar) -> None:
    rig, regions = tiny_avatar.rig, tiny_avatar.head.regions
    colors = part_colors(tiny_avatar)
    hues = cv2.cvtColor(colors[None].numpy(), cv2.COLOR_RGB2HSV)[0, :, 0]
    found = []
    for name in ("neck", "left_ear", "tongue"):
        own = hues[regions[name][rig.triangles].all(1).numpy()]
        assert len(own) and np.ptp(own) < 1, name
        found.append(own[0])
    assert np.diff(sorted(found)).min() > 20
    assert 0 <= float(colors.min()) <= float(colors.max()) <= 1


def test_binding_covers_what_the_splats_cover(engine: Engine, take: HeadParams, camera: Camera) -> None:
    alpha = drawn(engine, Look("alpha"), take, camera)[..., 0]
    white, black = (drawn(engine, Look("binding", background=(c, c, c)), take, camera).astype(int) for c in (1.0, 0.0))
    assert np.abs(white - black - (255 - alpha.astype(int))[..., None]).max() <= 2


def test_a_mesh_laid_over_all_is_the_mesh_where_it_is_and_the_picture_elsewhere(
    engine: Engine, take: HeadParams, camera: Camera
) -> None:
    plain, laid = (drawn(engine, Look(mesh_overlay=share), take, camera) for share in (0.0, 1.0))
    first, second = (drawn(engine, Look("mesh", background=c), take, camera) for c in (GREEN, (1.0, 0.0, 1.0)))
    is_mesh = (first == second).all(-1)
    assert 0.1 < is_mesh.mean() < 0.9
    assert np.abs(laid[is_mesh].astype(int) - first[is_mesh]).max() <= 1
    assert np.array_equal(laid[~is_mesh], plain[~is_mesh])


def test_half_a_mesh_is_the_mean_of_both(engine: Engine, take: HeadParams, camera: Camera) -> None:
    none, half, all_ = (drawn(engine, Look("binding", share), take, camera).astype(int) for share in (0.0, 0.5, 1.0))
    assert np.abs(half - (none + all_) / 2).max() <= 1.5


def test_smaller_splats_let_more_of_the_background_through(engine: Engine, take: HeadParams, camera: Camera) -> None:
    covered = [drawn(engine, Look("alpha", splat_scale=scale), take, camera).mean() for scale in (0.1, 0.5, 1.0, 2.0)]
    assert covered == sorted(covered) and covered[0] < 0.8 * covered[2]


def test_a_background_of_numpys_numbers_is_one_of_pythons(engine: Engine, take: HeadParams, camera: Camera) -> None:
    red, green, blue = np.array([0.25, 0.5, 0.75])
    found = drawn(engine, Look(background=(red, green, blue)), take, camera)
    assert np.array_equal(found, drawn(engine, Look(background=(0.25, 0.5, 0.75)), take, camera))


def test_all_gaussians_are_the_picture_without_a_count(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, camera: Camera
) -> None:
    plain = drawn(engine, Look(), take, camera)
    for count in (len(tiny_avatar), 10 * len(tiny_avatar)):
        assert np.array_equal(drawn(engine, Look(count=count), take, camera), plain)


def test_fewer_gaussians_are_those_that_fill_most(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, camera: Camera
) -> None:
    order = drawing_order(tiny_avatar)
    assert torch.equal(order.sort().values, torch.arange(len(tiny_avatar)))
    plain = drawn(engine, Look(), take, camera).astype(float)
    errors = [
        np.square(drawn(engine, Look(count=share), take, camera) - plain).mean()
        for share in (1, len(order) // 4, len(order) // 2, len(order) - 1)
    ]
    assert errors == sorted(errors, reverse=True) and errors[2] < errors[0] / 10


def test_sh_degrees_are_cut_off(
    engine: Engine, take: HeadParams, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, gaussians = drawn(engine, Look(), take, camera), Animator.gaussians

    def shiny(self: Animator, *given: object) -> Gaussians:
        found = gaussians(self, *given)  # type: ignore[arg-type]
        return replace(found, sh=torch.nn.functional.pad(found.sh, (0, 0, 0, 3), value=0.3))

    monkeypatch.setattr(Animator, "gaussians", shiny)
    every = drawn(engine, Look(), take, camera)
    assert not np.array_equal(every, plain)
    assert np.array_equal(drawn(engine, Look(sh_degree=0), take, camera), plain)
    assert np.array_equal(drawn(engine, Look(sh_degree=3), take, camera), every)


def test_the_front_camera_is_the_offline_one_at_the_avatars_rest(tiny_avatar: Avatar, engine: Engine) -> None:
    front = engine.front(90, 120)
    expected = front_camera(subject_of(tiny_avatar, posed(tiny_avatar)), 90, 120)
    assert torch.equal(front.K, expected.K) and torch.equal(front.world_to_cam, expected.world_to_cam)
    seen = front.K[0] @ (front.world_to_cam[0, :3, :3] @ engine.center + front.world_to_cam[0, :3, 3])
    assert 30 < seen[0] / seen[2] < 60 and 30 < seen[1] / seen[2] < 90


def test_gsplat_draws_where_it_is_asked_for(
    tiny_avatar: Avatar, engine: Engine, take: HeadParams, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_ours(_: GsplatBackend, gaussians: Gaussians, camera: Camera, *, with_depth: bool) -> RasterOutput:
        return backend_of("native").rasterize(gaussians, camera, with_depth=with_depth)

    monkeypatch.setattr(GsplatBackend, "rasterize", as_ours)
    monkeypatch.setattr(GsplatBackend, "check", lambda _: None)
    theirs = Engine(tiny_avatar, "gsplat")
    for look in (Look(), Look("depth"), Look("binding", 0.3)):
        assert np.array_equal(drawn(theirs, look, take, camera), drawn(engine, look, take, camera))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_gsplat_without_a_device_is_refused_in_a_sentence(tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match="gsplat needs a CUDA device"):
        Engine(tiny_avatar, "gsplat")


def test_pictures_are_the_same_beside_a_thread_that_computes(engine: Engine, take: HeadParams, camera: Camera) -> None:
    alone = [drawn(engine, Look(), take, camera, frame) for frame in range(4)]
    beside: list[np.ndarray] = []
    drawing = threading.Thread(
        target=lambda: beside.extend(drawn(engine, Look(), take, camera, frame) for frame in range(4))
    )
    drawing.start()
    while drawing.is_alive():
        torch.rand(128, 128) @ torch.rand(128, 128)
    drawing.join()
    assert len(beside) == 4 and all(np.array_equal(*pair) for pair in zip(alone, beside, strict=True))
