"""A damaged capture or layout folder is refused with one sentence, or read with its meaning unchanged; never trained.

Every key of capture.json, every array of track.npz and refined.npz and every key of a transforms file is damaged in
turn. The keys are enumerated from the files, so that a new one is covered as soon as it is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from avatar.cli import main
from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, METADATA_FILE, TRACK_FILE, Capture, frame_name
from avatar.data.capture_head import head_of
from avatar.data.training_frames import HeadStates
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.jobs.capturing import summary
from avatar.model.avatar import bake_identity
from avatar.motion.from_capture import motion_of
from avatar.refine.track import FILE as REFINED_FILE
from avatar.refine.track import RefinedTrack
from avatar.types import TorsoPose
from capture.layouts import read_layout
from capture.layouts.views import read_images, read_mask
from capture.layouts.write import write_layout
from capture.report.files import write_report
from capture.report.geometry import TrackedGeometry
from capture.report.stored import read_report
from capture.report.summary import report_on
from tests.support.damage import DAMAGE, damaged, outcome, paths
from tests.support.tiny import side_camera, tiny_capture
from tests.test_docs_formats import rows as documented

JITTER = {"rotation_deg": 0.1, "sideways_cm": 0.02, "depth_cm": 0.1, "expression": 0.01}
#: What `headsplat capture` writes and other writers may leave out.
OPTIONAL: dict[str, Any] = {
    "interocular": 63.0,
    "still": False,
    "headsplat": "0.2.0",
    "solved": {
        "photos": [{"name": "a.jpg", "focal_35mm": 26.0, "focal_35mm_sigma": 3.0, "focal_stated": False}],
        "matches": 1200,
        "error_percent_iod": 0.2,
    },
    "crop": {"width": 64, "height": 64, "scale": 1.0},
    "units": {"length": "metres"},
    "world": {"scale": 1.0},
    "lost": [40],
    "flagged": [{"frame": 3, "reason": "blurred", "weight": 0.5}],
    "quality": {"jitter_per_frame": JITTER, "jitter": JITTER, "inter_ocular_px": 20.0, "key_frames": [1, 2]},
    "warnings": ["a sentence"],
    "seconds": {"track": 1.0},
    "options": {"focal": None, "seed": 0},
    "consent": "agreed",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A small capture of one camera with every documented key; read only."""
    root = tmp_path_factory.mktemp("whole") / "capture"
    plain = tiny_capture(root, frames=6)
    camera = {"axes": "OpenCV", "focal_px": 121.6, "focal_sigma": 2.0, "focal_estimated": True}
    facts = {**plain.metadata, **OPTIONAL, "cameras": [{**plain.metadata["cameras"][0], **camera}]}
    facts["source"] = {**facts["source"], "width": 64, "height": 64, "rotation": 0}
    facts["head"] = {**facts["head"], "source": "embedded", "notes": ["a note"]}
    facts["split"] = {**facts["split"], "train": 5, "test": 1}
    (root / METADATA_FILE).write_text(json.dumps(facts))
    return Capture.load(root)


def meaning(root: Path) -> list[np.ndarray]:
    """All that training and evaluation take from a capture, by the functions that they call before the first step."""
    capture = Capture.load(root)
    motion, camera, refined = motion_of(capture, head_of(capture)), capture.camera(64, range(len(capture))), None
    rgb, alpha = capture.images(capture.train_indices[:2], 64)
    refined = RefinedTrack.load(capture)
    poses = () if refined is None else (refined.translation, refined.joint_rot, refined.torso_rot, refined.refined)
    tensors = [camera.K, camera.world_to_cam, motion.time, motion.weights, motion.joint_rot, motion.translation]
    track = [capture.track[name] for name in ("identity", "exposure", "weight", "is_test", "time_step", "confidence")]
    summary(capture)
    landmarks = np.nan_to_num(capture.track["landmarks"], nan=-1)
    return [rgb, alpha, landmarks, *track, *poses, *(tensor.numpy() for tensor in tensors)]


#: Numbers that may be any small one: the principal point, and where the camera is.
FREE = {("cameras", 0, "K", 0, 2), ("cameras", 0, "world_to_cam", 0, 3)}


def fresh(capture: Capture, tmp_path: Path) -> Path:
    return Path(shutil.copytree(capture.root, tmp_path / "capture"))


