"""Evaluation on a device: the figures of the CPU, and nothing that mixes devices, on the pretended GPU."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.evaluation.landmarks import Landmarker
from avatar.evaluation.protocol import evaluate
from avatar.evaluation.report import Report
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.refine.options import RefineOptions
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.report import TrainResult
from tests.support.pretended import GPU, Device
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture of 12 frames at 32 pixels, 3 of them held out."""
    return tiny_capture(tmp_path_factory.mktemp("small") / "capture", frames=12, size=32, test_every=4)


@pytest.fixture(scope="module")
def trained(small: Capture) -> TrainResult:
    """An avatar of 300 Gaussians, trained on refined poses."""
    return fit(small, load_head(), TrainConfig(size=32, steps=60, gaussians=300, layer=False, refine_at=0.5))


def as_tracked(image: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Finds the face where it is expected."""
    return start


def report_of(avatar: Avatar, capture: Capture, trained: TrainResult, folder: Path) -> Report:
    return evaluate(
        avatar, capture, size=32, refine=RefineOptions(), track=trained.refined_track, save_images=folder,
        landmarker=Landmarker(as_tracked), full=True,
    )  # fmt: skip


def test_a_device_gives_the_figures_of_the_cpu(
    gpu: Device, small: Capture, trained: TrainResult, tmp_path: Path
) -> None:
    on_cpu = report_of(trained.avatar, small, trained, tmp_path / "cpu")
    on_gpu = report_of(copy.deepcopy(trained.avatar).to(GPU), small, trained, tmp_path / "gpu")
    assert set(on_gpu.rows) == set(on_cpu.rows) >= {"driven", "refined", "train", "textured mesh"}
    for row, figures in on_cpu.rows.items():
        for name, value in figures.items():
            assert on_gpu.rows[row][name] == pytest.approx(value, abs=0.1, nan_ok=True), (row, name)
    assert on_gpu.metadata.response is not None and on_cpu.metadata.response is not None
    assert on_gpu.metadata.response.jaw_error == pytest.approx(on_cpu.metadata.response.jaw_error, abs=1e-3)
    images = [
        sorted(path.relative_to(tmp_path / side) for path in (tmp_path / side).rglob("*.png"))
        for side in ("cpu", "gpu")
    ]
    assert images[0] == images[1] and len(images[0]) == 27
