"""One page that scores every row of docs/limits.md on an avatar, and one sheet of images: which limit has moved.

    python -m tests.bench.bench_limits me.avatar me.capture -o limits

Writes limits.md (each row of the page: figures and how they were measured, or why they are not measured here) and
limits.png (a tile for each figure). Rows that need frames say so without the capture on which the avatar was trained.
Where that holds no frames out, every OTHER-th training frame is scored, and the page says that.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar.common.image_io import write_image
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, TrainingFrames, over_white
from avatar.driving.mouth_opening import with_peak_opening
from avatar.driving.trained_range import TrainedRange
from avatar.dubbing.composite import composite
from avatar.dubbing.motion_field import MotionFields
from avatar.dubbing.parts import vertex_weights
from avatar.errors import HeadsplatError
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.landmarks import EYE_CORNERS
from avatar.evaluation.orbit import measure_orbit
from avatar.evaluation.protocol import evaluate
from avatar.evaluation.report import Report
from avatar.evaluation.response import BLINK, LIDS, LIPS, Response, measure_response, openings
from avatar.export.comparison import compare_mesh, mesh_and_splats
from avatar.export.posed import posed
from avatar.export.texture import mesh_colors
from avatar.jobs.evaluating import refine_options
from avatar.jobs.landmarker import landmarker
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.model.avatar_header import read_header
from avatar.model.head_lengths import HeadLengths
from avatar.model.parts.light.lights import light_named
from avatar.model.parts.light.relight import Relighting, relit
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.true_size import TrueSize
from avatar.rendering.animator import render_track
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import moving_camera, subject_of
from avatar.types import HeadParams
from tests.bench.bench_closed_lids import around_eyes, refined
from tests.bench.bench_conversation import sheet

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
SIZE, SCORED_SIZE = 512, 256  # pixels: rendered faces, scored frames
TILE = (400, 230)  # pixels, width and height
COLUMNS = 4
OTHER = 5
FAR = 40.0  # degrees of turn, beyond the 30 that the page promises
MOUTH_MM = 12.0
#: Landmarks around the right and the left cheek, within what is seen at FAR.
CHEEKS = ((117, 118, 101, 36, 205, 187, 123), (346, 347, 330, 266, 425, 411, 352))
LAUGH = {"jawOpen": 0.7, "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.8, "cheekSquintRight": 0.8}
BLINKED = dict.fromkeys(BLINK, 1.0)
SQUINT = {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0}


@dataclass(frozen=True)
class Score:
    """A figure of a row."""

    label: str  # below the tile, short
    value: str  # with its unit
    how: str
    tile: tuple[np.ndarray, ...]  # [h,w,3] uint8 each, beside each other


@dataclass(frozen=True)
class Face:
    """A rendered face."""

    image: np.ndarray  # [SIZE,SIZE,3] uint8
    points: np.ndarray  # [478,3] landmarks of the mesh: pixels, and 0

    @property
    def near(self) -> np.ndarray:
        """The image around the face, square."""
        low, high = self.points[:468, :2].min(0), self.points[:468, :2].max(0)
        half = 0.6 * (high - low).max()
        (x, y), (right, below) = ((low + high) / 2 - half).clip(0).astype(int), ((low + high) / 2 + half).astype(int)
        return self.image[y:below, x:right]

    def within(self, *outlines: Sequence[int], wider: int = 1) -> np.ndarray:
        """Mask [SIZE,SIZE] of the hulls of landmarks, dilated by squares of so many pixels."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        for outline in outlines:
            cv2.fillConvexPoly(mask, cv2.convexHull(self.points[list(outline), :2].astype(np.int32)), 1)
        return cv2.dilate(mask, np.ones((wider, wider), np.uint8)) > 0

    @property
    def gray(self) -> np.ndarray:
        """Luminance [SIZE,SIZE] uint8."""
        return cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)

    @property
    def eyes(self) -> np.ndarray:
        """The crop around both eyes."""
        return (255 * around_eyes(self.image.astype(np.float32) / 255, self.points)).astype(np.uint8)

    def specks(self, cheek: int) -> float:
        """Root mean square in levels of what a median filter of 5 x 5 pixels takes from a cheek."""
        rest = self.gray.astype(float) - cv2.medianBlur(self.gray, 5)
        return float(np.sqrt(np.square(rest[self.within(CHEEKS[cheek])]).mean()))


