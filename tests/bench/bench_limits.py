"""One page that scores every row of docs/limits.md on an avatar, and one sheet of pictures: which limit has moved.

    python -m tests.bench.bench_limits me.avatar me.capture -o limits

Writes limits.md (each row of the page: figures and how they were measured, or why they are not measured here),
limits.json (the figures) and limits.png (a tile for each figure). Without the capture on which the avatar was trained,
rows that need its frames say so. Where the capture holds no frames out, every OTHER-th training frame is scored, and
the page says that. All weights in `LIMITS` are ARKit's.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar.common.image_io import write_image
from avatar.common.jsonable import to_jsonable
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, over_white
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
SIZE, SCORED_SIZE, TILE = 512, 256, 240  # pixels: rendered faces, scored frames, a tile
COLUMNS = 5
OTHER = 5
FAR = 40.0  # degrees of turn, beyond the 30 that the page promises
MOUTH_MM = 12.0
#: Landmarks around the right and the left cheek, within what is seen at FAR.
CHEEKS = ((117, 118, 101, 36, 205, 187, 123), (346, 347, 330, 266, 425, 411, 352))
LAUGH = {"jawOpen": 0.7, "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.8, "cheekSquintRight": 0.8}
BLINKED = dict.fromkeys(BLINK, 1.0)
SQUINT = {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0}


class NotMeasured(Exception):
    """Why a figure cannot be measured of this avatar."""


@dataclass(frozen=True)
class Score:
    """A figure of a row."""

    label: str  # below the tile, short
    value: str  # with its unit
    how: str
    tile: np.ndarray  # [h,w,3] uint8
    figures: dict[str, float]


@dataclass(frozen=True)
class Face:
    """A rendered face."""

    image: np.ndarray  # [SIZE,SIZE,3] uint8
    points: np.ndarray  # [478,3] landmarks of the mesh: pixels, and 0


class Subject:
    """The avatar that is measured, and its capture."""

    def __init__(self, path: Path, capture: Path | None) -> None:
        self.header = read_header(path)
        self.avatar = load_avatar(path).requires_grad_(False)
        self._capture = None if capture is None else Capture.load(capture)
        self.landmarker = landmarker()

    @property
    def capture(self) -> Capture:
        """The capture, with frames held out."""
        if self._capture is None:
            raise NotMeasured("needs the capture of the avatar as the second argument")
        return replace(self._capture, track=dict(self._capture.track) | {"is_test": self._held_out})

    @cached_property
    def _held_out(self) -> np.ndarray:
        assert self._capture is not None
        test = np.asarray(self._capture.track["is_test"])
        return test if test.any() else np.arange(len(test)) % OTHER == OTHER - 1

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
            raise NotMeasured("the landmark network is not on this machine, or finds no face in the driven images")
        return found

    def gain(self, to: str, start: str, column: str = "psnr_head") -> float:
        """Difference of two rows of the evaluation."""
        rows = self.evaluated[0].rows
        if not {to, start} <= set(rows):
            raise NotMeasured(f"the evaluation has no rows {to} and {start} for this capture")
        return rows[to][column] - rows[start][column]

    def pair(self, row: str) -> np.ndarray:
        """Truth and prediction of a middle frame, beside each other."""
        predicted, truth = self.evaluated[1][row]
        return np.concatenate([truth, predicted], 1)

    def located(self, face: Face) -> np.ndarray:
        """The landmarks [478,3] that the network finds."""
        found = None if self.landmarker.locate is None else self.landmarker.locate(face.image, face.points)
        if found is None:
            raise NotMeasured(self.landmarker.absent or "the landmark network finds no face in the rendered image")
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
        return Face(image, np.concatenate([pixels, np.zeros((len(pixels), 1))], 1).astype(np.float32))

    def points(self, params: HeadParams) -> torch.Tensor:
        """Landmarks [478,3] of the mesh, meters, skull frame."""
        return self.avatar.head.skull_landmarks(self.avatar.with_identity(params))[0].detach()


def specks(face: Face, cheek: int) -> float:
    """Root mean square in levels of what a median filter of 5 x 5 pixels takes from a cheek."""
    gray = cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY)
    mask = np.zeros_like(gray)
    cv2.fillConvexPoly(mask, cv2.convexHull(face.points[list(CHEEKS[cheek]), :2].astype(np.int32)), 1)
    rest = gray.astype(float) - cv2.medianBlur(gray, 5)
    return float(np.sqrt(np.square(rest[mask > 0]).mean()))


def hair(it: Subject) -> Score:
    value = it.evaluated[0].rows["refined"]["psnr_hair"]
    how = f"PSNR of the hair, fitted poses, {it.frames}; tile: truth, avatar"
    return Score("hair", f"{value:.1f} dB", how, it.pair("refined"), {"dB": value})


def mesh(it: Subject) -> Score:
    colors = mesh_colors(it.avatar)
    found = compare_mesh(it.avatar, colors)
    psnr, covered = found.mean()[0], 100 * float(np.mean([view.covered for view in found.views]))
    tile = np.concatenate([each.rgb for each in mesh_and_splats(it.avatar, colors, {}, 20.0)], 1)
    how = "exported mesh against the Gaussians inside of the head, and how much of the head it covers (`compare_mesh`)"
    value = f"{psnr:.1f} dB, covers {covered:.0f} %"
    return Score("mesh | splats", value, how, (255 * tile).astype(np.uint8), {"dB": psnr, "covered_percent": covered})


def sides(it: Subject) -> Score:
    found = measure_orbit(it.avatar)
    mean, most = 100 * float(np.mean(found.seen_through)), 100 * max(found.seen_through)
    how = "pixels of the head with alpha below .9 from -90 to 90 degrees, mean and most; tile: 75 degrees"
    return Score("seen through", f"{mean:.2f} %, most {most:.2f} %", how, it.face(it.params({}), 75.0).image,
                 {"percent": mean, "most_percent": most})  # fmt: skip


def far_cheek(it: Subject) -> Score:
    params = it.params({})
    front, sides = it.face(params), [it.face(params, yaw) for yaw in (-FAR, FAR)]
    before = float(np.mean([specks(front, cheek) for cheek in (0, 1)]))
    near, far = (float(np.mean([specks(side, cheek) for side, cheek in zip(sides, order, strict=True)]))
                 for order in ((0, 1), (1, 0)))  # fmt: skip
    how = f"RMS of what a median filter takes from the cheeks, {FAR:g} degrees to either side: far, near; and in front"
    value = f"{far:.2f}, {near:.2f} levels; front {before:.2f}"
    tile = np.concatenate([side.image for side in sides], 1)
    return Score(f"cheeks at {FAR:g} deg", value, how, tile, {"far": far, "near": near, "front": before})


def wide_mouth(it: Subject) -> Score:
    seen, asked = 100 * it.response.mouth_opening[-1], 100 * it.response.mouth_asked[-1]
    layer = "with" if it.avatar.part(MeshLayer) else "without"
    how = f"opening of the rendered mouth at jawOpen 1, softly clamped, against that of the mesh; {layer} a mesh layer"
    value = f"{seen:.0f} % of {asked:.0f} %, {layer} layer"
    tile = it.face(it.params({"jawOpen": 1.0}, clamped=True)).image
    return Score("jawOpen 1", value, how, tile, {"percent": seen, "layer": float(layer == "with")})


def mouth_mm(it: Subject) -> Score:
    params, posed_mm = with_peak_opening(it.avatar.head, it.params({"jawOpen": 0.5}), MOUTH_MM)
    face = it.face(params)
    corners = it.points(params)[list(EYE_CORNERS)]
    scale = 1000 * float((corners[1] - corners[0]).norm())
    seen = scale * float(openings(it.located(face)[None], LIPS)[0])
    how = "--mouth-mm: asked, of the posed mesh, and in the image as the landmark network sees it"
    value = f"asked {MOUTH_MM:g}, mesh {posed_mm:.1f}, image {seen:.1f} mm ({100 * (seen / MOUTH_MM - 1):+.0f} %)"
    return Score(f"mouth {MOUTH_MM:g} mm", value, how, face.image, {"mesh_mm": posed_mm, "image_mm": seen})


def blink(it: Subject) -> Score:
    rest, closed = (openings(it.points(it.params(weights, clamped=True))[None].numpy() * [1, -1, 1], LIDS)[0]
                    for weights in ({}, BLINKED))  # fmt: skip
    left, of_mesh = 100 * it.response.eye_openness[-1], 100 * float(closed / max(rest, 1e-6))
    face = it.face(it.params(BLINKED, clamped=True))
    how = "opening of the eyes left at a full blink, relative to rest: landmark network, and mesh"
    return Score("blink", f"{left:.0f} % seen, {of_mesh:.0f} % of the mesh", how, eyes(face),
                 {"seen_percent": left, "mesh_percent": of_mesh})  # fmt: skip


def eyes(face: Face) -> np.ndarray:
    """The crop around both eyes, uint8."""
    return (255 * around_eyes(face.image.astype(np.float32) / 255, face.points)).astype(np.uint8)


def lid_spots(it: Subject) -> Score:
    crops, spots = [], []
    for weights in (BLINKED, BLINKED | SQUINT):
        face = it.face(it.params(weights, clamped=True))
        crops.append(eyes(face))
        gray = cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY)
        mask = np.zeros_like(gray)
        for ring in LIDS:
            line = face.points[[*ring[0], *ring[1]], :2].astype(np.int32)
            cv2.fillConvexPoly(mask, cv2.convexHull(line), 1)
        inside = gray[cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0]
        spots.append(float(np.percentile(inside, 98) - np.median(inside)))
    how = "luminance around the line of closed lids, 98th percentile above the median: blink with a squint, blink alone"
    return Score("blink, + squint", f"{spots[1]:.0f} and {spots[0]:.0f} levels", how, np.concatenate(crops),
                 {"squint": spots[1], "blink": spots[0]})  # fmt: skip


def side_light(it: Subject) -> Score:
    params = it.params({})
    faces = [it.face(params), it.face(params, avatar=relit(it.avatar, Relighting(light_named("window-left"))))]
    before, after = (max(specks(face, cheek) for cheek in (0, 1)) for face in faces)
    how = "specks of the worse cheek with `--relight window-left`, and in the light of the clip"
    tile = np.concatenate([face.image for face in faces], 1)
    return Score("clip | window-left", f"{after:.2f}, clip {before:.2f} levels", how, tile,
                 {"relit": after, "clip": before})  # fmt: skip


def dubbed(it: Subject) -> Score:
    rows = it.capture.test_indices[:: max(len(it.capture.test_indices) // 4, 1)]
    frames = refined(it.avatar, it.capture, rows)
    params = frames.states.params
    opened = params.expression.clone()
    opened[:, it.avatar.head.expression_index("jawOpen")] = 0.6
    states = replace(HeadStates.of(replace(params, expression=opened), it.avatar.head), torso=frames.states.torso)
    fields = MotionFields(it.avatar.head, *vertex_weights(it.avatar.head, "mouth"))
    same, kept, made = 0, [], None
    for index in range(len(frames)):
        film = (255 * over_white(frames.rgb[index].numpy(), frames.alpha[index].numpy())).round().astype(np.uint8)
        before, after = (opaque(it.avatar, replace(frames, states=each), index) for each in (frames.states, states))
        heads = [each.posed_head(it.avatar.rig, frames.step[index : index + 1]) for each in (frames.states, states)]
        own = composite(film, before, before, fields.between(heads[0], heads[0], frames.view(index)), index)
        same = max(same, int(np.abs(own.image.astype(int) - film).max()))
        made = composite(film, before, after, fields.between(heads[0], heads[1], frames.view(index)), index)
        kept.append(float((made.kept * made.mask).sum() / max(made.mask.sum(), 1e-6)))
    assert made is not None
    how = f"largest change where nothing is dubbed; of the mask with an open jaw, what stays of the film; {it.frames}"
    value = f"identity {same} levels; {100 * np.mean(kept):.0f} % stay the film's"
    return Score("film | dubbed open", value, how, np.concatenate([film, made.image], 1),
                 {"identity_levels": same, "kept_percent": 100 * float(np.mean(kept))})  # fmt: skip


def opaque(avatar: Avatar, frames: object, index: int) -> np.ndarray:
    """A frame [H,W,4] uint8, straight alpha."""
    rgb, alpha = render_avatar_frame(avatar, frames, index)  # type: ignore[arg-type]
    straight = (rgb - (1 - alpha[..., None])) / np.maximum(alpha[..., None], 1e-3)
    return (255 * np.concatenate([straight.clip(0, 1), alpha[..., None]], 2)).round().astype(np.uint8)


def true_size(it: Subject) -> Score:
    size = TrueSize.of_header(it.header)
    pupils = HeadLengths.of(it.avatar.head).millimeters(size)["interpupillary"]
    how = f"standard deviation of lengths; from: {size.source}"
    value = f"± {100 * size.sigma:.0f} %, pupils {pupils:.1f} ± {size.sigma * pupils:.1f} mm"
    return Score("size", value, how, it.face(it.params({})).image, {"sigma_percent": 100 * size.sigma, "mm": pupils})


def pose(it: Subject) -> Score:
    gap = it.gain("refined", "driven")
    how = f"head of fitted against driven poses, {it.frames}; tile: truth, driven"
    return Score("driven", f"{gap:.1f} dB less than fitted", how, it.pair("tracked"), {"dB": gap})


def turned_reading(it: Subject) -> Score:
    faces = [it.face(it.params({}), yaw) for yaw in (0.0, FAR)]
    errors = []
    for face in faces:
        found = it.located(face)
        apart = 1000 / SIZE * np.linalg.norm(found[:468, :2] - face.points[:468, :2], axis=1).mean()
        errors.append(float(apart))
        for x, y in found[::3, :2]:
            cv2.circle(face.image, (int(x), int(y)), 1, (0, 200, 0), -1)
    how = f"landmarks of the network on the rendered face against those of its mesh: at {FAR:g} degrees, in front"
    value = f"{errors[1]:.1f}, front {errors[0]:.1f} thousandths of the image"
    return Score(f"found at {FAR:g} deg", value, how, faces[1].image, {"turned": errors[1], "front": errors[0]})


def smoothed(it: Subject) -> Score:
    found = it.evaluated[0].metadata.refinement or {}
    before, after = (found[name]["rotation_deg"] for name in ("jitter_before", "jitter_after"))
    predicted, truth = it.evaluated[1]["refined"]
    tile = (4 * np.abs(predicted.astype(int) - truth)).clip(0, 255).astype(np.uint8)
    how = f"frame-to-frame jitter of the rotation after and before fitting, {it.frames}; tile: difference to truth x 4"
    return Score("fitted, difference", f"{after:.2f} of {before:.2f} degrees", how, tile,
                 {"after_deg": after, "before_deg": before})  # fmt: skip


def laugh(it: Subject) -> Score:
    rest, asked, shown = (it.points(it.params(w, clamped=c)) for w, c in (({}, True), (LAUGH, False), (LAUGH, True)))
    share = 100 * float((shown - rest).norm(dim=1).sum() / (asked - rest).norm(dim=1).sum().clamp_min(1e-6))
    tile = np.concatenate([it.face(it.params(LAUGH, clamped=c)).image for c in (False, True)], 1)
    how = "how far a laugh moves the landmarks of the mesh with the soft clamp, against without; tile: without, with"
    return Score("laugh | soft clamp", f"{share:.0f} % of what was asked", how, tile, {"percent": share})


def own_tracker(it: Subject) -> Score:
    gain, way = it.gain("stepped", "live"), 100 * it.gain("stepped", "raw") / max(it.gain("refined", "raw"), 1e-6)
    how = f"head, one step a frame against live landmarks; of the way from landmarks to fitted; {it.frames}"
    return Score("one step", f"{gain:+.1f} dB, {way:.0f} % of the way", how, it.pair("stepped"),
                 {"dB": gain, "way_percent": way})  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """A row of the page: what measures it, or why nothing here does."""

    starts: str  # its first words, unique
    measures: tuple[Callable[[Subject], Score], ...] = ()
    reason: str = ""


#: The rows of docs/limits.md in their order.
LIMITS = (
    Limit("One person per avatar", (hair, mesh)),
    Limit("An avatar from one camera", (sides, far_cheek, wide_mouth, mouth_mm)),
    Limit("A full blink closes", (blink, lid_spots)),
    Limit("A walk around a person", reason="needs a walk: `headsplat eval` has rows of its sides"),
    Limit("headsplat film has been tried", reason="needs a person before a camera: bench_coach"),
    Limit(
        "An avatar from photos", reason="needs photos of a person whose truth is known: bench_unseen --source photos"
    ),
    Limit("The light of the video", (side_light,)),
    Limit("In a dubbed film", (dubbed,)),
    Limit("One camera leaves the size", (true_size,)),
    Limit("The head pose comes from", (pose,)),
    Limit("Landmarks that neither pose", reason="needs hands before faces: bench_hidden, bench_left_out"),
    Limit("Of a turned face", (turned_reading,)),
    Limit("Refinement smooths", (smoothed,)),
    Limit("The performer's expressions", reason="a property of the tracker's model, no quantity"),
    Limit("With several cameras", reason="needs several cameras: bench_rigs"),
    Limit("A camera that was turned", reason="a rule of which input is read; tests/capture tests it"),
    Limit("Calibration needs a second", reason="needs a performer who never rests: bench_live"),
    Limit("A wide laugh stays smaller", (laugh,)),
    Limit("Where the avatar tracks", (own_tracker,)),
    Limit("No real webcam", reason="needs a webcam and a phone"),
    Limit("Only X11 has been tried", reason="needs Wayland and a virtual camera"),
    Limit("On Python 3.10", reason="a property of the platform"),
    Limit("A reading describes", reason="what a person feels is not measured"),
    Limit("From a video, raised", reason="needs action units that are known: bench_action_units"),
    Limit("The labels have been tried", reason="needs a labelled data set of people"),
    Limit("Live Link's head angles", reason="needs a take of a turning head"),
    Limit("The bridge from FLAME", reason="needs motions of real FLAME trackers"),
    Limit("FLAME parameters that are", reason="needs the programs that read them"),
    Limit("In .webm, time stamps", reason="a property of the format"),
    Limit("headsplat fleet has run", reason="needs several machines: bench_fleet_growth"),
    Limit("An object store cannot", reason="a property of object stores"),
    Limit("The CUDA kernels", reason="needs a GPU: make gpu-check"),
    Limit("CUDA graphs hold no frames", reason="a rule of what is recorded: bench_graph on a GPU"),
    Limit("Native code has been run", reason="needs macOS and Windows"),
)


def rows_of(text: str) -> list[str]:
    """The bullets of a page, without marks of links and code."""
    bullets = re.findall(r"^- (.+)$", text, re.MULTILINE)
    return [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", bullet).replace("`", "") for bullet in bullets]


def measured(measure: Callable[[Subject], Score], subject: Subject) -> Score | str:
    """The figure, or why there is none."""
    try:
        return measure(subject)
    except (NotMeasured, HeadsplatError) as reason:
        return f"not measured: {reason}"


def fitted(image: np.ndarray) -> np.ndarray:
    """The image on a white tile."""
    scale = TILE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:TILE, :TILE]
    below, right = TILE - small.shape[0], TILE - small.shape[1]
    white = (255, 255, 255)
    return cv2.copyMakeBorder(small, below // 2, below - below // 2, 0, right, cv2.BORDER_CONSTANT, value=white)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("capture", type=Path, nargs="?")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    subject = Subject(args.avatar, args.capture)
    lines = [f"# Limits of {args.avatar.name}", "", "| row | figure | measured how, or why not |", "|---|---|---|"]
    tiles: list[tuple[list[np.ndarray], str]] = []
    figures: dict[str, dict[str, float]] = {}
    for limit in LIMITS:
        if limit.reason:
            lines.append(f"| {limit.starts} | - | not measured: {limit.reason} |")
        for measure in limit.measures:
            score = measured(measure, subject)
            if isinstance(score, str):
                lines.append(f"| {limit.starts} | - | {score} |")
                continue
            lines.append(f"| {limit.starts} | {score.label}: {score.value} | {score.how} |")
            figures[measure.__name__] = score.figures
            caption = np.full((18, TILE, 3), 255, np.uint8)
            cv2.putText(caption, limit.starts, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (90, 90, 90), 1, cv2.LINE_AA)
            tiles.append(([caption, fitted(score.tile)], f"{score.label}: {score.value}"))
            print(lines[-1], flush=True)
    (args.out / "limits.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (args.out / "limits.json").write_text(json.dumps(to_jsonable(figures), indent=1) + "\n", encoding="utf-8")
    write_image(args.out / "limits.png", np.ascontiguousarray(sheet(tiles, COLUMNS)[..., ::-1]))


if __name__ == "__main__":
    main()
