"""What an avatar has for frames of the capture it was trained on: corrections of the torso's and the skull's pose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.avatar_header import check_entry
from avatar.model.layout import Layout, TensorLayout
from avatar.model.torso import TorsoMap

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` from Python 3.11 on

#: Confidence of the motion up to which only the torso map counts, and from which on it does not count.
_DISTRUST = 0.5
_TRUST = 0.8
#: Inputs of the pose corrector besides expressions and landmark components: 1, pose, its products, joints, outline.
_POSE_INPUTS = 1 + 6 + 21 + 9 + 12


class _OfCapture(AvatarPart):
    """A part with a meaning for one capture only; those of an avatar share an entry of the header."""

    entry = "person"
    in_frames = False
    not_blended = "of use for the capture of one person only"

    def __init__(self, capture: str, **tensors: Tensor) -> None:
        super().__init__()
        self.capture = capture
        for name, value in tensors.items():
            self.register_buffer(name, value)

    def header_entry(self) -> dict[str, Any]:
        """See `AvatarPart.header_entry`."""
        return {"capture": self.capture}

    @classmethod
    def is_stored(cls, header: Mapping[str, Any], names: Collection[str]) -> bool:
        """See `AvatarPart.is_stored`."""
        return cls.entry in header and any(name.startswith(cls.prefix) for name in names)

    @classmethod
    def check(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        """See `AvatarPart.check`."""
        check_entry(isinstance(header["person"].get("capture"), str), "person.capture")

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """See `AvatarPart.restore`."""
        return cls(header["person"]["capture"], **tensors)


class TorsoRegression(_OfCapture):
    """A linear map from the torso's motion in the image (`torso_motion` of a capture) to its motion from the rest.

    The motion in the image is relative to a frame of one capture, so it has a meaning for that capture only.
    """

    key = "torso_regression"
    title = "the registration of the torso"
    prefix = "person.torso."
    layout: ClassVar[Layout] = {
        "weight": TensorLayout("F32", "6 7", -1e4, 1e4),
        "limit": TensorLayout("F32", "7", 0, 1e4),
    }

    def __init__(self, capture: str, weight: Tensor, limit: Tensor) -> None:
        """
        Args:
            capture: fingerprint of that capture.
            weight: [6,7] from 1 and the motion in the image (6) to the units of TorsoMap.
            limit: [7] absolute limits of the inputs.
        """
        super().__init__(capture, weight=weight, limit=limit)

    weight: Tensor
    limit: Tensor

    @staticmethod
    def features(image_motion: Tensor) -> Tensor:
        """Inputs [B,7] of the map: 1 and the motion in the image [B,6], face heights."""
        return torch.cat([torch.ones_like(image_motion[:, :1]), image_motion], -1)

    def motion(self, image_motion: Tensor) -> Tensor:
        """Motion of the torso [B,6] from its rest (units of TorsoMap) for its motion in the image [B,6]."""
        features = self.features(image_motion)
        return ops.batch_invariant_matmul(
            torch.minimum(torch.maximum(features, -self.limit), self.limit), self.weight.T
        )

    def blended_motion(
        self, torso: TorsoMap, image_motion: Tensor, confidence: Tensor, rotation: Tensor, translation: Tensor
    ) -> Tensor:
        """Motion of the torso [B,6] from its rest: measured where that is certain, elsewhere that of the torso map.

        Args:
            torso: the map of the same avatar.
            image_motion: [B,6] face heights.
            confidence: [B] 0..1.
            rotation: [B,3,3] of the skull, to the world.
            translation: [B,3] meters, of the skull.
        """
        trust = ((confidence - _DISTRUST) / (_TRUST - _DISTRUST)).clamp(0, 1)[:, None]
        return torch.lerp(torso.motion(rotation, translation), self.motion(image_motion), trust)


class PoseCorrector(_OfCapture):
    """A linear map from what the tracker found to the error of its pose of the skull.

    Landmarks bias the pose in ways that repeat for one person and one camera: with the expression, with the view, and
    with where the landmarks lie on this face. Training sees the error of its own frames.
    """

    key = "pose_corrector"
    title = "the correction of the tracked pose"
    prefix = "person.pose."
    layout: ClassVar[Layout] = {
        "landmark_mean": TensorLayout("F32", "1434", -1e3, 1e3),
        "landmark_basis": TensorLayout("F32", "1434 C"),
        "low": TensorLayout("F32", "D"),
        "high": TensorLayout("F32", "D"),
        "weight": TensorLayout("F32", "6 D", -1e4, 1e4),
    }

    def __init__(
        self, capture: str, landmark_mean: Tensor, landmark_basis: Tensor, low: Tensor, high: Tensor, weight: Tensor
    ) -> None:
        """
        Args:
            capture: fingerprint of the capture it was learned from.
            landmark_mean: [P] of the landmarks in skull axes.
            landmark_basis: [P,C] principal directions.
            low: [D] lower limits of the inputs.
            high: [D] upper limits of the inputs.
            weight: [6,D] to rotation (3, rad) in the skull frame and translation (3, m) in the world.
        """
        super().__init__(
            capture, landmark_mean=landmark_mean, landmark_basis=landmark_basis, low=low, high=high, weight=weight
        )

    landmark_mean: Tensor
    landmark_basis: Tensor
    low: Tensor
    high: Tensor
    weight: Tensor

    def features(self, state: Tensor, landmarks: Tensor) -> Tensor:
        """Inputs [B,D] of the map: `state` [B,D-C], and the coordinates of `landmarks` [B,P] along the basis."""
        return torch.cat([state, (landmarks - self.landmark_mean) @ self.landmark_basis], -1)

    def correct(self, features: Tensor, rotation: Tensor, translation: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Corrected poses of the skull [B,3,3], [B,3].

        Args:
            features: [B,D] inputs of the map.
            rotation: [B,3,3] tracked, skull frame -> world.
            translation: [B,3] meters.
            known: [B] bool, frames with features; the others stay.
        """
        limited = torch.minimum(torch.maximum(features, self.low), self.high)
        change = ops.batch_invariant_matmul(limited, self.weight.T) * known[:, None]
        return rotation @ axis_angle_to_matrix(change[:, :3]), translation + change[:, 3:]

    @classmethod
    def check(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        """See `AvatarPart.check`."""
        super().check(header, tensors, sizes)
        inputs = _POSE_INPUTS + sizes["E"] + sizes["C"]
        if sizes["D"] != inputs:
            raise ValueError(f"person.pose.weight: expected {inputs} inputs, got {sizes['D']}")
