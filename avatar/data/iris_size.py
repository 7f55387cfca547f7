"""The diameter of a person's irises in a capture, in meters of its head, from the edge of the iris in the images.

The visible diameter of the iris, from limbus to limbus, is 11.7 mm in nearly all adults (11.71 +- 0.42 mm, Rufer et al.
2005, "White-to-white corneal diameter"), so that it gives the size of a head that a single camera leaves open. The
landmarks of the irises are too large by 5 to 15 percent; here they only say where to look. In each frame a circle on
the tracked eyeball, seen in perspective, is moved sideways and changed in size until the brightness increases most
across its edge, to both sides (the integro-differential operator of Daugman 1993, "High confidence visual recognition
of persons", without the parts of the edge that lids cover).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.data.capture_folder import Capture
from avatar.head.model import HeadModel
from avatar.types import LEFT_EYE, RIGHT_EYE

Floats = NDArray[np.floating]

#: Millimeters, and the relative standard deviation between adults.
USUAL = 11.7
USUAL_SIGMA = 0.036
#: Joint and center landmark of either eye.
_EYES = ((RIGHT_EYE, 468), (LEFT_EYE, 473))
#: Frames that are measured at most; measurements of an eye that count at least.
MOST_FRAMES = 100
MIN_COUNT = 8
#: Cosine between gaze and the direction to the camera from which on the edge is seen well.
_FACING = 0.93
#: Pixels of an iris that can be measured.
_MIN_PIXELS = 8.0
#: Diameters that are compared, and the width of the filter along the radius, relative to the expected diameter.
_STEP = 0.01
_RANGE = np.arange(0.60, 1.50, _STEP)
_BLUR = 0.05
#: Steps of the diameter from that of both sides within which each side has its edge.
_WINDOW = 15
#: Pixels: standard deviation of the blur of lens, sensor and codec, which moves the steepest place of the edge of a
#: disc of radius r inwards by sigma^2 / 2 r.
_SENSOR_BLUR = 0.7
#: Sideways shifts of the middle that are compared, in expected diameters, and their standard deviation.
_SHIFTS = np.arange(-0.24, 0.25, 0.02)
_SHIFT_SIGMA = 0.08
#: Degrees from the horizontal, downwards, of the parts of the edge that open lids do not cover.
_ARC = np.radians(np.arange(-20, 36, 5))
#: Least increase of the brightness across the edge, relative to that outside.
_MIN_CONTRAST = 0.12
#: Largest relative standard deviation of the measurements of an eye, and difference of both eyes.
_MAX_SPREAD = 0.08
_MAX_DIFFERENCE = 0.08


@dataclass(frozen=True)
class IrisRing:
    """The edge of an iris in one frame."""

    row: int  # of the capture
    eye: int  # 0 right, 1 left
    center: Floats  # [2] pixels of the stored frame
    axes: Floats  # [2,2] pixels of a meter to the side and downwards on the plane of the iris
    diameter: float  # meters of the capture

    def outline(self, count: int = 64) -> Floats:
        """Points [count,2] of the edge, pixels."""
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        points: Floats = self.center + 0.5 * self.diameter * np.stack([np.cos(angle), np.sin(angle)], 1) @ self.axes
        return points


@dataclass(frozen=True)
class IrisSize:
    """The diameter of the irises in a capture."""

    diameter: float  # meters of the capture
    sigma: float  # relative standard deviation of the measurement alone
    rings: tuple[IrisRing, ...]


def measure_irises(capture: Capture, head: HeadModel, expected: float = USUAL) -> IrisSize | None:
    """The irises in the training frames of a capture.

    Args:
        capture: the capture.
        head: its head model.
        expected: true diameter in millimeters; the size of the head in the capture may differ by a third.

    Returns:
        None where too few frames show them: the eyes are closed, dark, small, or look aside.
    """
    rings = tuple(ring for ring in _rings(capture, head, expected / 1000) if ring is not None)
    return summarized(rings)


def summarized(rings: Sequence[IrisRing]) -> IrisSize | None:
    """The typical diameter of rings; None where they are too few, or contradict each other."""
    medians = []
    errors = []
    for eye in (0, 1):
        found = np.array([ring.diameter for ring in rings if ring.eye == eye])
        if len(found) < MIN_COUNT:
            continue
        median = float(np.median(found))
        spread = 1.4826 * float(np.median(np.abs(found - median))) / median
        if spread > _MAX_SPREAD:
            return None
        medians.append(median)
        errors.append(spread / np.sqrt(len(found) / 4))  # neighboring frames have the same errors
    if not medians:
        return None
    mean = float(np.mean(medians))
    difference = float(np.ptp(medians)) / mean
    if difference > _MAX_DIFFERENCE:
        return None
    return IrisSize(mean, float(np.hypot(np.mean(errors), difference / 2)), tuple(rings))


def _rings(capture: Capture, head: HeadModel, expected: float) -> list[IrisRing | None]:
    import cv2

    rows = capture.train_indices
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_FRAMES)).round().astype(int))]
    found: list[IrisRing | None] = []
    seeds = _seeds(capture, head, rows)
    for row in dict.fromkeys(seed.row for seed in seeds):
        image = capture.stored_image("frames", row, cv2.IMREAD_COLOR).astype(np.float32).mean(2)
        for seed in seeds:
            if seed.row == row:
                found.append(find_ring(image, replace(seed, diameter=expected)))
    return found


def _seeds(capture: Capture, head: HeadModel, rows: NDArray[np.int64]) -> list[IrisRing]:
    """Where irises of open eyes that look towards the camera are expected, by landmarks and tracked poses."""
    import torch

    with torch.no_grad():
        params = capture.params(rows)
        camera = capture.camera(max(capture.metadata["width"], capture.metadata["height"]), rows)
        rotation, translation = head.skull_pose(params)
        landmarks = head.skull_landmarks(params)
        joints = head.joint_locations(params.identity)
    openness = _openness(head, params.expression.numpy())
    focal = camera.K[:, [0, 1], [0, 1]].expand(len(rows), 2).numpy()
    world_to_cam = camera.world_to_cam.expand(len(rows), 4, 4).numpy()
    seeds = []
    for eye, (joint, landmark) in enumerate(_EYES):
        points = torch.stack([landmarks[:, landmark], joints[joint].expand(len(rows), 3)], 1)
        world = (points @ rotation.mT + translation[:, None]).numpy()
        seen = world @ world_to_cam[:, :3, :3].swapaxes(1, 2) + world_to_cam[:, None, :3, 3]
        marks = capture.track["landmarks"][rows][:, landmark : landmark + 5, :2].mean(1)
        for index, (iris, center) in enumerate(seen):
            axes = _axes(iris, iris - center, focal[index])
            if axes is not None and openness[index, eye] > 0.6 and np.isfinite(marks[index]).all():
                seeds.append(IrisRing(int(rows[index]), eye, marks[index].astype(float), axes, 0.0))
    return seeds


def _openness(head: HeadModel, expression: Floats) -> Floats:
    """Openness [T,2] of the right and the left eye, 0..1."""
    names = head.expression_names
    result = np.ones((len(expression), 2))
    for eye, side in enumerate(("Right", "Left")):
        columns = [names.index(name) for name in (f"eyeBlink{side}", f"eyelid{side}") if name in names]
        if columns:
            result[:, eye] -= expression[:, columns].max(1)
    return result


def _axes(iris: Floats, gaze: Floats, focal: Floats) -> Floats | None:
    """Pixels [2,2] of a meter along two axes of the plane of an iris, sideways and downwards in the image.

    Args:
        iris: its middle [3] in the camera's axes, meters.
        gaze: [3] direction of the eye there.
        focal: [2] pixels.

    Returns:
        None where the eye looks aside.
    """
    gaze = gaze / max(float(np.linalg.norm(gaze)), 1e-9)
    if iris[2] <= 0 or -(gaze @ iris) / np.linalg.norm(iris) < _FACING:
        return None
    aside = np.array([1.0, 0.0, 0.0]) - gaze[0] * gaze
    aside /= np.linalg.norm(aside)
    down = np.cross(aside, gaze)
    down = down if down[1] > 0 else -down
    axes = np.stack([aside, down])
    pixels: Floats = (axes[:, :2] - axes[:, 2:] * iris[:2] / iris[2]) * focal / iris[2]
    return pixels


def find_ring(image: NDArray[np.float32], seed: IrisRing) -> IrisRing | None:
    """The edge of an iris near `seed`, whose diameter is the expected one; None where it is not clear.

    Args:
        image: [H,W] brightness.
        seed: where to look.
    """
    import cv2

    expected = seed.diameter
    if expected * np.linalg.norm(seed.axes[0]) < _MIN_PIXELS:
        return None
    shifts = np.stack([_SHIFTS, 0 * _SHIFTS], 1)
    sides = np.stack([np.cos(_ARC), np.sin(_ARC)], 1) * np.array([[[1.0, 1.0]], [[-1.0, 1.0]]])  # [2,A,2]
    on_plane = shifts[:, None, None, None] + 0.5 * sides[None, :, :, None] * _RANGE[:, None]  # [S,2,A,R,2]
    points = (seed.center + expected * on_plane @ seed.axes - 0.5).astype(np.float32)
    shape = points.shape[:-1]
    flat = points.reshape(len(shifts), -1, 2)
    # Reflections cover a few directions: the median of all is without them.
    values = cv2.remap(image, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    profile = np.median(values.reshape(shape), 2)  # [S,2,R]
    slope = np.gradient(cv2.GaussianBlur(profile.reshape(-1, shape[3]), (0, 0), _BLUR / _STEP, sigmaY=1e-6), axis=1)
    slope = slope.reshape(profile.shape)
    both = slope.min(1) * np.exp(-0.5 * np.square(_SHIFTS / _SHIFT_SIGMA))[:, None]  # [S,R]
    place, step = np.unravel_index(int(both.argmax()), both.shape)
    # The shifts are steps: from the middle found with them, the edge of each side by itself is more accurate.
    edges = [_peak(side, int(step)) for side in slope[place]]
    if None in edges:
        return None
    factor = _RANGE[0] + _STEP * float(np.mean(edges))  # type: ignore[arg-type]
    inner = profile[place][:, max(step - 25, 0) : max(step - 8, 1)].mean()
    outer = profile[place][:, step + 6 : step + 20].mean() if step + 6 < len(_RANGE) else inner
    if outer - inner < _MIN_CONTRAST * max(float(outer), 1.0):
        return None
    aside = 0.25 * _STEP * (edges[0] - edges[1])  # type: ignore[operator]
    center = seed.center + expected * (shifts[place] + (aside, 0.0)) @ seed.axes
    diameter = float(expected * factor)
    pixels = float(np.linalg.norm(seed.axes[0]))
    return replace(seed, center=center, diameter=diameter + 2 * _SENSOR_BLUR**2 / (pixels**2 * diameter))


def _peak(slope: NDArray[np.floating], near: int) -> float | None:
    """Where the slope [R] of a profile is largest near a step; None where that is at the end."""
    first = max(near - _WINDOW, 0)
    step = first + int(slope[first : near + _WINDOW + 1].argmax())
    if not 0 < step < len(slope) - 1:
        return None
    below, here, above = slope[step - 1 : step + 2]
    curve = below - 2 * here + above
    return step + (0.5 * float((below - above) / curve) if curve < 0 else 0.0)
