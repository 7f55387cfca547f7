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
from avatar.performance.facs.named_units import names_of
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader
from avatar.types import JOINT_NAMES, ROOT, Motion

TABLE = FacsTable.load()
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


def test_action_units_keep_intensity_and_side(avatar: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("add", avatar, "smirk", "--units", "AU6=.8,AU12R=.5")
    (preset,) = read_presets(avatar.with_name("me.presets.json"))
    assert preset.units == {"AU6": 0.8, "AU12R": 0.5} and preset.weights["mouthSmileRight"] > 0.3
    assert preset.weights["cheekSquintLeft"] > 0.5 and "mouthSmileLeft" not in preset.weights
    read = UnitReader(TABLE).sides([[preset.weights.get(name, 0.0) for name in ARKIT_52]])[0]
    assert {name: value for name, value in names_of(read, TABLE).items() if value > 0.05} == pytest.approx(preset.units)
    run("list", avatar)
    assert "1 smirk: AU6=0.8 AU12R=0.5; from action units by hand" in capsys.readouterr().out


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
        ((), "preset add: expected one of --weights, --units, --motion and --photo, got none"),
        (("--weights", "jawOpen=1", "--photo", "a.jpg"), "--photo, got --weights and --photo"),
        (("--motion", "m.csv"), "--frame: the number of a frame of --motion; give both, or leave both out"),
        (("--weights", "jawOpen=1", "--with-head"), "--with-head: only used with --motion; leave it out"),
        (("--units", "AU99=1"), "--units: no action unit 'AU99'; did you mean AU9?"),
        (("--units", "AU25L=1"), "--units: AU25 has no sides; give AU25 in place of AU25L"),
        (("--units", "AU12=.5,AU12R=1"), "--units: a side of AU12 is given twice; give it once"),
        (("--units", "AU12=1.5"), "--units: AU12 is 1.5, expected 0 to 1"),
        (("--units", "smile"), "--units: 'smile' is not a factor; give NAME=NUMBER"),
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
