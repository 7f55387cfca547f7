"""The format pages are executable: their Python, in plain NumPy, reads and writes the files as the library does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from avatar import (
    Avatar,
    Camera,
    Capture,
    DriveOptions,
    Driver,
    HeadParams,
    HeadsplatError,
    Motion,
    load_avatar,
    load_head,
    read_motion,
    render,
    save_avatar,
    write_motion,
)
from avatar.data.training_frames import HeadStates
from avatar.model.blendshapes import Blendshapes
from avatar.refine.track import RefinedTrack

ROOT = Path(__file__).parents[1]
FORMATS = ROOT / "docs" / "formats"
DATA = ROOT / "tests" / "data"
SH_C0 = 0.28209479177387814
#: Float32 against float64: lengths of a meter, and numbers up to a hundred that pass through an exponential.
CLOSE, ACTIVATED = 1e-6, 1e-5
#: A Gaussian is not drawn in pixels where its opacity is less.
LEAST_OPACITY = 1 / 255

Names = dict[str, Any]


def names_of(page: str) -> Names:
    """What the Python blocks of a page define."""
    names: Names = {}
    for block in re.findall(r"```python\n(.*?)```", (FORMATS / page).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.fixture(scope="module")
def avatar_page() -> Names:
    return names_of("avatar.md")


@pytest.fixture(scope="module")
def motion_page() -> Names:
    return names_of("motion.md")


@pytest.fixture(scope="module")
def capture_page() -> Names:
    return names_of("capture.md")


def with_expression_bases(avatar: Avatar, capture: Capture) -> Avatar:
    """`avatar` with one basis for each expression coefficient, made up: masked, and not trained."""
    generator = torch.Generator().manual_seed(5)
    features = HeadStates.of(capture.params(capture.train_indices), avatar.head).features
    count = avatar.blendshapes.count
    mask = torch.rand(features.shape[1], count, generator=generator)
    shapes = Blendshapes("expression", features, 0, count, mask)
    shapes.basis.data.normal_(0, 0.1, generator=generator)
    return Avatar(avatar.head, avatar.rig, shapes, avatar.local, avatar.neutral)


@dataclass(frozen=True)
class Case:
    """An avatar file, one frame of parameters for it, and a camera."""

    path: Path
    params: HeadParams
    camera: Camera


@pytest.fixture(scope="module", params=["reduced", "expression", "version 1", "version 2", "version 3", "version 4"])
def case(request: pytest.FixtureRequest, tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: Any) -> Case:
    if request.param.startswith("version"):
        generator = torch.Generator().manual_seed(1)
        turns = 0.2 * torch.randn(1, 5, 3, generator=generator)
        params = HeadParams(torch.zeros(0), torch.rand(1, 2, generator=generator), turns, torch.tensor([[0, 0, -0.6]]))
        return Case(DATA / f"version{request.param[-1]}.avatar", params, Camera.facing(60, 32, 32))
    path = tmp_path_factory.mktemp("avatar") / "me.avatar"
    save_avatar(path, tiny_avatar if request.param == "reduced" else with_expression_bases(tiny_avatar, tiny))
    params = tiny.params([7])
    joint_rot = params.joint_rot.clone()
    joint_rot[0, 2:] += torch.tensor([[0.1, 0.02, 0.0], [0.05, -0.1, 0.0], [0.05, 0.1, 0.0]])
    return Case(path, HeadParams(params.identity, params.expression, joint_rot, params.translation), tiny.camera(32))


def splats_by_page(page: Names, case: Case) -> tuple[np.ndarray, ...]:
    """World means, quaternions, scales, opacities and colors of the case, by the page's own code."""
    header, tensors = page["read_avatar"](case.path)
    frame = (case.params.expression[0], case.params.joint_rot[0], case.params.translation[0])
    return page["gaussians"](header, tensors, *(value.double().numpy() for value in frame))


def test_gaussians_of_a_frame_follow_from_the_page(avatar_page: Names, case: Case) -> None:
    means, quats, scales, opacities, colors = splats_by_page(avatar_page, case)
    with torch.no_grad():
        found = load_avatar(case.path)(case.params)
    assert np.abs(found.means[0].numpy() - means).max() < CLOSE
    assert np.abs(found.scales[0].numpy() - scales).max() < CLOSE
    assert np.abs(found.opacities[0].numpy() - opacities).max() < ACTIVATED
    assert np.abs(0.5 + SH_C0 * found.sh[0, :, 0].numpy() - colors).max() < ACTIVATED
    turns = [avatar_page["matrices_of"](values) for values in (found.quats[0].double().numpy(), quats)]
    assert np.abs(turns[0] - turns[1]).max() < 1e-3  # a quaternion near zero magnifies rounding
    assert np.median(np.abs(turns[0] - turns[1])) < CLOSE


