"""`headsplat export`: its outputs and error messages."""

from __future__ import annotations

import base64
import errno
import gzip
import html
import json
import re
from pathlib import Path

import pytest
import torch

from avatar import cli, save_avatar, write_motion
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.jobs.web_page import page_camera
from avatar.model import avatar_file
from avatar.model.avatar import Avatar
from avatar.motion.from_capture import motion_of
from capture.live.web_model import landmark_model_pack
from capture.networks import face_task, vision_library
from tests.avatar.export.readers import Glb, Ply, columns
from tests.avatar.export.splat_readers import Spz, glb_splats
from tests.avatar.motion.made_up import flame_head


@pytest.fixture(scope="module")
def me(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("export") / "me.avatar"
    save_avatar(path, tiny_avatar, {"consent": "Given by the person."})
    return str(path)


@pytest.fixture(scope="module")
def motion_file(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The capture's 24 frames as a motion file."""
    path = tmp_path_factory.mktemp("motion") / "take.motion.npz"
    write_motion(path, motion_of(tiny, load_head()))
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that fails."""
    assert cli.main(["export", *arguments]) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_a_posed_file_is_written_and_reported(me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "me.ply")
    posed = ["--expression", "jawOpen=.5", "--expression", "mouthSmileLeft=1.5", "--head-pose", "-20,5,0"]
    assert cli.main(["export", me, "-o", out, *posed]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{out}: 1500 Gaussians, ")
    assert "mouthSmileLeft=1.5 is outside 0..1" in printed.err
    assert "Given by the person." in Ply.read(tmp_path / "me.ply").comments
    assert "already; give --overwrite" in refused(capsys, me, "-o", out)


def test_y_axis_up_is_upside_down_relative_to_y_axis_down(me: str, tmp_path: Path) -> None:
    for name in ("up", "down"):
        assert cli.main(["export", me, "-o", str(tmp_path / f"{name}.ply"), "--y-axis", name]) == 0
    up, down = (Ply.read(tmp_path / f"{name}.ply").elements["vertex"]["y"] for name in ("up", "down"))
    assert up == pytest.approx(-down)


def test_a_motion_writes_a_folder_numbered_as_the_full_motion(me: str, motion_file: str, tmp_path: Path) -> None:
    assert cli.main(["export", me, "-o", str(tmp_path / "all"), "--motion", motion_file, "--frames", "5:8"]) == 0
    assert sorted(path.name for path in (tmp_path / "all").glob("*.ply")) == ["00005.ply", "00006.ply", "00007.ply"]
    assert cli.main(["export", me, "-o", str(tmp_path / "one.ply"), "--motion", motion_file, "--frame", "6"]) == 0
    assert (tmp_path / "one.ply").read_bytes() == (tmp_path / "all" / "00006.ply").read_bytes()


def test_a_capture_drives_the_avatar(me: str, tiny: Capture, tmp_path: Path) -> None:
    out = tmp_path / "all"
    assert cli.main(["export", me, "-o", str(out), "--motion", str(tiny.root), "--frames", "20:"]) == 0
    first, last = (columns(Ply.read(out / f"000{n}.ply").elements["vertex"], "x", "y", "z") for n in (20, 23))
    assert abs(first - last).max() > 1e-3


def test_another_rate_changes_the_number_of_frames(me: str, motion_file: str, tmp_path: Path) -> None:
    assert cli.main(["export", me, "-o", str(tmp_path / "all"), "--motion", motion_file, "--fps", "10"]) == 0
    assert len(list((tmp_path / "all").glob("*.ply"))) == 8  # 23/30 s


def test_a_motion_animates_a_glb(me: str, motion_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "me.glb"
    assert cli.main(["export", me, "-o", str(out), "--motion", motion_file, "--frames", ":6"]) == 0
    printed = capsys.readouterr()
    assert "20356 triangles, animation of 6 frames" in printed.out
    report = json.loads((tmp_path / "me.glb.report.json").read_text())
    assert f"{out}: {report['words']}" in printed.err and report["file"] == "me.glb" and report["psnr"] > 20
    glb = Glb.read(out)
    (animation,) = glb.json["animations"]
    assert glb.values(animation["samplers"][0]["input"]) == pytest.approx(torch.arange(6) / 30)


def test_a_file_in_the_place_of_the_report_is_kept(me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "me.glb.report.json").write_text("{}")
    assert "and headsplat did not write the one that is there" in refused(
        capsys, me, "-o", str(tmp_path / "me.glb"), "--overwrite"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["me.glb.report.json"]


def test_a_mesh_of_another_head_reports_its_license(
    me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def other(path: Path) -> tuple[dict[str, object], Avatar]:
        header, found = load(path)
        found.head = replace(found.head, name="FLAME 2020", license="FLAME license, research only")
        return header, found

    load = avatar_file.read_avatar
    monkeypatch.setattr(avatar_file, "read_avatar", other)
    assert cli.main(["export", me, "-o", str(tmp_path / "me.obj")]) == 0
    assert "FLAME 2020 (FLAME license, research only); its license applies" in capsys.readouterr().err
    assert "FLAME license, research only" in (tmp_path / "me.obj").read_text()


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_compressed_file_has_the_pose_and_the_consent(
    me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: int
) -> None:
    posed = ["--expression", "jawOpen=.5", "--head-pose", "-20,5,0"]
    assert cli.main(["export", me, "-o", str(tmp_path / "a.ply"), *posed]) == 0
    capsys.readouterr()
    out = tmp_path / "a.spz"
    assert cli.main(["export", me, "-o", str(out), *posed, "--spz-version", str(version)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 1500 Gaussians, ")
    found, expected = Spz.read(out), Ply.read(tmp_path / "a.ply").elements["vertex"]
    assert found.version == version and "Given by the person." in found.text
    # x right, y up, z back against x right, y down, z front
    assert found.rows["x"] == pytest.approx(expected["x"], abs=1e-5)
    assert found.rows["y"] == pytest.approx(-expected["y"], abs=1e-5)
    assert found.rows["z"] == pytest.approx(-expected["z"], abs=1e-5)


def test_gaussians_in_gltf_have_the_frame_of_a_motion(
    me: str, motion_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driven = ["--motion", motion_file, "--frame", "6"]
    assert cli.main(["export", me, "-o", str(tmp_path / "a.ply"), *driven, "--y-axis", "up"]) == 0
    capsys.readouterr()
    out = tmp_path / "a.glb"
    assert cli.main(["export", me, "-o", str(out), *driven, "--splats"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 1500 Gaussians, ")
    glb, expected = Glb.read(out), Ply.read(tmp_path / "a.ply").elements["vertex"]
    assert columns(glb_splats(glb), "x", "y", "z") == pytest.approx(columns(expected, "x", "y", "z"), abs=1e-6)
    assert glb.json["asset"]["extras"]["consent"] == "Given by the person."


def test_a_page_with_a_motion_is_one_file(
    me: str, motion_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "me.html"
    assert cli.main(["export", me, "-o", str(out), "--motion", motion_file, "--frames", ":6"]) == 0
    assert "me.html: a page with 1500 Gaussians, a motion of 6 frames, " in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("me*")] == ["me.html"]
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_container_is_that_of_the_page(
    me: str, motion_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("me.html", "me.hsa"):
        assert cli.main(["export", me, "-o", str(tmp_path / name), "--motion", motion_file, "--frames", "2:8"]) == 0
    assert "me.hsa: an avatar for pages with 1500 Gaussians, a motion of 6 frames, " in capsys.readouterr().out
    content = (tmp_path / "me.hsa").read_bytes()
    assert base64.b64encode(content).decode() in (tmp_path / "me.html").read_text(encoding="utf-8")
    assert "leave out --expression" in refused(capsys, me, "-o", str(tmp_path / "b.hsa"), "--head-pose", "20,0,0")


@pytest.fixture
def packed_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words in place of MediaPipe's files."""
    made = vision_library.VisionLibrary(b"the library", b"the loader", b"the wasm")
    monkeypatch.setattr(vision_library, "vision_library", lambda: made)
    monkeypatch.setattr(face_task, "face_task", lambda: b"the networks")


@pytest.mark.usefixtures("packed_parts")
def test_a_page_with_a_camera_has_the_library_and_the_networks(me: str, tmp_path: Path) -> None:
    out = tmp_path / "me.html"
    assert cli.main(["export", me, "-o", str(out), "--with-camera"]) == 0
    page = out.read_text(encoding="utf-8")
    packed = re.search(r'id="camera-pack">([^<]+)<', page)
    assert packed is not None
    content = gzip.decompress(base64.b64decode(packed[1]))
    for part in ("loader", "wasm", "networks"):
        assert f"the {part}".encode() in content
    assert "\nthe library\n" in page
    assert landmark_model_pack(load_head()) in content
    assert vision_library.NOTICE in html.unescape(page)


PAGE_FILES = {"page.css", "page.js", "worker.js", "avatar.hsa"}
CAMERA_FILES = {
    "camera.js", "camera_loader.js", "camera.wasm",
    "camera_networks.task", "camera_landmarks.bin", "camera_license.txt",
}  # fmt: skip


def test_a_split_page_is_a_folder_with_the_avatar_as_a_file(
    me: str, motion_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--motion", motion_file, "--frames", "2:8"]
    assert cli.main(["export", me, "-o", str(tmp_path / "me.hsa"), *options]) == 0
    assert cli.main(["export", me, "-o", str(tmp_path / "site"), "--split", *options]) == 0
    assert "site: a page with 1500 Gaussians, a motion of 6 frames, " in capsys.readouterr().out
    found = {path.name for path in (tmp_path / "site").iterdir()}
    assert found == PAGE_FILES | {"index.html", ".headsplat"}
    content = (tmp_path / "site" / "avatar.hsa").read_bytes()
    assert content == (tmp_path / "me.hsa").read_bytes()
    assert b"Given by the person." in content


@pytest.mark.usefixtures("packed_parts")
def test_a_split_page_with_a_name_has_its_files_in_a_folder_beside_it(me: str, tmp_path: Path) -> None:
    out = tmp_path / "50% of #1.html"
    assert cli.main(["export", me, "-o", str(out), "--split", "--with-camera"]) == 0
    files = tmp_path / "50% of #1_files"
    assert {path.name for path in files.iterdir()} == PAGE_FILES | CAMERA_FILES | {".headsplat"}
    assert sorted(tmp_path.iterdir()) == [out, files]
    page = out.read_text(encoding="utf-8")
    assert 'src="50%25%20of%20%231_files/page.js"' in page and vision_library.NOTICE in html.unescape(page)
    for part, name in (("loader", "loader.js"), ("networks", "networks.task")):
        assert (files / f"camera_{name}").read_bytes() == f"the {part}".encode()
    assert "\nthe library\n" in (files / "camera.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("out", "folder"), [("site", "site"), ("me.html", "me_files")])
def test_only_the_files_of_a_split_page_are_replaced(
    me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "mine.txt").write_text("mine")
    arguments = (me, "-o", str(tmp_path / out), "--split")
    assert f"{folder}: exists already; give --overwrite to replace it" in refused(capsys, *arguments)
    assert f"{folder}: contains other files too (mine.txt)" in refused(capsys, *arguments, "--overwrite")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.txt"]
    (tmp_path / folder / "mine.txt").unlink()
    assert cli.main(["export", *arguments, "--overwrite"]) == 0
    (tmp_path / folder / "worker.js").write_text("old")
    assert cli.main(["export", *arguments, "--overwrite"]) == 0
    assert (tmp_path / folder / "worker.js").read_text(encoding="utf-8").startswith('"use strict"')


@pytest.mark.parametrize("out", ["site", "me.html"])
def test_a_split_page_that_cannot_be_written_leaves_the_old_one(
    me: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def write(path: Path, data: bytes) -> int:
        if path.name == "worker.js":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return written(path, data)

    arguments = (me, "-o", str(tmp_path / out), "--split", "--overwrite")
    assert cli.main(["export", *arguments]) == 0
    before, written = content(), Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", write)
    assert "the disk is full" in refused(capsys, *arguments)
    assert content() == before


def test_a_camera_that_cannot_be_fetched_leaves_no_page(
    me: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(address: str) -> bytes:
        raise OSError("no route to host")

    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSPLAT_MODELS", raising=False)
    monkeypatch.setattr(vision_library, "_download", refuse)
    message = refused(capsys, me, "-o", str(tmp_path / "me.html"), "--with-camera")
    assert "MediaPipe's library could not be downloaded (no route to host); download https://" in message
    assert not list(tmp_path.glob("*.html"))


def test_a_head_without_arkits_expressions_has_no_camera() -> None:
    with pytest.raises(HeadsplatError, match="the page tracks ARKit's expressions, which made-up FLAME does not have"):
        page_camera(flame_head())


def test_a_rigged_file_is_reported_as_not_a_scene(me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", me, "-o", str(tmp_path / "rig.ply"), "--rigged"]) == 0
    assert "rig.ply: a rig, not a scene: 1500 Gaussians, " in capsys.readouterr().out
    assert "vertex" in Ply.read(tmp_path / "rig.ply").elements


@pytest.mark.parametrize(
    ("out", "arguments", "message"),
    [
        (
            "me.usd",
            (),
            "cannot write .usd; give a name in .ply, .spz, .obj, .glb, .vrm, .zip, .html or .hsa, or a folder for",
        ),
        ("me.html", ("--head-pose", "20,0,0"), "a page has sliders for poses; leave out --expression, --head-pose"),
        ("frames", (), "needs a motion; give --motion FILE or CAPTURE"),
        ("me.ply", ("--frame", "3"), "--frame: needs a motion; give --motion FILE or CAPTURE"),
        ("me.ply", ("--expression", "jawopen=1"), "unknown expression 'jawopen'; similar names: jawOpen"),
        ("me.ply", ("--expression", "jawOpen"), "'jawOpen' is not a weight; give NAME=WEIGHT, such as jawOpen=0.5"),
        ("me.ply", ("--head-pose", "10,20"), "'10,20' is not a rotation; give YAW,PITCH,ROLL in degrees"),
        ("me.obj", ("--rigged",), "--rigged writes a .ply; give a name in .ply or leave --rigged out"),
        ("me.spz", ("--splats",), "--splats writes a .glb; give a name in .glb or leave --splats out"),
        ("me.spz", ("--rigged",), "--rigged writes a .ply; give a name in .ply or leave --rigged out"),
        ("me.spz", ("--frame", "3"), "--frame: needs a motion; give --motion FILE or CAPTURE"),
        (
            "me.vrm",
            ("--expression", "jawOpen=1"),
            "me.vrm: other programs pose it; leave out --expression, --head-pose",
        ),
        ("me.zip", ("--head-pose", "1,2,3"), "me.zip: other programs pose it; leave out --expression, --head-pose and"),
        ("me.glb", ("--splats", "--rigged"), "--rigged writes a .ply; give a name in .ply or leave --rigged out"),
        ("me.ply", ("--rigged", "--expression", "jawOpen=1"), "--rigged: writes the neutral expression; leave out"),
        ("me.hsa", ("--split",), "--split writes a page; give a folder or a name in .html, or leave --split out"),
        ("site", ("--split", "--head-pose", "20,0,0"), "a page has sliders for poses; leave out --expression"),
        ("site", ("--split", "--frames", "1:3"), "--frames: needs a motion; give --motion FILE or CAPTURE"),
        ("me.hsa", ("--with-camera",), "--with-camera is for a page; give a name in .html or leave --with-camera out"),
    ],
)
def test_invalid_combinations_are_refused_with_a_message(
    me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, me, "-o", str(tmp_path / out), *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "arguments", "message"),
    [
        ("me.ply", (), "stores one pose; select it with --frame N, or give a folder for all frames"),
        ("me.spz", (), "stores one pose; select it with --frame N, or give a folder for all frames"),
        ("me.glb", ("--splats",), "stores one pose; select it with --frame N, or give a folder for all frames"),
        ("me.ply", ("--frame", "24"), "which has 24 frames; give 0 to 23"),
        ("me.ply", ("--frame", "2", "--frames", "1:3"), "--frame: selects one pose; leave out --frames"),
        ("frames", ("--frame", "2"), "--frame selects one pose; give a name in .ply, .spz, .obj or .glb"),
        ("frames", ("--frames", "30:40"), "30:40 selects none of the 24 frames"),
        ("frames", ("--fps", "0"), "--fps: expected 0.01 to 1000, got 0"),
        (
            "me.ply",
            ("--frame", "1", "--expression", "jawOpen=1"),
            "--motion: determines the pose of the avatar; leave",
        ),
    ],
)
def test_invalid_options_of_a_motion_are_refused(
    me: str,
    motion_file: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    out: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert message in refused(capsys, me, "-o", str(tmp_path / out), "--motion", motion_file, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_not_replaced(
    me: str, motion_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    message = refused(capsys, me, "-o", str(tmp_path / "mine"), "--motion", motion_file, "--overwrite")
    assert "contains other files too (notes.txt)" in message and (tmp_path / "mine" / "notes.txt").exists()
