"""Training on the tiny capture: quality, reproducibility, resuming, and errors."""

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
from avatar.driving.trained_range import TrainedRange
from avatar.errors import HeadsplatError
from avatar.evaluation.protocol import evaluate
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.progress import FINISHING, PREPARING, TrainProgress
from avatar.training.report import TrainResult
from tests.support.stop_after import StopAfter
from tests.support.tiny import tiny_capture

CONFIG = TrainConfig(size=64, steps=16, gaussians=500)


def same(a: Avatar, b: Avatar) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


def test_training_beats_its_own_start_and_a_static_head(tiny: Capture, tiny_avatar: Avatar) -> None:
    untrained = fit(tiny, load_head(), TrainConfig(size=64, steps=1, gaussians=1500)).avatar
    rows = evaluate(tiny_avatar, tiny, size=64, full=True).rows
    assert rows["driven"]["psnr"] > rows["static head"]["psnr"]
    assert rows["driven"]["psnr"] > evaluate(untrained, tiny, size=64).rows["driven"]["psnr"] + 3


@pytest.fixture(scope="module")
def whole(tiny: Capture) -> Avatar:
    """An avatar of an unbroken run with CONFIG. Read only."""
    return fit(tiny, load_head(), CONFIG).avatar


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(tiny: Capture, whole: Avatar) -> None:
    assert same(whole, fit(tiny, load_head(), CONFIG).avatar)
    assert not same(whole, fit(tiny, load_head(), replace(CONFIG, seed=1)).avatar)


def test_a_resumed_run_gives_the_same_bits(tiny: Capture, whole: Avatar, tmp_path: Path) -> None:
    checkpoint, stop = tmp_path / "run.ckpt", Event()
    half = fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, stop=StopAfter(7))  # type: ignore[arg-type]
    assert not half.report.finished
    rest = fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, resume=True, stop=stop)
    assert rest.report.finished
    assert same(whole, rest.avatar)


#: With a short refinement, expressions included, after a quarter of the run.
REFINING = replace(
    CONFIG,
    refine_at=0.25,
    refine=RefineOptions(size=64, iterations=2, expression_size=64, expression_iterations=1, training_expressions=True),
)


@pytest.fixture(scope="module")
def refining(tiny: Capture) -> TrainResult:
    """The result of an uninterrupted run with refinement. Read only."""
    return fit(tiny, load_head(), REFINING)


# Checks of the event: one before each of four steps, one before the refinement, eight in it, one before each later
# step.
@pytest.mark.parametrize("checks", [4, 7, 13, 17])
def test_a_run_interrupted_around_its_refinement_gives_the_same_bits(
    tiny: Capture, refining: TrainResult, tmp_path: Path, checks: int
) -> None:
    checkpoint = tmp_path / "run.ckpt"
    half = fit(tiny, load_head(), REFINING, checkpoint=checkpoint, stop=StopAfter(checks))  # type: ignore[arg-type]
    assert (half.refined_track is None) == (checks < 13)
    rest = fit(tiny, load_head(), REFINING, checkpoint=checkpoint, resume=True)
    assert same(refining.avatar, rest.avatar)
    assert rest.refined_track is not None and refining.refined_track is not None
    assert rest.refined_track.fingerprint == refining.refined_track.fingerprint


def test_the_refined_track_has_the_training_frames(tiny: Capture, refining: TrainResult) -> None:
    track = refining.refined_track
    assert track is not None and track.capture == tiny.fingerprint
    assert track.refined[tiny.train_indices].all() and not track.refined[tiny.test_indices].any()


def test_the_provenance_has_the_figures_of_the_refinement(tiny: Capture, refining: TrainResult) -> None:
    figures = refining.avatar.provenance["refinement"]
    assert figures["frames"] == len(tiny.train_indices)
    assert figures["cost_after"] <= figures["cost_before"]
    json.dumps(refining.avatar.provenance)


def test_the_report_has_the_figures_of_the_provenance(tiny: Capture, refining: TrainResult) -> None:
    figures, report = refining.avatar.provenance, refining.report
    assert (report.steps, report.train_psnr, report.seconds) == (16, figures["train_psnr"], figures["seconds"])
    assert report.refinement is not None and report.refinement.cost == (
        figures["refinement"]["cost_before"],
        figures["refinement"]["cost_after"],
    )
    assert report.to_text().startswith("avatar: ") and report.named("me.avatar").to_text().startswith("me.avatar: ")


def test_refine_at_one_never_refines(tiny: Capture, refining: TrainResult) -> None:
    result = fit(tiny, load_head(), replace(REFINING, refine_at=1.0))
    assert result.refined_track is None and "refinement" not in result.avatar.provenance
    assert result.report.refinement is None
    assert not same(refining.avatar, result.avatar)


def test_training_expressions_stay_the_trackers_by_default(tiny: Capture, refining: TrainResult) -> None:
    poses_only = replace(REFINING.refine, training_expressions=False)
    track = fit(tiny, load_head(), replace(REFINING, steps=4, refine=poses_only)).refined_track
    assert track is not None and refining.refined_track is not None
    assert np.array_equal(track.expression, tiny.track["expression"])
    assert not np.array_equal(refining.refined_track.expression, tiny.track["expression"])


