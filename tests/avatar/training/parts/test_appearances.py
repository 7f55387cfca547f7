"""Training on several recordings: each look rebuilds its own frames, recordings must fit each other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest
import torch

from avatar.data.capture_folder import METADATA_FILE, TRACK_FILE, Capture
from avatar.data.recordings import (
    check_recordings,
    fit_to_size,
    frames_of,
    join_recordings,
    recording_entries,
    with_baked_identity,
)
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.evaluation.protocol import evaluate
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.jobs.appearance import appearance_of
from avatar.jobs.training import TrainJob
from avatar.model.avatar import bake_identity
from avatar.model.avatar_file import read_avatar, save_avatar
from avatar.model.parts.appearance import Appearances, with_appearance
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import HeadParams
from tests.support.parts import required
from tests.support.stop_after import StopAfter

CONFIG = TrainConfig(size=64, steps=80, gaussians=600, layer=False, refine_at=1.0)


def tinted(capture: Capture, root: Path) -> Capture:
    """A copy of a capture with its images much redder, and another fingerprint."""
    shutil.copytree(capture.root, root)
    for path in (root / "frames").iterdir():
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), (image * np.array([0.3, 0.5, 1.0])).astype(np.uint8))
    track = dict(np.load(root / TRACK_FILE))
    np.savez(root / TRACK_FILE, **{**track, "translation": track["translation"] + 1e-5})
    return Capture.load(root)


@pytest.fixture(scope="module")
def red(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tinted(tiny, tmp_path_factory.mktemp("looks") / "red.capture")


@pytest.mark.slow
def test_each_appearance_rebuilds_its_own_recording(tiny: Capture, red: Capture, tmp_path: Path) -> None:
    result = fit(tiny, load_head(), CONFIG, others=[red])
    save_avatar(tmp_path / "me.avatar", result.avatar)
    header, avatar = read_avatar(tmp_path / "me.avatar")
    assert avatar.part(Appearances) is not None and required(avatar, Appearances).names == ("capture", "red")
    assert appearance_of(header, red) == "red" and appearance_of(header, tiny) == "capture"
    looks = {name: with_appearance(avatar, {name: 1}) for name in required(avatar, Appearances).names}
    for own, other, capture in (("capture", "red", tiny), ("red", "capture", red)):
        scores = {
            name: evaluate(looks[name], capture, size=64, refine=None).rows["driven"]["psnr"] for name in (own, other)
        }
        assert scores[own] > scores[other] + 3


def test_a_resumed_run_gives_the_same_bits(tiny: Capture, red: Capture, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=16, gaussians=500)
    whole = fit(tiny, load_head(), config, others=[red]).avatar.state_dict()
    path = tmp_path / "run.checkpoint"
    fit(tiny, load_head(), config, others=[red], checkpoint=path, stop=StopAfter(7))  # type: ignore[arg-type]
    rest = fit(tiny, load_head(), config, others=[red], checkpoint=path, resume=True, stop=Event()).avatar.state_dict()
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
    with pytest.raises(HeadsplatError, match="checkpoint of another run"):
        fit(tiny, load_head(), config, checkpoint=path, resume=True)


def test_frames_of_another_size_are_brought_to_the_first(tiny: Capture, red: Capture) -> None:
    head = bake_identity(load_head(), torch.from_numpy(np.asarray(tiny.track["identity"], np.float32)))
    first, second = (load_frames(each, each.train_indices, 64, head) for each in (tiny, red))
    both = join_recordings([first, fit_to_size(second, 48, 32)])
    assert both.rgb.shape == (len(first) + len(second), 64, 64, 3)
    assert torch.allclose(both.camera.K[-1], second.camera.K[-1], rtol=1e-5)
    assert (np.diff(both.time) > 0).all()
    part, span = frames_of(both, 1)
    assert span == slice(len(first.states), len(both.states)) and part.recording is None
    assert torch.equal(part.step, second.step) and torch.equal(part.rotation, second.rotation)


def test_poses_of_a_larger_head_keep_the_face_in_place(tiny: Capture) -> None:
    head, rows = load_head(), np.arange(len(tiny))
    params, camera = tiny.params(rows), tiny.camera(64, rows)
    own = bake_identity(head, params.identity)
    larger = replace(own, v_template=1.1 * own.v_template + torch.tensor([0.0, 0.01, 0.0]))
    moved = with_baked_identity(tiny, larger, head).params(rows)

    def centers(model: HeadModel, posed: HeadParams) -> torch.Tensor:
        points = model.landmarks(model.vertices(replace(posed, identity=torch.zeros(0))))
        seen = camera.to_camera(points)
        return (seen[..., :2] / seen[..., 2:]).mean(1) * 1.9 * 64

    before = centers(own, params)
    assert (centers(larger, params) - before).norm(dim=1).max() > 1.0  # pixels
    assert (centers(larger, moved) - before).norm(dim=1).max() < 0.1


def test_recordings_must_fit_each_other(tiny: Capture, red: Capture, tmp_path: Path) -> None:
    assert [entry.name for entry in recording_entries([tiny, red])] == ["capture", "red"]
    with pytest.raises(HeadsplatError, match="the same recording"):
        check_recordings([tiny, tiny])
    with pytest.raises(HeadsplatError, match="at most 8"):
        check_recordings([tiny] * 9)
    shutil.copytree(red.root, tmp_path / "other")
    metadata = json.loads((tmp_path / "other" / METADATA_FILE).read_text())
    metadata["head"]["model_id"] = "x"
    (tmp_path / "other" / METADATA_FILE).write_text(json.dumps(metadata))
    with pytest.raises(HeadsplatError, match="another head model"):
        check_recordings([tiny, Capture.load(tmp_path / "other")])


def test_folders_and_files_are_not_mixed(tiny: Capture, tmp_path: Path) -> None:
    (tmp_path / "front.jpg").touch()
    job = TrainJob((tiny.root, tmp_path / "front.jpg"), tmp_path / "me.avatar")
    with pytest.raises(HeadsplatError, match="a folder among files"):
        job.run()
