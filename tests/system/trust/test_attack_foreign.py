"""The class "foreign" of the attack notices files of other programs that are read wrongly without a word."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import avatar.motion
from avatar.errors import HeadsplatError
from avatar.types import ROOT, Motion
from capture.live.protocols.packet_order import PacketReceiver
from tests.system.trust.attack.cases import ACCEPTED, WRONG, Outcome
from tests.system.trust.attack.foreign import media, motions, packets
from tests.system.trust.attack.foreign.truth import Truth, fault, generator
from tests.system.trust.attack.scene import Scene

_FILES = ("Live Link Face 60: as written", "Audio2Face JSON: as written", "VHAP: as written", "CAP4D: float32")


@pytest.fixture(autouse=True)
def _without_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motions, "_COMMANDS", 0.0)


def _outcome(name: str, folder: Path) -> Outcome:
    """The outcome of a case, by its name."""
    return next(case for case in motions.cases(Scene(folder, 0)) if case.name == name).run(folder)


def _changed(**changes: Callable[[Motion], Any]) -> Callable[[Motion], Motion]:
    return lambda motion: dataclasses.replace(motion, **{name: make(motion) for name, make in changes.items()})


def _other_side(motion: Motion) -> torch.Tensor:
    turned = motion.joint_rot.clone()
    turned[:, ROOT] *= -1
    return turned


#: Defects of a reader.
DEFECTS: dict[str, Callable[[Motion], Motion]] = {
    "zero weights": _changed(weights=lambda motion: torch.zeros_like(motion.weights)),
    "the first frame again and again": _changed(weights=lambda motion: motion.weights[:1].expand_as(motion.weights)),
    "percent": _changed(weights=lambda motion: 100 * motion.weights),
    "half the speed": _changed(time=lambda motion: 2 * motion.time),
    "a hole in the times": _changed(time=lambda motion: motion.time + 0.5 * (motion.time > motion.time.mean())),
    "names exchanged": _changed(names=lambda motion: motion.names[::-1]),
}


@pytest.mark.parametrize("file", _FILES)
def test_files_of_other_programs_are_accepted(file: str, tmp_path: Path) -> None:
    assert _outcome(file, tmp_path) == Outcome(ACCEPTED)


@pytest.mark.parametrize("file", _FILES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_reader_with_a_defect_fails(file: str, defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = avatar.motion.read_motion
    monkeypatch.setattr(avatar.motion, "read_motion", lambda path: DEFECTS[defect](read(path)))
    found = _outcome(file, tmp_path)
    assert found.kind == WRONG and "without a word about it" in found.detail


@pytest.mark.parametrize("file", ["Live Link Face 60: as written", "VHAP: as written", "frames: as written"])
def test_a_head_that_turns_to_the_other_side_fails(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = avatar.motion.read_motion
    monkeypatch.setattr(avatar.motion, "read_motion", lambda path: _changed(joint_rot=_other_side)(read(path)))
    assert "head: joint 0 differs" in _outcome(file, tmp_path).detail


@pytest.mark.parametrize("file", ["DualTalk: as written", "Audio2Face table: as written", "VHAP: without rotation"])
def test_only_a_note_about_the_thing_makes_up_for_it(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert _outcome(file, tmp_path / "a") == Outcome(ACCEPTED)
    other = _changed(notes=lambda motion: ("gaze is read from the eye angles",))
    read = avatar.motion.read_motion
    monkeypatch.setattr(avatar.motion, "read_motion", lambda path: other(read(path)))
    assert _outcome(file, tmp_path / "b").kind == WRONG


def test_a_file_that_is_read_may_not_be_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Motion:
        raise HeadsplatError("not a motion")

    monkeypatch.setattr(avatar.motion, "read_motion", refuse)
    assert _outcome("editor 25: as written", tmp_path) == Outcome(WRONG, "refused: not a motion")
    (tmp_path / "b").mkdir()
    assert not _outcome("editor 25: semicolons", tmp_path / "b").failed


@pytest.mark.parametrize("sender", ["VMC, custom expressions", "Live Link Face, version 5"])
def test_packets_that_are_not_used_without_a_sentence_fail(sender: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packets.sender_fault(packets.SENDERS[sender], generator(sender)) is None
    monkeypatch.setattr(PacketReceiver, "stats", lambda self, now: {"unused": "poses of 10.0.0.2 arrive"})
    assert "without a word" in (packets.sender_fault(packets.SENDERS[sender], generator(sender)) or "")


def test_samples_of_other_weights_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    still = dataclasses.replace(packets.SENDERS["VMC"], send=lambda motion, _: packets.SENDERS["VMC"].send(motion, 0))
    assert "is motionless" in (packets.sender_fault(still, generator("VMC")) or "")


def test_other_frames_times_and_places_of_a_video_fail(tmp_path: Path) -> None:
    clip = media.CONTAINERS["phone"]
    path = clip.write(tmp_path / "clip")
    assert media.video_fault(path, clip) is None
    for shown, words in (
        (lambda images: images[:, :, ::-1], "frame 0: at"),
        (lambda images: images[::-1], "frame 0: at"),
        (lambda images: np.rot90(images, 1, (1, 2)), "64 x 96"),
    ):
        assert words in (media.video_fault(path, dataclasses.replace(clip, shown=shown)) or "")
    slower = dataclasses.replace(clip, times=[1.1 * second for second in clip.times])
    assert "times wrong" in (media.video_fault(path, slower) or "")
    assert "20 frames of 13" in (media.video_fault(path, dataclasses.replace(clip, cut=7)) or "")


def test_rows_that_are_lost_fail_unless_a_note_says_so(tmp_path: Path) -> None:
    motion = Motion(
        torch.arange(3) / 30, ("jawOpen",), torch.zeros(3, 1), "arkit52", torch.zeros(3, 5, 3), torch.zeros(3, 3)
    )
    truth = Truth(np.arange(4) / 30, {"jawOpen": np.zeros(4)}, admits={"rows": "dropped"})
    assert "3 frames of 4" in (fault(motion, truth, ["1 row is odd"]) or "")
    assert fault(motion, truth, ["1 row with the same time as the row before: dropped"]) is None
