"""The step tracker over the frames of one camera: forward, or forward and backward where no frame is yet to come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.driving.interpolation import interpolate_params
from avatar.model.avatar import Avatar
from avatar.model.torso import Torso, TorsoBelowHead
from avatar.refine.step import StepTracker
from avatar.types import Camera, HeadParams, TorsoPose

#: Longer side of a capture's frames, pixels, and how many are read at a time.
_SIZE = 256
_BLOCK = 32

#: Image [H,W,3] uint8, matte [H,W] uint8 and camera [1] of a frame.
FrameOf = Callable[[int], tuple[np.ndarray, np.ndarray, Camera]]


@dataclass(frozen=True)
class SteppedParams:
    """Corrected states of T frames."""

    params: HeadParams  # [T]
    correlation: np.ndarray  # [T] of frame and render, over the face


def step_clip(avatar: Avatar, frames: TrainingFrames, progress: Callable[[int, int], None] | None = None) -> HeadStates:
    """The states of `frames`, each corrected by the frames up to its own.

    Args:
        avatar: on the CPU.
        frames: one image of each state, in the order of time, on the CPU.
        progress: called with (frames done, all).
    """
    start = frames.states
    row = [int(step) for step in frames.step]

    def frame_of(index: int) -> tuple[np.ndarray, np.ndarray, Camera]:
        return frames.rgb[index].numpy(), frames.alpha[index].numpy(), frames.view(index)

    stepped = step_frames(avatar, start.params[frames.step], frames.time[row], frame_of, start.torso, progress)
    return replace(HeadStates.of(stepped.params, avatar.head), torso=start.torso)


def step_capture(
    avatar: Avatar,
    capture: Capture,
    rows: np.ndarray,
    torso: TorsoBelowHead | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SteppedParams:
    """States of frames of a capture, corrected by the frames before and after.

    Args:
        avatar: on the CPU.
        capture: of the avatar's person, with poses for the avatar's head (`with_baked_identity`); one camera.
        rows: [T] int, in the order of time.
        torso: for another capture than the avatar's own; None: from the torso map.
        progress: called with (frames done, 2 T).
    """
    blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def frame_of(index: int) -> tuple[np.ndarray, np.ndarray, Camera]:
        block, place = divmod(index, _BLOCK)
        if block not in blocks:
            blocks.clear()
            blocks[block] = capture.images(rows[block * _BLOCK : (block + 1) * _BLOCK], _SIZE)
        rgb, alpha = blocks[block]
        return rgb[place], alpha[place], capture.camera(_SIZE, rows[index : index + 1])

    def report(done: int, count: int) -> None:
        if progress:
            progress(done + passed * count, 2 * count)

    passed = 0
    params = avatar.with_identity(capture.params(rows))
    given = avatar, params, capture.track["time"][rows], frame_of, torso
    forward = step_frames(*given, report)
    passed = 1
    backward = step_frames(*given, report, backward=True)
    params = interpolate_params(forward.params, backward.params, 0.5)
    return SteppedParams(params, np.minimum(forward.correlation, backward.correlation))


def step_frames(
    avatar: Avatar,
    params: HeadParams,
    time: np.ndarray,
    frame_of: FrameOf,
    torso: TorsoPose | TorsoBelowHead | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    backward: bool = False,
) -> SteppedParams:
    """States of T frames after one step in each.

    Args:
        avatar: on the CPU.
        params: [T] what landmarks show.
        time: [T] seconds.
        frame_of: reads a frame.
        torso: [T] where it is known; None: from the torso map.
        progress: called with (frames done, T).
        backward: from the last frame to the first.
    """
    tracker = StepTracker(avatar)
    count = len(params)
    order: Iterable[int] = reversed(range(count)) if backward else range(count)
    found: list[HeadParams] = [params[:1]] * count
    correlation = np.zeros(count)
    before = None
    for done, index in enumerate(order):
        image, matte, camera = frame_of(index)
        elapsed = 1 / 30 if before is None else abs(float(time[index] - time[before]))
        of_frame: Torso | None = torso[index : index + 1] if isinstance(torso, TorsoPose) else torso
        with ops.one_thread():
            step = tracker(image, camera, params[index], matte, of_frame, elapsed)
        found[index], correlation[index], before = step.params, step.correlation, index
        if progress:
            progress(done + 1, count)
    parts = ("expression", "joint_rot", "translation")
    joined = (torch.cat([getattr(each, part) for each in found]) for part in parts)
    return SteppedParams(HeadParams(found[0].identity, *joined), correlation)
