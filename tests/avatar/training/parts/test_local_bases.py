"""Local bases: each part of the face depends on the expressions of that part only."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.rendering.cameras import front_camera, subject_of
from avatar.rendering.render import render
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.parts.local_bases import PARTS, face_parts, keep_local, local_mask
from avatar.training.prepared_frames import prepared_frames
from avatar.types import Camera, HeadParams

SIZE = 192
CONFIG = TrainConfig(size=64, gaussians=1500)


@pytest.fixture(scope="module")
def frames(tiny: Capture) -> tuple[HeadModel, TrainingFrames]:
    """A head and frames in which every expression varies. Read only."""
    person, found = prepared_frames(tiny, load_head(), CONFIG)
    varied = torch.rand(found.states.features.shape, generator=torch.Generator().manual_seed(2))
    return person, replace(found, states=replace(found.states, features=varied))


def filled(frames: tuple[HeadModel, TrainingFrames], mode: Literal["local", "reduced"]) -> Avatar:
    """An avatar whose bases have random colors, as far as its mode lets them."""
    avatar = build_avatar(*frames, replace(CONFIG, mode=mode))
    shapes, generator = avatar.blendshapes, torch.Generator().manual_seed(4)
    with torch.no_grad():
        shapes.mix.add_(0.1 * torch.randn(shapes.mix.shape, generator=generator))
        shapes.basis[:, :, 7:10] = 0.2 * torch.randn(*shapes.basis.shape[:2], 3, generator=generator)
    keep_local(shapes)
    return avatar.requires_grad_(False)


def test_every_feature_belongs_to_one_part() -> None:
    names = load_head().expression_names
    parts = face_parts(names, 10)
    features = torch.cat([part.features for part in parts])
    assert features.sort().values.tolist() == list(range(len(names) + 9))
    assert [part.bases for part in parts] == [2, 3, 5] and len(parts) == len(PARTS)
    assert sum(part.bases for part in face_parts(names, 7)) == 7


def test_too_few_bases_and_expressions_without_names_are_refused() -> None:
    with pytest.raises(HeadsplatError, match="need 3 or more, one for each part; got 2"):
        face_parts(load_head().expression_names, 2)
    with pytest.raises(HeadsplatError, match="this head has expr0, expr1 and others: use --mode reduced"):
        face_parts(("expr0", "expr1"), 10)


def test_a_basis_acts_where_an_expression_of_its_part_moves_the_mesh() -> None:
    parts = face_parts(("browDown", "eyeBlink", "jawOpen"), 4)
    motion = torch.zeros(3 + 9, 3)
    motion[0, 0] = motion[2, 2] = 0.5  # the brow moves the first Gaussian, the jaw the last one
    mask = local_mask(parts, motion)
    assert mask.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_what_training_moves_outside_of_a_part_is_set_back_to_zero() -> None:
    features = torch.rand(8, 4, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    shapes = Blendshapes("reduced", features, 2, 2, mask, [(torch.tensor([0, 1]), 1), (torch.tensor([2, 3]), 1)])
    with torch.no_grad():
        shapes.mix.fill_(1.0)
        shapes.basis.fill_(1.0)
    keep_local(shapes)
    assert shapes.mix.tolist() == [[1, 0], [0, 1]]
    assert torch.equal(shapes.basis, mask[:, :, None].expand_as(shapes.basis))
    moved = shapes.weights(features + torch.tensor([0.5, 0.0, 0.0, 0.0]), ()) - shapes.weights(features, ())
    assert (moved[:, 0] != 0).all() and (moved[:, 1] == 0).all()


def test_other_blendshapes_stay_as_they_are(tiny_avatar: Avatar) -> None:
    before = tiny_avatar.blendshapes.mix.clone()
    keep_local(tiny_avatar.blendshapes)
    assert torch.equal(tiny_avatar.blendshapes.mix, before)


def poses(avatar: Avatar, name: str) -> HeadParams:
    """The resting face, and the same with one expression at 1."""
    count = len(avatar.head.expression_names)
    params = HeadParams(torch.zeros(0), torch.zeros(2, count), torch.zeros(2, 5, 3), torch.zeros(2, 3))
    params.expression[1, avatar.head.expression_names.index(name)] = 1.0
    return params


def camera_of(avatar: Avatar) -> Camera:
    """A camera in front of the resting face."""
    return front_camera(subject_of(avatar, poses(avatar, "jawOpen")[:1]), SIZE, SIZE)


def change_of(avatar: Avatar, name: str) -> np.ndarray:
    """Largest change of a color of each pixel [H,W] when one expression goes from 0 to 1."""
    params, camera = poses(avatar, name), camera_of(avatar)
    with torch.no_grad():
        images = [render(avatar(params[row : row + 1]), camera).rgb[0] for row in range(2)]
    return np.asarray((images[1] - images[0]).abs().amax(-1).numpy())


def rows_of(avatar: Avatar, region: str) -> np.ndarray:
    """Rows of pixels of the vertices of a region of the resting face."""
    with torch.no_grad():
        params = avatar.with_identity(poses(avatar, "jawOpen")[:1])
        rotation, translation = avatar.head.skull_pose(params)
        world = avatar.head.skull_vertices(params)[0][avatar.head.regions[region]] @ rotation[0].T + translation[0]
    return np.asarray(camera_of(avatar).project(world)[:, 1].numpy())


def below_the_nose(avatar: Avatar) -> int:
    """The first row of pixels below the nose."""
    return int(rows_of(avatar, "nose").max()) + 2


def test_a_brow_changes_nothing_below_the_nose(frames: tuple[HeadModel, TrainingFrames]) -> None:
    local = filled(frames, "local")
    change, below = change_of(local, "browInnerUp"), below_the_nose(local)
    assert change[below:].max() <= 1 / 255
    assert change[:below].max() > 20 / 255
    everywhere = filled(frames, "reduced")
    assert change_of(everywhere, "browInnerUp")[below:].max() > 20 / 255


def test_training_is_the_same_with_the_same_seed(tiny: Capture) -> None:
    config = TrainConfig(size=64, steps=6, gaussians=500, mode="local")
    first, second = (fit(tiny, load_head(), config).avatar.blendshapes.basis for _ in range(2))
    other = fit(tiny, load_head(), replace(config, seed=1)).avatar.blendshapes.basis
    assert torch.equal(first, second) and not torch.equal(first, other)
