"""Recording of a run: file names, common times of motion and video, and motions that are read again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import av
import numpy as np
import pytest
import torch
import tyro

from avatar.driving.driver import DriveOptions, drive
from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.jobs.notices import Notices
from avatar.jobs.option_types import Record
from avatar.jobs.recording import Recording, sample_of
from avatar.model.avatar import Avatar
from avatar.motion import read_motion
from avatar.types import JAW, LEFT_EYE, NECK, ROOT, HeadParams
from viewer.outputs import video_recorder

JAW_OPEN = ARKIT_52.index("jawOpen")


def sample_at(time: float, jaw: float = 0.0, space: str = "arkit52", source_time: float | None = None) -> Sample:
    weights = np.zeros(52, np.float32)
    weights[JAW_OPEN] = jaw
    pose = np.zeros((5, 3), np.float32), np.zeros(3, np.float32)
    return Sample(time, ARKIT_52, space, weights, *pose, 1.0, source_time=source_time)


def gray_image(level: int = 100) -> np.ndarray:
    return np.full((32, 32, 3), level, np.uint8)


def record(recording: Recording, count: int = 4, start: float = 50.0) -> None:
    for number in range(count):
        recording.add_sample(sample_at(start + number / 30))
        recording.add_image(gray_image(), start + 0.05 + number / 30)


def levels_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_option_is_repeated_for_each_file() -> None:
    def command(record: Annotated[Record, tyro.conf.arg(name="record")] = ()) -> tuple[Path, ...]:
        return record

    assert tyro.cli(command, args=[]) == ()
    assert tyro.cli(command, args=["--record", "take.csv", "--record", "take.mp4"]) == (
        Path("take.csv"),
        Path("take.mp4"),
    )


def test_given_paths_are_recorded_from_the_start(tmp_path: Path) -> None:
    names = ["take.csv", "take.json", "take.motion.npz", "take.mp4"]
    with Recording([tmp_path / name for name in names]) as recording:
        record(recording)
        assert recording.stats().recording
    assert names_in(tmp_path) == sorted(names)
    assert all(len(read_motion(tmp_path / name)) == 4 for name in names[:3])
    assert len(levels_of(tmp_path / "take.mp4")) == 4
    assert f"{tmp_path / 'take.mp4'}: video, 4 frames at 30 fps, 32x32 pixels, 0.1 s" in recording.messages
    assert f"{tmp_path / 'take.motion.npz'}: motion, 4 frames, 0.1 s" in recording.messages
    assert not recording.failed and not recording.stats().recording


def test_a_video_that_cannot_be_signed_is_kept_and_counts_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "take.mp4"

    def fail(path: Path, avatars: object, *, composite: bool) -> bool:
        raise HeadsplatError(f"{path}: content credentials cannot be added (no key); the file is as before")

    monkeypatch.setattr("avatar.common.credentials.mark", fail)
    with Recording([path]) as recording:
        record(recording)
    assert not recording.failed
    assert len(levels_of(path)) == 4
    assert recording.messages[1:] == [f"{path}: content credentials cannot be added (no key); the file is as before"]


def test_every_further_start_creates_new_files(tmp_path: Path) -> None:
    (tmp_path / "take_3.motion.npz").touch()
    with Recording([tmp_path / "take.motion.npz", tmp_path / "take.mp4"], overwrite=True) as recording:
        record(recording)
        for start in (60.0, 70.0):
            recording.stop()
            recording.start()
            recording.start()  # has no effect
            record(recording, start=start)
    assert names_in(tmp_path) == [
        "take.motion.npz", "take.mp4", "take_2.motion.npz", "take_2.mp4", "take_3.motion.npz", "take_4.motion.npz",
        "take_4.mp4",
    ]  # fmt: skip
    assert not (tmp_path / "take_3.motion.npz").read_bytes()


def test_without_paths_recording_starts_with_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Recording([]) as recording:
        record(recording)
        assert not names_in(tmp_path)
        recording.start()
        record(recording, start=60.0)
    video, motion = sorted(names_in(tmp_path), key=lambda name: name.endswith(".npz"))
    assert video.startswith("headsplat_") and motion == video.removesuffix(".mp4") + ".motion.npz"


@pytest.mark.parametrize("source_clock", [False, True])
def test_an_event_is_at_the_same_time_in_motion_and_video(
    source_clock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_recorder, "_MAX_WAITING", 1000)  # images are added faster than in real time
    random = np.random.default_rng(5)
    start, end = 3.0, 3.4  # seconds after the first sample: the jaw is open and the image bright between them
    frames = np.cumsum(random.uniform(0.025, 0.042, 150))  # a camera at about 30 fps
    frames -= frames[0]
    late = frames + random.uniform(0.05, 0.09, 150)
    late[:20] += np.linspace(0.4, 0, 20)  # larger latency at first
    late = np.maximum.accumulate(late)
    with Recording([tmp_path / "take.motion.npz", tmp_path / "take.mp4"]) as recording:
        shown = -1
        for rendered in np.arange(0, frames[-1] + 0.2, 1 / 47):  # a window at 47 fps
            newest = int(np.searchsorted(late, rendered, side="right")) - 1
            if newest > shown:
                shown = newest
                jaw = float(start <= frames[shown] < end)
                source = frames[shown] if source_clock else None
                recording.add_sample(sample_at(500 + frames[shown], jaw, source_time=source))
            bright = shown >= 0 and start <= frames[shown] < end
            recording.add_image(gray_image(200 if bright else 30), 500 + rendered)
    motion = read_motion(tmp_path / "take.motion.npz")
    open_frames = motion.time[motion.weights[:, JAW_OPEN] > 0.5]
    bright_frames = np.flatnonzero(levels_of(tmp_path / "take.mp4") > 115) / 30
    ends = [float(open_frames[0]) - bright_frames[0], float(open_frames[-1]) - bright_frames[-1]]
    assert np.abs(ends).max() <= 0.5 / 30 + 1e-6


def test_a_video_with_a_motion_starts_with_the_first_sample(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        for number in range(20):
            recording.add_image(gray_image(), 10 + number / 30)  # the camera is still being opened
        record(recording, start=20.0)
    assert len(levels_of(tmp_path / "take.mp4")) == 4


def test_a_video_alone_needs_no_samples(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.mp4"]) as recording:
        for number in range(20):
            recording.add_image(gray_image(), 10 + number / 30)
    assert len(levels_of(tmp_path / "take.mp4")) == 20


def test_the_video_continues_without_further_samples(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        recording.add_sample(sample_at(10.0))
        for number in range(31):
            recording.add_image(gray_image(), 10.08 + number / 30)
    assert len(levels_of(tmp_path / "take.mp4")) == pytest.approx(26.5, abs=1)  # a second less the timeout


def test_a_format_that_cannot_store_the_samples_does_not_affect_others(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("take.csv", "take.motion.npz", "take.mp4")]
    with Recording(paths) as recording:
        for number in range(3):
            recording.add_sample(sample_at(10 + number / 30, space="flame2023"))
            recording.add_image(gray_image(), 10 + number / 30)
        assert recording.stats().failed
    assert names_in(tmp_path) == ["take.motion.npz", "take.mp4"]
    assert recording.failed and "take.csv: stores ARKit weights only" in recording.messages[0]


def test_a_run_without_a_face_is_reported_and_keeps_the_video(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        blank = sample_at(10.0)
        recording.add_sample(blank.as_lost(10.0))
        recording.add_image(gray_image(), 10.0)
    assert names_in(tmp_path) == ["take.mp4"]
    assert recording.failed and "no face was tracked" in recording.messages[0]


def test_ctrl_c_writes_motion_and_video(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        record(recording)
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ["take.csv", "take.mp4"]


def test_an_error_completes_motion_and_video_and_their_names_are_sent(tmp_path: Path) -> None:
    sent: list[str] = []
    paths = [tmp_path / "take.csv", tmp_path / "take.mp4"]
    notices = Notices(lambda notice: sent.append(str(notice)))
    with pytest.raises(ZeroDivisionError), Recording(paths, notices=notices) as recording:
        record(recording)
        raise ZeroDivisionError
    assert names_in(tmp_path) == ["take.csv", "take.mp4"]
    assert any(text.startswith(f"{tmp_path / 'take.mp4'}: video, 4 frames") for text in sent)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["take.avi"], "--record: take.avi: a motion is recorded as .csv"),
        (["take.npz"], "--record: take.npz: a motion is recorded as .csv"),
        (["take.csv", "take.csv"], "--record: take.csv: given twice"),
        (["there.mp4"], "there.mp4: exists already; give --overwrite to replace it or choose another name with --rec"),
    ],
)
def test_invalid_names_are_rejected_before_the_run(
    names: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.mp4").touch()
    with pytest.raises(HeadsplatError) as caught:
        Recording([Path(name) for name in names])
    assert str(caught.value).startswith(message)
    assert names_in(tmp_path) == ["there.mp4"]


def random_params(avatar: Avatar, frames: int) -> HeadParams:
    """Frames in which everything moves, around the avatar's mean position; the neck does not, as after `drive`."""
    random = torch.Generator().manual_seed(0)
    expression = 0.9 * torch.rand(frames, len(avatar.head.expression_names), generator=random)
    joint_rot = 0.3 * torch.randn(frames, 5, 3, generator=random)
    joint_rot[:, NECK] = 0
    translation = avatar.rig.torso.mean_translation + 0.02 * torch.randn(frames, 3, generator=random)
    return HeadParams(torch.zeros(0), expression, joint_rot, translation)


