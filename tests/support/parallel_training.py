"""One of several processes of a training, for tests: `torchrun -m tests.support.parallel_training CAPTURE OUT MODE`.

Each process writes the avatar's tensors to OUT/RANK.pt. MODE: `whole`; `stop`, after some steps, with a checkpoint;
`resume`; or `lost`, the second process ends after some steps. Without torchrun the training is that of one process.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from threading import Event

import torch

from avatar.common.processes import own_rank
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.training import relocation
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.parallel import joined_processes

STEPS, STOPPED = 40, 15
CONFIG = TrainConfig(size=32, steps=STEPS, gaussians=300, batch=2, bases=2, relocate=0.1, refine_at=0.6)


def main(capture: Path, out: Path, mode: str) -> None:
    """Train and write."""
    relocation.EVERY = 10
    stop, steps = Event(), []
    if mode == "lost":  # torchrun ends the others too: whether they notice the loss first is chance
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def count(avatar: Avatar) -> None:
        steps.append(1)
        if mode == "stop" and len(steps) > STOPPED and own_rank() == 0:
            stop.set()
        if mode == "lost" and len(steps) > STOPPED and own_rank() == 1:
            os._exit(3)

    with joined_processes(torch.device("cpu")) as processes:
        result = fit(
            Capture.load(capture), load_head(), CONFIG, checkpoint=out / "checkpoint", resume=mode == "resume",
            stop=stop, snapshot=count, processes=processes,
        )  # fmt: skip
    torch.save({"state": result.avatar.state_dict(), "steps": len(steps) - 1}, out / f"{own_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
