"""A second film of a synthetic person, in other light, clothes and camera, drives the avatar of the first.

    python -m tests.bench.bench_second --people noor kofi ines

The avatar of the first film is rendered in the states of the second one: as its landmarks show them (raw), and
corrected by one step a frame against the avatar (stepped, forward and backward). What it should show is known: the
second performance, rendered in the light and the clothes of the first film. Printed are PSNR over the head in dB, mean
and worst tenth, and the correlation of render and frames, which decides whether these show the avatar's person. Films,
captures and avatars stay in the work folder and are reused.
"""

from __future__ import annotations

import argparse
import colorsys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from avatar.common.image_io import write_image
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.data.capture_head import head_of
from avatar.data.image_regions import head_box
from avatar.data.recordings import with_baked_identity
from avatar.data.training_frames import over_white
from avatar.evaluation.frame_rendering import head_vertices
from avatar.evaluation.metrics import psnr
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.model.torso import TorsoBelowHead
from avatar.motion.from_capture import first_rows
from avatar.refine.step_clip import step_capture
from avatar.rendering.animator import Animator
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import HeadParams
from capture import CaptureOptions, run_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.population import appearance_of
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import SyntheticScene, make_video
from tests.support.crops import crop_of_row

SIZE = 256  # pixels, longer side of the compared images
STEP = 4  # frames between two compared ones
SHEET = 6  # frames of a sheet
#: What is different in the second film, beside light and clothes.
OTHER = {"performance": "talk", "focal": 1.05, "handheld": 1.5, "noise": 0.015, "frames": 160}


def captured(options: SyntheticOptions, stem: Path, clothes: float | None = None) -> Capture:
    """The capture of a film, made if it does not exist; `clothes`: hue 0..1 in place of the person's."""
    folder, video = stem.with_suffix(".capture"), stem.with_suffix(".mp4")
    if (folder / METADATA_FILE).is_file():
        return Capture.load(folder)
    appearance = appearance_of(options)
    if clothes is not None:
        appearance = replace(appearance, cloth=colorsys.hsv_to_rgb(clothes, 0.7, 0.3))
    with patch("capture.synthetic.video.appearance_of", lambda _: appearance):
        make_video(video, options)
    return run_capture(video, folder, CaptureOptions())


def trained(capture: Capture, path: Path, steps: int) -> Avatar:
    """The avatar of a capture, made if it does not exist."""
    if not path.is_file():
        save_avatar(path, fit(capture, load_head(), TrainConfig(size=SIZE, gaussians=15000, steps=steps)).avatar)
    return load_avatar(path)


class Second:
    """The second film, and what an avatar of the first should show of it."""

    def __init__(self, capture: Capture, options: SyntheticOptions) -> None:
        """`options` of the second film in the light and the clothes of the first."""
        self.capture = capture
        camera = capture.camera(SIZE, [0])
        self._width, self._height = camera.width, camera.height
        self._scene = SyntheticScene(replace(options, noise=0.0, exposure_drift=0.0))
        self._truth: SyntheticTruth = self._scene.truth()
        self._head = head_vertices(load_head()).numpy()

    def truth(self, row: int) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Image [H,W,3] over white at a row of the capture, and the box of the head in it."""
        crop = crop_of_row(self.capture.metadata, self.capture.track["principal_point"][row])
        number = int(self.capture.track["frame_number"][row])
        frame = self._scene.record(number)[0]
        image = over_white(crop.apply(frame.rgb), crop.apply(frame.matte)).astype(np.float32)
        image = cv2.resize(image, (self._width, self._height), interpolation=cv2.INTER_AREA)
        vertices = self._truth.vertices(number)[self._head]
        world = vertices @ self._truth.skull_rotation[number].T + self._truth.skull_translation[number]
        pixels = (self._scene.views[0].project(world) - (crop.x, crop.y)) * (
            self._width / crop.width,
            self._height / crop.height,
        )
        return image, head_box(pixels, self._width, self._height)


def measure(person: str, light: str, work: Path, steps: int) -> str:
    """The line of a person; writes a sheet: truth, raw, stepped, and the film."""
    first = SyntheticOptions(person=person, width=480, height=640)
    other = replace(first, light=light, **OTHER)
    avatar = trained(captured(first, work / person), work / f"{person}.avatar", steps)
    capture = captured(other, work / f"{person}-{light}", clothes=0.05 if person != "noor" else 0.6)
    moved, below = with_baked_identity(capture, avatar.head, head_of(capture)), TorsoBelowHead()
    rows = first_rows(moved)
    stepped = step_capture(avatar, moved, rows, below)
    tracks = {"raw": avatar.with_identity(moved.params(rows)), "stepped": stepped.params}
    second = Second(capture, replace(other, light=first.light))
    chosen = range(0, len(rows), STEP)
    truths = [second.truth(int(rows[index])) for index in chosen]
    images = {name: _images(avatar, moved, rows, params, chosen) for name, params in tracks.items()}
    values = {
        name: np.array([psnr(image[box], truth[box]) for image, (truth, box) in zip(found, truths, strict=True)])
        for name, found in images.items()
    }
    films = capture.images(rows[list(chosen)], SIZE)[0] / np.float32(255)
    shown = [[truth for truth, _ in truths], images["raw"], images["stepped"], list(films)]
    picked = np.linspace(0, len(truths) - 1, SHEET).astype(int)
    sheet = np.concatenate([np.concatenate([line[index] for index in picked], 1) for line in shown])
    write_image(work / f"{person}-{light}.png", (sheet[..., ::-1] * 255).clip(0, 255).astype(np.uint8))
    cells = (f"{each.mean():.2f} | {np.quantile(each, 0.1):.2f}" for each in values.values())
    return f"| {person} | {light} | {' | '.join(cells)} | {np.median(stepped.correlation):.2f} |"


def _images(avatar: Avatar, capture: Capture, rows: np.ndarray, params: HeadParams, chosen: range) -> list[np.ndarray]:
    view, found = capture.camera(SIZE, rows[:1]), []
    animator = Animator(avatar, view.width, view.height)
    for index in chosen:
        camera = capture.camera(SIZE, rows[index : index + 1])
        frame = animator.frame(animator.poses(params[index : index + 1], TorsoBelowHead()), 0)
        animator.rasterize(frame.gaussians, camera)
        found.append(animator.image().numpy().astype(np.float32) / 255)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", nargs="+", default=["noor", "kofi", "ines"])
    parser.add_argument("--lights", nargs="+", default=["left", "below"])
    parser.add_argument("--steps", type=int, default=1600, help="of the trainings")
    parser.add_argument("--work", type=Path, default=Path("bench"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    print("| person | light | raw | worst tenth | stepped | worst tenth | correlation |\n|" + "---|" * 7, flush=True)
    for person in args.people:
        for light in args.lights:
            print(measure(person, light, args.work, args.steps), flush=True)


if __name__ == "__main__":
    main()
