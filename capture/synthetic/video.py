"""`make_video`: the synthetic phone video and its ground truth."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.records import NECK, ROOT, HeadParams
from avatar.video import VideoWriter
from capture.synthetic.looks import LOOKS
from capture.synthetic.motion import Performance, perform
from capture.synthetic.options import SyntheticOptions, SyntheticTruth
from capture.synthetic.person import Person
from capture.synthetic.phone import Phone
from capture.synthetic.renderer import Pose, Renderer

Array = NDArray[np.float32]

#: Called with (frames done, frames in all).
Progress = Callable[[int, int], None]

_PLACE = np.array([0.0, 0.008, -0.42], np.float32)  # metres from the phone to the point between the eyes
_USUAL_WIDTH = 540
_WORKERS = 2


class SyntheticScene:
    """A person, what they do and the phone that films them; frames can be drawn in any order."""

    def __init__(self, options: SyntheticOptions) -> None:
        if options.person not in LOOKS:
            raise HeadsplatError(f"person: found {options.person!r}; choose one of {', '.join(sorted(LOOKS))}.")
        self.options = options
        look = LOOKS[options.person]
        person = Person(look)
        self._renderer = Renderer(look, person, options.seed, options.width / _USUAL_WIDTH)
        self._phone = Phone(options.width, options.height, options.noise, options.seed)
        rng = np.random.default_rng(options.seed)
        names = person.head.expression_names
        act = perform(names, options.frames, options.fps, options.handheld, rng)
        self.params = _relative_to_camera(person, act)
        focal = options.focal * options.width
        self.K = np.array([[focal, 0, options.width / 2], [0, focal, options.height / 2], [0, 0, 1]], np.float32)
        self._shift = -np.stack([act.handheld[:, 1], act.handheld[:, 0]], 1) * np.float32(focal)
        slow = np.sin(2 * np.pi * (np.arange(options.frames) / max(options.frames, 1) * 1.7 + rng.random()))
        self.exposure = (1 + options.exposure_drift * slow).astype(np.float32)
        self._person, self._expression = person, act.expression
        self._rotations, self._offsets = person.transforms(self.params)

    def _pose(self, index: int) -> Pose:
        return Pose(self._expression[index], self._rotations[index], self._offsets[index])

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame `index` as the phone sees it, [H,W,3] uint8 sRGB."""
        picture = self._renderer.draw(self._pose(index), self.K, self.options.width, self.options.height)
        shift = self._shift[index]
        return self._phone.expose(picture, (float(shift[0]), float(shift[1])), float(self.exposure[index]), index)

    def truth(self) -> SyntheticTruth:
        """Everything that is known about the video."""
        person, params = self._person, self.params
        drawn = (self._pose(index) for index in range(len(params)))
        vertices = (person.vertices(pose.expression, pose.rotations, pose.offsets) for pose in drawn)
        posed = np.stack([person.head.landmarks(torch.from_numpy(each)[None])[0].numpy() for each in vertices])
        seen = posed * np.array([1, -1, -1], np.float32) @ self.K.T
        return SyntheticTruth(
            time=np.arange(len(params), dtype=np.float32) / np.float32(self.options.fps),
            identity=params.identity.numpy(),
            expression=params.expression.numpy(),
            joint_rot=params.joint_rot.numpy(),
            translation=params.translation.numpy(),
            skull_rotation=self._rotations[:, NECK],
            skull_translation=self._offsets[:, NECK],
            neutral_vertices=person.rest * np.float32(0.01),
            landmarks=(seen[..., :2] / seen[..., 2:]).astype(np.float32),
            exposure=self.exposure,
            K=self.K,
            width=self.options.width,
            height=self.options.height,
            expression_names=person.head.expression_names,
        )


def make_video(
    path: Path,
    options: SyntheticOptions | None = None,
    progress: Progress | None = None,
    *,
    save_truth: bool = False,
) -> SyntheticTruth:
    """Film a procedural person: writes an H.264 mp4 at `path` and returns the ground truth.

    Args:
        path: where the mp4 goes; its folder must exist.
        options: who, how long, how large; the defaults are the demo's.
        progress: called after every frame.
        save_truth: also write `<path>.truth.npz` (`SyntheticTruth.load` reads it).

    Raises:
        HeadsplatError: an option does not fit.
    """
    options = SyntheticOptions() if options is None else options
    scene = SyntheticScene(options)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            VideoWriter(path, options.fps, crf=options.crf, preset="veryfast") as writer,
            ThreadPoolExecutor(_WORKERS) as pool,
        ):
            for done, image in enumerate(pool.map(scene.frame, range(options.frames)), 1):
                writer.add(image)
                if progress is not None:
                    progress(done, options.frames)
    finally:
        torch.set_num_threads(threads)
    truth = scene.truth()
    if save_truth:
        truth.save(Path(f"{path}.truth.npz"))
    return truth


def _relative_to_camera(person: Person, act: Performance) -> HeadParams:
    """Parameters in the frame of the hand-held camera: the phone's turn and step move everything the other way."""
    joints = torch.from_numpy(act.joint_rot.copy())
    torso = axis_angle_to_matrix(joints[:, ROOT])
    sway = torch.from_numpy(act.handheld.copy())
    sway[:, 2] = 0
    camera = axis_angle_to_matrix(sway)
    joints[:, ROOT] = matrix_to_axis_angle(camera @ torso)
    root = person.head.joint_locations(person.identity)[ROOT]
    place = torch.from_numpy(_PLACE + act.position)
    place[:, 2] += torch.from_numpy(act.handheld[:, 2].copy())
    # The torso turns about its own joint, which stays in place; then the phone's turn about the camera.
    world = (camera @ (root + place)[..., None])[..., 0]
    return HeadParams(person.identity, torch.from_numpy(act.expression), joints, world - root)
