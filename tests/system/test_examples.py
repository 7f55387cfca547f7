"""The Python of the documentation runs: the blocks of each page in order, and each script of examples/ at tiny size."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import torch

import avatar
import capture
from avatar import TrainConfig, save_avatar, write_motion
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.parts import registry as parts
from avatar.motion.files import read as motions
from avatar.motion.from_capture import motion_of
from avatar.training.fit import fit
from avatar.training.parts import registry as trainings
from avatar.types import Motion
from capture.live.protocols import registry as protocols

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "python.md"
JOBS = 3  # the first blocks of the guide, which tests/system/test_three_jobs.py runs
FRAMES = 33
SIZE = 64  # pixels a side, where the guide has 512
Run = Callable[..., None]


def blocks_of(page: Path) -> list[str]:
    """The blocks of `page` marked as python."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


EXTENDING = ROOT / "docs" / "extending.md"
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page not in (GUIDE, EXTENDING) and blocks_of(page)]


def long_enough(motion: Motion) -> Motion:
    """The motion and its start once more, FRAMES in all: the guide uses a second of it for the resting face."""
    repeated = {
        name: torch.cat([getattr(motion, name)] * 2)[:FRAMES] for name in ("weights", "joint_rot", "translation")
    }
    return Motion(torch.arange(FRAMES, dtype=torch.float64) / 30, motion.names, space=motion.space, **repeated)


def fill(folder: Path, tiny: Capture, tiny_avatar: Avatar) -> None:
    """The files that pages and scripts name."""
    save_avatar(folder / "me.avatar", tiny_avatar)
    motion = long_enough(motion_of(tiny, load_head()))
    write_motion(folder / "take.csv", motion)
    write_motion(folder / "take.motion.npz", motion)
    shutil.copytree(tiny.root, folder / "me.capture")


