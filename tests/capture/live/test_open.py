"""Pose sources from the command line's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.live import open_pose_source
from capture.live.camera import FileFeed, WebcamFeed
from capture.live.own_face import OwnFaceOptions
from capture.live.protocols import UdpSource
from capture.live.worker_process import FaceWorker


@pytest.fixture
def video(tmp_path: Path) -> str:
    """A file; it is not read before the start."""
    path = tmp_path / "clip.mp4"
    path.touch()
    return str(path)


def test_a_number_is_a_camera_and_a_path_is_a_file(video: str) -> None:
    camera, file = open_pose_source("1"), open_pose_source(video)
    assert isinstance(camera, FaceWorker) and isinstance(camera.feed, WebcamFeed)
    assert isinstance(file, FaceWorker) and isinstance(file.feed, FileFeed)
    assert (camera.name, file.name) == ("webcam 1", "clip.mp4")


def test_the_torso_is_measured_unless_switched_off(video: str) -> None:
    on, off = open_pose_source(video), open_pose_source(video, torso=False)
    assert isinstance(on, FaceWorker) and isinstance(off, FaceWorker)
    assert (on.torso, off.torso) == (True, False)


def test_an_avatar_that_tracks_its_own_person_is_given_to_the_camera(video: str) -> None:
    own = OwnFaceOptions(Path("me.avatar"))
    with_own, without = open_pose_source(video, own=own), open_pose_source(video)
    assert isinstance(with_own, FaceWorker) and isinstance(without, FaceWorker)
    assert with_own.own is own and without.own is None


def test_a_protocol_listens_on_loopback_by_default() -> None:
    default, other = open_pose_source(listen="vmc"), open_pose_source(listen="livelink:12000", host="0.0.0.0")
    assert isinstance(default, UdpSource) and (default.name, default.host, default.port) == ("VMC", "127.0.0.1", 39539)
    assert isinstance(other, UdpSource) and (other.name, other.host, other.port) == ("Live Link Face", "0.0.0.0", 12000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "give one pose source: --webcam 0 (a camera number), --webcam FILE (a video), --microphone default, both",
        ),
        ({"webcam": "0", "listen": "vmc"}, "give one pose source: "),
        ({"webcam": "none.mp4"}, "--webcam none.mp4: no such file; give a video file or a camera number (0 is "),
        ({"webcam": "-1"}, "--webcam -1: no such file; "),
        ({"webcam": "0", "host": "0.0.0.0"}, "--host goes with --listen; leave it out with --webcam"),
        ({"webcam": "0", "phone": "192.168.1.20"}, "--phone goes with --listen; leave it out with --webcam"),
        ({"webcam": "0", "loop": True}, "--loop repeats a video file; leave it out with a camera number"),
        ({"listen": "vmc", "loop": True}, "--loop repeats a video file; leave it out with --listen"),
        ({"listen": "vcm"}, "--listen vcm: unknown protocol 'vcm'; did you mean vmc?"),
        (
            {"listen": "vmc", "phone": "192.168.1.20"},
            "--phone 192.168.1.20: VMC needs no greeting; leave --phone out, or use --listen ifacialmocap",
        ),
        (
            {"listen": "ifacialmocap", "phone": "my phone"},
            "--phone my phone: expected an address like 192.168.1.20; the app shows the phone's",
        ),
        (
            {"listen": "ifacialmocap", "phone": "192.168.1.20"},
            "--phone 192.168.1.20: it cannot send to 127.0.0.1; give --host and this machine's address, or --host 0.",
        ),
    ],
)
def test_invalid_options_are_a_one_line_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(HeadsplatError) as failure:
        open_pose_source(**options)  # type: ignore[arg-type]
    assert str(failure.value).startswith(message)


def test_a_phone_is_greeted_only_when_its_address_is_given() -> None:
    phones = "", "192.168.1.20"
    silent, greeting = (open_pose_source(listen="ifacialmocap", host="0.0.0.0", phone=phone) for phone in phones)
    assert isinstance(silent, UdpSource) and silent._greeted is None
    assert isinstance(greeting, UdpSource) and greeting._greeted == ("192.168.1.20", 49983)
