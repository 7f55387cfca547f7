"""Performances of the procedural person: separate sweeps, speech, and the held-out part."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.types import NECK, ROOT
from capture.synthetic import SyntheticOptions, SyntheticScene
from capture.synthetic.motion import Performance, perform
from capture.synthetic.scripts import DEMO, HELD_OUT, HELD_OUT_FROM, SCRIPTS

NAMES = load_head().expression_names
FRAMES = 480
FACE = [row for row, name in enumerate(NAMES) if name.startswith(("mouth", "jaw", "brow", "cheek", "nose"))]


def performed(script: str, *, held_out: bool = False) -> Performance:
    rng = np.random.default_rng(7)
    return perform(NAMES, FRAMES, 30.0, 0.0, rng, SCRIPTS[script], held_out=held_out)


def degrees(motion: Performance) -> np.ndarray:
    """Pitch, yaw and roll [T,3] of the head."""
    return np.degrees(motion.joint_rot[:, ROOT] + motion.joint_rot[:, NECK])


def columns(*stems: str) -> list[int]:
    return [row for row, name in enumerate(NAMES) if name in stems or name.removesuffix("Left") in stems]


def test_a_sweep_has_every_mouth_jaw_brow_cheek_and_nose_expression() -> None:
    expression = performed("sweep").expression
    weak = [NAMES[row] for row in FACE if expression[:, row].max() < 0.5]
    assert weak == []


def test_a_sweep_returns_to_neutral_between_expressions() -> None:
    swept = performed("sweep").expression[: int(0.64 * FRAMES), FACE].max(1)
    peaks = np.flatnonzero((swept[1:] > 0.5) & (swept[:-1] <= 0.5))
    assert len(peaks) >= 25
    between = [swept[first:last].min() for first, last in zip(peaks[:-1] + 1, peaks[1:], strict=True)]
    assert max(between) < 0.1


def test_a_sweep_rotates_the_head_only_after_the_expressions() -> None:
    turn = degrees(performed("sweep"))
    assert np.abs(turn[: int(0.64 * FRAMES)]).max() < 8
    pitch, yaw, roll = turn.T
    assert yaw.min() < -30 and yaw.max() > 30 and pitch.max() > 14 and pitch.min() < -10 and np.ptp(roll) > 15


def test_each_eye_blinks_alone_in_a_sweep() -> None:
    left, right = (performed("sweep").expression[:, NAMES.index(f"eyeBlink{side}")] for side in ("Left", "Right"))
    assert ((left > 0.8) & (right < 0.1)).any() and ((right > 0.8) & (left < 0.1)).any()


def test_talk_moves_the_jaw_most_of_the_time() -> None:
    jaw = performed("talk").expression[:, NAMES.index("jawOpen")]
    assert (jaw > 0.05).mean() > 0.5 and jaw.max() < 0.7


@pytest.mark.parametrize("script", [name for name, script in SCRIPTS.items() if not script.still])
def test_held_out_motion_occurs_only_at_the_end(script: str) -> None:
    motion = performed(script, held_out=True)
    first = int(np.ceil(HELD_OUT_FROM * FRAMES))
    rows = columns(*HELD_OUT)
    assert motion.expression[: first - 1, rows].max() == 0
    assert (motion.expression[first:, rows].max(0) > 0.6).all()
    early, late = np.abs(degrees(motion)[: first - 1, 1]).max(), np.abs(degrees(motion)[first:, 1]).max()
    assert early < 24 and late > 30


def test_the_maximum_yaw_is_the_requested_one() -> None:
    for yaw in (10.0, 35.0):
        assert np.abs(DEMO.with_yaw(yaw).head[:, 1]).max() == yaw
        assert np.abs(DEMO.with_yaw(yaw).held_out().head[:, 1]).max() == yaw


def test_an_unknown_performance_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(HeadsplatError, match="sweep"):
        SyntheticScene(SyntheticOptions(performance="opera"))
