"""The Python in avatar/README.md does what it says: each block is run, in order, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av
import pytest
import torch

import avatar
import capture
from avatar import TrainConfig, save_avatar, write_motion
from avatar.captured import Capture
from avatar.model import Avatar
from avatar.motion.from_capture import motion_of
from avatar.head import load_head
from avatar.records import Motion

PAGE = Path(avatar.__file__).with_name("README.md")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def long_enough(motion: Motion) -> Motion:
    """The motion twice over: the page keeps a second of it for the resting face."""
    names = ("weights", "joint_rot", "translation")
    twice = {name: torch.cat([getattr(motion, name)] * 2) for name in names}
    time = torch.arange(2 * len(motion), dtype=torch.float64) / 30
    return Motion(time, motion.names, space=motion.space, **twice)


@pytest.fixture(scope="module")
def after(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names the page leaves behind; `folder` is where it ran."""
    folder = tmp_path_factory.mktemp("page")
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # the networks and minutes of training have tests of their own
        patch.setattr(capture, "run_capture", lambda video, out: tiny)
        patch.setattr(avatar.train_config, "TrainConfig", lambda **_: TrainConfig(size=64, steps=20, gaussians=500))
        save_avatar("me.avatar", tiny_avatar)
        write_motion("take.csv", long_enough(motion_of(tiny, load_head())))
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"{PAGE.name} block {number}", "exec"), names)
    return names


def test_the_first_example_has_arrays_in_ten_lines(after: dict[str, Any], tiny: Capture) -> None:
    assert after["splats"].means.shape == (1, len(after["me"]), 3)
    assert len(after["vertices"]) == len(after["take"].params) == 2 * len(tiny)
    assert after["picture"].shape == (512, 512, 3) and after["depth"].shape == (512, 512)


def test_the_trained_avatar_is_on_disk(after: dict[str, Any]) -> None:
    assert len(avatar.load_avatar(after["folder"] / "trained.avatar")) == len(after["person"])


def test_the_rendered_video_has_every_frame(after: dict[str, Any], tiny: Capture) -> None:
    with av.open(str(after["folder"] / "take.mov")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 2 * len(tiny)
    assert len(list((after["folder"] / "depth").iterdir())) == 2 * len(tiny)


def test_every_export_is_there(after: dict[str, Any], tiny: Capture) -> None:
    folder = after["folder"]
    assert all((folder / name).stat().st_size > 1000 for name in ("smile.ply", "smile.obj", "me.glb", "rig.ply"))
    assert len(list((folder / "frames").iterdir())) == 2 * len(tiny)
