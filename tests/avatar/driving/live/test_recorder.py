"""Recording of samples as motion files."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.driving.live.recorder import MotionRecorder
from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.motion import read_motion
from avatar.types import Motion
from tests.capture.live.synthetic import synthetic_motion


def samples_of(motion: Motion, start: float = 50.0) -> list[Sample]:
    """The frames of a motion as samples that arrived at their times."""
    parts = zip(motion.time.tolist(), motion.weights, motion.joint_rot, motion.translation, strict=True)
    confidence = np.ones(len(motion)) if motion.confidence is None else motion.confidence.tolist()
    return [
        Sample(
            start + time + 1e-6, motion.names, motion.space, weights.numpy(), joint_rot.numpy(), place.numpy(),
            float(confidence[frame]),
        )
        for frame, (time, weights, joint_rot, place) in enumerate(parts)
    ]  # fmt: skip


def recorded(samples: list[Sample], path: Path) -> Motion:
    """The motion that a recorder writes, read again."""
    with MotionRecorder([path]) as recorder:
        for sample in samples:
            recorder.add(sample)
    return read_motion(path)


@pytest.mark.parametrize("name", ["take.csv", "take.json", "take.motion.npz"])
def test_a_recorded_motion_is_read_again(name: str, tmp_path: Path) -> None:
    motion = synthetic_motion(40)
    motion = replace(motion, joint_rot=motion.joint_rot * torch.tensor([1, 0, 0, 0, 0])[:, None])
    back = recorded(samples_of(motion), tmp_path / name)
    columns = [back.names.index(name) for name in motion.names]
    np.testing.assert_allclose(back.time - back.time[0], motion.time, atol=2e-5)
    np.testing.assert_allclose(back.weights[:, columns], motion.weights, atol=1e-6)
    if name != "take.json":
        np.testing.assert_allclose(back.joint_rot, motion.joint_rot, atol=1e-5)
    if name == "take.motion.npz":
        np.testing.assert_allclose(back.translation, motion.translation, atol=1e-6)


def test_ctrl_c_writes_every_file_and_is_raised_again(tmp_path: Path) -> None:
    paths = [tmp_path / "take.csv", tmp_path / "take.motion.npz"]
    with pytest.raises(KeyboardInterrupt), MotionRecorder(paths) as recorder:
        for sample in samples_of(synthetic_motion(5)):
            recorder.add(sample)
        raise KeyboardInterrupt
    assert [len(read_motion(path)) for path in paths] == [5, 5]
    assert any(
        note.startswith("take.csv: the file cannot store the head's translation") for note in recorder.stats().notes
    )


def test_an_error_in_the_block_is_not_hidden_by_an_empty_recording(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), MotionRecorder([tmp_path / "take.csv"]):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_frames_without_a_face_repeat_the_last_one(tmp_path: Path) -> None:
    samples = samples_of(synthetic_motion(4))
    samples[2] = replace(samples[2], weights=np.zeros(52, np.float32), confidence=0.0)
    back = recorded(samples, tmp_path / "take.motion.npz")
    assert back.confidence is not None and back.confidence.tolist() == [1, 1, 0, 1]
    np.testing.assert_array_equal(back.weights[2], back.weights[1])


def test_a_recording_without_a_face_is_a_one_line_error_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    with pytest.raises(HeadsplatError) as failure, MotionRecorder([path]) as recorder:
        recorder.add(replace(samples_of(synthetic_motion(1))[0], confidence=0.0))
    assert str(failure.value) == f"{path}: no face was tracked, so nothing is recorded; check the source and try again"
    assert not path.exists()


def test_weights_of_another_source_are_matched_by_name(tmp_path: Path) -> None:
    first, second = samples_of(synthetic_motion(2))
    other = replace(second, names=("jawOpen", "Joy"), weights=np.array([0.25, 1], np.float32))
    back = recorded([first, other], tmp_path / "take.motion.npz")
    assert back.names == first.names
    assert (float(back.weights[1, back.names.index("jawOpen")]), float(back.weights[1].sum())) == (0.25, 0.25)


def test_dropped_samples_are_counted(tmp_path: Path) -> None:
    recorder = MotionRecorder([tmp_path / "take.motion.npz"])
    first, second = samples_of(synthetic_motion(2))
    wild = [replace(second, joint_rot=np.full((5, 3), value, np.float32)) for value in (np.nan, 1e7)]
    for sample in (first, first, replace(second, space="flame"), *wild, second):
        recorder.add(sample)
    assert (recorder.stats().frames, recorder.stats().dropped) == (2, 4)
    recorder.write()


def test_the_senders_clock_replaces_uneven_arrival_times(tmp_path: Path) -> None:
    late = (0.0, 0.03, 0.02, 0.01)
    samples = [
        replace(sample, time=sample.time + delay, source_time=7 + number / 60)
        for number, (sample, delay) in enumerate(zip(samples_of(synthetic_motion(4)), late, strict=True))
    ]
    back = recorded(samples, tmp_path / "take.motion.npz")
    np.testing.assert_allclose(back.time, np.arange(4) / 60, atol=1e-9)


def test_a_senders_clock_that_jumps_gets_a_new_offset(tmp_path: Path) -> None:
    samples = [
        replace(sample, source_time=clock)
        for sample, clock in zip(samples_of(synthetic_motion(3)), (5.0, 900.0, 900 + 1 / 60), strict=True)
    ]
    back = recorded(samples, tmp_path / "take.motion.npz")
    np.testing.assert_allclose(back.time, np.arange(3) / 60, atol=1e-5)


def test_a_senders_clock_at_a_wrong_rate_loses_no_frame_and_no_second(tmp_path: Path) -> None:
    samples = samples_of(synthetic_motion(120))
    samples = [replace(sample, source_time=2 * sample.time) for sample in samples]
    back = recorded(samples, tmp_path / "take.motion.npz")
    assert len(back) == 120
    assert float(back.time[-1]) == pytest.approx(119 / 60, abs=1e-4)


def test_samples_are_in_the_open_journal_and_not_in_memory(tmp_path: Path) -> None:
    samples = samples_of(synthetic_motion(200))
    with MotionRecorder([tmp_path / "take.motion.npz"]) as recorder:
        for sample in samples[:150]:
            recorder.add(sample)
        ends, partial = time.monotonic() + 10, tmp_path / "take.partial.csv"
        while len(partial.read_bytes().splitlines()) < 152:
            assert time.monotonic() < ends, "timeout"
            time.sleep(0.02)
        assert recorder._file is not None and not recorder._file._pending
        assert len(read_motion(partial)) == 150
        for sample in samples[150:]:
            recorder.add(sample)
    assert len(read_motion(tmp_path / "take.motion.npz")) == 200
    assert [path.name for path in tmp_path.iterdir()] == ["take.motion.npz"]


def test_an_unknown_suffix_is_rejected_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"take\.mp4: a motion is recorded as \.csv \(Live Link Face\), "):
        MotionRecorder([tmp_path / "take.mp4"])


def test_an_existing_file_is_rejected_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "take.csv").write_text("mine")
    with pytest.raises(HeadsplatError, match="exists already; give --overwrite"):
        MotionRecorder([tmp_path / "take.csv"])


def test_a_space_that_the_format_cannot_store_is_rejected_at_the_first_sample(tmp_path: Path) -> None:
    recorder = MotionRecorder([tmp_path / "take.motion.npz", tmp_path / "take.csv"])
    with pytest.raises(HeadsplatError) as failure:
        recorder.add(replace(samples_of(synthetic_motion(1))[0], space="flame"))
    assert str(failure.value) == (
        f"{tmp_path / 'take.csv'}: stores ARKit weights only, the source sends flame; record to .motion.npz"
    )
