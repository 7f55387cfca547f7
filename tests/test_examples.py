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
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.motion.from_capture import motion_of
from avatar.types import Motion

PAGE = Path(__file__).parents[1] / "avatar" / "README.md"
FRAMES = 33
SIZE = 64  # pixels a side, where the page says 512
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def long_enough(motion: Motion) -> Motion:
    """The motion and its start once more, FRAMES in all: the page keeps a second of it for the resting face."""
    again = {name: torch.cat([getattr(motion, name)] * 2)[:FRAMES] for name in ("weights", "joint_rot", "translation")}
    return Motion(torch.arange(FRAMES, dtype=torch.float64) / 30, motion.names, space=motion.space, **again)


@pytest.fixture(scope="module")
def after(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names the page leaves behind; `folder` is where it ran."""
    folder = tmp_path_factory.mktemp("page")
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # the networks and minutes of training have tests of their own
        patch.setattr(capture, "run_capture", lambda video, out: tiny)
        patch.setattr(
            avatar.training.config,
            "TrainConfig",
            lambda **_: TrainConfig(size=64, steps=20, gaussians=500, refine_at=1),
        )
        save_avatar("me.avatar", tiny_avatar)
        write_motion("take.csv", long_enough(motion_of(tiny, load_head())))
        for number, block in enumerate(BLOCKS):
            exec(compile(block.replace("512", str(SIZE)), f"{PAGE.name} block {number}", "exec"), names)
    return names


def test_the_first_example_has_arrays_in_ten_lines(after: dict[str, Any]) -> None:
    assert after["splats"].means.shape == (1, len(after["me"]), 3)
    assert len(after["vertices"]) == len(after["take"].params) == FRAMES
    assert after["picture"].shape == (SIZE, SIZE, 3) and after["depth"].shape == (SIZE, SIZE)


def test_the_trained_avatar_is_on_disk(after: dict[str, Any]) -> None:
    assert len(avatar.load_avatar(after["folder"] / "trained.avatar")) == len(after["person"])


def test_the_rendered_video_has_every_frame(after: dict[str, Any]) -> None:
    with av.open(str(after["folder"] / "take.mov")) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES
    assert len(list((after["folder"] / "depth").iterdir())) == FRAMES


def test_every_export_is_there(after: dict[str, Any]) -> None:
    folder = after["folder"]
    assert all((folder / name).stat().st_size > 1000 for name in ("smile.ply", "smile.obj", "me.glb", "rig.ply"))
    assert len(list((folder / "frames").iterdir())) == FRAMES
