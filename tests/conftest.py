"""Fixtures shared by the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import schedule

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.model.avatar import Avatar
    from tests.support.pretended import Device


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs with Ctrl-C ignored, and Python then keeps it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        schedule.share_cores()
    else:
        config.pluginmanager.register(schedule.Budget())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        schedule.slow_files_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return schedule.make_scheduler(config, log)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture of 24 frames at 64 pixels with exact tracking, every fifth frame held out. Read only."""
    from tests.support.tiny import tiny_capture

    return tiny_capture(tmp_path_factory.mktemp("tiny") / "capture")


@pytest.fixture(scope="session")
def tiny_avatar(tiny: Capture) -> Avatar:
    """An avatar trained on `tiny` for a moment. Read only."""
    from avatar.head import load_head
    from avatar.training.config import TrainConfig
    from avatar.training.fit import fit

    return fit(tiny, load_head(), TrainConfig(size=64, steps=80, gaussians=1500, layer=False)).avatar.requires_grad_(
        False
    )


@pytest.fixture
def gpu() -> Iterator[Device]:
    """A GPU that is not there: `cuda:0` in this test, see `tests.support.pretended`."""
    from tests.support.emulated import CannotBuild, load_emulated
    from tests.support.pretended import pretended_gpu

    try:
        load_emulated()
    except CannotBuild as error:
        pytest.skip(str(error))
    with pretended_gpu() as device:
        yield device


@pytest.fixture
def clips() -> Path:
    """The folder of local clips beside the checkout; the test is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips"
    if not folder.is_dir():
        pytest.skip("the local clips (../shared/data/clips) are not on this machine")
    return folder