@pytest.fixture(scope="module")
def folder(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an avatar, its capture and a motion."""
    folder = tmp_path_factory.mktemp("files")
    fill(folder, tiny, tiny_avatar)
    return folder


def execute(page: Path, text: Callable[[str], str], names: dict[str, Any]) -> None:
    """Run the blocks of `page`, changed by `text`, in the namespace `names`."""
    for number, block in enumerate(blocks_of(page)[JOBS if page == GUIDE else 0 :]):
        exec(compile(text(block), f"{page.name} block {number}", "exec"), names)


@pytest.fixture(scope="module")
def after(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the guide leaves behind; `folder` is where it ran."""
    folder = tmp_path_factory.mktemp("guide")
    fill(folder, tiny, tiny_avatar)
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # the networks and minutes of training have tests of their own
        patch.setattr(capture, "run_capture", lambda video, out: tiny)
        small = TrainConfig(size=SIZE, steps=20, gaussians=500, refine_at=1)
        patch.setattr(sys.modules[TrainConfig.__module__], "TrainConfig", lambda **_: small)
        execute(GUIDE, lambda block: block.replace("512", str(SIZE)), names)
    return names


def test_the_first_example_has_arrays_in_ten_lines(after: dict[str, Any]) -> None:
    assert after["gaussians"].means.shape == (1, len(after["me"]), 3)
    assert len(after["vertices"]) == len(after["take"].params) == FRAMES
    assert after["image"].shape == (SIZE, SIZE, 3) and after["depth"].shape == (SIZE, SIZE)


def test_a_source_of_its_own_drives_the_window(after: dict[str, Any]) -> None:
    session = after["session"]
    assert session.state.source == "talking" and session.viewport.image.std() > 10  # levels of 255


def test_the_trained_avatar_is_on_disk(after: dict[str, Any]) -> None:
    assert len(avatar.load_avatar(after["folder"] / "trained.avatar")) == len(after["result"].avatar)


def test_the_rendered_video_has_every_frame(after: dict[str, Any]) -> None:
    assert frames_of(after["folder"] / "take.mov") == FRAMES
    assert len(list((after["folder"] / "depth").glob("[0-9]*"))) == FRAMES


def frames_of(path: Path) -> int:
    """How many frames the video has."""
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


def test_every_export_is_there(after: dict[str, Any]) -> None:
    folder = after["folder"]
    assert all((folder / name).stat().st_size > 1000 for name in ("smile.ply", "smile.obj", "me.glb", "rig.ply"))
    assert len(list((folder / "frames").glob("[0-9]*"))) == FRAMES


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is registered for it only."""
    monkeypatch.setattr(parts, "_KINDS", dict(parts._KINDS))
    monkeypatch.setattr(trainings, "_PARTS", list(trainings._PARTS))
    monkeypatch.setattr(motions, "_ADDED", [])
    monkeypatch.setattr(protocols, "PROTOCOLS", dict(protocols.PROTOCOLS))


def test_what_the_page_on_extending_adds_is_used(
    folder: Path, tiny: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registries: None
) -> None:
    names: dict[str, Any] = {}
    monkeypatch.chdir(folder)
    execute(EXTENDING, lambda block: block, names)
    result = fit(tiny, load_head(), TrainConfig(size=SIZE, steps=20, gaussians=500, refine_at=1, layer=False))
    save_avatar(tmp_path / "tinted.avatar", result.avatar)
    tint = avatar.load_avatar(tmp_path / "tinted.avatar").part(names["Tint"])
    assert tint is not None and len(tint.amount) == 500 and tint.amount.abs().max() > 0
    assert (folder / "sheet.png").stat().st_size > 1000
    assert names["source"].name and "pairs" in protocols.PROTOCOLS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT / "docs").as_posix())
def test_the_blocks_of_a_page_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    execute(page, lambda block: block, {})


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the script of examples/ that begins with a number, in `folder`; each writes under names of its own."""

    def script(number: int, *arguments: object) -> None:
        (path,) = (ROOT / "examples").glob(f"{number:02}_*.py")
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")

    monkeypatch.chdir(folder)
    return script


def test_example_1_trains_an_avatar_and_scores_it(
    run: Run, tiny: Capture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(capture, "run_capture", lambda video, out, options: tiny)
    run(1, "selfie.mp4", "-o", "new.avatar", "--size", SIZE, "--steps", 20, "--gaussians", 500)
    assert len(avatar.load_avatar("new.avatar")) > 300
    assert "| held-out frames, driven by the tracker |" in capsys.readouterr().out


def test_example_2_writes_an_image_for_each_frame(run: Run) -> None:
    run(2, "me.avatar", "take.csv", "-o", "frames", "--size", SIZE)
    assert [path.name for path in sorted(Path("frames").glob("*.png"))] == [f"{k:05}.png" for k in range(FRAMES)]


def test_example_3_renders_a_video_and_its_depth(run: Run) -> None:
    run(3, "me.avatar", "take.csv", "-o", "film.mov", "--size", SIZE)
    assert frames_of(Path("film.mov")) == len(list(Path("film_depth").glob("[0-9]*"))) == FRAMES


def test_example_4_exports_every_format(run: Run) -> None:
    run(4, "me.avatar", "take.csv", "-o", "exported")
    smile = {f"smile.{suffix}" for suffix in ("ply", "spz", "glb", "obj")}
    assert {path.name for path in Path("exported").iterdir()} == smile | {"rig.ply", "take.glb"}


def test_example_5_nods_once_the_driver_is_calibrated(run: Run) -> None:
    run(5, "me.avatar", "-o", "nod.mp4", "--frames", 70, "--size", SIZE)
    with av.open("nod.mp4") as video:
        images = [frame.to_ndarray(format="gray").astype(float) for frame in video.decode(video=0)]
    change = [float(abs(image - images[0]).mean()) for image in images]
    assert len(images) == 70 and max(change[:36]) < 1 < 3 < change[67]  # levels of 255; it rests for 1.2 s


def test_example_6_opens_the_mouth_of_a_head_of_its_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    run(6, "take.csv", "--frame", 6, "-o", "face.obj")
    assert float(re.findall(r"'open': ([\d.]+)", capsys.readouterr().out)[0]) == pytest.approx(0.5, abs=0.05)
    lines = Path("face.obj").read_text(encoding="utf-8").splitlines()
    head = load_head()
    assert [sum(line.startswith(kind) for line in lines) for kind in "vf"] == [len(head.v_template), len(head.faces)]


def test_example_7_ends_with_a_sentence_where_there_is_no_cuda_device(folder: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "07_gsplat_rasterizer.py"), "me.avatar"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "gsplat needs a CUDA device, and torch finds none on this machine\n"


def test_example_7_names_the_missing_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(SystemExit, match=r"gsplat is not installed; pip install 'gsplat>=1.5'"):
        run(7, "me.avatar", "--size", SIZE)


@pytest.mark.gpu
def test_example_7_has_the_same_image_by_gsplat(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gsplat")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    run(7, "me.avatar", "--size", SIZE)
    assert float(re.findall(r"(\S+) dB", capsys.readouterr().out)[0]) > 40


def test_the_web_app_names_the_missing_package() -> None:
    path = ROOT / "examples" / "gradio_app.py"
    code = f"import sys, runpy; sys.argv[1:] = []; sys.modules['gradio'] = None; runpy.run_path({str(path)!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "the app needs Gradio; install it with `pip install 'headsplat[gradio]'`\n"
