"""Bridges are learned from paired frames: what they predict, how far off they say they are, and lag."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.motion import write_motion
from avatar.performance.coefficients.learn import Pair, learn_bridge
from avatar.performance.coefficients.learned_bridge import LearnedBridge, load_learned_bridge
from avatar.performance.coefficients.table import Coefficients
from avatar.types import NECK, ROOT, Motion
from tests.avatar.performance.coefficients.films import RATE, film, rig, rig_file


def pair(made: Motion, values: np.ndarray, lag: float = 0.0, *, timed: bool = True) -> Pair:
    """A film with its coefficients."""
    names = tuple(f"exp{i}" for i in range(values.shape[1]))
    time = made.time.numpy() + lag if timed else None
    return Pair(Coefficients(Path("other.npz"), names, values, time, None), made, "me.capture")


def learned(made: Motion, values: np.ndarray, **options: float) -> tuple[LearnedBridge, tuple[str, ...]]:
    return learn_bridge([pair(made, values)], (), options.get("max_lag", 0.0))


def off(bridge: LearnedBridge, made: Motion, values: np.ndarray) -> float:
    """Root mean square error of the weights."""
    found = bridge.outputs(values)[:, : len(made.names)]
    return float(np.sqrt(np.square(found - made.weights.numpy()).mean()))


def test_weights_and_pose_of_new_frames_are_predicted_as_well_as_said() -> None:
    made = film(400)
    values = rig(made)
    bridge, notes = learned(made[:200], values[:200])
    assert off(bridge, made[200:], values[200:]) < 0.02 and notes == ()
    said = np.sqrt(np.square(bridge.error[:12]).mean())
    assert said == pytest.approx(off(bridge, made[200:], values[200:]), rel=0.5)
    outputs = bridge.outputs(values[200:])
    turn = outputs[:, 12:27].reshape(-1, 5, 3)
    assert turn[:, ROOT] == pytest.approx(made.joint_rot[200:, ROOT].numpy(), abs=0.01) and not turn[:, NECK].any()
    assert outputs[:, 27:] == pytest.approx(made.translation[200:].numpy(), abs=0.01)
    assert "the weights of the 12 expressions that move are off by 0.0" in bridge.sentence()


def test_more_pairs_are_better_and_a_bent_map_is_worse_and_both_are_said() -> None:
    made = film(600)
    straight = rig(made, noise=0.1, pose=False)
    bent = 100 * np.tanh(straight / 250)
    errors = {}
    for count in (50, 200):
        for name, values in (("straight", straight), ("bent", bent)):
            rows = slice(0, 400, 400 // count)
            bridge, _ = learned(made[rows], values[rows])
            errors[name, count] = off(bridge, made[400:], values[400:])
            assert np.sqrt(np.square(bridge.error[:12]).mean()) > 0.5 * errors[name, count]
    assert errors["straight", 200] < errors["straight", 50] < 0.1
    assert errors["straight", 200] < errors["bent", 200] < errors["bent", 50]


def test_weights_stay_within_their_bounds_however_wild_the_coefficients() -> None:
    made = film(100)
    bridge, _ = learned(made, rig(made))
    outputs = bridge.outputs(1e4 * np.random.default_rng(0).normal(size=(50, 30)))
    assert outputs[:, :12].min() == 0 and outputs[:, :12].max() == 1
    modes = replace(made, names=tuple(f"expr{i}" for i in range(12)), space="flame")
    bridge, _ = learned(modes, rig(made))
    assert bridge.outputs(1e4 * np.ones((1, 30)))[:, :12].min() < -1


@pytest.mark.parametrize("lag", [0.25, -0.1, 0.0])
def test_coefficients_that_are_late_are_shifted(lag: float) -> None:
    made = film(300)
    bridge, notes = learn_bridge([pair(made, rig(made), lag)], (), 0.5)
    assert bridge.pairs[0]["lag"] == pytest.approx(lag, abs=0.004)
    assert off(bridge, made, rig(made)) < 0.03
    late = [note for note in notes if "shifted" in note]
    assert len(late) == (lag != 0) and all(("late" if lag > 0 else "early") in note for note in late)


def test_frames_without_a_face_on_either_side_are_left_out() -> None:
    made = film(120)
    confidence = torch.ones(120)
    confidence[20:30] = 0
    values = rig(made)
    values[50:60] = np.nan
    broken = made.weights.clone()
    broken[20:30] = 1
    bridge, _ = learned(replace(made, confidence=confidence, weights=broken), values)
    assert bridge.frames == 100 and off(bridge, made[60:], values[60:]) < 0.03


def test_coefficients_without_times_are_paired_by_row_or_by_rate() -> None:
    made = film(120)
    bridge, notes = learn_bridge([pair(made, rig(made), timed=False)], (), 0.0)
    assert bridge.frames == 120
    assert notes == ("other.npz has no times and as many frames as me.capture: paired row by row",)
    half = Pair(replace(pair(made, rig(made)).coefficients, values=rig(made)[::2], time=None, fps=RATE / 2), made, "m")
    bridge, _ = learn_bridge([half], (), 0.0)
    assert bridge.frames == 119 and off(bridge, made, rig(made)) < 0.05


def test_what_the_coefficients_do_not_show_stays_at_its_mean() -> None:
    made = film(200)
    bridge, notes = learned(made, rig(made, pose=False))
    outputs = bridge.outputs(rig(made, pose=False))
    assert np.ptp(outputs[:, 12:], axis=0).max() == 0
    assert outputs[0, 12:].reshape(6, 3)[5] == pytest.approx(made.translation.mean(0).numpy(), abs=1e-6)
    assert "the coefficients do not show how the root turns: it stays at its mean" in notes
    assert "the coefficients do not show where the head is: it stays at its mean" in notes
    noise = np.random.default_rng(0).normal(size=(200, 5))
    _, notes = learned(made, noise)
    assert any(note.startswith("not predicted on held-out frames, and kept at their mean:") for note in notes)
    assert any("are both of the same film, at the same rate?" in note for note in notes)


def test_few_frames_are_refused_or_noted_and_pairs_must_agree() -> None:
    made = film(60)
    with pytest.raises(HeadsplatError, match=r"19 frames at the same times as me\.capture, at least 20 are needed"):
        learned(made[:19], rig(made)[:19])
    _, notes = learned(made, rig(made))
    assert any("only 60 paired frames" in note for note in notes)
    one = pair(made, rig(made))
    with pytest.raises(HeadsplatError, match=r"other coefficients than other\.npz; give files of one program"):
        learn_bridge([one, pair(made, rig(made, count=9))], (), 0.0)
    with pytest.raises(HeadsplatError, match=r"other expressions than me\.capture; give motions of one head model"):
        learn_bridge([one, pair(replace(made, space="flame"), rig(made))], (), 0.0)
    bridge, _ = learn_bridge([one, one], (), 0.0)
    assert bridge.frames == 120 and len(bridge.pairs) == 2


def test_the_error_in_millimeters_is_that_of_the_vertices() -> None:
    made = film(120)
    bridge, _ = learn_bridge([pair(made, rig(made))], (), 0.0, load_head())
    assert bridge.millimeters is not None
    error, moves = bridge.millimeters
    assert 0 < error < 0.2 < 0.5 < moves and f"the face by {error:.2f} mm of the {moves:.2f} mm" in bridge.sentence()
    other = replace(made, names=tuple(f"x{i}" for i in range(12)))
    assert learn_bridge([pair(other, rig(made))], (), 0.0, load_head())[0].millimeters is None


def test_a_bridge_is_stored_and_converts_files_of_the_program(tmp_path: Path) -> None:
    made = film(150)
    bridge, _ = learned(made, rig(made))
    bridge.save(tmp_path / "my.bridge.npz")
    found = load_learned_bridge(tmp_path / "my.bridge.npz")
    assert (found.names, found.space, found.frames, found.pairs) == (made.names, "arkit52", 150, bridge.pairs)
    values = rig(made)
    assert np.array_equal(found.outputs(values), bridge.outputs(values))
    motion = found.read(rig_file(tmp_path / "a.npz", made))
    assert torch.allclose(motion.weights, made.weights, atol=0.05) and motion.space == "arkit52"
    assert torch.allclose(motion.time, made.time) and any("linear bridge learned from 150" in n for n in motion.notes)
    values[3] = np.nan
    np.savez(tmp_path / "b.npz", exp=values, fps=25)
    motion = found.read(tmp_path / "b.npz")
    assert motion.confidence is not None and motion.confidence[3] == 0 and motion.rate == pytest.approx(25)
    assert torch.equal(motion.weights[3], motion.weights[2])
    write_motion(tmp_path / "b.csv", motion)
    np.savez(tmp_path / "c.npz", exp=rig(made) + 3000)
    assert any("100% of the frames have coefficients unlike those" in n for n in found.read(tmp_path / "c.npz").notes)
    np.savez(tmp_path / "d.npz", exp=np.zeros((9, 12)))
    with pytest.raises(HeadsplatError, match=r"12 coefficients exp0, exp1, exp2 and 9 more, the bridge was learned "):
        found.read(tmp_path / "d.npz")


def test_the_report_has_each_output_that_moves() -> None:
    made = film(120)
    bridge, _ = learned(made, rig(made))
    names = [name for name, *_ in bridge.rows()]
    assert set(names) == {*made.names, "root (degrees)", "translation (mm)"}
    lines = bridge.table().splitlines()
    assert len(lines) == 16 and lines[0].split() == ["expression", "error", "moves"]
    report = json.loads(json.dumps(bridge.report()))
    assert report["frames"] == 120 and len(report["outputs"]) == 14 and report["millimeters"] is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"header": b"{"}, "not a bridge of headsplat"),
        ({"header": b"[]"}, "not a bridge of headsplat"),
        ({"header": b'{"magic": "headsplat-bridge", "version": 2}'}, "version 2, this headsplat reads up to 1; update"),
        ({"header": {"names": ["a", "a"]}}, "header: names is not a list of different texts"),
        ({"header": {"frames": "x"}}, "header: no space, frames or pairs"),
        ({"header": {"millimeters": [1]}}, "header: millimeters are not two numbers"),
        ({"matrix": np.zeros((2, 2))}, r"matrix: expected \[30, 30\] finite numbers, found \[2, 2\]"),
        ({"offset": np.full(30, np.nan)}, r"offset: expected \[30\] finite numbers"),
        ({"scale": np.zeros(30)}, "scale: a coefficient without one"),
    ],
)
def test_a_damaged_bridge_names_its_part(changed: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "my.bridge.npz"
    made = film(60)
    learned(made, rig(made))[0].save(path)
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    for name, value in changed.items():
        if isinstance(value, dict):
            value = json.dumps({**json.loads(arrays["header"].tobytes()), **value}).encode()
        arrays[name] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)
    np.savez(path, **arrays)
    with pytest.raises(HeadsplatError, match=rf"my\.bridge\.npz: {sentence}"):
        load_learned_bridge(path)
    with pytest.raises(HeadsplatError, match="no such file; learn a bridge with `headsplat motion bridge`"):
        load_learned_bridge(tmp_path / "none.bridge.npz")
