"""How far the face of a rendered avatar follows a driven blink and a driven opening of the jaw, as landmarks see it.

Held-out frames cannot say that: hardly a video shows a full blink or a wide open mouth in them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from avatar.driving.driver import DriveOptions, drive
from avatar.evaluation.landmarks import EYE_CORNERS, Landmarker, Locate
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.rendering.animator import render_track
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import moving_camera, subject_of
from avatar.types import JOINT_NAMES, Camera, HeadParams, Motion

#: Weights of the driven expressions.
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
JAW = ("jawOpen",)
SIZE = 512  # pixels, of the rendered images
#: Landmarks of the upper and of the lower edge between which an opening is measured.
LIDS = (((159, 158, 160), (145, 153, 144)), ((386, 385, 387), (374, 380, 373)))
LIPS = (((13, 82, 312), (14, 87, 317)),)

_Edges = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


@dataclass(frozen=True)
class Response:
    """Openings seen at WEIGHTS of a driven expression, the motion soft-clamped as by default."""

    #: Opening of the eyes in rendered images at weights of both blinks, relative to that at weight 0.
    eye_openness: tuple[float, ...]
    #: Opening of the mouth in rendered images at weights of jawOpen, relative to that of the mesh at weight 1, both
    #: from their opening at weight 0.
    mouth_opening: tuple[float, ...]
    #: The same of the mesh without the soft clamp: what was asked for.
    mouth_asked: tuple[float, ...]
    weights: tuple[float, ...] = WEIGHTS

    @property
    def jaw_error(self) -> float:
        """Largest difference between the seen and the asked opening of the mouth over the sweep."""
        return float(np.abs(np.subtract(self.mouth_opening, self.mouth_asked)).max())

    def to_text(self) -> str:
        """One sentence for the table."""
        return (
            f"Driven from the front: at a full blink the eyes are open to {100 * self.eye_openness[-1]:.0f} % of their "
            f"opening at rest; the mouth opens to {100 * self.mouth_opening[-1]:.0f} % at a full jawOpen, at most "
            f"{100 * self.jaw_error:.0f} % from what was asked for."
        )


def measure_response(avatar: Avatar, landmarker: Landmarker | None) -> Response | None:
    """Drive `avatar` by BLINK and by JAW from the front and measure the openings in the rendered images.

    Args:
        avatar: an avatar whose head has landmarks.
        landmarker: finds landmarks in an image.

    Returns:
        None without a landmarker, where the head has no landmarks, or where an image shows no face.
    """
    if landmarker is None or landmarker.locate is None or not len(avatar.head.landmark_faces):
        return None
    locate = landmarker.locate
    on_host = avatar
    if avatar.offsets.device.type != "cpu":
        on_host = copy.deepcopy(avatar).cpu()  # motions are retargeted there
    eyes = _seen(avatar, on_host, BLINK, LIDS, locate)
    mouth = _seen(avatar, on_host, JAW, LIPS, locate)
    if eyes is None or mouth is None:
        return None
    upright = _mesh_landmarks(on_host, _driven(on_host, JAW, soft_clamp=False))
    asked = openings(upright * [1, -1, 1], LIPS)
    span = max(asked[-1] - asked[0], 1e-6)
    return Response(
        eye_openness=tuple((eyes / max(eyes[0], 1e-6)).tolist()),
        mouth_opening=tuple(((mouth - mouth[0]) / span).tolist()),
        mouth_asked=tuple(((asked - asked[0]) / span).tolist()),
    )


def _driven(avatar: Avatar, names: tuple[str, ...], *, soft_clamp: bool = True) -> HeadParams:
    """Parameters of the avatar for a motion [len(WEIGHTS)] in which the expressions `names` take WEIGHTS."""
    frames = len(WEIGHTS)
    weights = torch.zeros(frames, len(ARKIT_52))
    for name in names:
        weights[:, ARKIT_52.index(name)] = torch.tensor(WEIGHTS)
    still = torch.zeros(frames, len(JOINT_NAMES), 3)
    motion = Motion(torch.arange(frames).double(), ARKIT_52, weights, "arkit52", still, torch.zeros(frames, 3))
    return drive(avatar, motion, DriveOptions(soft_clamp=soft_clamp)).params


def _seen(avatar: Avatar, on_host: Avatar, names: tuple[str, ...], edges: _Edges, locate: Locate) -> np.ndarray | None:
    """Openings [len(WEIGHTS)] in rendered images; None where an image shows no face."""
    found = []
    for image, start in driven_images(avatar, on_host, names):
        face = locate(image, start)
        if face is None:
            return None
        found.append(face)
    return openings(np.stack(found), edges)


def driven_images(avatar: Avatar, on_host: Avatar, names: tuple[str, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images [SIZE,SIZE,3] from the front at WEIGHTS of the expressions `names`, each with its mesh's landmarks.

    Args:
        avatar: is rendered.
        on_host: the same on the CPU.
        names: expressions that are driven together.

    Yields:
        The image, and landmarks [478,3] as the network gives them.
    """
    params = _driven(on_host, names)
    camera = moving_camera(CameraRequest("front"), subject_of(on_host, params), np.zeros(1), SIZE, SIZE)[0]
    points = _project(camera, _mesh_landmarks(on_host, params))
    yield from zip(render_track(avatar, params, camera), points, strict=True)


def _mesh_landmarks(avatar: Avatar, params: HeadParams) -> np.ndarray:
    """Landmarks [T,478,3] of the mesh in the world, meters."""
    params = avatar.with_identity(params)
    rotation, translation = avatar.head.skull_pose(params)
    points = avatar.head.skull_landmarks(params)
    return (points @ rotation.transpose(1, 2) + translation[:, None]).detach().cpu().numpy()


def _project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Landmarks [T,478,3] as the network gives them: pixels, and the depth in pixels relative to the mean."""
    flat = torch.from_numpy(points.reshape(-1, 3))
    pixels = camera.project(flat).numpy().reshape(*points.shape[:2], 2)
    depth = (flat @ camera.world_to_cam[0, 2, :3]).numpy().reshape(points.shape[:2])
    scale = np.ptp(pixels[0, :, 0]) / max(float(np.ptp(points[0, :, 0])), 1e-6)
    return np.concatenate([pixels, scale * (depth - depth.mean(1, keepdims=True))[..., None]], 2).astype(np.float32)


def openings(points: np.ndarray, edges: _Edges) -> np.ndarray:
    """Mean opening [T] between the `edges` of landmarks [T,478,2+] in the image, relative to the eye corners' distance.

    An opening is across the line through the eye corners: lids that are shifted along it, or overlap, are closed.
    """
    image = points[..., :2]
    corners = image[:, EYE_CORNERS[1]] - image[:, EYE_CORNERS[0]]
    down = np.stack([-corners[:, 1], corners[:, 0]], -1)
    apart = np.stack([image[:, list(low)].mean(1) - image[:, list(high)].mean(1) for high, low in edges])
    across = (apart * down).sum(-1).clip(min=0).mean(0)
    return np.asarray(across / np.maximum((corners * corners).sum(-1), 1e-9))
