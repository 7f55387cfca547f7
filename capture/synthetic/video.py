"""Synthetic videos and their ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.common.image_io import write_image
from avatar.data.capture_folder import frame_name
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.types import FACING_CAMERA, NECK, ROOT, HeadParams
from avatar.video import Encoding, open_output
from capture.synthetic.appearance import SPARE_GLASSES
from capture.synthetic.motion import Performance, perform
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.person import Person
from capture.synthetic.phone import Phone, painted_room
from capture.synthetic.population import appearance_of
from capture.synthetic.renderer import Pose, Renderer
from capture.synthetic.scripts import script_named
from capture.synthetic.surroundings import Surroundings
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.view import View, make_views, walk_around

Array = NDArray[np.floating]

#: Called with (frames done, total frames).
Progress = Callable[[int, int], None]

#: The video of the default options, in the package because drawing it takes longer than tracking the face in it.
#: `make demo-clip` draws it again.
DEMO_CLIP = Path(__file__).with_name("demo_clip.mp4")

_POSITION = np.array([0.0, 0.008, -0.42], np.float32)  # meters, the point between the eyes relative to the phone
_DEFAULT_WIDTH = 540
_WORKERS = 2
_BATCH = 8
_WALLS = 4  # around the room of a walk
_WALL_WIDTH = 1100  # pixels
_WALL_BLUR = 0.003  # of it: a phone at arm's length from a person has much in focus
_SEED_STEP = 101  # between the seeds of two cameras' backgrounds and noise


@dataclass(frozen=True)
class RecordedFrame:
    """Frame of one camera at one time step."""

    rgb: NDArray[np.uint8]  # [H,W,3] sRGB
    matte: NDArray[np.uint8]  # [H,W] the person, as rendered


class SyntheticScene:
    """A person, the motion and the cameras; time steps can be rendered in any order."""

    def __init__(self, options: SyntheticOptions) -> None:
        script = script_named(options.performance).with_yaw(options.yaw)
        self.options = options
        appearance = appearance_of(options)
        if options.glasses and appearance.glasses is None:
            appearance = replace(appearance, glasses=SPARE_GLASSES)
        person = Person(appearance)
        self.views = make_views(options)
        detail = options.width / _DEFAULT_WIDTH
        self._renderer = Renderer(appearance, person, options.seed, detail, options.light, options.wrinkles)
        seeds = (options.seed + _SEED_STEP * camera for camera in range(options.cameras))
        self._phones = [Phone(options.width, options.height, options.noise, seed) for seed in seeds]
        rng = np.random.default_rng(options.seed)
        names = person.head.expression_names
        handheld = options.handheld if options.cameras == 1 else 0.0
        performance = perform(names, options.frames, options.fps, handheld, rng, script, held_out=options.held_out)
        self.params = _relative_to_camera(person, performance)
        focal = options.focal * options.width
        handheld_xy = [performance.handheld[:, 1], performance.handheld[:, 0]]
        self._shift = -np.stack(handheld_xy, 1) * np.float32(focal)
        self.exposure = _exposures(options, rng)
        self._person = person
        self._expression = performance.expression
        self._walk: list[View] = []
        if script.still:
            self._walk = walk_around(options, np.random.default_rng((options.seed, options.frames)))
            walls = [painted_room(_WALL_WIDTH, _WALL_WIDTH, options.seed + k, _WALL_BLUR) for k in range(_WALLS)]
            self._surroundings = Surroundings(walls, _POSITION)
            self._sitting = person.transforms(self.params)
            self.params = _before_camera(person, self.params, self._walk)
        self._rotations, self._offsets = person.transforms(self.params)

    def _pose(self, index: int) -> Pose:
        return Pose(self._expression[index], self._rotations[index], self._offsets[index])

    def record(self, index: int) -> list[RecordedFrame]:
        """Frames of time step `index` by every camera."""
        shift = (float(self._shift[index, 0]), float(self._shift[index, 1]))
        if self._walk:
            return [self._record_walk(index)]
        images = self._renderer.render(self._pose(index), self.views)
        frames = []
        for phone, image, gains in zip(self._phones, images, self.exposure, strict=True):
            rgb = phone.expose(image, shift, float(gains[index]), index)
            frames.append(RecordedFrame(rgb, (image.alpha * 255 + 0.5).astype(np.uint8)))
        return frames

    def _record_walk(self, index: int) -> RecordedFrame:
        """The frame of the phone that is carried around the person, whose light stays where it is."""
        view = self._walk[index]
        rotations, offsets = self._sitting
        image = self._renderer.render(Pose(self._expression[index], rotations[index], offsets[index]), [view])[0]
        room = self._surroundings.seen_from(view)
        rgb = self._phones[0].expose(image, (0.0, 0.0), float(self.exposure[0, index]), index, room)
        return RecordedFrame(rgb, (image.alpha * 255 + 0.5).astype(np.uint8))

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame of time step `index` by the first camera, [H,W,3] uint8 sRGB."""
        return self.record(index)[0].rgb

    def record_all(self, progress: Progress | None = None) -> Iterator[list[RecordedFrame]]:
        """`record` of every time step in order, several rendered in parallel."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        pool = ThreadPoolExecutor(_WORKERS)
        try:
            # In small batches: images that wait for a slow writer would fill the memory.
            for first in range(0, self.options.frames, _BATCH):
                batch = range(first, min(first + _BATCH, self.options.frames))
                for index, frames in zip(batch, pool.map(self.record, batch), strict=True):
                    yield frames
                    if progress is not None:
                        progress(index + 1, self.options.frames)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def truth(self) -> SyntheticTruth:
        """The ground truth of the recording."""
        person = self._person
        params = self.params
        head = person.head
        neutral = person.rest * np.float32(0.01)
        rotations = self._rotations[:, NECK]
        translations = self._offsets[:, NECK]
        offsets = np.empty((len(params), *neutral.shape), np.float16)
        points = np.empty((len(params), len(head.landmark_faces), 3), np.float32)
        for index in range(len(params)):
            pose = self._pose(index)
            posed = person.vertices(pose.expression, pose.rotations, pose.offsets)
            points[index] = head.landmarks(torch.from_numpy(posed)[None])[0].numpy()
            offsets[index] = ((posed - translations[index]) @ rotations[index] - neutral) * np.float32(1e3)
        return SyntheticTruth(
            time=np.arange(len(params), dtype=np.float32) / np.float32(self.options.fps),
            identity=params.identity.numpy(),
            expression=params.expression.numpy(),
            joint_rot=params.joint_rot.numpy(),
            translation=params.translation.numpy(),
            skull_rotation=rotations,
            skull_translation=translations,
            neutral_vertices=neutral,
            skull_offsets=offsets,
            landmarks=np.stack([view.project(points) for view in self.views]),
            exposure=self.exposure,
            K=np.stack([view.K for view in self.views]),
            world_to_cam=np.stack([view.world_to_cam for view in self.views]),
            width=self.options.width,
            height=self.options.height,
            head=head.model_id,
            expression_names=head.expression_names,
            camera_names=tuple(f"cam{camera}" for camera in range(len(self.views))),
        )


def make_video(
    path: Path,
    options: SyntheticOptions | None = None,
    progress: Progress | None = None,
    *,
    save_truth: bool = False,
    mattes: Path | None = None,
) -> SyntheticTruth:
    """Record a procedural person: write an H.264 mp4 at `path` and return the ground truth.

    Args:
        path: the mp4; its folder must exist.
        options: person, length, size; the defaults are those of the demo.
        progress: called after every frame.
        save_truth: whether to also write `<path>.truth.npz` (for `SyntheticTruth.load`).
        mattes: folder for the true matte of every frame, NNNNN.png; None writes none.

    Raises:
        HeadsplatError: an option is invalid.
    """
    options = SyntheticOptions() if options is None else options
    scene = SyntheticScene(options)
    if mattes is not None:
        mattes.mkdir(exist_ok=True)
    with open_output(path, options.fps, encoding=Encoding(crf=options.crf), complete_only=True) as writer:
        for index, (frame, *_) in enumerate(scene.record_all(progress)):
            writer.add(frame.rgb)
            if mattes is not None:
                write_image(mattes / frame_name(index), frame.matte)
    truth = scene.truth()
    if save_truth:
        truth.save(Path(f"{path}.truth.npz"))
    return truth


def _relative_to_camera(person: Person, performance: Performance) -> HeadParams:
    """Head parameters in the frame of the hand-held camera: its motion is applied inversely to the person."""
    joints = torch.from_numpy(performance.joint_rot.copy())
    torso = axis_angle_to_matrix(joints[:, ROOT])
    sway = torch.from_numpy(performance.handheld.copy())
    sway[:, 2] = 0
    camera = axis_angle_to_matrix(sway)
    joints[:, ROOT] = matrix_to_axis_angle(camera @ torso)
    root = person.head.joint_locations(person.identity)[ROOT]
    position = torch.from_numpy(_POSITION + performance.position)
    position[:, 2] += torch.from_numpy(performance.handheld[:, 2].copy())
    # The torso rotates about its joint; then everything rotates about the camera.
    world = (camera @ (root + position)[..., None])[..., 0]
    return HeadParams(person.identity, torch.from_numpy(performance.expression), joints, world - root)


def _before_camera(person: Person, params: HeadParams, walk: list[View]) -> HeadParams:
    """Parameters of a person who sits still, relative to each camera of a walk: as before one that does not move."""
    facing = np.array(FACING_CAMERA)
    moved = torch.from_numpy(np.stack([np.linalg.inv(facing) @ view.world_to_cam for view in walk]))
    turn, shift = moved[:, :3, :3].double(), moved[:, :3, 3].double()
    root = person.head.joint_locations(person.identity)[ROOT].double()
    joints = params.joint_rot.clone()
    joints[:, ROOT] = matrix_to_axis_angle(turn @ axis_angle_to_matrix(joints[:, ROOT].double())).to(joints)
    position = (turn @ (root + params.translation.double())[..., None])[..., 0] + shift - root
    return HeadParams(params.identity, params.expression, joints, position.to(params.translation))


def _exposures(options: SyntheticOptions, rng: np.random.Generator) -> Array:
    """Gain [C,T] of every camera: slow sine waves with different phases."""
    waves = np.arange(options.frames) / max(options.frames, 1) * 1.7 + rng.random(options.cameras)[:, None]
    return (1 + options.exposure_drift * np.sin(2 * np.pi * waves)).astype(np.float32)
