"""Training on the tiny capture: it learns, it repeats itself, it resumes, it says what is wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path
from threading import Event
from typing import Literal

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.errors import HeadsplatError
from avatar.evaluation.protocol import evaluate
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.progress import TrainProgress
from tests.support.tiny import tiny_capture

CONFIG = TrainConfig(size=64, steps=16, gaussians=500)


def same(a: Avatar, b: Avatar) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


def test_training_beats_its_own_start_and_a_static_head(tiny: Capture, tiny_avatar: Avatar) -> None:
    untrained = fit(tiny, load_head(), TrainConfig(size=64, steps=1, gaussians=1500))
    rows = evaluate(tiny_avatar, tiny, size=64).rows
    assert rows["test"]["psnr"] > rows["static head"]["psnr"]
    assert rows["test"]["psnr"] > evaluate(untrained, tiny, size=64).rows["test"]["psnr"] + 3


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(tiny: Capture) -> None:
    first, second = (fit(tiny, load_head(), CONFIG) for _ in range(2))
    assert same(first, second)
    assert not same(first, fit(tiny, load_head(), replace(CONFIG, seed=1)))


def test_a_resumed_run_ends_in_the_same_bits(tiny: Capture, tmp_path: Path) -> None:
    whole = fit(tiny, load_head(), CONFIG)
    checkpoint, stop = tmp_path / "run.ckpt", Event()
    half = fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, stop=StopAfter(7))  # type: ignore[arg-type]
    assert not half.summary["finished"]
    rest = fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, resume=True, stop=stop)
    assert rest.summary["finished"]
    assert same(whole, rest)


#: Refines after a quarter of the run, little enough for a test, expressions too.
REFINING = replace(
    CONFIG,
    refine_at=0.25,
    refine=RefineOptions(size=64, iterations=2, expression_size=64, expression_iterations=1, training_expressions=True),
)


class StopAfter:
    """Set from the `rounds`-th look on."""

    def __init__(self, rounds: int) -> None:
        self.left = rounds

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def refining(tiny: Capture) -> Avatar:
    """An avatar of an unbroken run that refined its frames. Read only."""
    return fit(tiny, load_head(), REFINING)


@pytest.mark.parametrize(
    "rounds", [4, 7, 11, 15]
)  # a look each: four steps, a round, six parts of the refinement, steps
def test_a_run_broken_around_its_refinement_ends_in_the_same_bits(
    tiny: Capture, refining: Avatar, tmp_path: Path, rounds: int
) -> None:
    checkpoint = tmp_path / "run.ckpt"
    half = fit(tiny, load_head(), REFINING, checkpoint=checkpoint, stop=StopAfter(rounds))  # type: ignore[arg-type]
    assert (half.refined is None) == (rounds < 11)
    rest = fit(tiny, load_head(), REFINING, checkpoint=checkpoint, resume=True)
    assert same(refining, rest)
    assert rest.refined is not None and refining.refined is not None
    assert rest.refined.fingerprint == refining.refined.fingerprint


def test_refining_gives_the_track_of_the_training_frames(tiny: Capture, refining: Avatar) -> None:
    track = refining.refined
    assert track is not None and track.capture == tiny.fingerprint
    assert track.refined[tiny.train_indices].all() and not track.refined[tiny.test_indices].any()


def test_refining_is_told_in_the_summary(tiny: Capture, refining: Avatar) -> None:
    facts = refining.summary["refinement"]
    assert facts["frames"] == len(tiny.train_indices)  # type: ignore[index]
    assert facts["cost_after"] <= facts["cost_before"]  # type: ignore[index]
    json.dumps(refining.summary)


def test_refine_at_one_never_refines(tiny: Capture, refining: Avatar) -> None:
    avatar = fit(tiny, load_head(), replace(REFINING, refine_at=1.0))
    assert avatar.refined is None and "refinement" not in avatar.summary
    assert not same(refining, avatar)


def test_training_expressions_stay_the_trackers_unless_asked_for(tiny: Capture, refining: Avatar) -> None:
    poses_only = replace(REFINING.refine, training_expressions=False)
    track = fit(tiny, load_head(), replace(REFINING, steps=4, refine=poses_only)).refined
    assert track is not None and refining.refined is not None
    assert np.array_equal(track.expression, tiny.track["expression"])
    assert not np.array_equal(refining.refined.expression, tiny.track["expression"])


def test_progress_tells_the_stage(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr("avatar.training.fit.time.perf_counter", lambda: float(next(ticks)))
    stages = []
    fit(tiny, load_head(), replace(REFINING, steps=8), progress=lambda state: stages.append(state.stage))
    assert [stage for stage, _ in groupby(stages, lambda stage: stage.split()[0])] == [
        "training",
        "refining",
        "training",
    ]
    assert "refining 8 of 20" in stages


def test_a_checkpoint_of_another_run_is_refused(tiny: Capture, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.ckpt"
    stop = Event()
    stop.set()
    fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, stop=stop)
    with pytest.raises(HeadsplatError, match="checkpoint of another run"):
        fit(tiny, load_head(), replace(CONFIG, seed=5), checkpoint=checkpoint, resume=True)
    checkpoint.write_bytes(b"nonsense")
    with pytest.raises(HeadsplatError, match="damaged checkpoint"):
        fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, resume=True)


def test_progress_reports_psnr_eta_and_a_preview(tiny: Capture) -> None:
    seen: list[TrainProgress] = []
    fit(tiny, load_head(), CONFIG, progress=seen.append)
    assert seen and math.isfinite(seen[0].psnr) and seen[0].eta_seconds >= 0
    assert seen[0].preview is not None and seen[0].preview.shape == (64, 128, 3)


def test_a_second_of_wall_clock_ends_the_run(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, max_seconds=0.5, steps=10**6))
    assert 0.4 < avatar.summary["seconds_training"] < 5  # type: ignore[operator]


def test_too_few_frames_is_one_sentence(tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "few", frames=6, test_every=0)
    with pytest.raises(HeadsplatError, match="6 training frames, at least 8 are needed; capture a longer video"):
        fit(capture, load_head(), CONFIG)


def test_a_capture_of_another_head_is_refused(tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "other", frames=10)
    path = capture.root / METADATA_FILE
    facts = json.loads(path.read_text())
    facts["head"]["model_id"] = "0" * 16
    path.write_text(json.dumps(facts))
    with pytest.raises(HeadsplatError, match="tracked with another head model"):
        fit(Capture.load(capture.root), load_head(), CONFIG)


def test_what_the_video_never_shows_keeps_the_heads_colors(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, steps=1, gaussians=1500))
    teeth = avatar.head.regions["teeth_lower"][avatar.rig.triangles[:, 0]]
    assert teeth.any()
    color = avatar.colors[teeth].mean(0)
    assert color.min() > 0.3  # teeth and gums, not the gray or black of an untouched start


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"steps": 0}, "steps: expected 1 to"),
        ({"extra_share": 1.0}, "extra_share: expected 0 to 0.9, got 1"),
        ({"seed": -1}, "seed: expected 0 to"),
        ({"size": 8}, "size: 8 pixels are too few"),
        ({"max_seconds": 0.0}, "max_seconds: expected more than 0, got 0"),
    ],
)
def test_settings_out_of_range_name_the_setting(setting: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(CONFIG, **setting)


@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_a_batch_gives_the_same_bits_twice_and_learns_from_every_picture(
    tiny: Capture, mode: Literal["reduced", "expression"]
) -> None:
    config = TrainConfig(size=64, steps=12, gaussians=600, batch=3, mode=mode)
    first, second = (fit(tiny, load_head(), config).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    alone = fit(tiny, load_head(), replace(config, batch=1)).state_dict()
    assert not torch.equal(first["blendshapes.basis"], alone["blendshapes.basis"])


def test_a_batch_larger_than_the_video_takes_every_frame_once(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), TrainConfig(size=64, steps=2, gaussians=400, batch=1000))
    assert avatar.summary["steps"] == 2


def test_training_hands_back_parameters_that_can_be_trained_on(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, steps=1))
    assert all(parameter.requires_grad for parameter in avatar.parameters())


def test_a_limit_too_short_to_refine_and_train_on_leaves_the_poses_and_says_so(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(REFINING, steps=10**6, max_seconds=0.3, refine_at=0.6))
    assert avatar.refined is None
    assert "too short to refine 20 moments" in str(avatar.summary["refinement_skipped"])