def test_a_motion_of_the_avatars_parameters_is_read_again(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = random_params(tiny_avatar, 40)
    path = tmp_path / "take.motion.npz"
    with Recording([path]) as recording:
        for frame in range(40):
            recording.add_sample(sample_of(tiny_avatar, params[frame], 50 + frame / 30))
    options = DriveOptions(neutral="as-is", head="absolute", travel=1.0, soft_clamp=False)
    back = drive(tiny_avatar, read_motion(path), options).params
    torch.testing.assert_close(back.expression, params.expression, atol=1e-6, rtol=0)
    torch.testing.assert_close(back.joint_rot, params.joint_rot, atol=1e-5, rtol=0)
    # `drive` sets the mean position to the avatar's: all frames have the same offset.
    offset = back.translation - params.translation
    torch.testing.assert_close(offset, offset[:1].expand(40, 3), atol=1e-6, rtol=0)


def test_a_csv_stores_the_avatars_weights(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = random_params(tiny_avatar, 10)
    params.joint_rot[:, JAW:] = 0
    lids = [tiny_avatar.head.expression_index(name) for name in ("eyelidLeft", "eyelidRight")]
    params.expression[:, lids] = 0
    with Recording([tmp_path / "take.csv"]) as recording:
        for frame in range(10):
            recording.add_sample(sample_of(tiny_avatar, params[frame], 50 + frame / 30))
    back = read_motion(tmp_path / "take.csv")
    for column, name in enumerate(back.names):
        expected = params.expression[:, tiny_avatar.head.expression_index(name)]
        torch.testing.assert_close(back.weights[:, column], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(back.joint_rot[:, ROOT], params.joint_rot[:, ROOT], atol=1e-4, rtol=0)
    assert not back.joint_rot[:, LEFT_EYE:].any()
