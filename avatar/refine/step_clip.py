"""The step tracker over the frames of one camera, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from avatar import ops
from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.model.avatar import Avatar
from avatar.refine.step import StepTracker
from avatar.types import HeadParams


@dataclass(frozen=True)
class SteppedClip:
    """The states of a clip, each corrected by the frames up to its own."""

    states: HeadStates  # [S]
    correlation: float  # median over frames, of frame and render over the face


def step_clip(
    avatar: Avatar, frames: TrainingFrames, progress: Callable[[int, int], None] | None = None
) -> SteppedClip:
    """The states of `frames` after one step of the tracker in each frame.

    Args:
        avatar: on the CPU.
        frames: one image of each state, in the order of time, on the CPU.
        progress: called with (frames done, all).
    """
    tracker = StepTracker(avatar)
    start = frames.states
    steps = []
    elapsed = np.diff(frames.time, prepend=frames.time[:1] - 1 / 30)
    for index in range(len(frames)):
        row = frames.step[index : index + 1]
        torso = None if start.torso is None else start.torso[row]
        image, matte = frames.rgb[index].numpy(), frames.alpha[index].numpy()
        with ops.one_thread():
            steps.append(tracker(image, frames.view(index), start.params[row], matte, torso, float(elapsed[index])))
        if progress:
            progress(index + 1, len(frames))
    params = joined([step.params for step in steps])
    states = replace(HeadStates.of(params, avatar.head), torso=start.torso)
    return SteppedClip(states, float(np.median([step.correlation for step in steps])))


def joined(params: list[HeadParams]) -> HeadParams:
    """Frames one after another."""
    parts = ("expression", "joint_rot", "translation")
    return HeadParams(params[0].identity, *(torch.cat([getattr(each, part) for each in params]) for part in parts))
