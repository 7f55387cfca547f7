"""Frames drawn offline: passes that agree, sizes that average, pieces and columns that are the whole's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.rendering.animator import Animator
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import moving_camera, subject_of
from avatar.rendering.render import splat
from avatar.rendering.settings import PASSES, Backdrop, Look
from avatar.types import Camera, Gaussians
from avatar.video import film
from avatar.video.film import Actor, render_frames

SIZE = 56
PLAIN = Look(SIZE, SIZE)


@pytest.fixture(scope="module")
def actor(tiny_avatar: Avatar, tiny: Capture) -> Actor:
    params = tiny.params(range(24))
    subject = subject_of(tiny_avatar, params)
    camera = moving_camera(CameraRequest("orbit", 30, 1), subject, np.arange(24) / 30, SIZE, SIZE)
    return Actor(tiny_avatar, params, camera)


def one(actor: Actor, look: Look, frame: int = 5) -> dict[str, np.ndarray]:
    return next(iter(render_frames([actor], look, [frame])))


def test_rgb_is_what_an_animator_draws(actor: Actor) -> None:
    animator = Animator(actor.avatar, SIZE, SIZE)
    expected = animator.draw(actor.params[5], actor.camera[5])
    assert np.array_equal(one(actor, PLAIN)["rgb"], expected.numpy())


def test_gsplat_draws_where_it_is_asked_for(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_ours(gaussians: Gaussians, camera: Camera, *, with_depth: bool) -> tuple[torch.Tensor, ...]:
        rgb, alpha, depth = splat(gaussians, camera, with_depth=with_depth)
        return rgb, alpha, depth  # type: ignore[return-value]

    monkeypatch.setattr("avatar.rendering.animator.render_gsplat", as_ours)
    look = replace(PLAIN, passes=("rgb", "alpha", "depth"))
    ours, theirs = one(actor, look), one(actor, replace(look, rasterizer="gsplat"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in look.passes)


def test_rgb_is_the_same_beside_other_passes(actor: Actor) -> None:
    every = one(actor, replace(PLAIN, passes=PASSES))
    assert tuple(every) == PASSES
    assert np.array_equal(every["rgb"], one(actor, PLAIN)["rgb"])


def test_passes_have_the_shapes_and_types_that_writers_want(actor: Actor) -> None:
    shapes = {
        name: (picture.shape[2:], picture.dtype.name)
        for name, picture in one(actor, replace(PLAIN, passes=PASSES)).items()
    }
    assert shapes == {
        "rgb": ((3,), "uint8"), "alpha": ((), "uint8"), "depth": ((), "float32"), "normals": ((3,), "float32"),
        "mesh": ((3,), "uint8"),
    }  # fmt: skip


def test_depth_and_normals_are_where_something_is(actor: Actor) -> None:
    found = one(actor, replace(PLAIN, passes=PASSES))
    solid = found["alpha"] > 0.51 * 255
    empty = found["alpha"] < 0.49 * 255
    length = np.linalg.norm(found["normals"], axis=-1)
    assert (found["depth"][solid] > 0).all() and (found["depth"][empty] == 0).all()
    assert length[solid] == pytest.approx(1, abs=1e-4) and (length[empty] == 0).all()


def test_normals_face_the_viewer_and_turn_with_the_head(actor: Actor) -> None:
    found = one(actor, replace(PLAIN, passes=("alpha", "normals")), 0)
    solid = found["alpha"] > 250
    normals = found["normals"]
    assert (normals[solid][:, 2] > -0.35).all()  # seen from the side of the axis a surface may lean past the plane
    assert normals[solid][:, 2].mean() > 0.6
    rows, columns = np.nonzero(solid)
    left, right = columns < np.quantile(columns, 0.2), columns > np.quantile(columns, 0.8)
    assert normals[rows[left], columns[left], 0].mean() < -0.2  # x is to the right
    assert normals[rows[right], columns[right], 0].mean() > 0.2
    low = rows < np.quantile(rows, 0.1)
    assert normals[rows[low], columns[low], 1].mean() > 0.2  # y is up, and so is the top of the head


def test_depth_is_the_distance_along_the_cameras_axis(actor: Actor) -> None:
    near = replace(actor, camera=actor.camera[0])
    view = near.camera.world_to_cam.clone()
    view[:, 2, 3] += 0.25
    far = replace(near, camera=replace(near.camera, world_to_cam=view))
    look = replace(PLAIN, passes=("alpha", "depth"))
    first, second = one(near, look, 0), one(far, look, 0)
    solid = (first["alpha"] > 250) & (second["alpha"] > 250)
    middle = [np.median(picture["depth"][solid]) for picture in (first, second)]
    assert middle[0] == pytest.approx(0.9 - 0.1, abs=0.1)  # the face lies before the head's center
    assert middle[1] - middle[0] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("step", [1, 2])
def test_depth_of_a_plane_is_its_distance(actor: Actor, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    count = len(actor.avatar)
    across = torch.linspace(-0.3, 0.3, int(count**0.5))
    spots = torch.zeros(count, 3)
    spots[:, 2] = -0.7
    grid = torch.cartesian_prod(across, across)
    spots[: len(grid), :2] = grid
    flat = Gaussians(
        spots[None], torch.tensor([1.0, 0, 0, 0]).expand(1, count, 4).contiguous(),
        torch.tensor([0.02, 0.02, 1e-4]).expand(1, count, 3).contiguous(), torch.full((1, count), 0.9),
        torch.zeros(1, count, 1, 3),
    )  # fmt: skip
    monkeypatch.setattr(Animator, "gaussians", lambda *_: flat)
    found = one(
        replace(actor, camera=Camera.facing(60.0, SIZE, SIZE)), replace(PLAIN, supersample=step, passes=("depth",))
    )
    depth = found["depth"]
    assert depth[depth > 0] == pytest.approx(0.7, abs=1e-4)
    assert (depth[SIZE // 2 - 20 : SIZE // 2 + 20, SIZE // 2 - 20 : SIZE // 2 + 20] > 0).all()


def test_alpha_says_how_much_background_shows(actor: Actor) -> None:
    white, black = (
        one(actor, replace(PLAIN, backdrop=Backdrop((c, c, c)), passes=("rgb", "alpha"))) for c in (1.0, 0.0)
    )
    shown = white["rgb"].astype(int) - black["rgb"]
    assert np.abs(shown - (255 - white["alpha"].astype(int))[..., None]).max() <= 2


def test_transparent_over_white_is_white(actor: Actor) -> None:
    picture = one(actor, replace(PLAIN, backdrop=Backdrop(transparent=True)))["rgb"].astype(float)
    assert picture.shape == (SIZE, SIZE, 4)
    share = picture[..., 3:] / 255
    composed = picture[..., :3] * share + 255 * (1 - share)
    assert np.abs(composed - one(actor, PLAIN)["rgb"]).max() <= 2


def test_a_background_picture_shows_where_the_head_is_not(actor: Actor) -> None:
    behind = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    found = one(actor, replace(PLAIN, backdrop=Backdrop(picture=behind), passes=("rgb", "alpha")))
    black = one(actor, replace(PLAIN, backdrop=Backdrop((0.0, 0.0, 0.0))))["rgb"]
    expected = black + behind * (1 - found["alpha"][..., None] / 255)
    assert np.abs(found["rgb"] - expected.clip(0, 255)).max() <= 2
    assert (found["alpha"] == 0).any()


def test_one_picture_of_one_color_is_that_color(actor: Actor) -> None:
    picture = Backdrop(picture=np.full((SIZE, SIZE, 3), 255, np.uint8))
    assert np.array_equal(one(actor, replace(PLAIN, backdrop=picture))["rgb"], one(actor, PLAIN)["rgb"])


def test_supersampling_is_the_mean_of_a_larger_picture(actor: Actor) -> None:
    large = replace(actor, camera=actor.camera.resized(2 * SIZE, 2 * SIZE))
    black = Backdrop((0.0, 0.0, 0.0))
    double = one(large, Look(2 * SIZE, 2 * SIZE, backdrop=black))["rgb"].astype(float)
    expected = double.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    found = one(actor, replace(PLAIN, backdrop=black, supersample=2))["rgb"]
    assert np.abs(found - expected).max() <= 1.01


def test_supersampled_normals_and_depths_are_still_normals_and_depths(actor: Actor) -> None:
    plain, fine = (one(actor, replace(PLAIN, supersample=step, passes=PASSES)) for step in (1, 3))
    solid = (plain["alpha"] > 250) & (fine["alpha"] > 250)
    assert np.linalg.norm(fine["normals"][solid], axis=-1) == pytest.approx(1, abs=1e-4)
    assert np.median(np.abs(plain["depth"] - fine["depth"])[solid]) < 0.01


def test_strips_join_to_the_whole_picture(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    look = replace(PLAIN, supersample=2, passes=PASSES)
    whole = one(actor, look)
    monkeypatch.setattr(film, "STRIP_PIXELS", 2 * SIZE * 2 * 20)
    strips = one(actor, look)
    assert np.abs(whole["rgb"].astype(int) - strips["rgb"]).max() <= 1
    assert np.abs(whole["alpha"].astype(int) - strips["alpha"]).max() <= 1
    assert np.abs(whole["mesh"].astype(int) - strips["mesh"]).mean() < 0.2
    assert np.abs(whole["normals"] - strips["normals"]).mean() < 1e-3


def test_side_by_side_is_each_alone(actor: Actor) -> None:
    other = replace(actor, camera=actor.camera[12])
    look = replace(PLAIN, passes=PASSES)
    pair = next(iter(render_frames([actor, other], look, [7])))
    for column, single in enumerate((actor, other)):
        alone = one(single, look, 7)
        for name in PASSES:
            assert np.array_equal(pair[name][:, column * SIZE : (column + 1) * SIZE], alone[name]), name


def test_pieces_are_the_whole_bit_for_bit(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "_CHUNK", 5)
    look = replace(PLAIN, passes=PASSES)
    whole = list(render_frames([actor], look, range(12)))
    pieces = [*render_frames([actor], look, range(7)), *render_frames([actor], look, range(7, 12))]
    for first, second in zip(whole, pieces, strict=True):
        assert all(np.array_equal(first[name], second[name]) for name in PASSES)


def test_the_mesh_has_alpha_too_where_the_background_is_transparent(actor: Actor) -> None:
    found = one(actor, replace(PLAIN, backdrop=Backdrop(transparent=True), passes=("rgb", "mesh")))
    white = one(actor, replace(PLAIN, passes=("mesh",)))["mesh"]
    assert found["mesh"].shape[2] == found["rgb"].shape[2] == 4
    share = found["mesh"][..., 3:] / 255
    assert np.abs(found["mesh"][..., :3] * share + 255 * (1 - share) - white).max() <= 2


def test_the_mesh_pass_shows_the_head_where_the_splats_do(actor: Actor) -> None:
    look = replace(PLAIN, backdrop=Backdrop((0.0, 1.0, 0.0)), passes=("alpha", "mesh"))
    found = one(actor, look)
    green = (found["mesh"] == (0, 255, 0)).all(-1)
    assert ((found["alpha"] > 128) == ~green).mean() > 0.85


def test_pictures_are_the_callers_to_keep(actor: Actor) -> None:
    first, second = render_frames([actor], PLAIN, [0, 12])
    assert not np.array_equal(first["rgb"], second["rgb"])
    assert torch.is_inference_mode_enabled() is False


def test_frames_drawn_by_two_threads_are_those_of_one(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for threads in (1, 2):
        monkeypatch.setattr("avatar.video.film.drawing_threads", lambda *_, threads=threads: threads)
        pictures.append([frame["rgb"] for frame in render_frames([actor], PLAIN, range(9))])
    assert all((one == two).all() for one, two in zip(*pictures, strict=True))
