"""The video of the demo in the package is what the synthetic person's renderer draws today."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from capture.synthetic import SyntheticOptions, SyntheticScene
from capture.synthetic.video import DEMO_CLIP

CHECKED = range(9, 240, 20)
#: H.264 at this quality blurs hair and takes the sensor's noise away: compared are means of blocks of so many pixels.
BLOCK = 12
#: Levels of 255 on average and in the worst block: the clip has 1.4 to 2.2 and at most 13. The renderer's own last bits
#: differ between processors, and FFmpeg's versions convert colors differently, by less than a level.
MEAN, WORST = 3.0, 20.0
APART = 3  # frames: a tenth of a second, in which the person has moved


def blocks(frame: np.ndarray) -> np.ndarray:
    """Means of the blocks of a frame."""
    size = (frame.shape[1] // BLOCK, frame.shape[0] // BLOCK)
    return np.asarray(cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    with av.open(str(DEMO_CLIP)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return SyntheticScene(SyntheticOptions())


def test_the_clip_has_the_length_and_size_of_the_default_options(clip: list[np.ndarray]) -> None:
    options = SyntheticOptions()
    assert len(clip) == options.frames
    assert {frame.shape for frame in clip} == {(options.height, options.width, 3)}
    with av.open(str(DEMO_CLIP)) as file:
        assert file.streams.video[0].average_rate == options.fps


def test_the_clip_is_smaller_than_a_megabyte() -> None:
    assert DEMO_CLIP.stat().st_size < 1_000_000


@pytest.mark.parametrize("index", CHECKED)
def test_the_clip_shows_what_is_drawn(clip: list[np.ndarray], scene: SyntheticScene, index: int) -> None:
    drawn = blocks(scene.frame(index))
    before, same, after = (np.abs(blocks(clip[index + by]) - drawn) for by in (-APART, 0, APART))
    assert same.mean() < MEAN
    assert same.max() < WORST
    assert same.mean() < min(before.mean(), after.mean())
