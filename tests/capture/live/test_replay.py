"""A capture tracked again as live does, with a stand-in that knows the landmarks of every frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from capture.faces.landmarks import Landmarks
from capture.live import replay
from capture.live.identity import LearnOptions
from capture.live.replay import replayed

LEARN = LearnOptions(seconds=0.3, min_frames=8, key_frames=5)


@pytest.fixture
def head(tiny: Capture) -> HeadModel:
    return bake_identity(load_head(), torch.from_numpy(tiny.track["identity"]))


def knowing(capture: Capture, monkeypatch: pytest.MonkeyPatch, lost: tuple[int, ...] = ()) -> Capture:
    """`capture`, whose landmarks the follower knows by their time; `lost`: rows without a face."""
    known = {float(time): row for row, time in enumerate(capture.track["time"])}

    class Follower:
        def __init__(self, models: object) -> None:
            pass

        def __call__(self, rgb: np.ndarray, time: float) -> Landmarks | None:
            row = known[time]
            return None if row in lost else Landmarks(capture.track["landmarks"][row].astype(np.float64), 1.0)

    monkeypatch.setattr(replay, "LiveFollower", Follower)
    return capture


def turned(head: HeadModel, capture: Capture, rows: np.ndarray) -> torch.Tensor:
    """Rotation [T,3,3] of the skull in a replay."""
    params = replayed(head, capture, rows, learn=LEARN)
    assert params is not None and len(params) == len(rows)
    return head.skull_pose(params)[0]


def test_the_states_are_those_of_the_landmarks(tiny: Capture, head: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tiny.test_indices
    found = turned(head, knowing(tiny, monkeypatch), rows)
    true = head.skull_pose(replace(tiny.params(rows), identity=torch.zeros(0)))[0]
    cosines = ((found * true).sum((1, 2)) - 1) / 2
    assert torch.rad2deg(torch.acos(cosines.clamp(-1, 1))).median() < 3


def test_a_window_that_moves_changes_nothing(tiny: Capture, head: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = np.random.default_rng(0).normal(0, 4, (len(tiny), 2))
    landmarks = tiny.track["landmarks"].astype(np.float64)
    landmarks[..., :2] += moved[:, None]
    center = tiny.track["principal_point"] + moved
    shaken = replace(tiny, track={**tiny.track, "landmarks": landmarks, "principal_point": center})
    rows = tiny.test_indices
    still = turned(head, knowing(tiny, monkeypatch), rows)
    assert torch.allclose(turned(head, knowing(shaken, monkeypatch), rows), still, atol=1e-4)


def test_a_frame_without_a_face_keeps_the_last_state(
    tiny: Capture, head: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tiny.test_indices
    found = turned(head, knowing(tiny, monkeypatch, (int(rows[1]),)), rows)
    assert torch.equal(found[1], found[0]) and not torch.equal(found[2], found[1])


def test_without_a_face_there_are_no_states(tiny: Capture, head: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    knowing(tiny, monkeypatch, tuple(range(len(tiny))))
    assert replayed(head, tiny, tiny.test_indices, learn=LEARN) is None
