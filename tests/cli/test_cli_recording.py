"""What a live run leaves on the disk: names, step between take and film, and takes that come back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import av
import numpy as np
import pytest
import torch
import tyro

from avatar.cli.arguments import Record
from avatar.cli.recording import Recording, sample_of
from avatar.driving.driver import DriveOptions, drive
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion import read_motion
from avatar.types import JAW, LEFT_EYE, NECK, ROOT, HeadParams
from capture.live.sample import Sample
from viewer.outputs import video_recorder

JAW_OPEN = ARKIT_52.index("jawOpen")


def sample_at(time: float, jaw: float = 0.0, space: str = "arkit52", source_time: float | None = None) -> Sample:
    weights = np.zeros(52, np.float32)
    weights[JAW_OPEN] = jaw
    pose = np.zeros((5, 3), np.float32), np.zeros(3, np.float32)
    return Sample(time, ARKIT_52, space, weights, *pose, 1.0, source_time=source_time)


def picture(level: int = 100) -> np.ndarray:
    return np.full((32, 32, 3), level, np.uint8)


def feed(recording: Recording, count: int = 4, start: float = 50.0) -> None:
    for number in range(count):
        recording.sample(sample_at(start + number / 30))
        recording.picture(picture(), start + 0.05 + number / 30)


def levels_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_option_is_said_once_for_each_file() -> None:
    def command(record: Annotated[Record, tyro.conf.arg(name="record")] = ()) -> tuple[Path, ...]:
        return record

    assert tyro.cli(command, args=[]) == ()
    assert tyro.cli(command, args=["--record", "take.csv", "--record", "take.mp4"]) == (
        Path("take.csv"),
        Path("take.mp4"),
    )


def test_paths_given_record_from_the_beginning(tmp_path: Path) -> None:
    names = ["take.csv", "take.json", "take.motion.npz", "take.mp4"]
    with Recording([tmp_path / name for name in names]) as recording:
        feed(recording)
        assert recording.stats()["recording"]
    assert names_in(tmp_path) == sorted(names)
    assert all(len(read_motion(tmp_path / name)) == 4 for name in names[:3])
    assert len(levels_of(tmp_path / "take.mp4")) == 4
    assert f"{tmp_path / 'take.mp4'}: 4 frames at 30 a second, 32x32 pixels, 0.1 s" in recording.sentences
    assert f"{tmp_path / 'take.motion.npz'}: 4 frames of what drove, 0.1 s" in recording.sentences
    assert not recording.failed and not recording.stats()["recording"]


def test_every_further_start_makes_new_files(tmp_path: Path) -> None:
    (tmp_path / "take_3.motion.npz").touch()
    with Recording([tmp_path / "take.motion.npz", tmp_path / "take.mp4"], overwrite=True) as recording:
        feed(recording)
        for start in (60.0, 70.0):
            recording.stop()
            recording.start()
            recording.start()  # already
            feed(recording, start=start)
    assert names_in(tmp_path) == [
        "take.motion.npz", "take.mp4", "take_2.motion.npz", "take_2.mp4", "take_3.motion.npz", "take_4.motion.npz",
        "take_4.mp4",
    ]  # fmt: skip
    assert not (tmp_path / "take_3.motion.npz").read_bytes()


def test_without_paths_nothing_records_until_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Recording([]) as recording:
        feed(recording)
        assert not names_in(tmp_path)
        recording.start()
        feed(recording, start=60.0)
    shown, take = sorted(names_in(tmp_path), key=lambda name: name.endswith(".npz"))
    assert shown.startswith("headsplat_") and take == shown.removesuffix(".mp4") + ".motion.npz"


@pytest.mark.parametrize("source_clock", [False, True])
def test_an_event_is_at_the_same_time_in_take_and_film(
    source_clock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_recorder, "_MOST_WAITING", 1000)  # pictures come faster than anything moves
    random = np.random.default_rng(5)
    shut, opened = 3.0, 3.4  # seconds after the first sample: the jaw is open and the picture bright between them
    frames = np.cumsum(random.uniform(0.025, 0.042, 150))  # a camera at 30 frames a second, more or less
    frames -= frames[0]
    late = frames + random.uniform(0.05, 0.09, 150)
    late[:20] += np.linspace(0.4, 0, 20)  # everything is slow at first
    late = np.maximum.accumulate(late)
    with Recording([tmp_path / "take.motion.npz", tmp_path / "take.mp4"]) as recording:
        shown = -1
        for drawn in np.arange(0, frames[-1] + 0.2, 1 / 47):  # a window at 47 frames a second
            newest = int(np.searchsorted(late, drawn, side="right")) - 1
            if newest > shown:
                shown = newest
                jaw = float(shut <= frames[shown] < opened)
                source = frames[shown] if source_clock else None
                recording.sample(sample_at(500 + frames[shown], jaw, source_time=source))
            bright = shown >= 0 and shut <= frames[shown] < opened
            recording.picture(picture(200 if bright else 30), 500 + drawn)
    motion = read_motion(tmp_path / "take.motion.npz")
    open_frames = motion.time[motion.weights[:, JAW_OPEN] > 0.5]
    bright_frames = np.flatnonzero(levels_of(tmp_path / "take.mp4") > 115) / 30
    ends = [float(open_frames[0]) - bright_frames[0], float(open_frames[-1]) - bright_frames[-1]]
    assert np.abs(ends).max() <= 0.5 / 30 + 1e-6


def test_a_film_with_a_take_begins_with_the_first_sample(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        for number in range(20):
            recording.picture(picture(), 10 + number / 30)  # the camera is still being opened
        feed(recording, start=20.0)
    assert len(levels_of(tmp_path / "take.mp4")) == 4


def test_a_film_alone_needs_no_samples(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.mp4"]) as recording:
        for number in range(20):
            recording.picture(picture(), 10 + number / 30)
    assert len(levels_of(tmp_path / "take.mp4")) == 20


def test_the_film_goes_on_where_no_sample_comes_any_more(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        recording.sample(sample_at(10.0))
        for number in range(31):
            recording.picture(picture(), 10.08 + number / 30)
    assert len(levels_of(tmp_path / "take.mp4")) == pytest.approx(26.5, abs=1)  # a second less what it waits first


def test_a_format_that_cannot_hold_the_samples_costs_only_itself(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("take.csv", "take.motion.npz", "take.mp4")]
    with Recording(paths) as recording:
        for number in range(3):
            recording.sample(sample_at(10 + number / 30, space="flame2023"))
            recording.picture(picture(), 10 + number / 30)
        assert recording.stats()["failed"]
    assert names_in(tmp_path) == ["take.motion.npz", "take.mp4"]
    assert recording.failed and "take.csv: takes ARKit's weights only" in recording.sentences[0]


def test_a_run_without_a_face_says_so_and_keeps_the_film(tmp_path: Path) -> None:
    with Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        blank = sample_at(10.0)
        recording.sample(Sample(10.0, blank.names, blank.space, blank.weights, blank.joint_rot, blank.translation, 0.0))
        recording.picture(picture(), 10.0)
    assert names_in(tmp_path) == ["take.mp4"]
    assert recording.failed and "no face was seen" in recording.sentences[0]


def test_ctrl_c_writes_take_and_film(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        feed(recording)
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ["take.csv", "take.mp4"]


def test_an_error_keeps_the_take_and_leaves_no_half_film(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Recording([tmp_path / "take.csv", tmp_path / "take.mp4"]) as recording:
        feed(recording)
        raise ZeroDivisionError
    assert names_in(tmp_path) == ["take.csv"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["take.avi"], "--record: take.avi: a take is recorded as .csv"),
        (["take.npz"], "--record: take.npz: a take is recorded as .csv"),
        (["take.csv", "take.csv"], "--record: take.csv: is there twice"),
        (["there.mp4"], "there.mp4: exists already; give --overwrite to replace it or choose another name with --rec"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_runs(
    names: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.mp4").touch()
    with pytest.raises(HeadsplatError) as caught:
        Recording([Path(name) for name in names])
    assert str(caught.value).startswith(sentence)
    assert names_in(tmp_path) == ["there.mp4"]


def made_up_params(avatar: Avatar, frames: int) -> HeadParams:
    """Frames in which everything moves, about the avatar's own place; the neck is still, as `drive` leaves it."""
    random = torch.Generator().manual_seed(0)
    expression = 0.9 * torch.rand(frames, len(avatar.head.expression_names), generator=random)
    joint_rot = 0.3 * torch.randn(frames, 5, 3, generator=random)
    joint_rot[:, NECK] = 0
    translation = avatar.rig.torso.mean_translation + 0.02 * torch.randn(frames, 3, generator=random)
    return HeadParams(torch.zeros(0), expression, joint_rot, translation)


