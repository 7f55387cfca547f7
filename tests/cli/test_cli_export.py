"""`headsplat export`: what it writes from the command line and the sentences with which it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avatar import cli, save_avatar, write_motion
from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model import avatar_file
from avatar.model.avatar import Avatar
from avatar.motion.from_capture import motion_of
from tests.avatar.export.readers import Glb, Ply, columns


@pytest.fixture(scope="module")
def me(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("export") / "me.avatar"
    save_avatar(path, tiny_avatar, {"consent": "Given by the person."})
    return str(path)


@pytest.fixture(scope="module")
def take(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The capture's 24 frames as a motion file."""
    path = tmp_path_factory.mktemp("motion") / "take.motion.npz"
    write_motion(path, motion_of(tiny, load_head()))
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence of a command that fails."""
    assert cli.main(["export", *arguments]) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_a_posed_file_is_written_and_named(me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "me.ply")
    posed = ["--expression", "jawOpen=.5", "--expression", "mouthSmileLeft=1.5", "--head-pose", "-20,5,0"]
    assert cli.main(["export", me, "-o", out, *posed]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 1500 Gaussians, ") and "mouthSmileLeft=1.5 lies outside 0..1" in said.err
    assert "Given by the person." in Ply.read(tmp_path / "me.ply").comments
    assert "already; give --overwrite" in refused(capsys, me, "-o", out)


def test_y_axis_up_writes_the_head_the_other_way_up(me: str, tmp_path: Path) -> None:
    for name in ("up", "down"):
        assert cli.main(["export", me, "-o", str(tmp_path / f"{name}.ply"), "--y-axis", name]) == 0
    up, down = (Ply.read(tmp_path / f"{name}.ply").elements["vertex"]["y"] for name in ("up", "down"))
    assert up == pytest.approx(-down)


def test_a_motion_fills_a_folder_with_the_numbers_of_the_whole(me: str, take: str, tmp_path: Path) -> None:
    assert cli.main(["export", me, "-o", str(tmp_path / "all"), "--motion", take, "--frames", "5:8"]) == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["00005.ply", "00006.ply", "00007.ply"]
    assert cli.main(["export", me, "-o", str(tmp_path / "one.ply"), "--motion", take, "--frame", "6"]) == 0
    assert (tmp_path / "one.ply").read_bytes() == (tmp_path / "all" / "00006.ply").read_bytes()


def test_a_capture_moves_the_avatar_too(me: str, tiny: Capture, tmp_path: Path) -> None:
    out = tmp_path / "all"
    assert cli.main(["export", me, "-o", str(out), "--motion", str(tiny.root), "--frames", "20:"]) == 0
    first, last = (columns(Ply.read(out / f"000{n}.ply").elements["vertex"], "x", "y", "z") for n in (20, 23))
    assert abs(first - last).max() > 1e-3


def test_another_rate_changes_how_many_frames_there_are(me: str, take: str, tmp_path: Path) -> None:
    assert cli.main(["export", me, "-o", str(tmp_path / "all"), "--motion", take, "--fps", "10"]) == 0
    assert len(list((tmp_path / "all").iterdir())) == 8  # 23/30 s


def test_a_motion_animates_a_glb(me: str, take: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "me.glb"
    assert cli.main(["export", me, "-o", str(out), "--motion", take, "--frames", ":6"]) == 0
    assert "20356 triangles, animation of 6 frames" in capsys.readouterr().out
    glb = Glb.read(out)
    (animation,) = glb.json["animations"]
    assert glb.values(animation["samplers"][0]["input"]) == pytest.approx(torch.arange(6) / 30)


def test_a_mesh_of_another_head_names_its_license(
    me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def other(path: Path) -> Avatar:
        found = load(path)
        found.head = replace(found.head, name="FLAME 2020", license="FLAME license, research only")
        return found

    load = avatar_file.load_avatar
    monkeypatch.setattr(avatar_file, "load_avatar", other)
    assert cli.main(["export", me, "-o", str(tmp_path / "me.obj")]) == 0
    assert "FLAME 2020 (FLAME license, research only); that license binds" in capsys.readouterr().err
    assert "FLAME license, research only" in (tmp_path / "me.obj").read_text()


def test_a_rigged_file_is_told_to_be_no_scene(me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", me, "-o", str(tmp_path / "rig.ply"), "--rigged"]) == 0
    assert "1500 Gaussians of a rig, no scene" in capsys.readouterr().out
    assert "vertex" in Ply.read(tmp_path / "rig.ply").elements


@pytest.mark.parametrize(
    ("out", "arguments", "sentence"),
    [
        ("me.usd", (), "cannot write .usd; give a name in .ply, .obj or .glb, or a folder for numbered .ply files"),
        ("frames", (), "needs a motion; give --motion FILE or CAPTURE"),
        ("me.ply", ("--frame", "3"), "--frame: needs a motion; give --motion FILE or CAPTURE"),
        ("me.ply", ("--expression", "jawopen=1"), "there is no expression 'jawopen'; near: jawOpen"),
        ("me.ply", ("--expression", "jawOpen"), "'jawOpen' is no weight; give NAME=WEIGHT, such as jawOpen=0.5"),
        ("me.ply", ("--head-pose", "10,20"), "'10,20' is no turn; give YAW,PITCH,ROLL in degrees"),
        ("me.obj", ("--rigged",), "--rigged writes a .ply; give a name in .ply or leave --rigged out"),
        ("me.ply", ("--rigged", "--expression", "jawOpen=1"), "--rigged: holds the resting face; leave out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    me: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused(capsys, me, "-o", str(tmp_path / out), *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "arguments", "sentence"),
    [
        ("me.ply", (), "holds one pose; pick it with --frame N, or give a folder for all frames"),
        ("me.ply", ("--frame", "24"), "which has 24 frames; give 0 to 23"),
        ("me.ply", ("--frame", "2", "--frames", "1:3"), "--frame: picks one pose; leave out --frames"),
        ("frames", ("--frame", "2"), "--frame picks one pose; give a name in .ply, .obj or .glb"),
        ("frames", ("--frames", "30:40"), "30:40 picks none of the 24 frames"),
        ("frames", ("--fps", "0"), "--fps: expected more than 0"),
        ("me.ply", ("--frame", "1", "--expression", "jawOpen=1"), "--motion: poses the avatar by itself; leave out"),
    ],
)
def test_a_motion_asked_for_the_impossible_is_refused(
    me: str,
    take: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    out: str,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    assert sentence in refused(capsys, me, "-o", str(tmp_path / out), "--motion", take, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_things_is_not_replaced(
    me: str, take: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    said = refused(capsys, me, "-o", str(tmp_path / "mine"), "--motion", take, "--overwrite")
    assert "contains other files too (notes.txt)" in said and (tmp_path / "mine" / "notes.txt").exists()
