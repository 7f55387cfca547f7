"""`torchrun ... headsplat train`: processes train an avatar together; the first one alone prints and writes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.common.processes import local_device, started_processes
from avatar.errors import HeadsplatError
from avatar.jobs.parsing import requested_device
from avatar.training.config import TrainConfig

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

    from avatar.data.capture_folder import Capture
    from avatar.training.parallel import Processes


def training_device(name: str) -> torch.device:
    """The device of this process for --device.

    Raises:
        HeadsplatError: see `requested_device`; or several processes with `auto`, which might choose different devices.
    """
    if started_processes() > 1 and name == "auto":
        raise HeadsplatError("--device auto: several processes need one kind of device; give --device cuda or cpu")
    return requested_device(local_device(name))


def check_together(folder: Path | None, view: bool) -> None:
    """Raise HeadsplatError for what several processes cannot do together."""
    if started_processes() == 1:
        return
    if folder is None:
        raise HeadsplatError("torchrun: several processes train on one capture; run `headsplat capture` first")
    if view:
        raise HeadsplatError("torchrun: several processes have no window; leave out --view")


def together(device: torch.device) -> AbstractContextManager[Processes | None]:
    """The processes of this training, joined until the block ends; None if there is only this one."""
    if started_processes() == 1:
        return nullcontext()
    from avatar.training.parallel import joined_processes

    return joined_processes(device)


def train_share(
    capture: Capture,
    settings: TrainConfig,
    checkpoint: Path,
    device: torch.device,
    *,
    resume: bool,
    head: str | None = None,
    others: Sequence[Capture] = (),
) -> None:
    """Train as one of the processes that neither print nor write; a signal to stop is the first process's to follow.

    Args:
        capture: a finished capture.
        settings: the same as those of the first process.
        checkpoint: to resume from.
        device: of this process.
        resume: continue from the checkpoint.
        head: path or name of the head model; None: the one that the metadata of the capture names.
        others: further recordings, as for `fit`.
    """
    from avatar.data.capture_head import head_of
    from avatar.training.fit import fit

    with _without_signals(), together(device) as processes:
        fit(
            capture, head_of(capture, head), settings, checkpoint=checkpoint, resume=resume, device=device,
            processes=processes, others=others,
        )  # fmt: skip


@contextmanager
def _without_signals() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM in the block, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
