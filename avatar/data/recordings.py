"""Several recordings of one person: the same head for all of them, and their frames in one set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.model.avatar_header import MOST, RecordingEntry
from avatar.model.parts.appearance import unique_names
from avatar.types import Camera, TorsoPose

#: Seconds between two recordings on the common time axis.
_GAP = 10.0


def check_recordings(captures: Sequence[Capture]) -> None:
    """Raise HeadsplatError unless the captures can train one avatar: head model, expression names, number."""
    first = captures[0]
    if len(captures) > MOST:
        raise HeadsplatError(f"{len(captures)} captures, at most {MOST} train one avatar; give fewer")
    if len(captures) > 1 and (still := [capture for capture in captures if capture.still]):
        raise HeadsplatError(
            f"{still[0].root}: a walk around a person who sits still; it trains an avatar of its own, leave it out"
        )
    seen: dict[str, Capture] = {}
    for capture in captures:
        if capture.metadata["head"]["model_id"] != first.metadata["head"]["model_id"]:
            raise HeadsplatError(
                f"{capture.root}: tracked with another head model than {first.root}; capture one of the videos again"
            )
        if capture.expression_names != first.expression_names:
            raise HeadsplatError(
                f"{capture.root}: other expression names than {first.root}; capture one of the videos again"
            )
        if capture.fingerprint in seen:
            raise HeadsplatError(
                f"{capture.root}: the same recording as {seen[capture.fingerprint].root}; give each recording once"
            )
        seen[capture.fingerprint] = capture


def recording_entries(captures: Sequence[Capture]) -> tuple[RecordingEntry, ...]:
    """Name, fingerprint and consent note of each recording; names are those of the folders, made unique."""
    names = unique_names([capture.root.resolve().stem for capture in captures])
    return tuple(
        RecordingEntry(name, capture.fingerprint, str(capture.metadata.get("consent") or ""))
        for name, capture in zip(names, captures, strict=True)
    )


def with_baked_identity(capture: Capture, shared: HeadModel, head: HeadModel) -> Capture:
    """`capture` with its poses for another baked head, so that the face stays where it is in the images.

    A tracker finds size and distance of a head only together. With vertices of the face that fit as
    `shared = k own + o`, the head k times as large at k times the distance from the camera's center c has the same
    image: the origin of the skull frame moves to `c + k (T - c) - R o`.

    Args:
        capture: the recording to change; its images are not.
        shared: the baked head of the recording that gives the identity.
        head: their head model, not baked.
    """
    own = head.identity_vertices(torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    face = head.faces[head.landmark_faces].reshape(-1).unique() if len(head.landmark_faces) else slice(None)
    a = own[face].double()
    b = shared.v_template.cpu()[face].double()
    scale = float(((a - a.mean(0)) * (b - b.mean(0))).sum() / ((a - a.mean(0)) ** 2).sum())
    shift = b.mean(0) - scale * a.mean(0)
    params = capture.params(np.arange(len(capture)))
    with torch.no_grad():
        turn, before = head.skull_pose(params)
        after = shared.skull_pose(replace(params, identity=shared.v_template.new_zeros(0)))[1]
    view = capture.camera(max(capture.metadata["width"], capture.metadata["height"]), np.arange(len(capture)))
    extrinsics = view.world_to_cam.double()
    center = -(extrinsics[:, :3, :3].transpose(1, 2) @ extrinsics[:, :3, 3:])[..., 0]
    # Rows of one time step share the head: the first camera of each time step decides.
    _, rows, step = np.unique(capture.track["time_step"], return_index=True, return_inverse=True)
    center = center[rows][step]
    target = center + scale * (before.double() - center) - (turn.double() @ shift)
    moved = np.asarray(capture.track["translation"], np.float64) + (target - after.double()).numpy()
    track = {**capture.track, "translation": moved}
    return Capture(capture.root, capture.metadata, track)


def join_recordings(parts: Sequence[TrainingFrames]) -> TrainingFrames:
    """The frames of all recordings one after another, resized to the images of the first one.

    Images of other proportions are stretched, and their cameras with them: nothing is cut off or padded.

    Args:
        parts: frames of each recording, on the host.
    """
    first = parts[0]
    parts = [fit_to_size(part, first.camera.width, first.camera.height) for part in parts]
    steps = []
    times = []
    recording = []
    states = 0
    end = 0.0
    for index, part in enumerate(parts):
        steps.append(part.step + states)
        times.append(part.time - part.time[0] + end)
        recording.append(torch.full((len(part),), index))
        states = states + len(part.states)
        end = float(times[-1][-1]) + _GAP
    K = torch.cat([part.camera.K for part in parts])
    world_to_cam = torch.cat([part.camera.world_to_cam for part in parts])
    return TrainingFrames(
        torch.cat([part.rgb for part in parts]),
        torch.cat([part.alpha for part in parts]),
        Camera(K, world_to_cam, first.camera.width, first.camera.height),
        join_states([part.states for part in parts]),
        torch.cat(steps),
        np.concatenate(times),
        torch.cat([part.weight for part in parts]),
        torch.cat(recording),
    )


def join_states(parts: Sequence[HeadStates]) -> HeadStates:
    """States of all recordings one after another; poses of the torso where all have them."""
    params = replace(
        parts[0].params,
        expression=torch.cat([part.params.expression for part in parts]),
        joint_rot=torch.cat([part.params.joint_rot for part in parts]),
        translation=torch.cat([part.params.translation for part in parts]),
    )
    poses = [part.torso for part in parts if part.torso is not None]
    torso = None
    if len(poses) == len(parts):
        torso = TorsoPose(torch.cat([pose.rotation for pose in poses]), torch.cat([pose.translation for pose in poses]))
    return HeadStates(
        params,
        torch.cat([part.vertices for part in parts]),
        torch.cat([part.features for part in parts]),
        torch.cat([part.rotation for part in parts]),
        torch.cat([part.translation for part in parts]),
        torso,
    )


def frames_of(frames: TrainingFrames, recording: int) -> tuple[TrainingFrames, slice]:
    """The frames of one recording, and the span of their states among all.

    Args:
        frames: of `join_recordings`.
        recording: index of the recording.
    """
    assert frames.recording is not None
    images = torch.nonzero(frames.recording == recording)[:, 0]
    span = slice(int(frames.step[images].min()), int(frames.step[images].max()) + 1)
    return replace(
        frames,
        rgb=frames.rgb[images],
        alpha=frames.alpha[images],
        camera=frames.views(images),
        states=frames.states[torch.arange(span.start, span.stop, device=frames.step.device)],
        step=frames.step[images] - span.start,
        time=frames.time[span],
        weight=frames.weight[images],
        recording=None,
    ), span


def fit_to_size(frames: TrainingFrames, width: int, height: int) -> TrainingFrames:
    """The frames with images of `width` x `height` pixels; the same ones if they are."""
    if (frames.camera.width, frames.camera.height) == (width, height):
        return frames
    smaller = width * height < frames.camera.width * frames.camera.height
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    rgb, alpha = (
        torch.from_numpy(np.stack([cv2.resize(image, (width, height), interpolation=method) for image in images]))
        for images in (frames.rgb.numpy(), frames.alpha.numpy())
    )
    return replace(frames, rgb=rgb, alpha=alpha, camera=frames.camera.resized(width, height))
