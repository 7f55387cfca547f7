"""Real recordings on an avatar, if this machine has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from avatar.driving.driver import DriveResult, drive
from avatar.driving.trained_range import margin_of
from avatar.head import load_head
from avatar.motion import read_motion

from .puppet import puppet

pytestmark = pytest.mark.data

_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "motions"


def driven(name: str) -> DriveResult:
    if not _FOLDER.is_dir():
        pytest.skip("the local motions (../shared/data/motions) are not on this machine")
    return drive(puppet(load_head()), read_motion(_FOLDER / name))


@pytest.mark.parametrize("name", ["livelink_alex_rom_3.csv", "beat_26_reamey_0_103_103_arkit.json"])
def test_a_real_recording_stays_within_the_trained_range_and_keeps_every_frame(name: str) -> None:
    found = driven(name)
    assert len(found.params) == len(found.time) == found.report.frames > 4000
    names = load_head().expression_names
    for column, expression in enumerate(names):
        assert found.params.expression[:, column].min() >= 0
        assert found.params.expression[:, column].max() <= min(1, 0.3 + margin_of(expression)) + 1e-6


def test_the_eyes_of_the_live_link_recording_close_and_open() -> None:
    head = load_head()
    shown = driven("livelink_alex_rom_3.csv").params[::5]
    blink = shown.expression[:, head.expression_index("eyeBlinkLeft")]
    marks = head.landmarks(head.skull_vertices(replace(shown, identity=head.neutral_params().identity)))[:, :, 1]
    opening = marks[:, 386] - marks[:, 374]
    assert opening.min() < 6e-4 and opening.max() > 6e-3
    assert opening[blink.argmax()] < 6e-4


def test_flame_coefficients_without_their_head_are_listed_and_the_jaw_still_moves() -> None:
    found = driven("flame_test_motion_speak_expressions.npy")
    assert len(found.report.unexpressed) == 100 and "--motion-head FILE" in found.report.to_text()
    jaw = found.params.expression[:, load_head().expression_index("jawOpen")]
    assert jaw.max() - jaw.min() > 0.05