def test_progress_names_the_stage(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr("avatar.training.fit.time.perf_counter", lambda: float(next(ticks)))
    seen: list[TrainProgress] = []
    fit(tiny, load_head(), replace(REFINING, steps=8), progress=seen.append)
    stages = [state.stage for state in seen if state.phase == "training"]
    assert [stage for stage, _ in groupby(stages, lambda stage: stage.split()[0])] == [
        "training",
        "refining",
        "training",
    ]
    assert "refining 8 of 20" in stages
    assert [state.stage for state in seen if state.phase == "preparing"] == list(PREPARING)
    assert [state.stage for state in seen if state.phase == "finishing"] == list(FINISHING)
    assert [phase for phase, _ in groupby(state.phase for state in seen)] == ["preparing", "training", "finishing"]
    assert all(math.isfinite(state.eta_seconds) for state in seen if state.phase == "training")
    for _, states in groupby(seen, lambda state: state.phase):
        work = [state.work for state in states]
        assert work == sorted(work) and work[0] >= 0 and work[-1] <= 1


def test_progress_does_not_change_the_result(tiny: Capture, refining: TrainResult) -> None:
    seen: list[TrainProgress] = []
    assert same(fit(tiny, load_head(), REFINING, progress=seen.append).avatar, refining.avatar)
    assert seen


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
    seen = [state for state in seen if state.phase == "training"]
    assert seen and math.isfinite(seen[0].psnr) and seen[0].eta_seconds >= 0
    assert seen[0].preview is not None and seen[0].preview.shape == (64, 128, 3)


def test_a_second_of_wall_clock_ends_the_run(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, max_seconds=0.5, steps=10**6)).avatar
    assert 0.4 < avatar.provenance["seconds_training"] < 5


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "few", frames=6, test_every=0)
    with pytest.raises(HeadsplatError, match="6 training frames, at least 8 are needed; capture a longer"):
        fit(capture, load_head(), CONFIG)


@pytest.mark.parametrize("frames", [1, 3])
def test_few_frames_are_enough_without_blendshapes(tmp_path: Path, frames: int) -> None:
    capture = tiny_capture(tmp_path / "few", frames=frames, test_every=0)
    avatar = fit(capture, load_head(), replace(CONFIG, bases=0)).avatar
    assert avatar.blendshapes.basis.shape[0] == 0
    trained = TrainedRange.of(avatar)
    assert bool((trained.low <= 0).all()) and bool((trained.high >= 1).all())
    wide = avatar.head.neutral_params(1)
    wide.expression[:, avatar.head.expression_index("jawOpen")] = 1.0
    assert trained(wide).expression.max() == pytest.approx(1.0)


def test_a_capture_of_another_head_is_refused(tmp_path: Path) -> None:
    capture = tiny_capture(tmp_path / "other", frames=10)
    path = capture.root / METADATA_FILE
    metadata = json.loads(path.read_text())
    metadata["head"]["model_id"] = "0" * 16
    path.write_text(json.dumps(metadata))
    with pytest.raises(HeadsplatError, match="tracked with another head model"):
        fit(Capture.load(capture.root), load_head(), CONFIG)


def test_gaussians_that_the_video_never_shows_keep_the_colors_of_the_head(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, steps=1, gaussians=1500, layer=False)).avatar
    teeth = avatar.head.regions["teeth_lower"][avatar.rig.triangles[:, 0]]
    assert teeth.any()
    color = avatar.colors[teeth].mean(0)
    assert color.min() > 0.3  # the color of teeth and gums, not gray or black


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 0}, "steps: expected 1 to"),
        ({"extra_share": 1.0}, "extra_share: expected 0 to 0.9, got 1"),
        ({"seed": -1}, "seed: expected 0 to"),
        ({"size": 8}, "size: expected 32 to 4096, got 8"),
        ({"max_seconds": 0.0}, "max_seconds: expected more than 0 and at most 31536000, got 0"),
    ],
)
def test_errors_of_settings_out_of_range_name_the_setting(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **setting)


@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_a_batch_is_reproducible_and_differs_from_single_images(
    tiny: Capture, mode: Literal["reduced", "expression"]
) -> None:
    config = TrainConfig(size=64, steps=12, gaussians=600, batch=3, mode=mode)
    first, second = (fit(tiny, load_head(), config).avatar.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    single = fit(tiny, load_head(), replace(config, batch=1)).avatar.state_dict()
    assert not torch.equal(first["blendshapes.basis"], single["blendshapes.basis"])


def test_a_batch_larger_than_the_video_has_every_frame_once(tiny: Capture) -> None:
    result = fit(tiny, load_head(), TrainConfig(size=64, steps=2, gaussians=400, batch=1000))
    assert result.report.steps == 2


def test_parameters_of_a_trained_avatar_require_gradients(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), replace(CONFIG, steps=1)).avatar
    assert all(parameter.requires_grad for parameter in avatar.parameters())


def test_a_time_limit_too_short_for_the_refinement_skips_it_with_a_reason(tiny: Capture) -> None:
    result = fit(tiny, load_head(), replace(REFINING, steps=10**6, max_seconds=0.3, refine_at=0.6))
    assert result.refined_track is None
    assert "too short to refine 20 time steps" in result.avatar.provenance["refinement_skipped"]
