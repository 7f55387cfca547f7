"""A training that learns the light of the clip: stopped and resumed to the same bits, and stored."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.parts.light.head_light import HeadLight
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from tests.support.parts import required

CONFIG = TrainConfig(size=64, steps=12, gaussians=800, bases=2, refine_at=1.0, light=True)


def parts(avatar: Avatar) -> list[torch.Tensor]:
    return [value.detach() for value in avatar.state_dict().values()]


def test_a_resumed_training_has_the_same_light_and_colors(tiny: Capture, tmp_path: Path) -> None:
    whole = fit(tiny, load_head(), CONFIG).avatar
    assert whole.part(HeadLight) is not None and bool(required(whole, HeadLight).shape.isfinite().all())
    stop, steps, checkpoint = Event(), [0], tmp_path / "run.ckpt"

    def stop_later(avatar: Avatar) -> None:
        steps[0] += 1
        if steps[0] > 6:
            stop.set()

    fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, stop=stop, snapshot=stop_later)
    rest = fit(tiny, load_head(), CONFIG, checkpoint=checkpoint, resume=True).avatar
    assert all(torch.equal(one, other) for one, other in zip(parts(whole), parts(rest), strict=True))
