"""Where landmarks of a face are in each frame of a take: pixels of the video, millimeters of the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.data.capture_folder import Capture
from avatar.head.load import load_head
from avatar.head.model import HeadModel
from avatar.motion.from_capture import first_rows
from avatar.types import NECK, HeadParams, Motion

Choice = Literal["named", "all", "none"]
LANDMARKS = 478  # of MediaPipe's face mesh with irises
#: Names of landmarks -> MediaPipe's index; left and right are those of the person.
NAMED: Mapping[str, int] = MappingProxyType(
    {
        "forehead": 10,
        "brow_outer_right": 70, "brow_middle_right": 105, "brow_inner_right": 107,
        "brow_inner_left": 336, "brow_middle_left": 334, "brow_outer_left": 300,
        "eye_outer_right": 33, "eye_inner_right": 133, "lid_upper_right": 159, "lid_lower_right": 145,
        "iris_right": 468, "iris_left": 473,
        "eye_outer_left": 263, "eye_inner_left": 362, "lid_upper_left": 386, "lid_lower_left": 374,
        "nose_bridge": 168, "nose_tip": 1, "nose_base": 2, "nose_wing_right": 129, "nose_wing_left": 358,
        "cheek_right": 205, "cheek_left": 425,
        "mouth_corner_right": 61, "mouth_corner_left": 291,
        "lip_upper_outer": 0, "lip_upper_inner": 13, "lip_lower_inner": 14, "lip_lower_outer": 17,
        "chin": 152, "side_right": 234, "side_left": 454,
    }
)  # fmt: skip
_CHUNK = 256  # frames


@dataclass(frozen=True, eq=False)
class FacePoints:
    """Landmarks of T frames, P of them chosen."""

    names: tuple[str, ...]  # [P]; empty for all of them
    indices: tuple[int, ...]  # [P] in MediaPipe's order
    head: HeadModel
    params: HeadParams  # [T]
    pixels: NDArray[np.float64] | None  # [T,P,2], NaN where none were found; None for a file without a video
    image: Mapping[str, Any] | None  # size in pixels, and what it is the size of
    person: bool  # whether the shape of the head is the person's; else it is the mean head's

    @staticmethod
    def of(
        motion: Motion, choice: Choice, capture: Capture | None = None, head: HeadModel | None = None
    ) -> FacePoints | None:
        """The landmarks of a motion with ARKit's names.

        Args:
            motion: T frames; of the capture, if there is one.
            choice: which landmarks.
            capture: whose video the motion is of; None: not known.
            head: the head model of the capture.

        Returns:
            None without landmarks: none were asked for, or the head model has none.
        """
        own = capture is not None and head is not None and motion.names == head.expression_names
        model = head if own and head is not None else load_head()
        if choice == "none" or len(model.landmark_faces) != LANDMARKS:
            return None
        names = tuple(NAMED) if choice == "named" else ()
        indices = tuple(NAMED.values()) if choice == "named" else tuple(range(LANDMARKS))
        params = model.neutral_params(len(motion))
        columns = [
            (motion.names.index(name), row) for row, name in enumerate(model.expression_names) if name in motion.names
        ]
        params.expression[:, [row for _, row in columns]] = motion.weights[:, [row for row, _ in columns]].to(
            params.expression
        )
        params.joint_rot[:, NECK + 1 :] = motion.joint_rot[:, NECK + 1 :].to(params.joint_rot)
        if own and capture is not None:
            params = HeadParams(
                capture.params(first_rows(capture)).identity, params.expression, params.joint_rot, params.translation
            )
        pixels, image = (None, None) if capture is None else _pixels(capture, indices)
        return FacePoints(names, indices, model, params, pixels, image, own)

    def description(self) -> dict[str, Any]:
        """What the lists of a frame contain, in JSON types."""
        found: dict[str, Any] = {"mediapipe": list(self.indices), "shape": "person" if self.person else "mean head"}
        if self.names:
            found["names"] = list(self.names)
        if self.image is not None:
            found["image"] = dict(self.image)
        return found

    def frames(self, rows: list[int]) -> Iterator[dict[str, Any]]:
        """The landmarks of each of these frames in JSON types, rounded to a tenth of a pixel and of a millimeter."""
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            with torch.no_grad():
                places = 1000 * self.head.skull_landmarks(self.params[torch.tensor(part)])[:, list(self.indices)]
            for row, found in zip(part, np.round(places.double().numpy(), 1) + 0.0, strict=True):
                frame: dict[str, Any] = {"head_mm": found.tolist()}
                if self.pixels is not None and np.isfinite(self.pixels[row]).all():
                    frame["pixels"] = np.round(self.pixels[row], 1).tolist()
                yield frame


def _pixels(capture: Capture, indices: tuple[int, ...]) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Positions [T,P,2] of landmarks in the video of a capture, or in the stored frames of several cameras."""
    rows = first_rows(capture)
    found = np.asarray(capture.track["landmarks"][rows][:, list(indices), :2], np.float64)
    crop = capture.metadata.get("crop") or {}
    source = capture.metadata.get("source") or {}
    size = source.get("width"), source.get("height")
    if len(capture.metadata["cameras"]) > 1 or None in (*size, crop.get("scale")):
        return found, {"width": capture.metadata["width"], "height": capture.metadata["height"], "of": "stored frames"}
    center = np.asarray(capture.track["principal_point"][rows], np.float64)[:, None]
    return (found - center) / crop["scale"] + np.array(size) / 2, {"width": size[0], "height": size[1], "of": "video"}