def test_the_capture_that_is_damaged_has_every_documented_key(whole: Capture) -> None:
    assert sorted(whole.metadata) == sorted(documented("capture.md", "`capture.json`"))


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_key_of_the_metadata(whole: Capture, tmp_path: Path, kind: str) -> None:
    root, problems = fresh(whole, tmp_path), {}
    expected = meaning(root)
    for path in paths(json.loads((whole.root / METADATA_FILE).read_text())):
        (root / METADATA_FILE).write_text(damaged(whole.metadata, path, DAMAGE[kind]))
        problem = outcome(meaning, root, expected)
        if problem is not None and not (path in FREE and kind in ("zero", "negative", "fraction")):
            problems["/".join(map(str, path))] = problem
    assert problems == {}


def test_no_optional_key_breaks_the_report(whole: Capture, tmp_path: Path) -> None:
    root, geometry = fresh(whole, tmp_path), TrackedGeometry.of(whole, load_head())

    def report(root: Path) -> list[np.ndarray]:
        report_on(Capture.load(root), geometry).to_json()
        return []

    problems = {}
    for path in paths({name: whole.metadata[name] for name in (*OPTIONAL, "source", "split")}):
        for kind in ("missing", "null", "text", "object"):
            (root / METADATA_FILE).write_text(damaged(whole.metadata, path, DAMAGE[kind]))
            if (problem := outcome(report, root, [])) is not None:
                problems["/".join(map(str, (*path, kind)))] = problem
    assert problems == {}


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("width", 32, "an image of 64x64 pixels, capture.json says 32x64"),
        ("width", -64, "width: expected 1 to 16384, got -64"),
        ("cameras/0/K/0/0", 0.001, "K: expected focal lengths of 6.4 to 6400 pixels"),
        ("cameras/0/K/0/2", 1e5, "K: expected a principal point at most 640 pixels"),
        ("cameras/0/K/0/1", 3.0, "K: expected \\[\\[fx, 0, cx\\]"),
        ("cameras/0/world_to_cam/1/1", 1.0, "not a rigid transform"),
        ("cameras/0/world_to_cam/2/2", 1.0, "not a rigid transform .* determinant -1"),
        ("cameras/0/world_to_cam/2/3", 5e3, "a camera at most 1000 m from the origin"),
        ("cameras/0/world_to_cam/2/3", -5.0, "row \\d+: the head is -.* m in front of its camera"),
        ("source/fps", 0, "fps: expected more than 0 frames per second"),
        ("head/expression_names/0", "eyeBlinkRight", "expected names that are all different"),
        ("head/expression_names/0", "wings", "expression_names are not those of"),
        ("head/source", "x" * 5000, "does not exist; give --head FILE"),
        ("split/mode", "half", "mode: expected one of fraction, every"),
        ("version", 1.0, "capture version 1.0, this headsplat reads up to version 3"),
    ],
)
def test_a_nonsense_value_is_named(whole: Capture, tmp_path: Path, key: str, value: object, sentence: str) -> None:
    root = fresh(whole, tmp_path)
    path = tuple(int(part) if part.isdigit() else part for part in key.split("/"))
    (root / METADATA_FILE).write_text(damaged(whole.metadata, path, value))
    with pytest.raises(HeadsplatError, match=sentence):
        meaning(root)


def test_cameras_of_one_name_are_refused(whole: Capture, tmp_path: Path) -> None:
    root = fresh(whole, tmp_path)
    (root / METADATA_FILE).write_text(json.dumps({**whole.metadata, "cameras": [*whole.metadata["cameras"]] * 2}))
    with pytest.raises(HeadsplatError, match="cameras of different names"):
        Capture.load(root)


#: Damage of any array; one that leaves the array as it is does not count.
ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray | None]] = {
    "missing": lambda array: None,
    "NaN": lambda array: filled(array, np.nan),
    "infinite": lambda array: filled(array, -np.inf),
    "huge": lambda array: filled(array, 1e30),
    "large": lambda array: filled(array, 2e9),
    "one row fewer": lambda array: np.atleast_1d(array)[:-1],
    "one row more": lambda array: np.concatenate([np.atleast_1d(array), np.atleast_1d(array)[-1:]]),
    "another axis": lambda array: array[None],
    "text": lambda array: np.full(array.shape, "text"),
    "objects": lambda array: array.astype(object),
    "complex": lambda array: np.full(array.shape, 1j),
    "records": lambda array: np.zeros(array.shape, [("a", "f4")]),
    "times": lambda array: np.zeros(array.shape, "M8[s]"),
}


