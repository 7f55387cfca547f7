"""Stacks: how layers combine, on one clock, and what a change of one layer does not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.presets import FacePreset, write_presets
from avatar.performance.facs.emotions import EmotionReader, emotion_units
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader, to_weights
from avatar.performance.mixing.closures import ClosureOptions, closed_frames
from avatar.performance.mixing.envelope import Pulse
from avatar.performance.mixing.lag_smoothing import BoundedLag
from avatar.performance.mixing.mouth import Opening, mouth_model
from avatar.performance.mixing.regions import NAMES, REGIONS, selected
from avatar.performance.mixing.stack import Mix, mix, mix_file
from avatar.performance.mixing.stack_file import LayerSpec, StackSpec
from avatar.types import LEFT_EYE, ROOT, Motion
from tests.avatar.performance.mixing.made_up import column, loaders, motion_of, padded, talking

UPPER = [NAMES.index(name) for name in selected("upper")[0]]


def layer(source: str = "base", **values: Any) -> LayerSpec:
    return LayerSpec(source, kind=values.pop("kind", "motion" if source in ("base", "other") else "auto"), **values)


def mixed(motions: dict[str, Motion], *layers: LayerSpec, **values: Any) -> Mix:
    return mix(StackSpec(tuple(layers), **values), loaders(motions))


def constant(value: float, name: str = "jawOpen", frames: int = 31) -> Motion:
    return motion_of({name: np.full(frames, value)})


def test_one_layer_stays_as_it_is() -> None:
    base = talking()
    found = mixed({"base": base}, layer()).motion
    assert torch.equal(found.weights, base.weights) and torch.allclose(found.joint_rot, base.joint_rot, atol=1e-6)
    assert torch.allclose(found.translation, base.translation) and found.resting == "zero"


def test_regions_come_from_their_layers() -> None:
    base, other = talking(seed=1), talking(seed=2)
    found = mixed({"base": base, "other": other}, layer(), layer("other", regions="upper"))
    for name in ("browInnerUp", "eyeBlinkLeft"):
        assert np.array_equal(column(found.motion, name), column(other, name))
    assert torch.allclose(found.motion.joint_rot[:, ROOT], base.joint_rot[:, ROOT], atol=1e-6)


def test_a_soft_mask_and_a_strength_mix_in_proportion() -> None:
    motions = {"base": constant(0.2), "other": constant(0.6)}
    found = mixed(motions, layer(), layer("other", regions={"jaw": 0.5}, strength=0.5), closures=ClosureOptions(False))
    assert np.allclose(column(found.motion, "jawOpen"), 0.3)


@pytest.mark.parametrize(("mode", "expected"), [("replace", 0.6), ("add", 0.8), ("max", 0.6)])
def test_modes(mode: Any, expected: float) -> None:
    motions = {"base": constant(0.2, "browInnerUp"), "other": constant(0.6, "browInnerUp")}
    found = mixed(motions, layer(), layer("other", mode=mode))
    assert np.allclose(column(found.motion, "browInnerUp"), expected)


def test_max_keeps_what_is_larger_below() -> None:
    motions = {"base": constant(0.7, "browInnerUp"), "other": constant(0.6, "browInnerUp")}
    found = mixed(motions, layer(), layer("other", mode="max"))
    assert np.allclose(column(found.motion, "browInnerUp"), 0.7)


def test_sums_are_limited_to_1() -> None:
    motions = {"base": constant(0.7, "browInnerUp"), "other": constant(0.6, "browInnerUp")}
    assert column(mixed(motions, layer(), layer("other", mode="add")).motion, "browInnerUp").max() == 1


def test_layers_of_different_rates_meet_on_the_clock_of_the_lowest() -> None:
    slow, fast = (motion_of({"jawOpen": np.arange(2 * fps + 1) / fps / 4}, fps) for fps in (25.0, 60.0))
    found = mixed({"base": slow, "other": fast}, layer(), layer("other"), closures=ClosureOptions(False))
    assert found.report.fps == 25 and np.allclose(column(found.motion, "jawOpen"), found.motion.time / 4, atol=1e-6)
    assert np.array_equal(found.motion.time, np.arange(51) / 25)


def test_start_trim_and_speed_place_a_layer() -> None:
    ramp = motion_of({"browInnerUp": np.arange(121) / 120})  # 4 s
    found = mixed({"base": ramp}, layer(start=1.0, trim=[1.0, 3.0], speed=2.0), duration=3.0).motion
    times, brow = found.time.numpy(), column(found, "browInnerUp")
    inside = (times >= 1) & (times <= 2)
    assert np.allclose(brow[inside], (1 + 2 * (times[inside] - 1)) / 4, atol=1e-6)
    assert not brow[~inside].any() and len(found) == 90


def test_a_loop_repeats_without_a_double_frame() -> None:
    ramp = motion_of({"browInnerUp": np.arange(30) / 30})
    found = column(mixed({"base": ramp}, layer(loop=True), duration=3.0).motion, "browInnerUp")
    assert np.allclose(found, np.tile(np.arange(30) / 30, 3), atol=1e-5)


def test_a_held_frame_stays() -> None:
    found = column(mixed({"base": constant(0.4)}, layer(hold=True), duration=3.0).motion, "jawOpen")
    assert len(found) == 90 and np.allclose(found, 0.4)


def test_fades_are_smooth() -> None:
    other = {"base": constant(0.0), "other": constant(0.8, "browInnerUp", 31)}
    found = mixed(other, layer(), layer("other", fade_in=0.4, fade_out=0.4)).motion
    brow = column(found, "browInnerUp")
    assert brow[0] == brow[-1] == 0 and brow[15] == pytest.approx(0.8) and np.abs(np.diff(brow)).max() < 0.15


def test_a_pulse_plays_a_face_at_its_times() -> None:
    pulse = Pulse((0.5,), 0.1, 0.2, 0.2)
    found = mixed({}, layer("surprise", pulse=pulse, regions="upper"), fps=100.0).motion
    brow = column(found, "browInnerUp")
    assert float(found.time[-1]) == pytest.approx(1.0, abs=0.011) and brow[70] == pytest.approx(0.8)
    assert not brow[:50].any() and not column(found, "jawOpen").any()


def test_gain_scales_by_region() -> None:
    base = motion_of({"browInnerUp": np.full(31, 0.2), "eyeBlinkLeft": np.full(31, 0.2)})
    found = mixed({"base": base}, layer(gain={"brows": 2.0})).motion
    assert np.allclose(column(found, "browInnerUp"), 0.4) and np.allclose(column(found, "eyeBlinkLeft"), 0.2)


def test_faces_are_added_by_default_and_have_no_end() -> None:
    found = mixed({"base": constant(0.1, "browInnerUp")}, layer(), layer("surprise", strength=0.5))
    assert [item.mode for item in found.report.layers] == ["replace", "add"]
    assert np.allclose(column(found.motion, "browInnerUp"), 0.5)


def test_a_frame_of_a_motion_is_a_face() -> None:
    ramp = motion_of({"browInnerUp": np.arange(31) / 30})
    found = mixed({"base": constant(0.0), "other": ramp}, layer(), layer("other", frame=15)).motion
    assert np.allclose(column(found, "browInnerUp"), 0.5)


def test_gaze_and_head_rotations_replace_and_add() -> None:
    base, other = constant(0.0), constant(0.0)
    base.joint_rot[:, LEFT_EYE, 1], other.joint_rot[:, LEFT_EYE, 1] = 0.1, 0.3
    other.joint_rot[:, ROOT, 0] = torch.linspace(0, 0.2, 31)
    motions = {"base": base, "other": other}
    replaced = mixed(motions, layer(), layer("other", regions="gaze", strength=0.5)).motion
    assert (
        torch.allclose(replaced.joint_rot[:, LEFT_EYE, 1], torch.tensor(0.2)) and not replaced.joint_rot[:, ROOT].any()
    )
    added = mixed(motions, layer(), layer("other", mode="add")).motion
    assert torch.allclose(added.joint_rot[:, LEFT_EYE, 1], torch.tensor(0.4), atol=1e-5)
    assert torch.allclose(added.joint_rot[:, ROOT, 0], torch.linspace(-0.1, 0.1, 31), atol=1e-5)  # about its mean
    largest = mixed(motions, layer(), layer("other", mode="max")).motion
    assert torch.allclose(largest.joint_rot[:, LEFT_EYE, 1], torch.tensor(0.3), atol=1e-5)


def test_a_recorded_face_at_rest_becomes_zero() -> None:
    random = np.random.default_rng(0).random(200)
    base = motion_of({"browInnerUp": 0.2 + 0.8 * random, "eyeLookUpLeft": np.full(200, 0.3)}, made=False)
    base.joint_rot[:, ROOT, 1] = 0.4
    base.translation[:, 2] = -0.5
    found = mixed({"base": base}, layer()).motion
    brow = column(found, "browInnerUp")
    assert np.quantile(brow, 0.05) < 0.01 and brow.max() > 0.97 and np.allclose(column(found, "eyeLookUpLeft"), 0.3)
    assert torch.allclose(found.joint_rot, torch.zeros(()), atol=1e-5) and not found.translation.abs().max() > 1e-6
    kept = mixed({"base": base}, layer(neutral="as-is")).motion
    assert torch.equal(kept.weights, base.weights)


def test_lips_of_a_recording_are_not_pressed_into_each_other() -> None:
    jaw = np.tile([0.1, 0.4], 100)
    base = motion_of({"jawOpen": jaw, "mouthClose": np.tile([0.3, 0.0], 100)}, made=False)
    found = mixed({"base": base}, layer()).motion
    assert mouth_model().gap(padded(found)).min() == pytest.approx(-1, abs=0.01)


def test_a_mix_that_is_mixed_again_keeps_its_zero() -> None:
    base = mixed({"base": constant(0.0)}, layer(), layer("smile"), duration=3.0).motion
    again = mixed({"base": base}, layer()).motion
    assert torch.equal(base.weights, again.weights)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"amplify": {"face": 1.4}, "smooth": BoundedLag(0.05)},
        {"opening": Opening(peak_mm=12.0), "amplify": {"brows.left": 1.2}},
    ],
)
def test_new_audio_leaves_the_upper_face_bit_equal(values: dict[str, Any]) -> None:
    base, one, other = talking(seed=1), talking(seed=2, rate=3.0), talking(seconds=3.0, seed=3, rate=2.0)
    layers = layer(), layer("speech.wav", kind="speech"), layer("surprise", strength=0.5)
    first, second = (mixed({"base": base, "speech.wav": speech}, *layers, **values).motion for speech in (one, other))
    upper = [index for index in UPPER if index < 52]
    assert torch.equal(first.weights[:, upper], second.weights[:, upper])
    assert torch.equal(first.joint_rot[:, [ROOT, LEFT_EYE]], second.joint_rot[:, [ROOT, LEFT_EYE]])
    assert not torch.equal(first.weights, second.weights)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("face", ["laugh", "surprise", "disgust", "ah"])
def test_closures_of_speech_survive_every_emotion(face: str, strength: float) -> None:
    speech = talking(seed=2, fps=60.0)
    found = mixed(
        {"base": talking(seed=1), "speech.wav": speech},
        layer(), layer("speech.wav", kind="speech"), layer(face, strength=strength),
        fps=60.0, amplify={"mouth": 1.5}, smooth=BoundedLag(0.05),
    )  # fmt: skip
    gap = mouth_model().gap(padded(speech))
    closed = closed_frames(gap, np.ones(len(gap), bool), 60.0, ClosureOptions())
    assert found.report.closures is not None and found.report.closures.count >= 9
    assert mouth_model().gap(padded(found.motion))[closed].max() < 1e-3


def test_a_lower_rate_loses_no_short_closure() -> None:
    jaw = np.full(241, 0.4)
    jaw[[50, 121, 190]] = 0.0  # each closes for one frame at 60 fps
    speech = motion_of({"jawOpen": jaw}, 60.0)
    found = mixed({"speech.wav": speech}, layer("speech.wav", kind="speech"), layer("laugh"), fps=25.0)
    gap = mouth_model().gap(padded(found.motion))
    assert found.report.closures is not None and found.report.closures.count == 3 and (gap < 0.01).sum() == 3


@pytest.mark.parametrize("emotion", ["happiness", "sadness", "anger", "surprise", "disgust", "fear"])
def test_the_readout_of_an_emotion_rises_with_its_strength_while_the_face_speaks(emotion: str) -> None:
    table = FacsTable.load()
    weights = to_weights(emotion_units(emotion)[None])[0]
    photo = dict(zip(ARKIT_52, weights.tolist(), strict=True))
    found = []
    for strength in (0.0, 0.5, 1.0):
        layers = layer("speech.wav", kind="speech"), layer("face.jpg", kind="photo", strength=strength)
        motion = mix(StackSpec(layers), loaders({"speech.wav": talking()}, photo)).motion
        affect = EmotionReader(table)(UnitReader(table).sides(motion.weights.numpy()), 1.0)
        found.append(float(affect.scores[:, table.labels.index(emotion)].mean()))
    assert found[0] < found[1] - 0.05 and found[1] < found[2] - 0.05


def test_lips_are_pressed_as_in_the_speech() -> None:
    speech = talking(fps=60.0)
    speech.weights[:, speech.names.index("mouthClose")] = 0.03
    found = mixed({"speech.wav": speech}, layer("speech.wav", kind="speech"), layer("laugh")).motion
    gap = mouth_model().gap(padded(speech))
    closed = closed_frames(gap, np.ones(len(gap), bool), 60.0, ClosureOptions())
    shown = mouth_model().gap(padded(found))[closed]
    assert (shown <= gap[closed].clip(-1, 0) + 1e-4).all() and shown.min() == pytest.approx(gap.min(), abs=1e-3)


def test_the_emotion_is_untouched_away_from_closures() -> None:
    layers = layer("speech.wav", kind="speech"), layer("laugh")
    motions = {"speech.wav": talking(fps=60.0)}
    kept, free = (mixed(motions, *layers, closures=ClosureOptions(keep, ramp=0.04)).motion for keep in (True, False))
    differs = (kept.weights != free.weights).any(1)
    assert 0.1 < differs.float().mean() < 0.8
    cheeks = [kept.names.index(name) for name in (*REGIONS["cheeks"], "mouthSmileLeft")]
    assert torch.equal(kept.weights[:, cheeks], free.weights[:, cheeks])


def test_without_speech_the_lowest_moving_mouth_has_the_closures() -> None:
    assert mixed({"base": talking()}, layer(), layer("laugh")).report.closures is not None
    assert mixed({"base": talking()}, layer(), layer("laugh", regions="upper")).report.closures is None
    assert mixed({"base": talking()}, layer(closures=False), layer("laugh")).report.closures is None


def test_the_opening_is_that_of_the_mix() -> None:
    found = mixed({"base": talking()}, layer(), opening=Opening(peak_mm=14.0)).motion
    assert mouth_model().gap(padded(found)).max() == pytest.approx(14, abs=0.02)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    jitter = layer("surprise", pulse=Pulse((0.5, 1.5), jitter=0.1))
    one, same, other = (mixed({"base": talking()}, layer(), jitter, seed=seed).motion for seed in (1, 1, 2))
    assert torch.equal(one.weights, same.weights) and not torch.equal(one.weights, other.weights)


def test_eyelids_of_a_capture_are_kept() -> None:
    base = motion_of({"eyelidLeft": np.full(31, 0.5)}, names=NAMES)
    found = mixed({"base": base}, layer()).motion
    assert found.names == NAMES and np.allclose(column(found, "eyelidLeft"), 0.5)
    assert len(mixed({"base": talking()}, layer()).motion.names) == 52


def test_a_stack_is_a_source_and_its_sources_are_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.toml").write_text('duration = 1\n[[layer]]\nsource = "smile"\n')
    (tmp_path / "outer.toml").write_text('[[layer]]\nsource = "sub/inner.toml"\n[[layer]]\nsource = "sub/inner.toml"\n')
    found = mix_file(tmp_path / "outer.toml", loaders({})).motion
    assert np.allclose(column(found, "mouthSmileLeft"), 0.6)


def test_a_keyframes_file_is_a_motion(tmp_path: Path) -> None:
    text = "".join(f"[[key]]\ntime = {time}\nweights = {{ jawOpen = {time / 2} }}\n" for time in (0, 1, 2))
    (tmp_path / "k.toml").write_text(text)
    found = mix_file(tmp_path / "k.toml", loaders({}), fps=30.0).motion
    assert len(found) == 61 and np.allclose(column(found, "jawOpen")[[0, 30, 60]], [0, 0.5, 1])


def test_a_stack_that_contains_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[[layer]]\nsource = "b.toml"\n')
    (tmp_path / "b.toml").write_text('[[layer]]\nsource = "./a.toml"\n')
    with pytest.raises(HeadsplatError, match=r"a.toml: the stack contains itself; take it out of its layers"):
        mix_file(tmp_path / "a.toml", loaders({}))


def test_deep_stacks_are_refused_and_wide_ones_are_mixed_once(tmp_path: Path) -> None:
    for depth in range(10):
        text = (
            f'[[layer]]\nsource = "{depth + 1}.toml"\n' * 3 if depth < 9 else 'duration=1\n[[layer]]\nsource = "smile"'
        )
        (tmp_path / f"{depth}.toml").write_text(text)
    with pytest.raises(HeadsplatError, match=r"more than 8 stacks within each other; put the layers in one file"):
        mix_file(tmp_path / "0.toml", loaders({}))
    assert len(mix_file(tmp_path / "3.toml", loaders({})).motion) == 60


def test_own_presets_are_sources_before_the_built_in_ones(tmp_path: Path) -> None:
    own = FacePreset("Smile", {"jawOpen": 0.5, "expr3": 1.0}, head=(10.0, 0.0, 0.0))
    write_presets(tmp_path / "me.presets.json", (own, FacePreset("grin", {"mouthSmileLeft": 0.8})))
    for presets in ("me.presets.json", "me.avatar"):
        (tmp_path / "s.toml").write_text(
            f'presets = "{presets}"\nduration = 0.1\n[[layer]]\nsource = "smile"\n'
            '[[layer]]\nsource = "GRIN"\nstrength = 0.5\n'
        )
        found = mix_file(tmp_path / "s.toml", loaders({}))
        assert column(found.motion, "jawOpen") == pytest.approx(0.5)
        assert column(found.motion, "mouthSmileLeft") == pytest.approx(0.4)
        assert found.report.notes == (
            "smile: a mix leaves out expressions of the avatar's own and turn of the head of this preset",
        )
    (tmp_path / "s.toml").write_text('presets = "no.avatar"\nduration = 1\n[[layer]]\nsource = "smile"\n')
    with pytest.raises(HeadsplatError, match=r"no\.presets\.json: no such file of presets"):
        mix_file(tmp_path / "s.toml", loaders({}))


@pytest.mark.parametrize(
    ("layers", "values", "message"),
    [
        ((), {}, "the stack has no layers; give at least one source"),
        ((layer("smile"),), {}, "no layer has an end: faces, loops and held frames go on; give the stack a duration"),
        (
            (layer(loop=True),),
            {"duration": 600_000.0},
            "600000 s at 30 fps are 18000000 frames, at most 432000 are mixed",
        ),
        ((layer(trim=[9.0]),), {}, "base: `trim` starts at 9 s; the source lasts 1.000 s"),
        ((layer(frame=31),), {}, "base: no frame 31; frames are 0 to 30"),
        ((layer("nope.csv"),), {}, "nope.csv: no such file; check the layer's source"),
        ((layer("clips/x"),), {}, "clips/x: no such file; check the layer's source"),
        ((layer("grin", kind="preset"),), {}, "no preset 'grin'; presets are neutral, smile, laugh"),
        ((layer("x" * 5000),), {}, "layer 1: 'xxx"),
    ],
)
def test_bad_stacks_are_refused(layers: tuple[LayerSpec, ...], values: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        mixed({"base": constant(0.2)}, *layers, **values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": "flame"}, "base: its expressions are of flame, and layers are mixed in ARKit's"),
        ({"weights": torch.full((31, 52), float("nan"))}, "base: the motion has entries that are not numbers"),
        ({"time": torch.zeros(31, dtype=torch.float64)}, "base: the motion's times do not increase"),
        ({"confidence": torch.zeros(31)}, "base: no face in any frame; give another source"),
    ],
)
def test_bad_motions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        mixed({"base": replace(constant(0.2), **change)}, layer())
    assert str(caught.value).startswith(message)


def test_a_motion_without_frames_is_refused() -> None:
    with pytest.raises(HeadsplatError, match=r"base: the motion has no frames; give another source"):
        mixed({"base": constant(0.2)[:0]}, layer())


def test_a_film_is_refused_and_a_photo_is_a_face(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.jpg", "a.wav"):
        (tmp_path / name).write_bytes(b"")
    stack = StackSpec((layer("a.mp4"),), tmp_path)
    with pytest.raises(HeadsplatError, match=r"a.mp4: a film; track it with `headsplat capture` and give the folder"):
        mix(stack, loaders({}))
    photo = mix(StackSpec((layer("a.jpg"),), tmp_path, duration=1.0), loaders({}, {"jawOpen": 0.3})).motion
    assert np.allclose(column(photo, "jawOpen"), 0.3)
    speech = mix(StackSpec((layer("a.wav"),), tmp_path), loaders({"a.wav": talking()}))
    assert speech.report.layers[0].kind == "speech" and speech.report.layers[0].regions == "mouth"


def test_a_frame_without_a_face_is_no_face() -> None:
    base = replace(constant(0.2), confidence=torch.tensor([0.0] + [1.0] * 30))
    with pytest.raises(HeadsplatError, match=r"base: frame 0 shows no face; give another one"):
        mixed({"base": base}, layer(frame=0), duration=1.0)


def test_the_report_names_layers_and_closures() -> None:
    found = mixed({"base": talking()}, layer(), layer("laugh", strength=0.5, regions={"mouth": 1, "cheeks": 0.5}))
    lines = found.report.to_text().splitlines()
    assert lines[0] == "layer 1: base (motion): replace all, 0.00 s to 4.00 s"
    assert lines[1] == "layer 2: laugh (preset): add mouth 1, cheeks 0.5 at 0.5, 0.00 s to the end"
    assert "lip closures kept: largest gap 0.0 mm" in lines[2]
