"""The window's renderer: the offline renderer's pixels, and the effect of its view settings."""

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
from avatar.model.torso import MeasuredTorso
from avatar.rendering.animator import Animator, PosedFrame
from avatar.rendering.backends import GsplatBackend, RasterOutput, backend_of
from avatar.rendering.cameras import front_camera, subject_of
from avatar.rendering.settings import Background, RenderSettings
from avatar.types import Camera, Gaussians, HeadParams
from avatar.video import Pass
from avatar.video.offline_render import RenderColumn, render_frames
from viewer.render.inspection import importance_rank, part_colors
from viewer.render.renderer import Renderer
from viewer.render.view_settings import ViewKind, ViewSettings

Color = tuple[float, float, float]
SIZE = 64
GREEN = (0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def params(tiny: Capture) -> HeadParams:
    return tiny.params(range(12))


@pytest.fixture(scope="module")
def renderer(tiny_avatar: Avatar) -> Renderer:
    return Renderer(tiny_avatar)


@pytest.fixture(scope="module")
def camera(renderer: Renderer) -> Camera:
    return renderer.front(SIZE, SIZE)


def offline(
    avatar: Avatar, params: HeadParams, camera: Camera, name: Pass, background: Color = (1.0, 1.0, 1.0)
) -> list[np.ndarray]:
    settings = RenderSettings(camera.width, camera.height, background=Background(background), passes=(name,))
    return [images[name] for images in render_frames([RenderColumn(avatar, params, camera)], settings)]


def rendered(renderer: Renderer, view: ViewSettings, params: HeadParams, camera: Camera, frame: int = 5) -> np.ndarray:
    return renderer.render(params[frame], camera, view).copy()


def test_a_measured_torso_moves_the_torso_and_not_the_face(
    renderer: Renderer, params: HeadParams, tiny_avatar: Avatar
) -> None:
    torso = MeasuredTorso(torch.tensor([[0.03, 0.0, 0.0]]), 1.0)
    before, after = (renderer._posed_frame(params[5], ViewSettings(), each).gaussians for each in (None, torso))
    moved = (after.means - before.means)[0]
    skin = tiny_avatar.rig.skin
    assert moved[skin == 0].abs().max() == 0
    assert moved[skin == 1][:, 0].min() > 0.01


@pytest.mark.parametrize("kind", ["rgb", "mesh"])
def test_frames_equal_the_offline_renderers_at_alternating_sizes(
    tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, kind: ViewKind
) -> None:
    background = (0.2, 0.5, 0.9)
    sizes = [renderer.front(width, height) for width, height in ((64, 64), (33, 47), (64, 64), (128, 96))]
    expected = [offline(tiny_avatar, params, camera, kind, background) for camera in sizes]
    for frame in range(len(params)):
        for camera, images in zip(sizes, expected, strict=True):
            found = renderer.render(params[frame], camera, ViewSettings(kind, background=background))
            assert np.array_equal(found, images[frame]), (frame, camera.width)


def test_images_after_other_view_settings_equal_the_offline_renderers(
    tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, camera: Camera
) -> None:
    for view in (
        ViewSettings("depth"),
        ViewSettings("binding", 0.5),
        ViewSettings(count=9, splat_scale=2.0),
        ViewSettings(background=GREEN),
    ):
        rendered(renderer, view, params, camera)
    assert np.array_equal(
        rendered(renderer, ViewSettings(), params, camera), offline(tiny_avatar, params, camera, "rgb")[5]
    )


def test_each_size_is_allocated_once(tiny_avatar: Avatar, params: HeadParams, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, made, sized = Renderer(tiny_avatar), [], Animator.resized
    monkeypatch.setattr(Animator, "__init__", lambda *_, **__: pytest.fail("created again for the avatar"))
    monkeypatch.setattr(
        Animator, "resized", lambda self, *size, **more: made.append(size) or sized(self, *size, **more)
    )
    for _ in range(3):
        for side in (64, 48, 32):
            renderer.render(params[0], renderer.front(side, side), ViewSettings())
    assert made == [(64, 64), (48, 48), (32, 32)]


def test_an_image_reuses_the_memory_of_the_one_before(renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    first, second = (renderer.render(params[frame], camera, ViewSettings()) for frame in (0, 8))
    assert first.ctypes.data == second.ctypes.data


@pytest.mark.parametrize("kind", ["rgb", "alpha", "depth", "mesh", "binding"])
def test_every_kind_is_an_rgb_image(renderer: Renderer, params: HeadParams, camera: Camera, kind: ViewKind) -> None:
    for overlay in (0.0, 0.5):
        image = renderer.render(params[5], camera, ViewSettings(kind, overlay))
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8 and image.flags.c_contiguous


def test_alpha_is_the_offline_pass_in_gray(
    tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, camera: Camera
) -> None:
    expected = offline(tiny_avatar, params, camera, "alpha")[5]
    assert np.array_equal(
        rendered(renderer, ViewSettings("alpha"), params, camera), np.repeat(expected[..., None], 3, 2)
    )


def test_near_depth_is_brighter(tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    meters = offline(tiny_avatar, params, camera, "depth")[5]
    shown = rendered(renderer, ViewSettings("depth", background=GREEN), params, camera)
    assert (shown[meters == 0] == (0, 255, 0)).all()
    solid = meters > 0
    brightness = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)[solid].astype(float)
    by_distance = brightness[np.argsort(meters[solid])]
    assert (np.diff(by_distance) <= 1).all()
    assert by_distance[0] - by_distance[-1] > 100


def test_the_depth_scale_is_relative_to_the_head(renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    view, K = camera.world_to_cam.clone(), camera.K.clone()
    distance = float(view[0, 2, :3] @ renderer.center + view[0, 2, 3])
    view[:, 2, 3] += distance
    K[:, [0, 1], [0, 1]] *= 2
    near, far = (
        rendered(renderer, ViewSettings("depth"), params, seen)
        for seen in (camera, replace(camera, K=K, world_to_cam=view))
    )
    assert np.median(np.abs(near.astype(int) - far)) <= 4


def test_binding_has_a_hue_for_each_part(tiny_avatar: Avatar) -> None:
    rig, regions = tiny_avatar.rig, tiny_avatar.head.regions
    colors = part_colors(tiny_avatar)
    hues = cv2.cvtColor(colors[None].numpy(), cv2.COLOR_RGB2HSV)[0, :, 0]
    found = []
    for name in ("neck", "left_ear", "tongue"):
        part = hues[regions[name][rig.triangles].all(1).numpy()]
        assert len(part) and np.ptp(part) < 1, name
        found.append(part[0])
    assert np.diff(sorted(found)).min() > 20
    assert 0 <= float(colors.min()) <= float(colors.max()) <= 1


def test_binding_covers_the_same_pixels_as_the_splats(renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    alpha = rendered(renderer, ViewSettings("alpha"), params, camera)[..., 0]
    white, black = (
        rendered(renderer, ViewSettings("binding", background=(c, c, c)), params, camera).astype(int)
        for c in (1.0, 0.0)
    )
    assert np.abs(white - black - (255 - alpha.astype(int))[..., None]).max() <= 2


def test_an_opaque_mesh_overlay_is_the_mesh_on_its_pixels_and_the_image_elsewhere(
    renderer: Renderer, params: HeadParams, camera: Camera
) -> None:
    plain, overlaid = (rendered(renderer, ViewSettings(mesh_overlay=opacity), params, camera) for opacity in (0.0, 1.0))
    first, second = (
        rendered(renderer, ViewSettings("mesh", background=c), params, camera) for c in (GREEN, (1.0, 0.0, 1.0))
    )
    # The background shows through 1 - coverage: a little of it, at the outline, is lost in rounding.
    is_mesh = (np.abs(first.astype(int) - second) <= 2).all(-1)
    assert 0.1 < is_mesh.mean() < 0.9
    assert np.abs(overlaid[is_mesh].astype(int) - first[is_mesh]).max() <= 1
    assert np.array_equal(overlaid[~is_mesh], plain[~is_mesh])


def test_a_half_transparent_overlay_is_the_mean_of_both(renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    none, half, all_ = (
        rendered(renderer, ViewSettings("binding", opacity), params, camera).astype(int) for opacity in (0.0, 0.5, 1.0)
    )
    assert np.abs(half - (none + all_) / 2).max() <= 1.5


def test_smaller_splats_show_more_background(renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    covered = [
        rendered(renderer, ViewSettings("alpha", splat_scale=scale), params, camera).mean()
        for scale in (0.1, 0.5, 1.0, 2.0)
    ]
    assert covered == sorted(covered) and covered[0] < 0.8 * covered[2]


def test_a_background_may_have_numpy_scalars(renderer: Renderer, params: HeadParams, camera: Camera) -> None:
    red, green, blue = np.array([0.25, 0.5, 0.75])
    found = rendered(renderer, ViewSettings(background=(red, green, blue)), params, camera)
    assert np.array_equal(found, rendered(renderer, ViewSettings(background=(0.25, 0.5, 0.75)), params, camera))


def test_a_count_of_all_gaussians_changes_nothing(
    tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, camera: Camera
) -> None:
    plain = rendered(renderer, ViewSettings(), params, camera)
    for count in (len(tiny_avatar), 10 * len(tiny_avatar)):
        assert np.array_equal(rendered(renderer, ViewSettings(count=count), params, camera), plain)


def test_with_a_count_the_gaussians_that_cover_most_are_rendered(
    tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, camera: Camera
) -> None:
    ranks = importance_rank(tiny_avatar)
    assert torch.equal(ranks.sort().values, torch.arange(len(tiny_avatar)))
    plain = rendered(renderer, ViewSettings(), params, camera).astype(float)
    errors = [
        np.square(rendered(renderer, ViewSettings(count=count), params, camera) - plain).mean()
        for count in (1, len(ranks) // 4, len(ranks) // 2, len(ranks) - 1)
    ]
    assert errors == sorted(errors, reverse=True) and errors[2] < errors[0] / 10


def test_sh_degree_limits_the_coefficients(
    renderer: Renderer, params: HeadParams, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, frame = rendered(renderer, ViewSettings(), params, camera), Animator.frame

    def with_view_dependence(self: Animator, *given: object) -> PosedFrame:
        found = frame(self, *given)  # type: ignore[arg-type]
        sh = torch.nn.functional.pad(found.gaussians.sh, (0, 0, 0, 3), value=0.3)
        return replace(found, gaussians=replace(found.gaussians, sh=sh))

    monkeypatch.setattr(Animator, "frame", with_view_dependence)
    every = rendered(renderer, ViewSettings(), params, camera)
    assert not np.array_equal(every, plain)
    assert np.array_equal(rendered(renderer, ViewSettings(sh_degree=0), params, camera), plain)
    assert np.array_equal(rendered(renderer, ViewSettings(sh_degree=3), params, camera), every)


def test_the_front_camera_is_the_offline_one_at_the_avatars_rest(tiny_avatar: Avatar, renderer: Renderer) -> None:
    front = renderer.front(90, 120)
    expected = front_camera(subject_of(tiny_avatar, posed(tiny_avatar)), 90, 120)
    assert torch.equal(front.K, expected.K) and torch.equal(front.world_to_cam, expected.world_to_cam)
    seen = front.K[0] @ (front.world_to_cam[0, :3, :3] @ renderer.center + front.world_to_cam[0, :3, 3])
    assert 30 < seen[0] / seen[2] < 60 and 30 < seen[1] / seen[2] < 90


def test_gsplat_is_used_where_it_is_requested(
    tiny_avatar: Avatar, renderer: Renderer, params: HeadParams, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def native(_: GsplatBackend, gaussians: Gaussians, camera: Camera, *, with_depth: bool) -> RasterOutput:
        return backend_of("native").rasterize(gaussians, camera, with_depth=with_depth)

    monkeypatch.setattr(GsplatBackend, "rasterize", native)
    monkeypatch.setattr(GsplatBackend, "check", lambda _: None)
    gsplat = Renderer(tiny_avatar, "gsplat")
    for view in (ViewSettings(), ViewSettings("depth"), ViewSettings("binding", 0.3)):
        assert np.array_equal(rendered(gsplat, view, params, camera), rendered(renderer, view, params, camera))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_gsplat_without_a_device_is_a_one_line_error(tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match="gsplat needs a CUDA device"):
        Renderer(tiny_avatar, "gsplat")


def test_images_are_the_same_while_another_thread_computes(
    renderer: Renderer, params: HeadParams, camera: Camera
) -> None:
    alone = [rendered(renderer, ViewSettings(), params, camera, frame) for frame in range(4)]
    concurrent: list[np.ndarray] = []
    thread = threading.Thread(
        target=lambda: concurrent.extend(
            rendered(renderer, ViewSettings(), params, camera, frame) for frame in range(4)
        )
    )
    thread.start()
    while thread.is_alive():
        torch.rand(128, 128) @ torch.rand(128, 128)
    thread.join()
    assert len(concurrent) == 4 and all(np.array_equal(*pair) for pair in zip(alone, concurrent, strict=True))
