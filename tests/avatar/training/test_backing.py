"""The opaque backing under skin and scalp: where it is, and what a training leaves of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from avatar.data.capture_folder import Capture
from avatar.evaluation.orbit import measure_orbit
from avatar.geometry.rotations import triangle_frames
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.model.gaussian_set import GaussianSet, with_gaussians
from avatar.model.parts.pose_blendshapes import PoseBlendshapes
from avatar.training.backing import DEPTH, EXTENT, MOST, OPAQUE, SIZES, backing_samples
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.mesh_sampling import SurfaceSamples
from avatar.training.parts import pose_blendshapes
from avatar.training.prepared_frames import prepared_frames
from avatar.training.trainer import Trainer
from avatar.training.unseen import MOST_UNSEEN

CONFIG = TrainConfig(size=48, steps=30, gaussians=12000, bases=2, coarse_share=0.0, refine_at=1.0)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def samples(head: HeadModel) -> SurfaceSamples:
    return backing_samples(head, 10**6)


@pytest.fixture(scope="module")
def trained(tiny: Capture, head: HeadModel) -> Avatar:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose_blendshapes, "MIN_POSES", 2)
        return fit(tiny, head, CONFIG).avatar


def backing_of(avatar: Avatar) -> torch.Tensor:
    """Rows [n] of the backing."""
    return (avatar.logit_opacities.detach() == torch.tensor(OPAQUE)).nonzero()[:, 0]


def test_it_is_below_the_mesh_out_of_mouth_and_eyes(head: HeadModel, samples: SurfaceSamples) -> None:
    faces = head.faces.numpy()[samples.face]
    places = (head.v_template.numpy()[faces] * samples.bary[:, :, None]).sum(1)
    assert (samples.offset[:, 2] == -DEPTH * samples.spacing).all() and set(samples.spacing) == set(SIZES)
    inside = head.mask(*INSIDE).numpy()
    assert cKDTree(head.v_template.numpy()[inside]).query(places)[0].min() > 0.008
    normals = vertex_normals(head.v_template, head.faces).numpy()[~inside]
    outside = head.v_template.numpy()[~inside]
    frames = triangle_frames(torch.from_numpy(head.v_template.numpy()[faces])).numpy()
    centers = places - DEPTH * samples.spacing[:, None] * frames[:, :, 2]
    nearest = cKDTree(outside).query(centers)[1]
    assert (((centers - outside[nearest]) * normals[nearest]).sum(1) < 0).all()


def test_none_of_it_reaches_the_edge_of_the_lips(head: HeadModel, samples: SurfaceSamples) -> None:
    corners = head.v_template.numpy()[head.faces.numpy()[samples.face]]
    places = (corners * samples.bary[:, :, None]).sum(1)
    edge = head.v_template.numpy()[head.mask("lips_inner").numpy()]
    assert (cKDTree(edge).query(places)[0] > EXTENT * samples.spacing).all()


def test_alone_it_closes_the_head(trained: Avatar) -> None:
    mask = torch.zeros(len(trained), dtype=torch.bool)
    mask[backing_of(trained)] = True
    alone = measure_orbit(with_gaussians(trained, GaussianSet.of(trained).rows(mask)))
    assert np.mean(alone.seen_through) < 0.03


def test_a_training_changes_its_colors_alone(trained: Avatar) -> None:
    samples = backing_samples(trained.head, 10**6)
    rows = backing_of(trained)
    assert len(rows) == len(samples) <= MOST * CONFIG.gaussians
    assert 0 <= len(trained) - CONFIG.gaussians - len(rows) <= 2 * MOST_UNSEEN * CONFIG.gaussians
    assert torch.equal(rows, torch.arange(len(trained) - len(samples), len(trained)))
    sizes = torch.tensor(samples.spacing).float()
    assert torch.allclose(trained.log_scales[rows, 0].exp(), sizes)
    assert torch.allclose(trained.offsets[rows, 2], -DEPTH * sizes)
    assert (trained.quats[rows] == torch.tensor([1.0, 0, 0, 0])).all()
    assert float(trained.colors[rows].std(0).amax()) > 0.02
    by_pose = trained.part(PoseBlendshapes)
    assert by_pose is not None and not by_pose.basis[:, rows, :3].any() and by_pose.basis[:, : rows[0], :3].any()


def test_relocation_and_the_depth_of_the_torso_leave_it(tiny: Capture, head: HeadModel) -> None:
    person, frames = prepared_frames(tiny, head, CONFIG)
    trainer = Trainer(build_avatar(person, frames, CONFIG), frames, CONFIG)
    trainer.initialize()
    rows = backing_of(trainer.avatar)
    before = trainer.avatar.offsets.detach()[rows].clone()
    trainer.step(0.0)
    trainer._relocate(frames)
    assert torch.equal(backing_of(trainer.avatar), rows) and torch.equal(trainer.avatar.offsets.detach()[rows], before)


def test_an_avatar_of_few_gaussians_has_none(head: HeadModel) -> None:
    assert len(backing_samples(head, 500)) == 0
