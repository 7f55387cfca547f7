"""The frames of a video that are used and those that are held out: decided once, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.errors import HeadsplatError

#: Held-out frames at most (the INSTA convention for clips of more than 1750 frames).
MAX_TEST = 350
#: Training frames at least.
MIN_TRAINING = 16
#: Videos faster than this are thinned by a whole factor: 60 fps shows nothing an avatar needs that 30 fps does not.
_FAST = 45.0
_TARGET = 30.0


@dataclass(frozen=True)
class Split:
    """How frames are held out: the last `fraction`, the last of every `every` frames, by the `yaw`, or none."""

    fraction: float | None = None  # 0..0.9
    every: int | None = None  # 2 or more
    yaw: float | None = None  # degrees: frames whose yaw is farther from the mean are held out

    def __post_init__(self) -> None:
        if self.yaw is not None and (self.fraction is not None or self.every is not None):
            raise HeadsplatError(
                "--test-yaw and --test-fraction or --test-every: both given; hold out either views or frames"
            )
        if self.yaw is not None and not 1 <= self.yaw <= 60:
            raise HeadsplatError(
                f"--test-yaw: expected 1 to 60 degrees, got {self.yaw}; 15 trains within 15 degrees of the mean yaw"
            )
        if self.fraction is not None and self.every is not None:
            raise HeadsplatError(
                "--test-fraction and --test-every: both given; hold out either the end of the clip or every Nth frame"
            )
        if self.fraction is not None and not 0.0 <= self.fraction <= 0.9:
            raise HeadsplatError(
                f"--test-fraction: expected 0 to 0.9, got {self.fraction}; 0.2 holds out the last fifth"
            )
        if self.every is not None and self.every < 2:
            raise HeadsplatError(f"--test-every: expected 2 or more, got {self.every}; 5 holds out every fifth frame")

    @property
    def mode(self) -> str:
        """ "fraction", "every", "yaw" or "none"."""
        if self.fraction:
            return "fraction"
        if self.yaw is not None:
            return "yaw"
        return "every" if self.every else "none"

    @property
    def value(self) -> float | int | None:
        """The number that belongs to the mode."""
        return self.fraction or self.every or self.yaw

    def held_out(self, count: int) -> np.ndarray:
        """Mask [count] of held-out frames; none with `yaw`, which `split_by_yaw` applies once the yaw is known."""
        mask = np.zeros(count, dtype=bool)
        if self.fraction:
            mask[count - min(round(self.fraction * count), MAX_TEST) :] = True
        elif self.every:
            mask[self.every - 1 :: self.every] = True
        return mask


@dataclass(frozen=True)
class FramePlan:
    """The frames a capture uses, in the source's order."""

    numbers: np.ndarray  # [n] int64, source frame numbers, increasing
    is_test: np.ndarray  # [n] bool

    def __len__(self) -> int:
        return len(self.numbers)


def split_frames(count: int, fps: float, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of all frames of a video of `count` frames that may be trained on, and of those that are held out.

    Fast videos are halved (or thinned by a larger whole number), and the split is made on what remains; held-out
    frames are thinned evenly to at most 350.
    """
    step = round(fps / _TARGET) if fps > _FAST else 1
    numbers = np.arange(0, count, max(1, step), dtype=np.int64)
    mask = split.held_out(len(numbers))
    return numbers[~mask], _thin(numbers[mask], MAX_TEST)


def split_by_yaw(numbers: np.ndarray, yaw: np.ndarray, degrees: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the frames to train on, and of those to hold out: the ones whose yaw is far from the mean.

    Args:
        numbers: [n] source frame numbers, increasing.
        yaw: [n] radians.
        degrees: largest distance from the mean yaw of a training frame.
        name: of the video, for messages.

    Raises:
        HeadsplatError: no frame would be held out, or fewer than 16 would remain.
    """
    distance = np.degrees(np.abs(yaw - yaw.mean()))
    mask = distance > degrees
    if not mask.any():
        raise HeadsplatError(
            f"{name}: --test-yaw {degrees:g} holds out no frame, the yaw is at most {distance.max():.0f} degrees from "
            "its mean; give a smaller angle"
        )
    if (left := int(np.count_nonzero(~mask))) < MIN_TRAINING:
        raise HeadsplatError(
            f"{name}: --test-yaw {degrees:g} leaves {left} training frames, at least {MIN_TRAINING} are needed; give a "
            "larger angle"
        )
    return numbers[~mask], _thin(numbers[mask], MAX_TEST)


def frame_plan(training: np.ndarray, held_out: np.ndarray) -> FramePlan:
    """The plan of training and held-out frames' numbers."""
    chosen = np.concatenate([training, held_out])
    order = np.argsort(chosen)
    is_test = np.concatenate([np.zeros(len(training), bool), np.ones(len(held_out), bool)])
    return FramePlan(chosen[order].astype(np.int64), is_test[order])


def _thin(numbers: np.ndarray, most: int) -> np.ndarray:
    if len(numbers) <= most:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)]
