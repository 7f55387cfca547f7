"""nvdiffrast and tiny-cuda-nn in whole trainings and renderings: stand-ins on the pretended GPU; crashing checks."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.ops import package_check, packages, self_check
from avatar.rendering.backends import Rasterizer
from avatar.rendering.passes import PASSES
from avatar.rendering.settings import RenderSettings
from avatar.training import trainer
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.video.offline_render import render_frames
from tests.support import nvdiffrast_stand_in, tinycudann_stand_in
from tests.support.pretended import GPU, Device
from tests.system.emulator.test_training import bits, psnr, trainer_of
from tests.system.emulator.test_video import TOLERANCE, avatar, column_of, small

__all__ = ["avatar", "small"]

RASTERIZERS: tuple[Rasterizer, ...] = ("native", "own")
TINY = TrainConfig(size=32, steps=4, gaussians=300, refine_at=1.0)


@pytest.fixture
def unchecked(gpu: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The pretended GPU with no result of a check; the checks run on it in this process, without a second stream."""
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    monkeypatch.setattr(packages, "_proofs", {})
    monkeypatch.setattr(packages, "describe", lambda *_: {"name": "pretended"})
    monkeypatch.setattr(packages, "run_check", lambda name, device: package_check.main([name, str(device)]))
    monkeypatch.setattr(self_check, "_side_stream", lambda _: nullcontext())
    yield


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("offsets", ["hash", "bases"])
def test_a_training_with_other_packages_gives_the_avatar_of_our_ops(
    small: Capture, monkeypatch: pytest.MonkeyPatch, offsets: str
) -> None:
    config = replace(TINY, offsets=offsets)
    monkeypatch.setattr(trainer, "graphed_steps", lambda *_: None)  # no graph: a graph has our ops only
    own = fit(small, load_head(), replace(config, rasterizer="own"), device="cuda")
    with nvdiffrast_stand_in.installed() as meshes, tinycudann_stand_in.installed() as networks:
        theirs = fit(small, load_head(), config, device="cuda")
        assert [packages.state_of(name, GPU) for name in packages.PACKAGES] == [
            f"{name}, unless --rasterizer own" for name in packages.PACKAGES
        ]
    assert meshes.calls > TINY.steps and networks.calls > TINY.steps
    assert psnr(theirs) == pytest.approx(psnr(own), abs=0.1)
    assert bits(theirs) != bits(own)
    assert {name: len(value) for name, value in bits(theirs).items()} == {n: len(v) for n, v in bits(own).items()}


@pytest.mark.usefixtures("unchecked")
def test_the_steps_of_a_graph_are_made_by_our_own_ops(small: Capture) -> None:
    with nvdiffrast_stand_in.installed() as meshes, tinycudann_stand_in.installed() as networks:
        training = trainer_of(small, TINY)
        assert training.graph is not None
        with ops.other_packages():
            training.initialize()
            before = meshes.calls
            for _ in range(3):
                training.step(0.0)
    assert before and meshes.calls == before and not networks.calls


@pytest.mark.usefixtures("unchecked")
def test_every_pass_with_nvdiffrast_is_that_of_our_rasterizer(avatar: Avatar, small: Capture) -> None:
    column = column_of(copy.deepcopy(avatar), small, 48, 40).to(GPU)
    settings = RenderSettings(48, 40, passes=PASSES)
    with nvdiffrast_stand_in.installed() as meshes:
        (expected,) = render_frames([column], replace(settings, rasterizer="own"), [0])
        assert not meshes.calls
        (found,) = render_frames([column], settings, [0])
        assert meshes.calls
    for name, tolerance in TOLERANCE.items():
        difference = np.abs(found[name].astype(np.float64) - expected[name])
        assert np.quantile(difference, 0.999) <= tolerance, name


@pytest.mark.usefixtures("unchecked")
def test_frames_of_a_graph_are_rendered_by_our_own_ops(avatar: Avatar, small: Capture) -> None:
    column = column_of(copy.deepcopy(avatar), small, 32, 32).to(GPU)
    with nvdiffrast_stand_in.installed() as meshes:
        found, expected = (
            list(render_frames([column], RenderSettings(32, 32, rasterizer=rasterizer), [0, 1, 0, 1]))
            for rasterizer in RASTERIZERS
        )
    assert not meshes.calls
    assert all(np.array_equal(one["rgb"], other["rgb"]) for one, other in zip(found, expected, strict=True))


@pytest.mark.usefixtures("unchecked")
def test_a_training_with_faulty_packages_has_the_bits_of_our_ops(
    small: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(TINY, offsets="hash", steps=2)
    own = fit(small, load_head(), replace(config, rasterizer="own"), device="cuda")
    flipped = nvdiffrast_stand_in.installed(nvdiffrast_stand_in.flipped)
    with flipped, tinycudann_stand_in.installed(prime=3), caplog.at_level(logging.WARNING):
        theirs = fit(small, load_head(), config, device="cuda")
    messages = [record.getMessage() for record in caplog.records if "headsplat's own" in record.getMessage()]
    assert [message.split(" differs")[0] for message in sorted(messages)] == [
        "nvdiffrast fails its self-check on cuda:0: mesh",
        "tinycudann fails its self-check on cuda:0: hash grid",
    ]
    assert bits(theirs) == bits(own)


def test_a_check_that_crashes_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inner = tmp_path / "nvdiffrast" / "torch.py"
    inner.parent.mkdir()
    inner.write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    crashed = packages.run_check("nvdiffrast", torch.device("cpu"))
    assert crashed == "nvdiffrast: its self-check on cpu ended with exit code -6"
    inner.write_text("raise OSError('no compiler')\n")
    raised = packages.run_check("nvdiffrast", torch.device("cpu"))
    assert raised == "nvdiffrast fails its self-check on cpu: mesh fails: no compiler, and 1 more fail"
