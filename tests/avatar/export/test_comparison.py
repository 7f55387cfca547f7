"""The report of an exported mesh, and the texture that is fitted to the avatar's renderings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar import ops
from avatar.export import comparison
from avatar.export.comparison import MeshComparison, MeshView, compare_mesh, mesh_and_splats, sampled
from avatar.export.mesh import SurfacePoints, View, orbiting_camera, vertex_colors
from avatar.export.texture_fit import fitted
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar

SIZE = 96


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "SIZE", SIZE)
    monkeypatch.setattr(comparison, "YAWS", (0.0,))
    monkeypatch.setattr(comparison, "FACES", {"neutral": {}, "open": {"jawOpen": 0.5}})


def test_the_colors_of_the_avatar_are_nearer_to_it_than_those_of_the_head_model(tiny_avatar: Avatar) -> None:
    mesh, splats = mesh_and_splats(tiny_avatar, vertex_colors(tiny_avatar), {}, 0.0, SIZE)
    gray, _ = mesh_and_splats(tiny_avatar, torch.full_like(tiny_avatar.head.colors, 0.5), {}, 0.0, SIZE)
    both = mesh.head & splats.head
    assert both.sum() > 1000 and (mesh.head == gray.head).all()
    error, of_gray = (np.square(image.rgb - splats.rgb)[both].mean() for image in (mesh, gray))
    assert error < 0.3 * of_gray


def test_a_texture_is_read_with_v_up_between_its_pixels() -> None:
    texture = torch.arange(4.0)[:, None, None].expand(4, 4, 3)  # a row has its number, the top one 0
    found = sampled(texture, torch.tensor([[0.5, 0.875], [0.5, 0.75], [0.5, 0.0]]))
    assert found[:, 0].tolist() == pytest.approx([0.0, 0.5, 3.0])


@pytest.mark.usefixtures("small")
def test_every_face_is_a_row_of_the_report(tiny_avatar: Avatar, tmp_path: Path) -> None:
    found = compare_mesh(tiny_avatar, vertex_colors(tiny_avatar))
    found.save(tmp_path / "me.obj.report.json", "me.obj")
    report = json.loads((tmp_path / "me.obj.report.json").read_text())
    assert [(view["face"], view["yaw"]) for view in report["views"]] == [("neutral", 0), ("open", 0)]
    assert report["mesh_report"] == 1 and report["file"] == "me.obj" and report["words"] == found.to_text()
    assert report["psnr"] == pytest.approx(found.mean()[0], rel=1e-5)
    assert all(0 < view["covered"] <= 1 and view["psnr"] > 15 and 0 < view["ssim"] < 1 for view in report["views"])


def test_the_line_has_the_means_of_each_face() -> None:
    views = (MeshView("rest", 0, 30.0, 0.9, 0.8), MeshView("rest", 20, 32.0, 0.8, 0.6), MeshView("open", 0, 28.0, 1, 1))
    assert MeshComparison(views).to_text() == (
        "beside the avatar's own rendering: PSNR 30.0 dB, SSIM 0.900 inside of the head (rest 31.0, open 28.0); 80 % "
        "of the head are covered"
    )


def test_a_head_that_no_view_shows_is_said_and_its_means_are_null(tmp_path: Path) -> None:
    found = MeshComparison(())
    found.save(tmp_path / "r.json", "me.glb")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["psnr"] is None and report["words"].startswith("not compared with the avatar: no view shows")


def test_a_fitted_texture_renders_as_the_view_does(tiny_avatar: Avatar) -> None:
    head = tiny_avatar.head
    camera = orbiting_camera(0.0, 0.0, SIZE)
    vertices = head.vertices(head.neutral_params())[0]
    face, bary, depth = ops.mesh(camera.to_camera(vertices)[None], head.faces, camera.K, SIZE, SIZE)
    shown = (face.flatten() >= 0).nonzero()[:, 0]
    points = SurfacePoints(head.uv_faces[face.flatten()[shown].long()], bary.reshape(-1, 3)[shown])
    truth = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    rgba = torch.zeros(SIZE * SIZE, 4)
    rgba[shown] = torch.cat([sampled(truth, points.of(head.uv)), torch.ones(len(shown), 1)], 1)
    normals = vertex_normals(vertices, head.faces)
    view = View(camera, rgba.view(SIZE, SIZE, 4), face[0], bary[0], depth[0], vertices, normals, resting=True)
    start = torch.full((64, 64, 3), 0.5)
    all_faces = torch.ones(len(head.faces), dtype=torch.bool)
    found = fitted(start, [view], head, all_faces)
    error = [(sampled(image, points.of(head.uv)) - rgba[shown, :3]).square().mean() for image in (start, found)]
    assert error[1] < 0.25 * error[0]
    assert torch.equal(fitted(start, [view], head, ~all_faces), start)
