"""Who stands where, looks at whom, and does what before and after its motion; cameras; the mix of voices."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.model.avatar import Avatar
from avatar.rendering.cameras import subject_of
from avatar.scenes.looking import eyes_of, with_looks
from avatar.scenes.placement import Placement
from avatar.scenes.scene_file import ActorSpec, CameraSpec, Shot
from avatar.scenes.scene_renderer import Actor
from avatar.scenes.shots import Cast, cameras, placed
from avatar.scenes.sound import mix
from avatar.scenes.staging import looks_of, place_of
from avatar.scenes.timing import over_scene
from avatar.types import LEFT_EYE, RIGHT_EYE, Camera, HeadParams
from avatar.video.audio import RATE
from tests.support.sounds import write_wav

SIZE = (320, 180)


@pytest.fixture(scope="module")
def pair(layered: Avatar, params: HeadParams) -> list[Actor]:
    """Two avatars at their default places."""
    rest = HeadParams(params.identity, params.expression, torch.zeros_like(params.joint_rot), params.translation)
    places = [place_of(ActorSpec(), index, 2) for index in (0, 1)]
    return [
        Actor(name, layered, rest, placement=Placement.of(layered, place.position, place.yaw, 1.0))
        for name, place in zip(("anna", "ben"), places, strict=True)
    ]


@pytest.fixture(scope="module")
def cast(pair: list[Actor]) -> Cast:
    subjects = {actor.name: actor.placement.subject(subject_of(actor.avatar, actor.params)) for actor in pair}  # type: ignore[union-attr]
    return Cast(subjects, {"anna": 28.0, "ben": -28.0})


def gaze(actor: Actor) -> torch.Tensor:
    """Directions [T,3] of the gaze in the scene."""
    head = actor.avatar.head
    rotations = head.joint_transforms(actor.avatar.with_identity(actor.params))[0][:, [LEFT_EYE, RIGHT_EYE]]
    directions = rotations[..., 2].mean(1)
    return directions if actor.placement is None else directions @ actor.placement.rotation.T


def degrees(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(one, other, dim=-1).clamp(-1, 1).acos().rad2deg()


def test_two_actors_look_at_each_other(pair: list[Actor], camera: Camera) -> None:
    places = {name: place_of(ActorSpec(), index, 2) for index, name in enumerate(("anna", "ben"))}
    looks = [looks_of(ActorSpec(), name, places, "here") for name in places]
    assert looks == [((0.0, "ben"),), ((0.0, "anna"),)]
    moved = with_looks(pair, looks, camera, 30.0)
    for one, other in (moved, moved[::-1]):
        eyes = [actor.in_scene(eyes_of(actor.avatar, actor.params)) for actor in (one, other)]
        assert degrees(gaze(one), eyes[1] - eyes[0]).max() < 12


def test_a_target_within_reach_is_met_exactly(pair: list[Actor], camera: Camera) -> None:
    center = torch.tensor([0.0, 0.0, 1.0])
    moved = with_looks(pair, [((0.0, "camera"),), ()], camera, 30.0)
    eyes = moved[0].in_scene(eyes_of(moved[0].avatar, moved[0].params))
    assert degrees(gaze(moved[0]), center - eyes).max() < 1.5
    assert moved[1] is pair[1]


def test_eyes_turn_to_a_new_target_at_its_time(pair: list[Actor], camera: Camera) -> None:
    moved = with_looks(pair, [((0.0, "motion"), (0.5, "ben")), ()], camera, 8.0)[0]
    before = gaze(pair[0])
    assert degrees(gaze(moved)[:2], before[:2]).max() < 1
    assert degrees(gaze(moved)[6:], before[6:]).min() > 20


def test_a_motion_is_kept_and_the_face_idles_around_it(layered: Avatar, params: HeadParams) -> None:
    mixed, torso = over_scene(layered, (params, None), 30, 100, 30.0, seed=0)
    assert torso is None and len(mixed) == 100
    assert torch.equal(mixed.expression[30:38], params.expression)
    jaw = layered.head.expression_index("jawOpen")
    assert mixed.expression[30:38, jaw].min() == 1 and mixed.expression[[0, 70], jaw].max() < 0.1
    steps = mixed.expression[:, jaw].diff().abs()
    assert steps.max() < 0.15  # smooth at both ends
    assert torch.equal(over_scene(layered, (params, None), 0, 8, 30.0, seed=0)[0].expression, params.expression)


def test_cameras_frame_whom_they_show(cast: Cast) -> None:
    def extent(camera: Camera, name: str) -> tuple[float, float, float, float]:
        pixels = camera.project(cast.subjects[name].head)
        low, high = (torch.quantile(pixels, q, dim=0).tolist() for q in (0.02, 0.98))
        return low[0], high[0], low[1], high[1]

    both = placed(CameraSpec(), cast, SIZE)
    (left, left_end, top, _), (right, right_end, _, bottom) = extent(both, "anna"), extent(both, "ben")
    assert 0 < left < left_end < right < right_end < SIZE[0] and top > 0 and bottom <= SIZE[1]
    one = extent(placed(CameraSpec("front", of="ben"), cast, SIZE), "ben")
    assert one[3] - one[2] > 1.2 * (bottom - top)
    closer = extent(placed(CameraSpec("front", of="ben", zoom=2), cast, SIZE), "ben")
    assert closer[1] - closer[0] == pytest.approx(2 * (one[1] - one[0]), rel=0.05)
    shoulder = placed(CameraSpec("over-shoulder", of="ben", over="anna"), cast, SIZE)
    depths = {name: float(shoulder.to_camera(cast.subjects[name].center)[2]) for name in ("anna", "ben")}
    assert 0 < depths["anna"] < depths["ben"]


def test_shots_cut_and_move(cast: Cast) -> None:
    shots = (
        Shot(0.0, CameraSpec()),
        Shot(1.0, CameraSpec("front", of="anna"), CameraSpec("front", of="anna", zoom=1.5)),
    )
    camera = cameras(shots, cast, np.arange(20) / 10, SIZE, Path())
    poses, focals = camera.world_to_cam, camera.K[:, 0, 0]
    assert torch.equal(poses[:10], poses[:1].expand(10, 4, 4)) and not torch.equal(poses[9], poses[10])
    assert (focals[10:].diff() >= 0).all() and focals[-1] == pytest.approx(float(1.5 * focals[10]), rel=0.02)


def test_voices_start_at_their_times(tmp_path: Path) -> None:
    tone = 0.4 * np.sin(2 * math.pi * 440 * np.arange(RATE // 2) / RATE)
    path = write_wav(tmp_path / "tone.wav", tone, RATE)
    mix([(path, 0.25), (path, 1.0)], 1.25, tmp_path / "mix.wav")
    samples = np.frombuffer((tmp_path / "mix.wav").read_bytes()[44:], "<i2").reshape(-1, 2)
    assert len(samples) == round(1.25 * RATE) and np.array_equal(samples[:, 0], samples[:, 1])
    level = np.abs(samples[:, 0].astype(float)).reshape(25, -1).max(1) > 1000  # in twentieths of a second
    assert level.tolist() == [False] * 5 + [True] * 10 + [False] * 5 + [True] * 5
    mix([(path, 0.0)] * 4, 0.5, tmp_path / "loud.wav")  # louder than the format: scaled, not clipped
    loud = np.frombuffer((tmp_path / "loud.wav").read_bytes()[44:], "<i2").reshape(-1, 2)[:, 0]
    assert np.abs(loud).max() < 32767 and np.corrcoef(loud, tone)[0, 1] > 0.999
