"""`headsplat preset`: faces of weights and of frames, listed and removed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avatar import cli
from avatar.export.posed import head_turn
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.arkit import ARKIT_52
from avatar.motion import write_motion
from avatar.motion.presets import FacePreset, read_presets
from avatar.types import JOINT_NAMES, ROOT, Motion

AVATAR = Path(__file__).parents[1] / "data" / "version4.avatar"


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    (tmp_path / "me.avatar").write_bytes(AVATAR.read_bytes())
    return tmp_path / "me.avatar"


def run(*words: object, code: int = 0) -> None:
    assert cli.main(["preset", *map(str, words)]) == code


def turned(path: Path) -> Path:
    """A motion of two frames: the second one smiles and turns the head by 20, -10 and 5 degrees."""
    weights = torch.zeros(2, 52)
    weights[1, ARKIT_52.index("mouthSmileLeft")] = 0.7
    joint_rot = torch.zeros(2, len(JOINT_NAMES), 3)
    joint_rot[1, ROOT] = matrix_to_axis_angle(head_turn((20.0, -10.0, 5.0))[None])[0]
    motion = Motion(torch.arange(2).double() / 30, ARKIT_52, weights, "arkit52", joint_rot, torch.zeros(2, 3))
    write_motion(path, motion)
    return path


def test_presets_are_added_listed_replaced_and_removed(avatar: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = avatar.with_name("me.presets.json")
    run("add", avatar, "grin", "--weights", "jawOpen=.4,mouthSmileLeft=.6")
    assert read_presets(file) == (
        FacePreset("grin", {"jawOpen": 0.4, "mouthSmileLeft": 0.6}, key=1, source="weights by hand"),
    )
    run("add", avatar, "GRIN", "--weights", "jawOpen=.5", code=1)
    run("add", avatar, "GRIN", "--weights", "jawOpen=.5", "--overwrite", "--key", 7)
    run("list", avatar)
    assert "7 GRIN: jawOpen=0.5; from weights by hand" in capsys.readouterr().out
    run("remove", avatar, "grin")
    assert read_presets(file) == ()


def test_a_frame_of_a_motion_keeps_the_turn_of_the_head_on_demand(tmp_path: Path) -> None:
    file, motion = tmp_path / "apart.presets.json", turned(tmp_path / "m.motion.npz")
    run("add", file, "plain", "--motion", motion, "--frame", 1)
    run("add", file, "turned", "--motion", motion, "--frame", 1, "--with-head", "--consent", "my own face")
    plain, posed = read_presets(file)
    assert plain.weights == posed.weights == {"mouthSmileLeft": 0.7}
    assert plain.head == (0, 0, 0) and posed.head == pytest.approx((20, -10, 5), abs=0.02)
    assert (posed.key, posed.source, posed.consent) == (2, "frame 1 of m.motion.npz", "my own face")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "preset add: expected one of --weights, --motion and --photo, got none"),
        (("--weights", "jawOpen=1", "--photo", "a.jpg"), "--photo, got --weights and --photo"),
        (("--motion", "m.csv"), "--frame: the number of a frame of --motion; give both, or leave both out"),
        (("--weights", "jawOpen=1", "--with-head"), "--with-head: only used with --motion; leave it out"),
        (("--weights", "jawOpne=1"), "no expression 'jawOpne'; did you mean jawOpen?"),
        (("--weights", "jawOpen=2"), "preset: `weights.jawOpen` is 2.0, expected -1 to 1"),
        (("--weights", "jawOpen=1", "--consent", "x" * 1001), "preset: `consent` has more than 1000 characters"),
        (("--motion", "no.csv", "--frame", "1"), "no.csv: no such file; check its path"),
        (("--photo", "{avatar}"), "me.avatar: not a photo; give an image with a face"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused_and_writes_nothing(
    avatar: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    run("add", avatar, "x", *(word.format(avatar=avatar) for word in words), code=1)
    assert message in capsys.readouterr().err
    assert [path.name for path in avatar.parent.iterdir()] == ["me.avatar"]


def test_a_missing_avatar_and_a_missing_file_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("add", tmp_path / "no.avatar", "x", "--weights", "jawOpen=1", code=1)
    assert "no.avatar: no such avatar; give an avatar, or a name in .presets.json" in capsys.readouterr().err
    run("list", tmp_path / "no.presets.json", code=1)
    assert "no such file of presets" in capsys.readouterr().err
