"""Offline rendering: consistent passes, supersampling, and segments and columns equal to the full rendering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.rendering.animator import Animator
from avatar.rendering.backends import GsplatBackend, RasterOutput, backend_of
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import moving_camera, subject_of
from avatar.rendering.settings import PASSES, Background, RenderSettings
from avatar.types import Camera, Gaussians
from avatar.video import offline_render
from avatar.video.offline_render import RenderColumn, render_frames

SIZE = 56
PLAIN = RenderSettings(SIZE, SIZE)


@pytest.fixture(scope="module")
def column(tiny_avatar: Avatar, tiny: Capture) -> RenderColumn:
    params = tiny.params(range(24))
    subject = subject_of(tiny_avatar, params)
    camera = moving_camera(CameraRequest("orbit", 30, 1), subject, np.arange(24) / 30, SIZE, SIZE)
    return RenderColumn(tiny_avatar, params, camera)


def one(column: RenderColumn, settings: RenderSettings, frame: int = 5) -> dict[str, np.ndarray]:
    return next(iter(render_frames([column], settings, [frame])))


def test_rgb_is_the_image_of_an_animator(column: RenderColumn) -> None:
    animator = Animator(column.avatar, SIZE, SIZE)
    expected = animator.render(column.params[5], column.camera[5])
    assert np.array_equal(one(column, PLAIN)["rgb"], expected.numpy())


def test_a_torso_motion_belongs_to_its_frame(column: RenderColumn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_render, "_CHUNK", 4)
    torso = column.avatar.rig.torso.pose(torch.linspace(-0.3, 0.3, 144).reshape(24, 6))
    animator = Animator(column.avatar, SIZE, SIZE)
    poses = animator.poses(column.params[9:10], torso[9:10])
    animator.rasterize(animator.frame(poses, 0).gaussians, column.camera[9])
    assert np.array_equal(one(replace(column, torso=torso), PLAIN, 9)["rgb"], animator.image().numpy())
    assert not np.array_equal(one(column, PLAIN, 9)["rgb"], animator.image().numpy())


def test_gsplat_renders_if_it_is_selected(column: RenderColumn, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_ours(_: GsplatBackend, gaussians: Gaussians, camera: Camera, *, with_depth: bool) -> RasterOutput:
        return backend_of("native").rasterize(gaussians, camera, with_depth=with_depth)

    monkeypatch.setattr(GsplatBackend, "rasterize", as_ours)
    settings = replace(PLAIN, passes=("rgb", "alpha", "depth"))
    ours, theirs = one(column, settings), one(column, replace(settings, rasterizer="gsplat"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in settings.passes)


def test_rgb_is_the_same_beside_other_passes(column: RenderColumn) -> None:
    every = one(column, replace(PLAIN, passes=PASSES))
    assert tuple(every) == PASSES
    assert np.array_equal(every["rgb"], one(column, PLAIN)["rgb"])


def test_passes_have_the_shapes_and_dtypes_of_the_writers(column: RenderColumn) -> None:
    shapes = {
        name: (image.shape[2:], image.dtype.name) for name, image in one(column, replace(PLAIN, passes=PASSES)).items()
    }
    assert shapes == {
        "rgb": ((3,), "uint8"), "alpha": ((), "uint8"), "depth": ((), "float32"), "normals": ((3,), "float32"),
        "mesh": ((3,), "uint8"),
    }  # fmt: skip


def test_depth_and_normals_exist_where_alpha_is_high(column: RenderColumn) -> None:
    found = one(column, replace(PLAIN, passes=PASSES))
    solid = found["alpha"] > 0.51 * 255
    empty = found["alpha"] < 0.49 * 255
    length = np.linalg.norm(found["normals"], axis=-1)
    assert (found["depth"][solid] > 0).all() and (found["depth"][empty] == 0).all()
    assert length[solid] == pytest.approx(1, abs=1e-4) and (length[empty] == 0).all()


def test_normals_face_the_viewer_and_turn_with_the_head(column: RenderColumn) -> None:
    found = one(column, replace(PLAIN, passes=("alpha", "normals")), 0)
    solid = found["alpha"] > 250
    normals = found["normals"]
    assert (normals[solid][:, 2] > -0.35).all()  # off the optical axis a visible surface may have a negative z
    assert normals[solid][:, 2].mean() > 0.6
    rows, columns = np.nonzero(solid)
    left, right = columns < np.quantile(columns, 0.2), columns > np.quantile(columns, 0.8)
    assert normals[rows[left], columns[left], 0].mean() < -0.2  # x is to the right
    assert normals[rows[right], columns[right], 0].mean() > 0.2
    low = rows < np.quantile(rows, 0.1)
    assert normals[rows[low], columns[low], 1].mean() > 0.2  # y is up, and so is the top of the head


def test_depth_is_the_distance_along_the_camera_axis(column: RenderColumn) -> None:
    near = replace(column, camera=column.camera[0])
    view = near.camera.world_to_cam.clone()
    view[:, 2, 3] += 0.25
    far = replace(near, camera=replace(near.camera, world_to_cam=view))
    settings = replace(PLAIN, passes=("alpha", "depth"))
    first, second = one(near, settings, 0), one(far, settings, 0)
    solid = (first["alpha"] > 250) & (second["alpha"] > 250)
    median = [np.median(image["depth"][solid]) for image in (first, second)]
    assert median[0] == pytest.approx(0.9 - 0.1, abs=0.1)  # the face is in front of the head center
    assert median[1] - median[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("step", [1, 2])
def test_depth_of_a_plane_is_its_distance(column: RenderColumn, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    count = len(column.avatar)
    axis = torch.linspace(-0.3, 0.3, int(count**0.5))
    means = torch.zeros(count, 3)
    means[:, 2] = -0.7
    grid = torch.cartesian_prod(axis, axis)
    means[: len(grid), :2] = grid
    flat = Gaussians(
        means[None], torch.tensor([1.0, 0, 0, 0]).expand(1, count, 4).contiguous(),
        torch.tensor([0.02, 0.02, 1e-4]).expand(1, count, 3).contiguous(), torch.full((1, count), 0.9),
        torch.zeros(1, count, 1, 3),
    )  # fmt: skip
    frame = Animator.frame
    monkeypatch.setattr(Animator, "frame", lambda *given: replace(frame(*given), gaussians=flat))
    found = one(
        replace(column, camera=Camera.facing(60.0, SIZE, SIZE)), replace(PLAIN, supersample=step, passes=("depth",))
    )
    depth = found["depth"]
    assert depth[depth > 0] == pytest.approx(0.7, abs=1e-4)
    assert (depth[SIZE // 2 - 20 : SIZE // 2 + 20, SIZE // 2 - 20 : SIZE // 2 + 20] > 0).all()


def test_alpha_is_the_coverage_of_the_background(column: RenderColumn) -> None:
    white, black = (
        one(column, replace(PLAIN, background=Background((c, c, c)), passes=("rgb", "alpha"))) for c in (1.0, 0.0)
    )
    shown = white["rgb"].astype(int) - black["rgb"]
    assert np.abs(shown - (255 - white["alpha"].astype(int))[..., None]).max() <= 2


def test_transparent_over_white_is_white(column: RenderColumn) -> None:
    image = one(column, replace(PLAIN, background=Background(transparent=True)))["rgb"].astype(float)
    assert image.shape == (SIZE, SIZE, 4)
    alpha = image[..., 3:] / 255
    composite = image[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(composite - one(column, PLAIN)["rgb"]).max() <= 2


def test_a_background_image_is_visible_beside_the_head(column: RenderColumn) -> None:
    wall = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    found = one(column, replace(PLAIN, background=Background(image=wall), passes=("rgb", "alpha")))
    black = one(column, replace(PLAIN, background=Background((0.0, 0.0, 0.0))))["rgb"]
    expected = black + wall * (1 - found["alpha"][..., None] / 255)
    assert np.abs(found["rgb"] - expected.clip(0, 255)).max() <= 2
    assert (found["alpha"] == 0).any()


def test_a_background_image_of_one_color_equals_that_color(column: RenderColumn) -> None:
    background = Background(image=np.full((SIZE, SIZE, 3), 255, np.uint8))
    found = one(column, replace(PLAIN, background=background))["rgb"].astype(int)
    assert np.abs(found - one(column, PLAIN)["rgb"]).max() <= 1  # a sum rounded in another order


def test_supersampling_is_the_mean_of_a_larger_image(column: RenderColumn) -> None:
    large = replace(column, camera=column.camera.resized(2 * SIZE, 2 * SIZE))
    black = Background((0.0, 0.0, 0.0))
    double = one(large, RenderSettings(2 * SIZE, 2 * SIZE, background=black))["rgb"].astype(float)
    expected = double.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    found = one(column, replace(PLAIN, background=black, supersample=2))["rgb"]
    assert np.abs(found - expected).max() <= 1.01


def test_supersampled_normals_and_depths_are_valid(column: RenderColumn) -> None:
    plain, fine = (one(column, replace(PLAIN, supersample=step, passes=PASSES)) for step in (1, 3))
    solid = (plain["alpha"] > 250) & (fine["alpha"] > 250)
    assert np.linalg.norm(fine["normals"][solid], axis=-1) == pytest.approx(1, abs=1e-4)
    assert np.median(np.abs(plain["depth"] - fine["depth"])[solid]) < 0.01


def test_strips_join_to_the_full_image(column: RenderColumn, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(PLAIN, supersample=2, passes=PASSES)
    full = one(column, settings)
    monkeypatch.setattr(offline_render, "STRIP_PIXELS", 2 * SIZE * 2 * 20)
    strips = one(column, settings)
    assert np.abs(full["rgb"].astype(int) - strips["rgb"]).max() <= 1
    assert np.abs(full["alpha"].astype(int) - strips["alpha"]).max() <= 1
    assert np.abs(full["mesh"].astype(int) - strips["mesh"]).mean() < 0.2
    assert np.abs(full["normals"] - strips["normals"]).mean() < 1e-3


def test_columns_side_by_side_equal_each_alone(column: RenderColumn) -> None:
    other = replace(column, camera=column.camera[12])
    settings = replace(PLAIN, passes=PASSES)
    pair = next(iter(render_frames([column, other], settings, [7])))
    for index, single in enumerate((column, other)):
        alone = one(single, settings, 7)
        for name in PASSES:
            assert np.array_equal(pair[name][:, index * SIZE : (index + 1) * SIZE], alone[name]), name


def test_segments_equal_the_full_rendering_bit_for_bit(column: RenderColumn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_render, "_CHUNK", 5)
    settings = replace(PLAIN, passes=PASSES)
    full = list(render_frames([column], settings, range(12)))
    segments = [*render_frames([column], settings, range(7)), *render_frames([column], settings, range(7, 12))]
    for first, second in zip(full, segments, strict=True):
        assert all(np.array_equal(first[name], second[name]) for name in PASSES)


def test_the_mesh_has_alpha_if_the_background_is_transparent(column: RenderColumn) -> None:
    found = one(column, replace(PLAIN, background=Background(transparent=True), passes=("rgb", "mesh")))
    white = one(column, replace(PLAIN, passes=("mesh",)))["mesh"]
    assert found["mesh"].shape[2] == found["rgb"].shape[2] == 4
    alpha = found["mesh"][..., 3:] / 255
    assert np.abs(found["mesh"][..., :3] * alpha + 255 * (1 - alpha) - white).max() <= 2


def test_the_mesh_pass_covers_the_pixels_of_the_gaussians(column: RenderColumn) -> None:
    settings = replace(PLAIN, background=Background((0.0, 1.0, 0.0)), passes=("alpha", "mesh"))
    found = one(column, settings)
    green = (found["mesh"] == (0, 255, 0)).all(-1)
    assert ((found["alpha"] > 128) == ~green).mean() > 0.85


def test_yielded_images_are_not_overwritten(column: RenderColumn) -> None:
    first, second = render_frames([column], PLAIN, [0, 12])
    assert not np.array_equal(first["rgb"], second["rgb"])
    assert torch.is_inference_mode_enabled() is False


def test_two_threads_render_the_frames_of_one(column: RenderColumn, monkeypatch: pytest.MonkeyPatch) -> None:
    images = []
    for threads in (1, 2):
        monkeypatch.setattr("avatar.video.offline_render.render_threads", lambda *_, threads=threads: threads)
        images.append([frame["rgb"] for frame in render_frames([column], PLAIN, range(9))])
    assert all((one == two).all() for one, two in zip(*images, strict=True))
