"""How much of a head an orbit sees through."""

from __future__ import annotations

import json

import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.evaluation.orbit import YAWS, OrbitAlpha, measure_orbit
from avatar.evaluation.protocol import evaluate
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.gaussian_set import GaussianSet, with_gaussians
from avatar.types import Binding, LocalGaussians


def covered(avatar: Avatar, faces: torch.Tensor) -> Avatar:
    """`avatar` with one opaque Gaussian on each of the triangles `faces` [F,3] in the place of its own."""
    count = len(faces)
    binding = Binding(faces, torch.full((count, 3), 1 / 3), torch.zeros(count))
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(count, 1)
    sizes = torch.tensor([5e-3, 5e-3, 1e-3]).log().repeat(count, 1)
    opaque = torch.full((count,), 6.0)
    local = LocalGaussians(torch.zeros(count, 3), quats, sizes, opaque, torch.full((count, 3), 0.5))
    basis = GaussianSet.of(avatar).basis
    return with_gaussians(avatar, GaussianSet(binding, local, basis[:, :0]))


def outer_faces(head: HeadModel) -> torch.Tensor:
    return head.faces[~head.mask(*INSIDE)[head.faces].any(1)]


def test_a_closed_surface_is_opaque_from_all_sides(tiny_avatar: Avatar) -> None:
    found = measure_orbit(covered(tiny_avatar, outer_faces(tiny_avatar.head)))
    assert found.lowest > 0.9 and found.seen_through == (0.0,) * len(YAWS)


def test_half_a_head_is_seen_through_from_its_sides_alone(tiny_avatar: Avatar) -> None:
    head = tiny_avatar.head
    faces = outer_faces(head)
    center = head.v_template[faces].mean(1)
    shell = covered(tiny_avatar, faces[center[:, 2] > -0.03])
    found = measure_orbit(shell)
    by_yaw = dict(zip(YAWS, found.seen_through, strict=True))
    assert by_yaw[0] < 0.1 and by_yaw[90] > 0.5 and by_yaw[-90] == pytest.approx(by_yaw[90], abs=0.02)
    assert found.lowest < 0.1


def test_positive_angles_show_the_subjects_left(tiny_avatar: Avatar) -> None:
    faces = outer_faces(tiny_avatar.head)
    x, _, z = tiny_avatar.head.v_template[faces].mean(1).T
    without = (x * (z + 0.075) > 0) & (x.abs() > 0.01)  # the left of the face and, behind it, the right of the back
    by_yaw = dict(zip(YAWS, measure_orbit(covered(tiny_avatar, faces[~without])).seen_through, strict=True))
    assert by_yaw[60] > 0.2 and by_yaw[60] > 3 * by_yaw[-60]


def test_the_sentence_names_the_share_and_the_worst_view() -> None:
    shares = [0.0] * len(YAWS)
    shares[-1] = 0.13
    text = OrbitAlpha(tuple(shares), 0.25).to_text()
    assert "(alpha below 0.9) at 1.00 % of its pixels, most at +90 degrees, 13.00 %" in text
    assert text.endswith("the lowest alpha is 0.25.")


def test_the_report_has_the_orbit(tiny: Capture, tiny_avatar: Avatar) -> None:
    report = evaluate(tiny_avatar, tiny, size=32)
    stored = json.loads(report.to_json())["orbit"]
    assert stored["yaws"] == list(YAWS) and len(stored["seen_through"]) == len(YAWS) and 0 <= stored["lowest"] <= 1
    assert "Orbit from -90 to 90 degrees" in report.to_markdown()
