"""Cameras of a scene: placed by whom they show, or from files, with cuts and moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.rendering.camera_file import CameraPath, camera_at_times, read_camera_file
from avatar.rendering.cameras import Subject, fit_camera, look_at
from avatar.scenes.scene_file import CameraSpec, Shot
from avatar.types import Camera

#: Millimeters: width of the frame that a lens is given for.
_FRAME = 36.0
#: Margins of what a camera frames, relative to the height of a head.
_TOP, _SIDE, _BELOW_CHIN = 0.12, 0.25, 0.1
#: Columns in which the end of a torso is looked for, and Gaussians of a column that is none.
_COLUMNS, _FEW = 10, 10
#: Steps in which the distance of a camera is found, each half of the one before; a fraction of a millimeter is left.
_STEPS = 16
#: Gaussians of a head or a torso that cameras are placed by.
_POINTS = 2000
#: Meters: nearest and furthest camera.
_NEAREST, _FURTHEST = 0.3, 60.0
#: A camera over a shoulder, meters from the head in front: behind it, to the side of the stage's front, and up.
_BEHIND, _BESIDE, _ABOVE = 0.6, 0.44, 0.1
#: Part of the frame's width that a face beyond a shoulder is beside the middle.
_ASIDE = 0.12


@dataclass(frozen=True)
class Cast:
    """What cameras are placed by."""

    subjects: Mapping[str, Subject]  # by the name of the actor, in the scene
    yaws: Mapping[str, float]  # degrees that each one faces, as in `Placement.of`

    @property
    def together(self) -> Subject:
        """All of them as one subject, that looks to the front."""
        subjects = list(self.subjects.values())
        center = torch.stack([subject.center for subject in subjects]).mean(0)
        head, torso = (torch.cat([getattr(each, part) for each in subjects]) for part in ("head", "torso"))
        return Subject(center, center.new_tensor([0.0, 0.0, 1.0]), head, torso)

    def chosen(self, name: str) -> Mapping[str, Subject]:
        """The subject called `name`; all of them for an empty name."""
        return {name: self.subjects[name]} if name else self.subjects


def cameras(shots: Sequence[Shot], cast: Cast, times: np.ndarray, size: tuple[int, int], folder: Path) -> Camera:
    """The camera of every frame.

    Args:
        shots: in the order of time, the first at 0.
        cast: the actors.
        times: [T] seconds of the frames.
        size: width and height, pixels.
        folder: that files are relative to.

    Returns:
        [T].

    Raises:
        HeadsplatError: a file cannot be read, or a shot needs an actor that is not there.
    """
    ends = [shot.start for shot in shots[1:]] + [max(float(times[-1]), shots[-1].start + 1e-6)]
    K = torch.zeros(len(times), 3, 3)
    world_to_cam = torch.zeros(len(times), 4, 4)
    for shot, end in zip(shots, ends, strict=True):
        last = shot is shots[-1]
        rows = np.flatnonzero((times >= shot.start - 1e-9) & (last | (times < end - 1e-9)))
        if not len(rows):
            continue
        camera = _shot(shot, cast, times[rows] - shot.start, end - shot.start, size, folder)
        K[rows], world_to_cam[rows] = camera.K.expand(len(rows), 3, 3), camera.world_to_cam.expand(len(rows), 4, 4)
    return Camera(K, world_to_cam, *size)


def _shot(shot: Shot, cast: Cast, times: np.ndarray, length: float, size: tuple[int, int], folder: Path) -> Camera:
    """The camera [T] or [1] of a shot at `times` [T] seconds from its start."""
    if shot.camera.camera == "file":
        path = Path(shot.camera.file)
        camera = camera_at_times(read_camera_file(path if path.is_absolute() else folder / path), times)
        return fit_camera(camera, *size)
    start = placed(shot.camera, cast, size)
    if shot.to is None:
        return start
    end = placed(shot.to, cast, size)
    ends = zip((start.K, start.world_to_cam), (end.K, end.world_to_cam), strict=True)
    matrices = [torch.cat(pair).double().numpy() for pair in ends]
    part = np.clip(times / length, 0, 1)
    path_ = CameraPath(matrices[0], matrices[1], size, np.array([0.0, 1.0]))
    return camera_at_times(path_, part * part * (3 - 2 * part))


def placed(spec: CameraSpec, cast: Cast, size: tuple[int, int]) -> Camera:
    """The camera [1] of a specification that is no file."""
    if spec.camera == "over-shoulder":
        return _over_shoulder(spec, cast, size)
    names = list(cast.subjects)
    of = spec.of or (names[0] if spec.camera == "front" else "")
    yaw = cast.yaws[of] if spec.camera == "front" else 0.0
    return framed(list(cast.chosen(of).values()), yaw + spec.turn, spec, size)


def framed(subjects: Sequence[Subject], yaw: float, spec: CameraSpec, size: tuple[int, int]) -> Camera:
    """A camera [1] that frames subjects: their heads with a margin, and no lower than where the first torso ends.

    Args:
        subjects: in the scene.
        yaw: degrees about the vertical from which it looks; 0: from +z, 90: from +x.
        spec: lens, height and zoom.
        size: width and height, pixels.
    """
    width, height = size
    focal = _focal(spec, size)
    heads = [subject.head for subject in subjects]
    points = torch.cat(heads)
    center = (points.amin(0) + points.amax(0)) / 2
    side, up = math.radians(yaw), math.radians(spec.up)
    direction = center.new_tensor([math.sin(side) * math.cos(up), math.sin(up), math.cos(side) * math.cos(up)])
    near, far = _NEAREST, _FURTHEST
    for _ in range(_STEPS):
        middle = math.sqrt(near * far)
        frame = _frame(subjects, center + middle * direction, center)
        fits = focal * (frame[1] - frame[0]) <= width and focal * (frame[3] - frame[2]) <= height
        near, far = (near, middle) if fits else (middle, far)
    eye = center + far * direction
    left, right, _, bottom = _frame(subjects, eye, center)
    focal *= spec.zoom
    # A zoom goes into the heads: to the middle between their tops and the lower edge.
    bottom /= spec.zoom
    K = torch.tensor(
        [[focal, 0, width / 2 - focal * (left + right) / 2], [0, focal, height - focal * bottom], [0, 0, 1]]
    )
    return Camera(K[None].to(center), look_at(eye[None], center), width, height)


def _focal(spec: CameraSpec, size: tuple[int, int]) -> float:
    """Pixels."""
    return spec.lens / _FRAME * max(size)


def _frame(subjects: Sequence[Subject], eye: Tensor, center: Tensor) -> tuple[float, float, float, float]:
    """Slopes (left, right, top, bottom) that a camera at `eye` frames, x/z to the right and y/z down."""
    view = look_at(eye[None], center)[0]
    edges = []
    for subject in subjects:
        parts = (points[:: max(len(points) // _POINTS, 1)] for points in (subject.head, subject.torso))
        head, torso = (_slopes(points, view) for points in parts)
        (left, right), (top, chin) = (_extent(head[:, axis]) for axis in (0, 1))
        size = chin - top
        low = max(chin + _BELOW_CHIN * size, _torso_end(torso, left, right))
        edges.append((left - _SIDE * size, right + _SIDE * size, top - _TOP * size, low))
    lefts, rights, tops, lows = zip(*edges, strict=True)
    return min(lefts), max(rights), min(tops), min(lows)


def _torso_end(torso: Tensor, left: float, right: float) -> float:
    """Slope above which a torso [n,2] is closed below the whole head, which is from `left` to `right`."""
    wide = _SIDE * (right - left)
    edges = torch.linspace(left - wide, right + wide, _COLUMNS + 1).tolist()
    ends = []
    for low, high in itertools.pairwise(edges):
        column = torso[(torso[:, 0] > low) & (torso[:, 0] <= high), 1]
        if len(column) >= _FEW:
            ends.append(float(torch.quantile(column.double(), 0.97)))
    return min(ends, default=-math.inf)


def _slopes(points: Tensor, view: Tensor) -> Tensor:
    in_camera = points @ view[:3, :3].T + view[:3, 3]
    return in_camera[:, :2] / in_camera[:, 2:].clamp_min(1e-3)


def _extent(values: Tensor) -> tuple[float, float]:
    ends = torch.quantile(values.double(), values.new_tensor([0.01, 0.99]).double())
    return float(ends[0]), float(ends[1])


def _over_shoulder(spec: CameraSpec, cast: Cast, size: tuple[int, int]) -> Camera:
    names = list(cast.subjects)
    if len(names) < 2:
        raise HeadsplatError('camera "over-shoulder" needs two avatars; add one, or take camera = "front"')
    of = spec.of or next(name for name in names if name != spec.over)
    over = spec.over or next(name for name in names if name != of)
    face, back = cast.subjects[of].center, cast.subjects[over].center
    away = back - face
    away[1] = 0
    away = torch.nn.functional.normalize(away, dim=0)
    beside = torch.linalg.cross(away, away.new_tensor([0.0, 1.0, 0.0]))
    beside = beside if beside[2] >= 0 else -beside
    eye = back + _BEHIND * away + _BESIDE * beside
    eye[1] += _ABOVE
    eye = _around(eye, face, spec)
    width, height = size
    focal = _focal(spec, size) * spec.zoom
    # The face is beside the middle, away from the shoulder, and its torso goes down to the lower edge.
    view = look_at(eye[None], face)
    _, _, top, bottom = _frame([cast.subjects[of]], eye, face)
    focal = max(focal, height / (bottom - top))
    on_left = float((view[0, :3, :3] @ back + view[0, :3, 3])[0]) > 0
    x = width * (0.5 - _ASIDE if on_left else 0.5 + _ASIDE)
    K = torch.tensor([[focal, 0, x], [0, focal, height - focal * bottom], [0, 0, 1]])
    return Camera(K[None].to(eye), view, width, height)


def _around(eye: Tensor, center: Tensor, spec: CameraSpec) -> Tensor:
    """A camera center moved about `center` by the degrees of a specification."""
    x, y, z = (eye - center).tolist()
    distance = math.hypot(x, y, z)
    yaw = math.atan2(x, z) + math.radians(spec.turn)
    up = min(max(math.asin(y / distance) + math.radians(spec.up), -1.4), 1.4)
    moved = [math.sin(yaw) * math.cos(up), math.sin(up), math.cos(yaw) * math.cos(up)]
    return center + distance * center.new_tensor(moved)