def filled(array: np.ndarray, value: float) -> np.ndarray:
    numbers = array.astype(np.float64) if array.dtype.kind in "fiub" else np.zeros(array.shape)
    numbers[(len(array) // 2,) if array.ndim else ()] = value
    return numbers


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("file", [TRACK_FILE, REFINED_FILE])
def test_every_array(whole: Capture, tmp_path: Path, kind: str, file: str) -> None:
    root, problems = fresh(whole, tmp_path), {}
    write_refined(whole, root)
    expected = meaning(root)
    with np.load(root / file) as stored:
        arrays = dict(stored)
    for name, array in arrays.items():
        changed = {**arrays, name: ARRAYS[kind](array)}
        np.savez(root / file, **{key: value for key, value in changed.items() if value is not None})
        if may_be_unknown(name, kind):
            continue
        if (problem := outcome(meaning, root, expected)) is not None:
            problems[name] = problem
    assert problems == {}


def may_be_unknown(name: str, kind: str) -> bool:
    """NaN is documented to mean "not known" there, as is a missing array of what the capture may not have tracked."""
    if kind == "missing" and name in ("torso_motion", "torso_confidence", "head_outline", "expression_change"):
        return True
    return kind == "NaN" and name in ("landmarks", "landmark_spread", "torso_rot", "torso_translation")


def write_refined(capture: Capture, root: Path) -> None:
    head = load_head()
    person = bake_identity(head, torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    states = HeadStates.of(capture.params(capture.train_indices), person)
    states = replace(states, torso=TorsoPose(states.rotation, states.translation))
    flagged = torch.zeros(len(states), dtype=torch.bool)
    RefinedTrack.of(capture, capture.train_indices, states, flagged, person).save(root)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("time", lambda time: time[::-1], "`time` does not increase"),
        ("time", lambda time: time * 0, "`time` does not increase"),
        ("frame_number", lambda number: number[::-1], "`frame_number` do not increase"),
        ("frame_number", lambda number: number * 0, "`frame_number` do not increase"),
        ("frame_number", lambda number: number - 1, "`frame_number` has values from -1 to 4"),
        ("time_step", lambda step: step * 0, "two rows with the same `time_step`"),
        ("camera", lambda camera: camera + 1, "`camera` has an index that capture.json does not have"),
        ("is_test", lambda mask: mask.astype(np.int64), "`is_test` is of type int64, expected true or false"),
        ("weight", lambda weight: weight * 0, "`weight` is zero in every row"),
        ("weight", lambda weight: weight + 1, "`weight` has values from 2 to 2, expected 0 to 1"),
        ("exposure", lambda exposure: exposure * 0, "`exposure` has values from 0 to 0"),
        ("identity", lambda identity: identity[:-1], "`identity` has .* coefficients"),
        ("translation", lambda place: -place, "the head is .* m in front of its camera"),
        ("expression", lambda weights: weights[:, 1:], "expected \\[T,E\\] with T=6, E=54"),
        ("joint_rot", lambda rotations: rotations[:, :4], "expected \\[T,J,3\\] with T=6, J=5"),
        ("joint_rot", lambda rotations: rotations + 100, "`joint_rot` has values from"),
        ("landmarks", lambda points: points[:, :68], "expected \\[T,L,3\\] with T=6, L=478"),
    ],
)
def test_a_nonsense_array_is_named(
    whole: Capture, tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], sentence: str
) -> None:
    root = fresh(whole, tmp_path)
    np.savez(root / TRACK_FILE, **{**whole.track, name: change(whole.track[name])})
    with pytest.raises(HeadsplatError, match=sentence):
        meaning(root)


def test_cameras_of_one_time_step_must_agree_on_the_head(tmp_path: Path) -> None:
    both = tiny_capture(tmp_path / "both", frames=8, others=[side_camera(64, 20.0)])
    places = both.track["translation"].copy()
    places[3] += 0.05
    np.savez(both.root / TRACK_FILE, **{**both.track, "translation": places})
    with pytest.raises(HeadsplatError, match="the rows of a time step differ in `translation`"):
        Capture.load(both.root)