def test_pixels_follow_from_the_page(avatar_page: Names, case: Case) -> None:
    camera = case.camera
    matrices = (camera.K[0].double().numpy(), camera.world_to_cam[0].double().numpy())
    splats = splats_by_page(avatar_page, case)
    dilation = avatar_page["read_avatar"](case.path)[1]["avatar.sampling"][1]
    image, alpha = avatar_page["render"](splats, dilation, *matrices, camera.width, camera.height, (1.0, 0.5, 0.0))
    with torch.no_grad():
        found = render(load_avatar(case.path)(case.params), camera, (1.0, 0.5, 0.0))
    assert 0.02 < alpha.mean() < 0.98
    for difference in (np.abs(found.rgb[0].numpy() - image), np.abs(found.alpha[0].numpy() - alpha)):
        assert np.quantile(difference, 0.99) < 1e-4
        assert difference.max() < LEAST_OPACITY  # rounding decides which Gaussians at the cut-off are drawn


def test_the_page_lists_every_tensor_with_its_dtype_and_axes(tiny_avatar: Avatar, tmp_path: Path) -> None:
    text = (FORMATS / "avatar.md").read_text(encoding="utf-8")
    listed: dict[str, tuple[str, int]] = {}
    for cells in re.findall(r"^\| (`(?:avatar|head)\..+?) \| (.+?) \|", text, re.MULTILINE):
        names = re.findall(r"`([\w.]+)`", cells[0])
        stem = names[0].rpartition(".")[0]
        types = re.findall(r"(\w+) \[([^\]]*)\]", cells[1])
        for place, name in enumerate(names):
            dtype, axes = types[min(place, len(types) - 1)] if len(types) == len(names) else types[0]
            listed[stem + name if name.startswith(".") else name] = (dtype, axes.count(",") + 1)
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    with safe_open(str(tmp_path / "me.avatar"), framework="np") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    regions = {name: value for name, value in stored.items() if name.startswith("region.")}
    short = {"float32": "f32", "float16": "f16", "int32": "i32", "int64": "i64", "uint8": "u8"}
    found = {name: (short[str(value.dtype)], value.ndim) for name, value in stored.items() if name not in regions}
    assert found == listed
    assert regions and all(value.dtype == np.uint8 for value in regions.values())


