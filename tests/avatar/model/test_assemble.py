"""`assemble` makes the Gaussians of every posed head, whoever posed it, and nothing else binds any to a mesh."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import expression_features
from avatar.model.poser import Poser
from avatar.model.torso import MeasuredTorso
from avatar.types import JAW, LEFT_EYE

ROOT = Path(__file__).parents[3]
#: Measures the kernels on a scene without an avatar.
BENCHMARK = "avatar/bench/stages.py"


def callers(name: str) -> set[tuple[str, str]]:
    """File and top-level function or class of every use of `ops.<name>` outside of the operations themselves."""
    found = set()
    for folder in ("avatar", "capture", "viewer"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            if place.startswith(("avatar/ops/", "avatar/reference/")):
                continue
            for top in ast.parse(path.read_text()).body:
                for node in ast.walk(top):
                    of_ops = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                    if of_ops and node.attr == name and node.value.id in ("ops", "reference"):
                        found.add((place, getattr(top, "name", "")))
                    modules = ("avatar.ops", "avatar.ops.bind", "avatar.reference", "avatar.reference.bind")
                    if isinstance(node, ast.ImportFrom) and node.module in modules:
                        assert name not in [alias.name for alias in node.names], f"{place}: write ops.{name}"
    return found


def test_only_assemble_binds_gaussians_to_a_mesh() -> None:
    assert {caller for caller in callers("bind") if caller[0] != BENCHMARK} == {("avatar/model/avatar.py", "assemble")}


def test_the_head_model_and_the_poser_give_the_same_gaussians(tiny_avatar: Avatar, tiny: Capture) -> None:
    """The same float basis in both, so that only the rounding of the mesh and of the bones differs."""
    params = tiny_avatar.with_identity(tiny.params(range(4)))
    params.joint_rot[:, JAW, 0] = torch.linspace(0, 0.2, 4)
    params.joint_rot[:, LEFT_EYE, 1] = 0.2
    poser = Poser(tiny_avatar)
    rotation, translation = tiny_avatar.head.skull_pose(params)
    vertices = tiny_avatar.head.skull_vertices(params)
    extra = tiny_avatar.blendshapes(tiny_avatar.weights(expression_features(params)))
    known = tiny_avatar.rig.torso.pose(torch.linspace(-0.2, 0.3, 24).reshape(4, 6))
    measured = MeasuredTorso(torch.full((4, 3), 0.01), 0.7)
    for torso in (None, known, measured):
        expected = assemble(tiny_avatar, tiny_avatar.rig.posed_head(vertices, rotation, translation, torso), extra)
        frames = poser.poses(params, torso)
        for frame in range(4):
            found = assemble(tiny_avatar, poser.head(frames, frame), extra[frame : frame + 1])
            for name, tolerance in (("means", 2e-6), ("quats", 2e-5), ("scales", 1e-6), ("opacities", 0), ("sh", 0)):
                difference = getattr(found, name)[0] - getattr(expected, name)[frame]
                assert difference.abs().max() <= tolerance, name


def test_a_known_torso_moves_what_is_bound_to_it_alone(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = tiny_avatar.with_identity(tiny.params([3]))
    rotation, translation = tiny_avatar.head.skull_pose(params)
    torso = tiny_avatar.rig.torso.pose(torch.full((1, 6), 0.3))
    vertices, rig = tiny_avatar.head.skull_vertices(params), tiny_avatar.rig
    extra = tiny_avatar.blendshapes(tiny_avatar.weights(expression_features(params)))
    mapped = assemble(tiny_avatar, rig.posed_head(vertices, rotation, translation), extra)
    found = assemble(tiny_avatar, rig.posed_head(vertices, rotation, translation, torso), extra)
    skull = rig.skin == 0
    assert torch.equal(found.means[:, skull], mapped.means[:, skull])
    assert (found.means - mapped.means).norm(dim=-1)[0, rig.skin > 0.5].min() > 1e-3


def test_a_view_with_other_local_gaussians_leaves_the_avatar_as_it_is(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = tiny_avatar.with_identity(tiny.params([3]))
    before = tiny_avatar(params)
    offsets = (tiny_avatar.offsets.detach() + 0.01).requires_grad_()
    view = tiny_avatar.view(replace(tiny_avatar.local, offsets=offsets))
    moved = view(params)
    (gradient,) = torch.autograd.grad(moved.means.sum(), offsets)
    assert gradient.abs().min(1).values.max() > 0
    assert (moved.means - before.means).norm(dim=-1).min() > 0.005
    assert torch.equal(tiny_avatar(params).means, before.means)
    assert view.head is tiny_avatar.head and view.rig is tiny_avatar.rig
