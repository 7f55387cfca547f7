"""An avatar that speaks: images and sound in step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.performance.agents.speaker import Speaker
from avatar.performance.speech.pcm import pcm16, samples16


@pytest.fixture
def speaker(tiny_avatar: Avatar, tmp_path: Path) -> Speaker:
    save_avatar(tmp_path / "tiny.avatar", tiny_avatar)
    return Speaker(tmp_path / "tiny.avatar", width=48, height=64, fps=30)


def test_images_come_with_the_frames_and_move_with_them(speaker: Speaker) -> None:
    async def read() -> list[np.ndarray]:
        images = []
        async for frame, image in speaker.frames():
            if frame.number == 0:
                speaker.stream.emotion({"jawOpen": 1.0}, seconds=0.1)
            images.append(image)
            if frame.number == 8:
                return images
        return []

    images = asyncio.run(read())
    assert images[0].shape == (64, 48, 3)
    assert np.abs(images[8].astype(int) - images[0]).max() > 20


def test_sound_keeps_its_samples() -> None:
    sound = np.linspace(-1, 1, 7, dtype=np.float32)
    assert np.allclose(samples16(pcm16(sound), 1)[:, 0] / 32767, sound, atol=1e-4)
    assert samples16(pcm16(sound)[:12], 2).shape == (3, 2)


def test_a_file_that_is_no_avatar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="missing"):
        Speaker(tmp_path / "missing.avatar")
