"""Training frames in memory: images, mattes, cameras, and the state of the head at each time step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.stored_images import normalize_exposure
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.model.blendshapes import expression_features
from avatar.model.rig import Rig
from avatar.model.to_device import to_device
from avatar.ops.ordered_map import ordered_map
from avatar.types import Camera, HeadParams, PosedHead, TorsoPose

#: States whose vertices are computed at a time: what is computed on the way needs several times their memory.
_CHUNK = 16
_PART_CHUNK = 64  # where only a part of them is computed


@dataclass(frozen=True)
class HeadStates:
    """The tracked head at S time steps."""

    params: HeadParams  # [S], without identity: it is baked into the head
    vertices: Tensor  # [S,V,3] meters, skull frame
    features: Tensor  # [S,F] of the blendshapes
    rotation: Tensor  # [S,3,3] skull -> world
    translation: Tensor  # [S,3] meters
    torso: TorsoPose | None = None  # [S] if the torso was fitted; None: from the rig's torso map
    still: bool = False  # the person sits still: the torso is in the pose of the skull, as before a camera that moves

    def __len__(self) -> int:
        return len(self.rotation)

    @staticmethod
    def of(params: HeadParams, head: HeadModel) -> HeadStates:
        """States of the baked `head` (`avatar.model.avatar.baked`) at tracked `params`, whose identity is ignored."""
        params = replace(params, identity=head.v_template.new_zeros(0))
        vertices = head.v_template.new_empty(len(params), *head.v_template.shape)
        rows = [slice(start, start + _CHUNK) for start in range(0, len(params), _CHUNK)]
        threads = ops.kernel_threads() if vertices.device.type == "cpu" else 1
        posed = ordered_map(lambda: lambda part: head.skull_vertices(params[part]), rows, threads)
        for part, chunk in zip(rows, posed, strict=True):
            vertices[part] = chunk
        return HeadStates(params, vertices, expression_features(params), *head.skull_pose(params))

    def __getitem__(self, rows: Tensor) -> HeadStates:
        """The time steps `rows` [n] int."""
        return HeadStates(
            self.params[rows],
            self.vertices[rows],
            self.features[rows],
            self.rotation[rows],
            self.translation[rows],
            None if self.torso is None else self.torso[rows],
            self.still,
        )

    def posed_again(self, head: HeadModel, *regions: Region) -> HeadStates:
        """The same with `regions` of another `head`."""
        vertices = self.vertices.clone()
        chosen = head.mask(*regions).nonzero()[:, 0]
        for rows in torch.arange(len(self)).split(_PART_CHUNK):
            vertices[rows[:, None], chosen] = head.skull_vertices(self.params[rows], chosen)
        return replace(self, vertices=vertices)

    def sitting_still(self) -> HeadStates:
        """The same, with the torso in the pose of the skull."""
        return replace(self, torso=TorsoPose(self.rotation, self.translation), still=True)

    def posed_head(self, rig: Rig, rows: Tensor) -> PosedHead:
        """The head at the time steps `rows` [n] int, on the bones of `rig`."""
        torso = self.torso
        if torso is not None:
            torso = TorsoPose(pick(torso.rotation, rows), pick(torso.translation, rows))
        return rig.posed_head(pick(self.vertices, rows), pick(self.rotation, rows), pick(self.translation, rows), torso)


@dataclass(frozen=True)
class TrainingFrames:
    """n images, from one camera or several, and the states of the head at the S time steps of these images."""

    rgb: Tensor  # [n,H,W,3] uint8 sRGB, at the typical exposure of the clip
    alpha: Tensor  # [n,H,W] uint8
    camera: Camera  # [n]
    states: HeadStates  # [S]
    step: Tensor  # [n] int, index of each image's state
    time: np.ndarray  # [S] seconds, increasing
    weight: Tensor  # [n] 0..1, weight of each image
    recording: Tensor | None = None  # [n] int, increasing; None: all are of one recording

    def __len__(self) -> int:
        return len(self.rgb)

    def to(self, device: torch.device) -> TrainingFrames:
        """These frames on `device`; itself if they are there."""
        return to_device(self, device)

    @property
    def rotation(self) -> Tensor:
        """Skull -> world rotation at each image [n,3,3]."""
        return self.states.rotation[self.step]

    @property
    def translation(self) -> Tensor:
        """Origin of the skull frame in the world at each image [n,3], meters."""
        return self.states.translation[self.step]

    @property
    def features(self) -> Tensor:
        """Blendshape features at each image [n,F]."""
        return self.states.features[self.step]

    def vertices(self, index: int) -> Tensor:
        """Skull-frame vertices [V,3] at image `index`, meters."""
        return self.states.vertices[self.step[index]]

    def view(self, index: int) -> Camera:
        """The camera [1] of image `index`."""
        return self.views(torch.tensor([index]))

    def views(self, indices: Tensor) -> Camera:
        """The cameras [B] of the images `indices` [B]."""
        camera = self.camera
        return replace(camera, K=pick(camera.K, indices), world_to_cam=pick(camera.world_to_cam, indices))

    def resized(self, scale: float) -> TrainingFrames:
        """The same frames with images and mattes area-averaged to `scale` (below 1) of their size."""
        width = round(self.camera.width * scale)
        height = round(self.camera.height * scale)
        rgb = np.empty((len(self), height, width, 3), np.uint8)
        alpha = np.empty((len(self), height, width), np.uint8)
        for images, small in ((self.rgb, rgb), (self.alpha, alpha)):
            for image, place in zip(images.cpu().numpy(), small, strict=True):
                place[:] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return replace(
            self,
            rgb=torch.from_numpy(rgb).to(self.rgb.device),
            alpha=torch.from_numpy(alpha).to(self.rgb.device),
            camera=self.camera.resized(width, height),
        )


def pick(values: Tensor, indices: Tensor) -> Tensor:
    """`values[indices]` along the first axis, without a copy where `indices` has one entry and is on the CPU."""
    if len(indices) == 1 and indices.device.type == "cpu":
        return values[int(indices)][None]
    return values[indices.to(values.device)]


def load_frames(
    capture: Capture,
    indices: Sequence[int] | np.ndarray,
    size: int,
    head: HeadModel,
    images: tuple[np.ndarray, np.ndarray] | None = None,
) -> TrainingFrames:
    """Frames of a capture in the memory of the head's device, with the exposure of the images normalized.

    Args:
        capture: a finished capture.
        indices: [n] int, rows of the capture.
        size: longer side of the images, pixels; never enlarged.
        head: the baked head of this person (`avatar.model.avatar.baked`).
        images: frames and mattes as `KeptImages.take` returns them; None: they are read.
    """
    rows = np.asarray(indices, dtype=np.int64)
    rgb, alpha = capture.images(rows, size) if images is None else images
    if images is None:
        normalize_exposure(rgb, capture.track["exposure"][rows])
    _, first, step = np.unique(capture.track["time_step"][rows], return_index=True, return_inverse=True)
    device = head.v_template.device
    frames = TrainingFrames(
        torch.from_numpy(rgb),
        torch.from_numpy(alpha),
        capture.camera(size, rows),
        HeadStates.of(to_device(capture.params(rows[first]), device), head),
        torch.from_numpy(step),
        capture.track["time"][rows[first]].astype(np.float64),
        torch.from_numpy(capture.track["weight"][rows].astype(np.float32)),
    )
    if capture.still:
        frames = replace(frames, states=frames.states.sitting_still())
    return frames.to(device)


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Frames [...,H,W,3] uint8 matted over white by [...,H,W] uint8, as float32 in 0..1 up to rounding."""
    matte = alpha[..., None].astype(np.float32) / 255
    return np.asarray(rgb.astype(np.float32) / 255 * matte + 1 - matte)
