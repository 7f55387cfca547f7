"""Marks painted on the UV layout: they stay on their point of the surface, and nothing else changes."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from avatar.editing import decals
from avatar.editing.brush import PaintSurface
from avatar.editing.decals import Painter
from avatar.editing.style import Mark
from avatar.editing.surface_map import SIZE, SurfaceMap, in_image
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.model.sampling import Sampling
from avatar.rendering.animator import Animator
from avatar.types import Camera, HeadParams
from tests.bench.bench_paint import EXPRESSIONS, VIEWS
from tests.support.tiny import side_camera

CHEEK = 280  # landmark
PIXELS = 512


@pytest.fixture(scope="module")
def smooth(tiny_avatar: Avatar) -> Avatar:
    """The tiny avatar with every Gaussian on the mesh, so that the rendered surface is the mesh. Read only."""
    avatar = load_copy(tiny_avatar)
    avatar.offsets.zero_()
    avatar.blendshapes.basis.zero_()
    avatar.colors.fill_(0.5)
    avatar.quats.copy_(torch.tensor([1.0, 0, 0, 0]))
    avatar.log_scales[:] = torch.tensor([0.0015, 0.0015, 0.0001]).log()
    avatar.sampling = Sampling(0.0, 0.05)
    return avatar


def load_copy(avatar: Avatar) -> Avatar:
    return copy.deepcopy(avatar).requires_grad_(False)


def texel_of(avatar: Avatar, landmark: int) -> tuple[int, int]:
    """Row and column of the texel at a landmark."""
    head = avatar.head
    face = head.landmark_faces[landmark]
    uv = (head.uv[head.uv_faces[face]] * head.landmark_bary[landmark][:, None]).sum(0)
    column, row = in_image(uv, SIZE).long().tolist()
    return row, column


def disc(avatar: Avatar, landmark: int = CHEEK, radius: int = 22) -> np.ndarray:
    """A red disc of `radius` texels around a landmark."""
    row, column = texel_of(avatar, landmark)
    y, x = np.mgrid[:SIZE, :SIZE]
    canvas = np.zeros((SIZE, SIZE, 4), np.uint8)
    canvas[(y - row) ** 2 + (x - column) ** 2 < radius**2] = (255, 0, 0, 255)
    return canvas


def poses(avatar: Avatar) -> list[HeadParams]:
    """The avatar 60 cm from the camera, with one expression each."""
    found = []
    for name in EXPRESSIONS:
        params = avatar.head.neutral_params(1)
        params.expression[0, avatar.head.expression_index(name)] = 0.7
        params.translation[0, 2] = -0.6
        found.append(avatar.with_identity(params))
    return found


def projected(avatar: Avatar, params: HeadParams, camera: Camera, canvas: np.ndarray) -> np.ndarray:
    """Pixels [P,2] of all painted texels through the posed mesh."""
    surface, take = SurfaceMap.of(avatar.head), torch.from_numpy(canvas[..., 3] > 0)
    corners = avatar.head.vertices(params)[0][avatar.head.faces[surface.face[take]]]
    return camera.project((corners * surface.bary[take][..., None]).sum(1)).numpy()


def test_a_mark_stays_within_a_texel_over_expressions_and_views(smooth: Avatar) -> None:
    canvas = disc(smooth)
    marked, errors = Painter(smooth).painted(canvas), []
    surface, take = SurfaceMap.of(smooth.head), torch.from_numpy(canvas[..., 3] > 0)
    triangles, bary = smooth.head.faces[surface.face[take]], surface.bary[take][..., None]
    animator = Animator(marked, PIXELS, PIXELS)
    for params in poses(smooth):
        points = (smooth.head.vertices(params)[0][triangles] * bary).sum(1)
        for degrees in VIEWS:
            camera = side_camera(PIXELS, degrees)
            red, green, _ = np.moveaxis(animator.render(params, camera).numpy().astype(float), -1, 0)
            rows, columns = np.nonzero(red - green > 20)  # all else is gray or white
            weight = (red - green)[rows, columns]
            found = np.array([columns + 0.5, rows + 0.5]) @ weight / weight.sum()
            expected = camera.project(points).numpy()
            # All texels of the disc are visible here; the middle of what they cover is the middle of their pixels.
            cover = np.unique(np.floor(expected), axis=0) + 0.5
            errors.append(np.linalg.norm(found - cover.mean(0)) / (float(camera.K[0, 0, 0]) / 0.6) * 1000)
    texel = 0.25  # millimeters on the cheek
    assert np.quantile(errors, 0.95) < texel
    assert max(errors) < 2 * texel


def test_only_the_mark_changes(smooth: Avatar) -> None:
    canvas = disc(smooth)
    marked, camera = Painter(smooth).painted(canvas), side_camera(PIXELS, 0)
    params = poses(smooth)[0]
    before = Animator(smooth, PIXELS, PIXELS).render(params, camera).numpy().astype(float)
    difference = np.abs(Animator(marked, PIXELS, PIXELS).render(params, camera).numpy() - before)
    inside = np.zeros((PIXELS, PIXELS), bool)
    columns, rows = np.floor(projected(smooth, params, camera, canvas)).astype(int).T
    inside[rows, columns] = True
    assert difference[~inside].mean() < 0.01 * 255
    assert difference[inside].mean() > 60


def test_only_gaussians_over_the_mark_change_and_only_in_color_and_opacity(smooth: Avatar) -> None:
    canvas = disc(smooth)
    marked, moving = Painter(smooth).painted(canvas), smooth.blendshapes.count
    added = len(marked) - len(smooth)
    assert added == marked.blendshapes.count - moving > 20
    own = torch.cat([torch.arange(moving), torch.arange(moving + added, len(marked))])
    painter, places = Painter(smooth), PaintSurface(smooth, SurfaceMap.of(smooth.head))
    means, mark = painter._means.numpy() * 1000, places.points[canvas[..., 3] > 0]
    far = torch.from_numpy(cKDTree(mark).query(means)[0] > 8)  # millimeters; a Gaussian has one of 1.5
    assert 0 < int((~far).sum()) < len(smooth) / 4
    for name in ("offsets", "quats", "log_scales"):
        assert torch.equal(getattr(smooth, name), getattr(marked, name)[own])
    for name in ("logit_opacities", "colors"):
        before, after = getattr(smooth, name), getattr(marked, name)[own]
        assert torch.equal(before[far], after[far])
        assert not torch.equal(before[~far], after[~far])
    assert torch.equal(smooth.blendshapes.basis, marked.blendshapes.basis[:, :moving])


def test_skin_over_the_mark_does_not_veil_it(smooth: Avatar) -> None:
    avatar = load_copy(smooth)
    avatar.offsets[:, 2] = 0.002 * (torch.arange(len(avatar)) % 3 - 1)  # skin of three layers, 2 mm apart
    avatar.logit_opacities.fill_(0.0)
    canvas = disc(avatar)
    marked, params, camera = Painter(avatar).painted(canvas), poses(avatar)[4], side_camera(PIXELS, 0)
    before = Animator(avatar, PIXELS, PIXELS).render(params, camera).numpy().astype(float)
    after = Animator(marked, PIXELS, PIXELS).render(params, camera).numpy().astype(float)
    columns, rows = np.floor(projected(avatar, params, camera, disc(avatar, radius=12))).astype(int).T
    # Red paint leaves no green; the skin is gray, half of the light in front of the mark comes from its upper layers.
    assert 1 - after[rows, columns, 1].mean() / before[rows, columns, 1].mean() > 0.85


def test_a_mark_lies_at_the_mean_depth_of_translucent_skin(smooth: Avatar) -> None:
    avatar = load_copy(smooth)
    avatar.offsets[:, 2] = 0.002
    avatar.logit_opacities.fill_(1.0)
    marked = Painter(avatar).painted(disc(avatar))
    own = slice(avatar.blendshapes.count, avatar.blendshapes.count + len(marked) - len(avatar))
    assert (marked.offsets[own, 2] - 0.002).abs().max() < 0.0003


def test_paint_of_half_the_opacity_covers_half(smooth: Avatar) -> None:
    canvas = disc(smooth, radius=60)
    canvas[..., 3] //= 2
    avatar = load_copy(smooth)
    avatar.logit_opacities.fill_(-9.0)  # the mark alone over white
    params, camera = poses(avatar)[4], side_camera(PIXELS, 0)
    before = Animator(avatar, PIXELS, PIXELS).render(params, camera).numpy().astype(float)
    after = Animator(Painter(avatar).painted(canvas), PIXELS, PIXELS).render(params, camera).numpy()
    column, row = projected(avatar, params, camera, disc(avatar, radius=2)).mean(0).astype(int)
    near = np.s_[row - 4 : row + 5, column - 4 : column + 5]
    share = 1 - after[near][..., 1:].mean() / before[near][..., 1:].mean()
    assert abs(share - 0.5) < 0.05


def test_opacities_follow_the_integral_of_the_lattice() -> None:
    opacity, ratio = 0.37, 0.8
    place = np.arange(-12, 13)
    steps = np.linspace(-0.5, 0.5, 17)[:-1]
    x, y = np.meshgrid(steps, steps)
    distance = (x[..., None, None] - place[:, None]) ** 2 + (y[..., None, None] - place) ** 2
    passed = np.log1p(-opacity * np.exp(-0.5 * distance / ratio**2)).sum((2, 3)).mean()
    found = decals._opacities(np.array([-np.expm1(passed)]), torch.ones(1), torch.full((1, 2), ratio))
    assert float(found) == pytest.approx(opacity, abs=0.005)


def test_a_stroke_by_tiles_equals_painting_at_once(smooth: Avatar) -> None:
    painter, first = Painter(smooth), disc(smooth)
    once = painter.painted(first)
    both = np.maximum(first, disc(smooth, 50))
    again = painter.painted(both).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in Painter(smooth).painted(both).state_dict().items())
    back = painter.painted(first).state_dict()
    assert all(torch.equal(value, back[name]) for name, value in once.state_dict().items())


def test_the_number_of_gaussians_is_bounded(smooth: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = disc(smooth, radius=40)
    many = len(Painter(smooth).painted(canvas)) - len(smooth)
    monkeypatch.setattr(decals, "MAX_DECALS", many // 3)
    assert len(Painter(smooth).painted(canvas)) - len(smooth) <= many // 3


def test_a_painted_file_comes_back(smooth: Avatar, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("paint") / "p.avatar"
    marked = Painter(smooth).painted(disc(smooth))
    save_avatar(path, marked)
    stored = load_avatar(path)
    params, camera = poses(smooth)[1], side_camera(64, 10)
    first = Animator(marked, 64, 64).render(params, camera).clone()
    assert torch.equal(first, Animator(stored, 64, 64).render(params, camera))


def test_a_mark_follows_the_offsets_of_the_gaussians_around(smooth: Avatar) -> None:
    avatar, shift = load_copy(smooth), torch.tensor([0.0, 0.0, 0.3])
    avatar.blendshapes.basis[0, :, :3] = shift  # along the normals, in centimeters
    marked = Painter(avatar).painted(disc(avatar))
    own = marked.blendshapes.basis[0, avatar.blendshapes.count :, :3]
    assert float((own - shift).abs().amax(1).quantile(0.8)) < 0.08  # some of its edge is beside Gaussians without


def test_a_stamp_is_a_disc_of_its_radius(smooth: Avatar) -> None:
    places = PaintSurface(smooth, SurfaceMap.of(smooth.head))
    head = smooth.head
    face, bary = int(head.landmark_faces[CHEEK]), head.landmark_bary[CHEEK]
    canvas = np.zeros((SIZE, SIZE, 4), np.uint8)
    places.stamp(canvas, face, bary, (0.0, 1.0, 0.0), 5.0)
    rows, columns = np.nonzero(canvas[..., 3] > 127)
    middle = (places.rest[head.faces[face]] * bary[:, None]).sum(0).numpy() * 1000
    distance = np.linalg.norm(places.points[rows, columns] - middle, axis=1)
    assert 4.2 < distance.max() < 5.0
    assert canvas[rows, columns, :3].tolist() == [[0, 255, 0]] * len(rows)


def test_a_stamp_finds_the_texels_of_all_blocks(smooth: Avatar) -> None:
    places = PaintSurface(smooth, SurfaceMap.of(smooth.head))
    for landmark, radius in ((CHEEK, 5.0), (4, 25.0), (152, 0.4)):
        middle = places.points[texel_of(smooth, landmark)]
        expected = np.nonzero((np.abs(places.points - middle) < radius).all(-1) & places.outer)
        found = places._within(middle, radius)
        assert set(zip(*found, strict=True)) == set(zip(*expected, strict=True))


@pytest.mark.parametrize("place", ["lips", "blush", "eye shadow", "freckles"])
def test_make_up_lies_on_its_place(smooth: Avatar, place: str) -> None:
    places = PaintSurface(smooth, SurfaceMap.of(smooth.head))
    canvas = places.mark(Mark(place, (200, 0, 0), 0.5))
    points = places.points[canvas[..., 3] > 60]
    marks = smooth.head.landmarks(places.rest[None])[0].numpy() * 1000
    low, high = {"lips": (17, 4), "blush": (61, 159), "eye shadow": (145, 10), "freckles": (0, 10)}[place]
    assert len(points) > 30
    assert (points[:, 1] > marks[low, 1] - 6).all() and (points[:, 1] < marks[high, 1] + 3).all()
    assert abs(np.ptp(points[:, 0]) / 2 - points[:, 0].max()) < 6


def test_a_head_without_coordinates_is_refused(smooth: Avatar) -> None:
    avatar = load_copy(smooth)
    avatar.head = replace(avatar.head, uv=torch.zeros_like(avatar.head.uv))
    with pytest.raises(HeadsplatError, match="no texture coordinates"):
        Painter(avatar).painted(disc(smooth))
