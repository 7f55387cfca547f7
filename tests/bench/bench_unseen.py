"""Sides of a head that the video or the photos never showed, against the truth of synthetic people.

    python -m tests.bench.bench_unseen --people noor kofi --source video

A person turns by at most 15 degrees in front of one camera (video), or stands for photos: three from the front and
from 30 degrees to each side (photos), or one from the front (photo) or from one side (side). Avatars trained on these
are rendered with true expressions from where no frame was taken; the similarity between the faces of the tracked and of
the true mesh places the cameras. The figures are PSNR of the head over white, by group of views, with the prior
of heads, with a prior of one mean head, and without. Clips, captures and avatars stay in the work folder and are
reused; a sheet of each person (truth, then each avatar) is written again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from avatar.common.image_io import encode_jpeg, write_image
from avatar.common.toml_config import load_preset
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.data.image_regions import head_box
from avatar.data.training_frames import HeadStates, over_white
from avatar.evaluation.frame_rendering import head_vertices, rendered
from avatar.evaluation.metrics import psnr
from avatar.geometry.similarity import fit_similarity
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.model.prior import HeadPrior, head_prior
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import Camera
from capture.photos import capture_photos
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import SyntheticScene
from capture.synthetic.view import View
from tests.bench.bench_truth import captured, filmed

#: Yaw and elevation in degrees of views, by name of their group.
Views = dict[str, tuple[tuple[float, float], ...]]

SIZE, PHOTO_SIZE = 320, 768  # pixels, of the compared images and of the photos
VIEWS: Views = {
    "front": ((0, 0), (-12, 0), (12, 0)),
    "30": ((-30, 0), (30, 0)),
    "-60": ((-60, 0),),
    "60": ((60, 0),),
    "90": ((-90, 0), (90, 0)),
    "above": ((0, 50), (-40, 45), (40, 45)),
    "behind": ((180, 0), (140, 0), (-140, 0)),
}
PHOTO_VIEWS: Views = {"photos": ((0, 0), (-30, 0), (30, 0)), "photo": ((0, 0),), "side": ((50, 0),)}
PRIORS = {"prior": "with the prior", "mean": "one mean head", "none": "without"}
DISTANCE, FOCAL = 0.9, 2.4  # meters from the middle of the head; relative to the width of the image
HEAD_CENTER = np.array([0.0, 0.0, -0.08])  # meters, skull frame
#: Fractions of the clip of which the expressions are compared; the first is that of the photos.
MOMENTS = (0.0, 0.35, 0.6)


@dataclass(frozen=True)
class Shot:
    """One rendered view of the true person."""

    rgb: np.ndarray  # [H,W,3] uint8 sRGB
    matte: np.ndarray  # [H,W] uint8
    group: str
    view: View
    truth: SyntheticTruth
    step: int


def view_of(truth: SyntheticTruth, step: int, yaw: float, elevation: float, size: int) -> View:
    """A camera at these angles, in degrees, around the head at `step`; it follows the head's rotation."""
    turn, lift = np.radians([yaw, elevation])
    toward = np.array([np.sin(turn) * np.cos(lift), np.sin(lift), np.cos(turn) * np.cos(lift)])
    right = np.cross([0.0, 1.0, 0.0], toward)
    axes = np.stack([right / np.linalg.norm(right), -np.cross(toward, right) / np.linalg.norm(right), -toward])
    rotation = axes @ truth.skull_rotation[step].T
    center = truth.skull_rotation[step] @ HEAD_CENTER + truth.skull_translation[step]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, [0, 0, DISTANCE] - rotation @ center
    K = np.array([[FOCAL * size, 0, size / 2], [0, FOCAL * size, size / 2], [0, 0, 1]])
    return View(K.astype(np.float32), matrix.astype(np.float32), size, size)


def shots(options: SyntheticOptions, groups: Views, moments: tuple[float, ...], size: int) -> list[Shot]:
    """Images of a person from all views of `groups` at `moments`, fractions of the clip; no shake, no noise."""
    angles = [(group, *angle) for group, chosen in groups.items() for angle in chosen]
    still = replace(options, width=size, height=size, noise=0.0, exposure_drift=0.0, cameras=max(2, len(angles)))
    scene = SyntheticScene(still)
    truth, found = scene.truth(), []
    for step in (int(moment * (options.frames - 1)) for moment in moments):
        views = [view_of(truth, step, yaw, elevation, size) for _, yaw, elevation in angles]
        scene.views = tuple(views * still.cameras)[: still.cameras]
        for (group, _, _), view, frame in zip(angles, views, scene.record(step), strict=False):
            found.append(Shot(frame.rgb, frame.matte, group, view, truth, step))
    return found


def photographed(options: SyntheticOptions, source: str, work: Path) -> Capture:
    """The capture of the photos of a person, made if it does not exist."""
    out = work / f"{options.person}-{source}.capture"
    if (out / METADATA_FILE).is_file():
        return Capture.load(out)
    paths = []
    for index, shot in enumerate(shots(options, {source: PHOTO_VIEWS[source]}, MOMENTS[:1], PHOTO_SIZE)):
        paths.append(work / f"{options.person}-{source}-{index}.jpg")
        paths[-1].write_bytes(encode_jpeg(np.ascontiguousarray(shot.rgb[..., ::-1]), 95))
    return capture_photos(paths, out)


