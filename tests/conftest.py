"""Fixtures shared by the whole suite."""

from __future__ import annotations

import gc
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


#: Test files that `--changed` chose; without it, none are stored.
REACHED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gate", choices=sorted(schedule.BUDGETS), help="fail a run that takes longer than this gate may")
    parser.addoption("--changed", metavar="REVISION", help="run only what the change since a revision can reach")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs with Ctrl-C ignored, and Python then keeps it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    meter = schedule.Meter()
    config.pluginmanager.register(meter)
    if hasattr(config, "workerinput"):
        schedule.take_share()
        return
    config.pluginmanager.register(schedule.Budget(config.getoption("--gate"), meter))
    if revision := config.getoption("--changed"):
        from tests.support.changed import changed_since, reached

        config.stash[REACHED] = reached(changed_since(revision))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    schedule.share_cores(len(specs))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["reached"] = node.config.stash.get(REACHED, None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    given = getattr(config, "workerinput", {}).get("reached")
    files = config.stash.get(REACHED, given)
    if files is None or not collection_path.name.startswith("test_"):
        return None
    return collection_path.relative_to(config.rootpath).as_posix() not in files or None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    # What collecting makes stays: looking for garbage in it took a third of the time of compiling and importing.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


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
    from avatar.training.config import TrainConfig
    from tests.support.build_cache import cached_avatar

    return cached_avatar("tiny_avatar", tiny, TrainConfig(size=64, steps=80, gaussians=1500, layer=False))


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
