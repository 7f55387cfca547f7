"""Frames in memory: pictures, mattes, cameras, and the head's state at each moment they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.head.model import HeadModel
from avatar.model.blendshapes import expression_features
from avatar.types import Camera, HeadParams


@dataclass(frozen=True)
class HeadStates:
    """The tracked head at S moments."""

    params: HeadParams  # [S], the identity baked in
    vertices: Tensor  # [S,V,3] meters, skull frame
    features: Tensor  # [S,F] of the blendshapes
    rotation: Tensor  # [S,3,3] skull -> world
    translation: Tensor  # [S,3] meters
    torso: tuple[Tensor, Tensor] | None = None  # [S,3,3], [S,3] where the torso was fitted, else the rig's map tells

    def __len__(self) -> int:
        return len(self.rotation)

    @staticmethod
    def of(params: HeadParams, head: HeadModel) -> HeadStates:
        """The states of tracked `params`, whoever's, on the baked `head` (`avatar.model.avatar.baked`)."""
        own = replace(params, identity=head.v_template.new_zeros(0))
        parts = [head.skull_vertices(own[start : start + 64]) for start in range(0, len(own), 64)]
        return HeadStates(own, torch.cat(parts), expression_features(own), *head.skull_pose(own))

    def with_torso(self, rotation: Tensor, translation: Tensor) -> HeadStates:
        """These states with the torso's poses [S,3,3], [S,3] known."""
        return replace(self, torso=(rotation, translation))

    def __getitem__(self, rows: Tensor) -> HeadStates:
        """The moments `rows` [n] int."""
        torso = None if self.torso is None else (self.torso[0][rows], self.torso[1][rows])
        return HeadStates(
            self.params[rows],
            self.vertices[rows],
            self.features[rows],
            self.rotation[rows],
            self.translation[rows],
            torso,
        )


@dataclass(frozen=True)
class TrainingFrames:
    """n pictures, of one camera or several, and the head's states at the S moments they show."""

    rgb: Tensor  # [n,H,W,3] uint8 sRGB, in the clip's typical light
    alpha: Tensor  # [n,H,W] uint8
    camera: Camera  # [n]
    states: HeadStates  # [S]
    step: Tensor  # [n] int, the state that each picture shows
    time: np.ndarray  # [S] seconds, increasing
    weight: Tensor  # [n] 0..1, trust in each picture

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def rotation(self) -> Tensor:
        """Skull -> world of each picture [n,3,3]."""
        return self.states.rotation[self.step]

    @property
    def translation(self) -> Tensor:
        """Where the skull's frame is in each picture [n,3], meters."""
        return self.states.translation[self.step]

    @property
    def features(self) -> Tensor:
        """Blendshape features of each picture [n,F]."""
        return self.states.features[self.step]

    def vertices(self, index: int) -> Tensor:
        """Skull-frame vertices [V,3] of picture `index`."""
        return self.states.vertices[self.step[index]]

    def view(self, index: int) -> Camera:
        """The camera [1] of picture `index`."""
        return self.views(torch.tensor([index]))

    def views(self, indices: Tensor) -> Camera:
        """The cameras [B] of the pictures `indices` [B]."""
        camera = self.camera
        return replace(camera, K=pick(camera.K, indices), world_to_cam=pick(camera.world_to_cam, indices))

    def resized(self, scale: float) -> TrainingFrames:
        """The same frames with pictures area-averaged to `scale` (below 1) of their size."""
        width, height = round(self.camera.width * scale), round(self.camera.height * scale)
        shrink = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in self.rgb.numpy()]
        mattes = [cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA) for matte in self.alpha.numpy()]
        return replace(
            self,
            rgb=torch.from_numpy(np.stack(shrink)),
            alpha=torch.from_numpy(np.stack(mattes)),
            camera=self.camera.resized(width, height),
        )


def pick(values: Tensor, indices: Tensor) -> Tensor:
    """`values[indices]` along the first axis, without a copy where one row is wanted."""
    return values[int(indices)][None] if len(indices) == 1 else values[indices]


def load_frames(capture: Capture, indices: Sequence[int] | np.ndarray, size: int, head: HeadModel) -> TrainingFrames:
    """Frames `indices` of `capture` at a longer side of `size` pixels.

    Args:
        head: the baked head of this person (`avatar.model.avatar.baked`).
    """
    rows = np.asarray(indices, dtype=np.int64)
    rgb, alpha = capture.images(rows, size)
    _, first, step = np.unique(capture.track["time_step"][rows], return_index=True, return_inverse=True)
    return TrainingFrames(
        torch.from_numpy(steady_light(rgb, capture.track["exposure"][rows])),
        torch.from_numpy(alpha),
        capture.camera(size, rows),
        HeadStates.of(capture.params(rows[first]), head),
        torch.from_numpy(step),
        capture.track["time"][rows[first]].astype(np.float64),
        torch.from_numpy(capture.track["weight"][rows].astype(np.float32)),
    )


def steady_light(rgb: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Pictures [n,H,W,3] uint8 with the gains `exposure` [n,3] of their channels taken back."""
    if (exposure == 1).all():
        return rgb
    values = np.arange(256)
    table = np.clip(values / exposure[..., None] + 0.5, 0, 255).astype(np.uint8)  # [n,3,256]
    lit = [cv2.LUT(picture, np.ascontiguousarray(each.T[None])) for picture, each in zip(rgb, table, strict=True)]
    return np.stack(lit)