def one_head() -> HeadPrior:
    """The prior without its basis: the mean head in any light."""
    model = head_prior()
    return replace(model, basis=np.zeros_like(model.basis))


def trained(options: SyntheticOptions, source: str, work: Path, prior: str, steps: int) -> tuple[Avatar, Capture]:
    """An avatar of a source with a prior of PRIORS, from `work` if it is there, and its capture."""
    if source == "video":
        capture = captured(filmed(options, work))
        config = TrainConfig(size=256, gaussians=15000, steps=steps, prior=prior != "none")
    else:
        capture = photographed(options, source, work)
        config = replace(load_preset("photos", TrainConfig()), prior=prior != "none")
    path = work / f"{options.person}-{source}-{prior}.avatar"
    if not path.is_file():
        with patch("avatar.training.parts.head_prior.head_prior", one_head if prior == "mean" else head_prior):
            save_avatar(path, fit(capture, load_head(), config).avatar)
    return load_avatar(path), capture


class Placed:
    """An avatar in the pose of its most frontal frame, and the similarity from its face to the true one."""

    def __init__(self, avatar: Avatar, capture: Capture, neutral: np.ndarray) -> None:
        """`neutral` [V,3]: the true vertices, meters, skull frame."""
        self._avatar = avatar
        states = HeadStates.of(avatar.with_identity(capture.params(capture.train_indices)), avatar.head)
        frontal = int(np.argmin(np.linalg.norm(states.params.joint_rot[:, :2].numpy(), axis=(1, 2))))
        self._params = states.params[frontal : frontal + 1]
        face = avatar.head.mask("face", "nose", "forehead").numpy()
        own, true = (x[face].astype(np.float64) for x in (avatar.head.v_template.numpy(), neutral))
        self._rotation, self._scale = fit_similarity(own, true)
        self._offset = true.mean(0) - self._scale * self._rotation @ own.mean(0)

    def image(self, shot: Shot) -> np.ndarray:
        """The avatar [H,W,3] over white with the expression and the camera of `shot`."""
        params = replace(self._params, expression=shot.truth.params()[shot.step].expression.reshape(1, -1))
        state = HeadStates.of(params, self._avatar.head)
        with torch.no_grad():
            gaussians = self._avatar(params)
        return rendered(gaussians, self._camera(shot, state), "native")[0]

    def _camera(self, shot: Shot, state: HeadStates) -> Camera:
        """The camera of `shot` moved from the true skull to that of the avatar."""
        view = shot.view.world_to_cam.astype(np.float64)
        rotation = view[:3, :3] @ shot.truth.skull_rotation[shot.step]
        center = view[:3, :3] @ shot.truth.skull_translation[shot.step] + view[:3, 3]
        own, place = state.rotation[0].double().numpy(), state.translation[0].double().numpy()
        moved = np.eye(4)
        moved[:3, :3] = rotation @ self._rotation @ own.T
        moved[:3, 3] = (rotation @ self._offset + center) / self._scale - moved[:3, :3] @ place
        K, matrix = (torch.from_numpy(x.astype(np.float32))[None] for x in (shot.view.K, moved))
        return Camera(K, matrix, shot.view.width, shot.view.height)


def score(shot: Shot, image: np.ndarray, head: np.ndarray) -> float:
    """PSNR of the head, the box around the true vertices `head` [V] bool."""
    vertices = shot.truth.vertices(shot.step)[head]
    world = vertices @ shot.truth.skull_rotation[shot.step].T + shot.truth.skull_translation[shot.step]
    rows, columns = head_box(shot.view.project(world), shot.view.width, shot.view.height)
    return psnr(image[rows, columns], over_white(shot.rgb, shot.matte)[rows, columns])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", default=["noor", "kofi", "vera"])
    parser.add_argument("--source", choices=("video", *PHOTO_VIEWS), default="video")
    parser.add_argument("--steps", type=int, default=3000, help="of the trainings from videos")
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    print("| person | avatar | " + " | ".join(VIEWS) + " |\n|" + "---|" * (len(VIEWS) + 2), flush=True)
    for person in args.people:
        options = SyntheticOptions(person=person, yaw=15.0)
        true = shots(options, VIEWS, MOMENTS, SIZE)
        sheet = [[over_white(shot.rgb, shot.matte) for shot in true]]
        for prior, name in PRIORS.items():
            avatar, capture = trained(options, args.source, args.work, prior, args.steps)
            placed, head = Placed(avatar, capture, true[0].truth.neutral_vertices), head_vertices(avatar.head).numpy()
            sheet.append([placed.image(shot) for shot in true])
            values = [score(shot, image, head) for shot, image in zip(true, sheet[-1], strict=True)]
            cells = [np.mean([v for v, shot in zip(values, true, strict=True) if shot.group == name]) for name in VIEWS]
            print(f"| {person} | {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)
        count = len(true) // len(MOMENTS)
        image = np.concatenate([np.concatenate(row[:count], 1) for row in sheet])
        write_image(args.work / f"{person}-{args.source}.png", (image[..., ::-1] * 255).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