def test_the_checksum_is_computed_as_the_page_says(avatar_page: Names, tiny_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    header, _ = avatar_page["read_avatar"](tmp_path / "me.avatar")
    assert avatar_page["checksum"](tmp_path / "me.avatar") == header["tensors_sha256"]


@pytest.mark.parametrize(
    ("name", "refused"), [("mine.extra", False), ("region.mine", False), ("avatar.extra", True), ("head.extra", True)]
)
def test_additions_are_accepted_where_the_page_says_so(tmp_path: Path, name: str, refused: bool) -> None:
    with safe_open(str(DATA / "version1.avatar"), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(DATA / "version1.avatar") | {name: torch.ones(12, dtype=torch.uint8)}
    save_file(tensors, tmp_path / "more.avatar", metadata=metadata)
    if refused:
        with pytest.raises(HeadsplatError, match="damaged avatar file"):
            load_avatar(tmp_path / "more.avatar")
    else:
        assert len(load_avatar(tmp_path / "more.avatar")) == 6


def test_a_motion_is_read_as_the_page_says(motion_page: Names, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    motion = Motion(
        time=torch.tensor([0.5, 0.6, 0.75], dtype=torch.float64),
        names=("jawOpen", "mouthSmileLeft"),
        weights=torch.rand(3, 2, generator=generator),
        space="arkit52",
        joint_rot=torch.rand(3, 5, 3, generator=generator),
        translation=torch.rand(3, 3, generator=generator),
        confidence=torch.tensor([1.0, 0.0, 0.5]),
        notes=("made by a test",),
    )
    write_motion(tmp_path / "take.motion.npz", motion)
    header, arrays = motion_page["read_motion_file"](tmp_path / "take.motion.npz")
    assert (header["space"], header["names"], header["notes"]) == ("arkit52", list(motion.names), ["made by a test"])
    assert sorted(arrays) == ["confidence", "joint_rot", "time", "translation", "weights"]
    for name, value in arrays.items():
        assert value.dtype == (np.float64 if name == "time" else np.float32)
        assert np.array_equal(value, getattr(motion, name).numpy())


def test_a_motion_written_by_the_page_is_read_back(motion_page: Names, tmp_path: Path) -> None:
    path, rng = tmp_path / "own.motion.npz", np.random.default_rng(3)
    weights, joints, places = rng.random((4, 2)), rng.random((4, 5, 3)), rng.random((4, 3))
    motion_page["write_motion_file"](path, np.arange(4) / 25, ["jawOpen", "tongueOut"], weights, joints, places)
    motion = read_motion(path)
    assert motion.names == ("jawOpen", "tongueOut") and motion.space == "arkit52" and motion.confidence is None
    assert np.allclose(motion.weights.numpy(), weights) and np.allclose(motion.joint_rot.numpy(), joints)
    assert np.allclose(motion.translation.numpy(), places) and np.array_equal(motion.time.numpy(), np.arange(4) / 25)


def test_the_old_motion_is_read_as_the_page_says(motion_page: Names) -> None:
    header, arrays = motion_page["read_motion_file"](DATA / "version1.motion.npz")
    motion = read_motion(DATA / "version1.motion.npz")
    assert header["version"] == 1 and tuple(header["names"]) == motion.names
    assert np.array_equal(arrays["weights"], motion.weights.numpy())


def test_a_capture_is_read_as_the_page_says(capture_page: Names, tiny: Capture) -> None:
    facts, track = capture_page["read_capture"](tiny.root)
    assert (facts["width"], facts["height"]) == (tiny.metadata["width"], tiny.metadata["height"])
    assert set(track) == set(tiny.track)
    assert all(np.array_equal(track[name], tiny.track[name]) for name in track)
    assert capture_page["fingerprint"](facts, track) == tiny.fingerprint
    frame, matte = capture_page["image_files"](tiny.root, track, 3)
    images, mattes = tiny.images([3], 64)
    assert np.array_equal(cv2.imread(str(frame))[..., ::-1], images[0])
    assert np.array_equal(cv2.imread(str(matte), cv2.IMREAD_GRAYSCALE), mattes[0])
    head, params = load_head(), tiny.params([3])
    points = head.landmarks(head.vertices(params))[0].double().numpy()
    assert np.abs(capture_page["project"](facts, track, 3, points) - track["landmarks"][3, :, :2]).max() < 1e-3


def test_a_capture_written_by_the_page_is_read_back(capture_page: Names, tiny: Capture, tmp_path: Path) -> None:
    names = ("frame_number", "time", "is_test", "identity", "expression", "joint_rot", "translation")
    head = {name: tiny.metadata["head"][name] for name in ("model_id", "expression_names")}
    own = {name: tiny.track[name] for name in names}
    capture_page["write_capture"](tmp_path, tiny.camera(64).K[0].numpy(), (64, 64), head, own)
    capture = Capture.load(tmp_path)
    assert len(capture) == len(tiny) and capture.fingerprint == tiny.fingerprint
    assert torch.equal(capture.params([2, 5]).joint_rot, tiny.params([2, 5]).joint_rot)
    ours, theirs = capture.camera(64), tiny.camera(64)
    assert torch.allclose(ours.K, theirs.K) and torch.equal(ours.world_to_cam, theirs.world_to_cam)


def test_version_1_of_a_capture_gets_the_defaults_of_the_page(
    capture_page: Names, tiny: Capture, tmp_path: Path
) -> None:
    facts, track = capture_page["read_capture"](tiny.root)
    camera = facts.pop("cameras")[0]
    newer = ("camera", "time_step", "exposure", "weight", "principal_point")
    old = {name: value for name, value in track.items() if name not in newer}
    np.savez(tmp_path / "track.npz", **old)
    json = capture_page["json"]
    (tmp_path / "capture.json").write_text(json.dumps({**facts, "camera": camera, "version": 1}))
    _, found = capture_page["read_capture"](tmp_path)
    loaded = Capture.load(tmp_path)
    assert all(np.array_equal(found[name], loaded.track[name]) for name in loaded.track)


def rows(page: str, heading: str) -> list[str]:
    """The names in the first column of the first table below a heading of a page."""
    text = (FORMATS / page).read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`.+?`(?:, `.+?`)*) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_the_page_lists_every_array_of_a_track(tiny: Capture) -> None:
    assert sorted(rows("capture.md", "`track.npz`")) == sorted(tiny.track)


def test_the_page_lists_every_array_of_a_refined_track(tiny: Capture, tiny_avatar: Avatar, tmp_path: Path) -> None:
    states = HeadStates.of(tiny.params(tiny.train_indices), tiny_avatar.head)
    unflagged = torch.zeros(len(states), dtype=torch.bool)
    RefinedTrack.of(tiny, tiny.train_indices, states, unflagged, tiny_avatar.head).save(tmp_path)
    with np.load(tmp_path / "refined.npz", allow_pickle=False) as stored:
        assert sorted(rows("capture.md", "The refined track: `refined.npz`")) == sorted(stored.files)


def test_the_soft_clamp_of_the_page_is_the_drivers(tiny_avatar: Avatar, tmp_path: Path, avatar_page: Names) -> None:
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    header, t = avatar_page["read_avatar"](tmp_path / "me.avatar")
    names = header["expression_names"]
    count, joint_rot = len(names), np.zeros((5, 3))
    joint_rot[0] = [0.1, 0.9, -0.2]
    joint_rot[2] = [0.3, 0.0, 0.0]
    expression = np.full(count, 0.02)
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp", "cheekPuff", "mouthClose"):
        expression[names.index(name)] = 0.9
    frame = torch.from_numpy(expression)[None].float(), torch.from_numpy(joint_rot)[None].float()
    options = DriveOptions(neutral="as-is", head="absolute", travel=1.0)
    driver = Driver.of(tiny_avatar, tuple(names), "arkit52", options).calibrated(*frame, torch.zeros(1, 3))
    moved = np.array([0.2, -0.3, 0.02])
    with torch.no_grad():
        found = driver(*frame, torch.from_numpy(moved)[None].float())
    low, high = t["avatar.blendshapes.low"], t["avatar.blendshapes.high"]
    clamped = soft_clamp(expression, low[:count], high[:count], np.array([margin_of(name) for name in names]))
    jaw = names.index("jawOpen")
    clamped[names.index("mouthClose")] *= clamped[jaw] / expression[jaw]
    lids = [name.startswith(("eyeBlink", "eyelid", "eyeSquint")) for name in names]
    assert np.abs(found.expression[0].numpy() - clamped)[~np.array(lids)].max() < ACTIVATED
    jaw_turn = soft_clamp(joint_rot[2], low[count : count + 3], high[count : count + 3], np.full(3, 0.1))
    assert np.abs(found.joint_rot[0, 2].numpy() - jaw_turn).max() < ACTIVATED
    torso = {name: t[f"avatar.rig.torso.{name}"] for name in ("mean_rotation", "mean_translation", "pivot", "limit")}
    turn = avatar_page["rotvec_of"](avatar_page["matrix_of"](joint_rot[0]) @ torso["mean_rotation"].T)
    turn = soft_clamp(turn, -torso["limit"][1:4], torso["limit"][1:4], np.full(3, 0.2))
    rotation = avatar_page["matrix_of"](turn) @ torso["mean_rotation"]
    assert np.abs(avatar_page["matrix_of"](found.joint_rot[0, 0].numpy()) - rotation).max() < ACTIVATED
    root = (t["head.J_regressor"] @ t["head.v_template"])[0]
    mean = torso["mean_rotation"] @ torso["pivot"] + torso["mean_translation"]
    travel = soft_clamp(moved, -0.1 * torso["limit"][4:], 0.1 * torso["limit"][4:], np.full(3, 0.1))
    translation = mean + travel - root + rotation @ (root - torso["pivot"])
    assert np.abs(found.translation[0].numpy() - translation).max() < ACTIVATED


def soft_clamp(x: np.ndarray, low: np.ndarray, high: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """The formula of the page."""
    y, finite = np.clip(x, low, high), np.where(np.isinf(margin), 1.0, margin)
    return np.where(np.isinf(margin), x, y + finite * np.tanh((x - y) / finite))


def margin_of(name: str) -> float:
    """The margin of an expression, from the sentence of the page."""
    text = (FORMATS / "avatar.md").read_text(encoding="utf-8")
    sentence = re.search(r"Margin of an expression,[^:]*: (.*?); a numbered", text, re.DOTALL)
    assert sentence is not None
    for part in sentence[1].replace("\n", " ").split(";"):
        number = part.split()[-1]
        if name.startswith(tuple(re.findall(r"`(\w+)`", part))):
            return float("inf") if number == "infinite" else float(number)
    return 0.3


Reader = Callable[[Path], Any]


@pytest.mark.parametrize(("page", "reader"), [("avatar.md", "read_avatar"), ("motion.md", "read_motion_file")])
def test_the_readers_of_the_pages_refuse_other_files(page: str, reader: str, tmp_path: Path) -> None:
    if page == "avatar.md":
        path = tmp_path / "other.avatar"
        save_file({"a": torch.zeros(1)}, path, metadata={"headsplat": '{"magic": "other", "version": 1}'})
    else:
        path = tmp_path / "other.motion.npz"
        np.savez(path, header=np.frombuffer(b'{"magic": "other", "version": 1}', np.uint8))
    read: Reader = names_of(page)[reader]
    with pytest.raises(ValueError, match="no"):
        read(path)
