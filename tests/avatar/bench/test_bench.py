"""The benchmark's scene, grid, timers and comparison."""

from __future__ import annotations

import time

import pytest
import torch

import cuda_ext
from avatar import ops
from avatar.bench import Grid, head_scene
from avatar.bench.run import Case, psnr
from avatar.bench.timing import Effort, measure, split, summary
from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.ops.backend import native_for

needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
CPU = torch.device("cpu")


@needs_native
def test_head_shell_covers_36_percent_of_the_image() -> None:
    from avatar.bench.stages import render

    alpha = render(head_scene(50_000, 512, 4)).alpha
    assert float((alpha > 0).float().mean()) == pytest.approx(0.36, abs=0.02)


@needs_native
def test_images_of_a_batch_differ_and_the_first_is_the_single_one() -> None:
    from avatar.bench.stages import render

    scene = head_scene(2_000, 64, 4)
    one, three = render(scene.repeated(1)).rgb, render(scene.repeated(3)).rgb
    assert (one[0] - three[0]).abs().max() < 1 / 255
    assert (three[0] - three[1]).abs().mean() > 0.005
    assert (three[1] - three[2]).abs().mean() > 0.005


@needs_native
def test_a_training_step_changes_every_parameter() -> None:
    from avatar.bench.stages import TrainingStep

    step = TrainingStep(head_scene(2_000, 64, 4, sh_degree=3))
    before = {name: leaf.detach().clone() for name, leaf in step.leaves.items()} | {"basis": step.basis.clone()}
    step()
    after = step.leaves | {"basis": step.basis}
    assert {name for name, value in before.items() if not torch.equal(value, after[name])} == set(before)


def test_the_quick_grid_varies_one_axis_at_a_time() -> None:
    default, *others = Grid((1000, 50_000), (512, 1024), (1, 8), (0,), (20,)).one_axis_cases()
    assert default == Case(50_000, 512, 1, 0, 20)
    assert others == [Case(1000, 512, 1, 0, 20), Case(50_000, 1024, 1, 0, 20), Case(50_000, 512, 8, 0, 20)]


def test_the_full_grid_is_every_combination() -> None:
    assert len(set(Grid().product())) == 4 * 2 * 3 * 2 * 2


@needs_native
def test_the_step_of_a_training_trains_a_copy_of_the_avatar(tiny: Capture, tiny_avatar: Avatar) -> None:
    from avatar.bench.trainer_step import TrainerStep, frames_of

    before = {name: value.detach().clone() for name, value in tiny_avatar.named_parameters()}
    camera = tiny.camera(64)
    frames = frames_of(tiny_avatar, camera)
    assert 10 < frames.alpha.float().mean() < 245
    assert not torch.equal(frames.rgb[0], frames.rgb[1])
    step = TrainerStep(tiny_avatar, camera, CPU)
    step()
    trained = dict(step.trainer.avatar.named_parameters())
    assert {name for name, value in trained.items() if not torch.equal(value, before[name])} >= {"offsets", "colors"}
    assert all(torch.equal(value, before[name]) for name, value in tiny_avatar.named_parameters())


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    timing = summary([float(k) for k in range(100, 0, -1)])
    assert (timing.p10, timing.median, timing.p90, timing.repeats) == (10, 50, 90, 100)


def test_calls_are_repeated_until_the_time_is_over_or_the_maximum_is_reached() -> None:
    timing = measure(lambda: time.sleep(0.002), CPU, Effort(0, 3, 5, 10.0))
    assert timing.repeats == 5
    assert timing.median >= 2


@needs_native
def test_the_split_names_the_kernels_and_adds_up_to_the_whole() -> None:
    pair = [torch.rand(1, 64, 64, 3) for _ in range(2)]
    before = native_for(pair[0])
    parts = split(lambda: ops.ssim(*pair), CPU, Effort(1, 1, 1, 0.0))
    assert set(parts) == {"ssim", "rest", "all"}
    assert parts["ssim"].median + parts["rest"].median == pytest.approx(parts["all"].median)
    assert native_for(pair[0]) is before


def test_psnr_of_images() -> None:
    image = torch.zeros(1, 4, 4, 3)
    assert psnr(image, image) == float("inf")
    assert psnr(image + 0.01, image) == pytest.approx(40.0, abs=1e-4)
