"""From a command's words to an input."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.live import open_input
from capture.live.camera import FileFeed, WebcamFeed
from capture.live.inputs import UdpInput
from capture.live.worker_process import FaceApart


@pytest.fixture
def video(tmp_path: Path) -> str:
    """A file; nobody reads it before the start."""
    path = tmp_path / "clip.mp4"
    path.touch()
    return str(path)


def test_a_number_is_a_camera_and_a_file_plays_in_ones_place(video: str) -> None:
    camera, file = open_input("1"), open_input(video)
    assert isinstance(camera, FaceApart) and isinstance(camera.feed, WebcamFeed)
    assert isinstance(file, FaceApart) and isinstance(file.feed, FileFeed)
    assert (camera.name, file.name) == ("webcam 1", "clip.mp4")


def test_a_protocol_listens_at_home_unless_told() -> None:
    home, told = open_input(spoken="vmc"), open_input(spoken="livelink:12000", host="0.0.0.0")
    assert isinstance(home, UdpInput) and (home.name, home.host, home.port) == ("VMC", "127.0.0.1", 39539)
    assert isinstance(told, UdpInput) and (told.name, told.host, told.port) == ("Live Link Face", "0.0.0.0", 12000)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            {},
            "one of them drives: --webcam 0 (a camera's number), --webcam FILE (a video), or --listen livelink, vmc, ",
        ),
        ({"webcam": "0", "spoken": "vmc"}, "one of them drives: "),
        ({"webcam": "none.mp4"}, "--webcam none.mp4: no such file; give a video file, or a camera's number (0 the "),
        ({"webcam": "-1"}, "--webcam -1: no such file; "),
        ({"webcam": "0", "host": "0.0.0.0"}, "--host goes with --listen; leave it out with --webcam"),
        ({"webcam": "0", "phone": "192.168.1.20"}, "--phone goes with --listen; leave it out with --webcam"),
        ({"webcam": "0", "loop": True}, "--loop repeats a video file; leave it out with a camera's number"),
        ({"spoken": "vmc", "loop": True}, "--loop repeats a video file; leave it out with --listen"),
        ({"spoken": "vcm"}, "--listen vcm: no protocol is called 'vcm'; did you mean vmc?"),
        (
            {"spoken": "vmc", "phone": "192.168.1.20"},
            "--phone 192.168.1.20: VMC sends by itself; leave it out, or --listen ifacialmocap",
        ),
        (
            {"spoken": "ifacialmocap", "phone": "my phone"},
            "--phone my phone: expected an address like 192.168.1.20; the app shows the phone's",
        ),
        (
            {"spoken": "ifacialmocap", "phone": "192.168.1.20"},
            "--phone 192.168.1.20: it cannot send to 127.0.0.1; give --host and this machine's address, or --host 0.",
        ),
    ],
)
def test_words_that_name_no_input_are_one_sentence(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(HeadsplatError) as failure:
        open_input(**words)  # type: ignore[arg-type]
    assert str(failure.value).startswith(sentence)


def test_a_phone_is_asked_only_when_its_address_is_given() -> None:
    silent, asking = (open_input(spoken="ifacialmocap", host="0.0.0.0", phone=phone) for phone in ("", "192.168.1.20"))
    assert isinstance(silent, UdpInput) and silent._greet is None
    assert isinstance(asking, UdpInput) and asking._greet == ("192.168.1.20", 49983)