class Subject:
    """The avatar that is measured, and its capture."""

    def __init__(self, path: Path, capture: Path | None) -> None:
        self.header = read_header(path)
        self.avatar = load_avatar(path).requires_grad_(False)
        self._capture = None if capture is None else Capture.load(capture)
        self.landmarker = landmarker()

    @cached_property
    def capture(self) -> Capture:
        """The capture, with frames held out."""
        if self._capture is None:
            raise HeadsplatError("needs the capture of the avatar as the second argument")
        test = np.asarray(self._capture.track["is_test"])
        test = test if test.any() else np.arange(len(test)) % OTHER == OTHER - 1
        return replace(self._capture, track=dict(self._capture.track) | {"is_test": test})

    @property
    def frames(self) -> str:
        """What the frames are that are scored."""
        held_out = self._capture is not None and self._capture.track["is_test"].any()
        return "held-out frames" if held_out else "TRAINING frames (none is held out)"

    @cached_property
    def evaluated(self) -> tuple[Report, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """The report of `headsplat eval`, and of each row a middle frame: predicted, truth."""
        capture, images = self.capture, {}
        with tempfile.TemporaryDirectory() as folder:
            report = evaluate(
                self.avatar, capture, size=SCORED_SIZE, save_images=Path(folder),
                refine=refine_options(self.header), landmarker=self.landmarker,
            )  # fmt: skip
            for row in Path(folder).iterdir():
                files = [sorted(row.glob(f"{kind}_*.png")) for kind in ("pred", "truth")]
                middle = len(files[0]) // 2
                predicted, truth = (cv2.imread(str(each[middle]))[..., ::-1] for each in files)
                images[row.name] = predicted, truth
        return report, images

    @cached_property
    def response(self) -> Response:
        """Eyes and mouth, as `headsplat eval` measures them."""
        found = measure_response(self.avatar, self.landmarker)
        if found is None:
            raise HeadsplatError("the landmark network is not on this machine, or finds no face in the driven images")
        return found

    def gain(self, to: str, start: str) -> float:
        """PSNR in dB of the head by which a row of the evaluation exceeds another."""
        rows = self.evaluated[0].rows
        if not {to, start} <= set(rows):
            raise HeadsplatError(f"the evaluation has no rows {to} and {start} for this capture")
        return rows[to]["psnr_head"] - rows[start]["psnr_head"]

    def pair(self, row: str) -> tuple[np.ndarray, np.ndarray]:
        """Truth and prediction of a middle frame."""
        return self.evaluated[1][row][::-1]

    def located(self, face: Face) -> np.ndarray:
        """The landmarks [478,3] that the network finds."""
        found = None if self.landmarker.locate is None else self.landmarker.locate(face.image, face.points)
        if found is None:
            raise HeadsplatError(self.landmarker.absent or "the landmark network finds no face in the rendered image")
        return found

    def params(self, weights: dict[str, float], *, clamped: bool = False) -> HeadParams:
        """A face at the mean pose; clamped: softly, to what was trained."""
        params = posed(self.avatar, weights)
        return TrainedRange.of(self.avatar)(params) if clamped else params

    def face(self, params: HeadParams, yaw: float = 0.0, avatar: Avatar | None = None) -> Face:
        """The face rendered from `yaw` degrees beside its front; positive ones show the person's left side."""
        request = CameraRequest("orbit", 360.0, 360.0)  # a degree a second
        camera = moving_camera(request, subject_of(self.avatar, params), np.array([yaw]), SIZE, SIZE)
        image = next(render_track(avatar or self.avatar, params, camera))
        rotation, translation = self.avatar.head.skull_pose(params)
        pixels = camera.project(self.points(params) @ rotation[0].T + translation[0]).numpy()
        return Face(image, np.pad(pixels, ((0, 0), (0, 1))).astype(np.float32))

    def points(self, params: HeadParams) -> torch.Tensor:
        """Landmarks [478,3] of the mesh, meters, skull frame."""
        return self.avatar.head.skull_landmarks(self.avatar.with_identity(params))[0].detach()


def hair(it: Subject) -> Score:
    value = f"{it.evaluated[0].rows['refined']['psnr_hair']:.1f} dB"
    return Score("hair", value, f"PSNR, fitted poses, {it.frames}; tile: truth, avatar", it.pair("refined"))


def mesh(it: Subject) -> Score:
    colors = mesh_colors(it.avatar)
    found = compare_mesh(it.avatar, colors)
    covered = 100 * np.mean([view.covered for view in found.views])
    tile = [(255 * each.rgb).astype(np.uint8) for each in mesh_and_splats(it.avatar, colors, {}, 20.0)]
    how = "PSNR of the exported mesh against the avatar within the head, and how much of the head it covers"
    return Score("mesh, splats", f"{found.mean()[0]:.1f} dB, covers {covered:.0f} %", how, tuple(tile))


def sides(it: Subject) -> Score:
    found = 100 * np.array(measure_orbit(it.avatar).seen_through)
    how = "pixels of the head with alpha below .9 from -90 to 90 degrees, mean and most; tile: 75 degrees"
    tile = tuple(it.face(it.params({}), yaw).image for yaw in (-75.0, 75.0))
    return Score("seen through", f"{found.mean():.2f} %, most {found.max():.2f} %", how, tile)


def far_cheek(it: Subject) -> Score:
    front, right, left = (it.face(it.params({}), yaw) for yaw in (0.0, -FAR, FAR))
    before, far, near = (
        (a[0].specks(a[1]) + b[0].specks(b[1])) / 2
        for a, b in (((front, 0), (front, 1)), ((right, 1), (left, 0)), ((right, 0), (left, 1)))
    )
    how = f"RMS of what a median filter takes from the cheeks, turned by {FAR:g} degrees (far, near) and in front"
    value = f"far {far:.2f}, near {near:.2f}, front {before:.2f} levels"
    return Score(f"specks at {FAR:g} deg", value, how, (right.near, left.near))


def wide_mouth(it: Subject) -> Score:
    layer = "with" if it.avatar.part(MeshLayer) else "without"
    how = "opening in the image, softly clamped, against that of the mesh without the clamp"
    value = f"{100 * it.response.mouth_opening[-1]:.0f} % of what was asked, {layer} mesh layer"
    return Score("jawOpen 1", value, how, (it.face(it.params({"jawOpen": 1.0}, clamped=True)).near,))


def mouth_mm(it: Subject) -> Score:
    params, posed_mm = with_peak_opening(it.avatar.head, it.params({"jawOpen": 0.5}), MOUTH_MM)
    face = it.face(params)
    seen, own = openings(np.stack([it.located(face), face.points]), LIPS)
    how = "--mouth-mm: of the posed mesh, and in the image by the landmark network"
    value = f"mesh {posed_mm:.1f}, image {posed_mm * seen / own:.1f} mm"
    return Score(f"{MOUTH_MM:g} mm asked", value, how, (face.near,))


def blink(it: Subject) -> Score:
    faces = [it.face(it.params(weights, clamped=True)) for weights in ({}, BLINKED)]
    rest, closed = openings(np.stack([face.points for face in faces]), LIDS)
    how = "opening left, relative to rest: by the landmark network, and of the mesh"
    value = f"{100 * it.response.eye_openness[-1]:.0f} % seen, {100 * closed / max(rest, 1e-6):.0f} % of the mesh"
    return Score("full blink", value, how, (faces[1].eyes,))


def lid_spots(it: Subject) -> Score:
    faces = [it.face(it.params(weights, clamped=True)) for weights in (BLINKED, BLINKED | SQUINT)]
    lids = [face.gray[face.within(*([*low, *high] for low, high in LIDS), wider=9)] for face in faces]
    alone, both = (np.percentile(each, 98) - np.median(each) for each in lids)
    how = "luminance along closed lids, 98th percentile above the median: alone, with a squint"
    return Score("blink, and squint", f"{alone:.0f}, {both:.0f} levels", how, tuple(face.eyes for face in faces))


def side_light(it: Subject) -> Score:
    other = relit(it.avatar, Relighting(light_named("window-left")))
    faces = [it.face(it.params({}), avatar=each) for each in (it.avatar, other)]
    before, after = (max(face.specks(cheek) for cheek in (0, 1)) for face in faces)
    how = "specks of the worse cheek in the light of the clip, and with `--relight window-left`"
    return Score("own light, side light", f"{before:.2f}, {after:.2f} levels", how, tuple(face.near for face in faces))


def dubbed(it: Subject) -> Score:
    tests, head = it.capture.test_indices, it.avatar.head
    frames = refined(it.avatar, it.capture, tests[:: max(len(tests) // 4, 1)])
    opened = frames.states.params.expression.clone()
    opened[:, head.expression_index("jawOpen")] = 0.6
    states = HeadStates.of(replace(frames.states.params, expression=opened), head)
    both = [replace(frames, states=each) for each in (frames.states, replace(states, torso=frames.states.torso))]
    fields = MotionFields(head, *vertex_weights(head, "mouth"))
    tile, changed, kept = (), 0, []
    for k in range(len(frames)):
        film = (255 * over_white(frames.rgb[k].numpy(), frames.alpha[k].numpy())).round().astype(np.uint8)
        before, after = (transparent(it.avatar, each, k) for each in both)
        heads = [each.states.posed_head(it.avatar.rig, frames.step[k : k + 1]) for each in both]
        own, new = (fields.between(heads[0], each, frames.view(k)) for each in heads)
        changed = max(changed, int(np.abs(composite(film, before, before, own, k).image.astype(int) - film).max()))
        made = composite(film, before, after, new, k)
        kept.append((made.kept * made.mask).sum() / max(made.mask.sum(), 1e-6))
        tile = film, made.image
    how = f"largest change by the film's own face; with jawOpen .6, how much of the mask stays the film's; {it.frames}"
    return Score("dubbing", f"identity {changed} levels, {100 * np.mean(kept):.0f} % stay", how, tile)


def transparent(avatar: Avatar, frames: TrainingFrames, index: int) -> np.ndarray:
    """The avatar [H,W,4] uint8 in a frame, straight alpha."""
    rgb, alpha = render_avatar_frame(avatar, frames, index)
    straight = (rgb - (1 - alpha[..., None])) / np.maximum(alpha[..., None], 1e-3)
    return (255 * np.concatenate([straight.clip(0, 1), alpha[..., None]], 2)).round().astype(np.uint8)


def true_size(it: Subject) -> Score:
    size = TrueSize.of_header(it.header)
    pupils = HeadLengths.of(it.avatar.head).millimeters(size)["interpupillary"]
    value = f"pupils {pupils:.1f} mm +- {100 * size.sigma:.0f} %"
    return Score("size", value, f"from: {size.source}", (it.face(it.params({})).image,))


def pose(it: Subject) -> Score:
    how = f"PSNR of the head below that of fitted poses, {it.frames}; tile: truth, driven"
    return Score("driven", f"{it.gain('refined', 'driven'):.1f} dB below fitted", how, it.pair("tracked"))


def turned_reading(it: Subject) -> Score:
    faces = [it.face(it.params({}), yaw) for yaw in (0.0, FAR)]
    found = [it.located(face)[:468, :2] for face in faces]
    apart = np.linalg.norm(faces[0].points[EYE_CORNERS[0]] - faces[0].points[EYE_CORNERS[1]]) / 100
    front, turned = (
        np.linalg.norm(points - face.points[:468, :2], axis=1).mean() / apart
        for points, face in zip(found, faces, strict=True)
    )
    for points, face in zip(found, faces, strict=True):
        for x, y in points[::2]:
            cv2.circle(face.image, (int(x), int(y)), 1, (0, 200, 0), -1)
    how = f"landmarks of the rendered face from its mesh's, of the distance between the eyes: {FAR:g} degrees, front"
    value = f"{turned:.1f} %, front {front:.1f} %"
    return Score(f"landmarks at {FAR:g} deg", value, how, tuple(face.near for face in faces[::-1]))


def smoothed(it: Subject) -> Score:
    found = it.evaluated[0].metadata.refinement or {}
    before, after = (found[name]["rotation_deg"] for name in ("jitter_before", "jitter_after"))
    truth, shown = it.pair("refined")
    tile = (4 * np.abs(shown.astype(int) - truth)).clip(0, 255).astype(np.uint8)
    how = f"jitter of the rotation from frame to frame, {it.frames}; tile: fitted, and 4 x its difference to the truth"
    return Score("jitter, fitted", f"{after:.2f} of {before:.2f} degrees", how, (shown, tile))


def laugh(it: Subject) -> Score:
    rest, asked, shown = (it.params(w, clamped=c) for w, c in (({}, True), (LAUGH, False), (LAUGH, True)))
    far = [float((it.points(each) - it.points(rest)).norm(dim=1).sum()) for each in (shown, asked)]
    how = "how far landmarks of the mesh move with the soft clamp, of the way without; tile: without, with"
    tile = tuple(it.face(each).near for each in (asked, shown))
    return Score("laugh", f"{100 * far[0] / max(far[1], 1e-6):.0f} % of what was asked", how, tile)


def own_tracker(it: Subject) -> Score:
    start = "raw" if "raw" in it.evaluated[0].rows else "driven"
    way = 100 * it.gain("stepped", start) / max(it.gain("refined", start), 1e-6)
    how = f"head, one step a frame against live landmarks; of the way from landmarks to fitted; {it.frames}"
    value = f"{it.gain('stepped', 'live'):+.1f} dB, {way:.0f} % of the way"
    return Score("one step a frame", value, how, it.pair("stepped"))


Measure = Callable[[Subject], Score]
#: First words of the rows of docs/limits.md in their order: what measures them, or why nothing here does.
LIMITS: dict[str, tuple[Measure, ...] | str] = {
    "One person per avatar": (hair, mesh),
    "An avatar from one camera": (sides, far_cheek, wide_mouth, mouth_mm),
    "A full blink closes": (blink, lid_spots),
    "A walk around a person": "needs a walk: `headsplat eval` has rows of its sides",
    "headsplat film has been tried": "needs a person before a camera: bench_coach",
    "An avatar from photos": "needs photos of a person whose truth is known: bench_unseen --source photos",
    "The light of the video": (side_light,),
    "In a dubbed film": (dubbed,),
    "One camera leaves the size": (true_size,),
    "The head pose comes from": (pose,),
    "Landmarks that neither pose": "needs hands before faces: bench_hidden, bench_left_out",
    "Of a turned face": (turned_reading,),
    "Refinement smooths": (smoothed,),
    "The performer's expressions": "a property of the tracker's model, no quantity",
    "With several cameras": "needs several cameras: bench_rigs",
    "A camera that was turned": "a rule of which input is read; tests/capture tests it",
    "Calibration needs a second": "needs a performer who never rests: bench_live",
    "A wide laugh stays smaller": (laugh,),
    "Where the avatar tracks": (own_tracker,),
    "No real webcam": "needs a webcam and a phone",
    "Only X11 has been tried": "needs Wayland and a virtual camera",
    "On Python 3.10": "a property of the platform",
    "A reading describes": "what a person feels is not measured",
    "From a video, raised": "needs action units that are known: bench_action_units",
    "The labels have been tried": "needs a labelled data set of people",
    "Live Link's head angles": "needs a take of a turning head",
    "The bridge from FLAME": "needs motions of real FLAME trackers",
    "FLAME parameters that are": "needs the programs that read them",
    "In .webm, time stamps": "a property of the format",
    "headsplat fleet has run": "needs several machines: bench_fleet_growth",
    "An object store cannot": "a property of object stores",
    "The CUDA kernels": "needs a GPU: make gpu-check",
    "CUDA graphs hold no frames": "a rule of what is recorded: bench_graph on a GPU",
    "Native code has been run": "needs macOS and Windows",
}


def rows_of(text: str) -> list[str]:
    """The bullets of a page, without marks of links and code."""
    bullets = re.findall(r"^- (.+)$", text, re.MULTILINE)
    return [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", bullet).replace("`", "") for bullet in bullets]


def fitted(images: Sequence[np.ndarray], title: str) -> np.ndarray:
    """Images beside each other below a title, on white [h,w,3]."""
    width, height = TILE
    tile = np.full((height + 20, width, 3), 255, np.uint8)
    cv2.putText(tile, title, (3, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (120, 120, 120), 1, cv2.LINE_AA)
    for column, image in enumerate(images):
        room = width // len(images)
        scale = min((room - 4) / image.shape[1], height / image.shape[0])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = 20 + (height - small.shape[0]) // 2, column * room + (room - small.shape[1]) // 2
        tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("capture", type=Path, nargs="?")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    subject = Subject(args.avatar, args.capture)
    lines = [
        f"# Limits of {args.avatar.name}",
        "",
        "| row | figure | how, or why not |",
        "|---|---|---|",
    ]
    tiles = []
    for row, measures in LIMITS.items():
        if isinstance(measures, str):
            lines.append(f"| {row} | - | not measured: {measures} |")
            continue
        for measure in measures:
            try:
                score = measure(subject)
            except HeadsplatError as reason:
                lines.append(f"| {row} | - | not measured: {reason} |")
                continue
            lines.append(f"| {row} | {score.label}: {score.value} | {score.how} |")
            tiles.append(([fitted(score.tile, row)], f"{score.label}: {score.value}"))
    (args.out / "limits.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_image(args.out / "limits.png", np.ascontiguousarray(sheet(tiles, COLUMNS)[..., ::-1]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