IMAGES: dict[str, Callable[[np.ndarray], bytes]] = {
    "truncated": lambda image: png(image)[:-30],
    "another size": lambda image: png(np.vstack([image, image])),
    "one pixel": lambda image: png(image[:1, :1]),
    "a flipped bit": lambda image: flipped(png(image)),
    "empty": lambda image: b"",
    "text": lambda image: b"not an image",
}


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("folder", [FRAMES_DIR, MATTES_DIR])
def test_every_kind_of_image(whole: Capture, tmp_path: Path, folder: str, kind: str) -> None:
    root = fresh(whole, tmp_path)
    path = root / folder / frame_name(0)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR if folder == FRAMES_DIR else cv2.IMREAD_GRAYSCALE)
    path.write_bytes(IMAGES[kind](image))
    with pytest.raises(HeadsplatError, match=f"{path.name}: (missing or damaged image|an image of .* pixels)"):
        meaning(root)


def test_sixteen_bits_and_alpha_mean_the_same_image(whole: Capture, tmp_path: Path) -> None:
    root = fresh(whole, tmp_path)
    path = root / FRAMES_DIR / frame_name(0)
    image = cv2.imread(str(path))
    path.write_bytes(png(image.astype(np.uint16) * 257))
    assert outcome(meaning, root, meaning(whole.root)) is None
    path.write_bytes(png(np.dstack([image, image[..., 0]])))
    assert outcome(meaning, root, meaning(whole.root)) is None


def test_a_report_that_is_no_report_is_no_internal_error(
    whole: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = fresh(whole, tmp_path)
    write_report(Capture.load(root), load_head(), overlay=False)
    capture, stored = Capture.load(root), json.loads((root / "report.json").read_text())
    assert read_report(capture) == stored
    for path in (("capture",), ("words",), ("words", 0), ("refined",), ("checks",)):
        for value in DAMAGE.values():
            (root / "report.json").write_text(damaged(stored, path, value))
            found = read_report(capture)
            assert found is None or found["words"]
    (root / "report.json").write_text(damaged(stored, ("words",), 7))
    assert main(["info", str(root)]) == 0
    assert "no report on the current track" in capsys.readouterr().out


@pytest.fixture(scope="module")
def layout(whole: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of VHAP with one transforms file; read only."""
    root = tmp_path_factory.mktemp("layout") / "out"
    write_layout(replace(whole, metadata={**whole.metadata, "head": {"name": "other"}}), "vhap", root)
    for part in ("train", "val", "test"):
        (root / f"transforms_{part}.json").unlink()
    return root


def views(root: Path) -> list[np.ndarray]:
    """All that a capture takes from a layout folder."""
    found = read_layout(root)
    first = sorted((view for view in found.views if view.camera == 0), key=lambda view: view.time_step)
    shown = [frame.rgb for _, frame in read_images(first)]
    mattes = [read_mask(view) for view in found.views if view.mask is not None]
    cameras = [array for view in found.views for array in (view.K, view.world_to_cam) if array is not None]
    steps = np.array([(view.time_step, view.camera, view.time, *view.size) for view in found.views])
    return [*shown, *mattes, *cameras, steps]


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_key_of_a_layout(layout: Path, tmp_path: Path, kind: str) -> None:
    root, problems = Path(shutil.copytree(layout, tmp_path / "out")), {}
    file = root / "transforms.json"
    content = json.loads(file.read_text())
    expected = views(root)
    for path in paths(content):
        file.write_text(damaged(content, path, DAMAGE[kind]))
        problem = outcome(views, root, expected)
        if problem is not None and not is_optional(path, kind):
            problems["/".join(map(str, path))] = problem
    assert problems == {}


def is_optional(path: tuple[Any, ...], kind: str) -> bool:
    """Whether a layout may leave the value out, or have this other one: then something else is meant, not nonsense."""
    missing = kind in ("missing", "null")
    if path[-1] in ("fg_mask_path", "camera_id"):
        return kind in ("missing", "null", "empty", "text", "true", "zero", "parent", "huge", "large") or missing
    if path[-1] in ("time", "timestep_index", "camera_index", "transform_matrix", "cx", "cy"):
        return missing or kind in ("zero", "negative", "fraction", "large")
    return missing or (path == ("frames", 0) or path == ("frames", 5))