def test_a_take_of_the_avatars_own_parameters_comes_back(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = made_up_params(tiny_avatar, 40)
    path = tmp_path / "take.motion.npz"
    with Recording([path]) as recording:
        for frame in range(40):
            recording.sample(sample_of(tiny_avatar, params[frame], 50 + frame / 30))
    options = DriveOptions(neutral="as-is", head="absolute", travel=1.0, soft_clamp=False)
    back = drive(tiny_avatar, read_motion(path), options).params
    torch.testing.assert_close(back.expression, params.expression, atol=1e-6, rtol=0)
    torch.testing.assert_close(back.joint_rot, params.joint_rot, atol=1e-5, rtol=0)
    # `drive` sets the middle of the places to the avatar's own: all frames are off by the same.
    off = back.translation - params.translation
    torch.testing.assert_close(off, off[:1].expand(40, 3), atol=1e-6, rtol=0)


def test_a_csv_holds_what_the_avatars_sliders_do(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = made_up_params(tiny_avatar, 10)
    params.joint_rot[:, JAW:] = 0
    lids = [tiny_avatar.head.expression_index(name) for name in ("eyelidLeft", "eyelidRight")]
    params.expression[:, lids] = 0
    with Recording([tmp_path / "take.csv"]) as recording:
        for frame in range(10):
            recording.sample(sample_of(tiny_avatar, params[frame], 50 + frame / 30))
    back = read_motion(tmp_path / "take.csv")
    for column, name in enumerate(back.names):
        expected = params.expression[:, tiny_avatar.head.expression_index(name)]
        torch.testing.assert_close(back.weights[:, column], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(back.joint_rot[:, ROOT], params.joint_rot[:, ROOT], atol=1e-4, rtol=0)
    assert not back.joint_rot[:, LEFT_EYE:].any()
