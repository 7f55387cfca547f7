"""A media file opens no other file, in bounded time, Ctrl-C ends it, and metadata in any encoding is accepted."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.cli import main
from avatar.common import media
from avatar.common.media import open_media
from avatar.video import open_output
from capture.video.decoding import open_video

LATIN_1 = b"caf\xe9".decode("utf-8", "surrogateescape")
#: Size of a file of zeros that takes a demuxer long to search; it occupies no space on the disk.
LONG = 60 << 30


def write_clip(path: Path, title: str = "", sound: bool = False) -> Path:
    """Ten frames, with a title as the bytes that the surrogates of `title` stand for."""
    with av.open(str(path), "w", metadata_errors="surrogateescape") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream("mpeg4", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        tone = container.add_stream("ac3", rate=48000, layout="mono") if sound else None
        for level in range(40, 140, 10):
            image = np.full((64, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
        if tone is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


def refused(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which `info` refuses the file."""
    assert main(["info", str(path)]) == 1
    message = capsys.readouterr().err.strip()
    assert "\n" not in message and str(path) in message and "Traceback" not in message
    return message


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi", ".mkv"])
def test_metadata_that_is_not_utf_8_is_accepted(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / f"clip{suffix}", LATIN_1)
    assert b"caf\xe9" in path.read_bytes()
    assert main(["info", str(path)]) == 0
    assert len(list(open_video(path))) == 10


def test_sound_with_metadata_that_is_not_utf_8_is_accepted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", LATIN_1, sound=True)
    with open_output(tmp_path / "out.mp4", 30, audio=path) as writer:
        writer.add(np.zeros((64, 64, 3), np.uint8))
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.skipif(os.name != "posix", reason="file names of other systems are Unicode")
def test_a_file_name_that_is_not_utf_8_is_accepted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4").rename(tmp_path / f"{LATIN_1}.mp4")
    assert len(list(open_video(path))) == 10


@pytest.mark.skipif(os.name == "nt", reason="Windows has no colon in file names")
@pytest.mark.parametrize("name", ["concat:a.mp4|a.mp4", "http:a.mp4", "subfile,,start,0,end,0,,:a.mp4", "pipe:0"])
def test_a_name_that_looks_like_a_protocol_is_a_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4").rename(tmp_path / name)
    assert len(list(open_video(name))) == 10


LISTS = {
    "own.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nown.m3u8\n#EXT-X-ENDLIST\n",
    "live.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nclip.ts\n",
    "clip.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nclip.ts\n#EXT-X-ENDLIST\n",
    "own.ffconcat": "ffconcat version 1.0\nfile own.ffconcat\n",
    "clip.ffconcat": "ffconcat version 1.0\nfile clip.ts\n",
    "renamed.mp4": "ffconcat version 1.0\nfile clip.ts\n",
    "clip.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT5S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>clip.ts</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "clip.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_other_files_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "clip.ts")
    path = tmp_path / name
    path.write_text(LISTS[name], encoding="utf-8")
    assert "is not a video headsplat can read" in refused(path, capsys)


def test_a_pattern_of_image_names_opens_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        (tmp_path / f"secret{number}.png").write_bytes(b"")
    (tmp_path / "secret%d.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    refused(tmp_path / "secret%d.png", capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in refused(tmp_path / "pipe.mp4", capsys)


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A Matroska file that is damaged after its first bytes: FFmpeg searches the rest for the next part."""
    path = write_clip(tmp_path / "clip.mkv")
    head = path.read_bytes()[:100]
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(LONG)
    return path


def test_opening_takes_a_bounded_time(
    endless: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(media, "TIME_LIMIT", 0.5)
    start = time.monotonic()
    assert "opening it takes longer than 0.5 s" in refused(endless, capsys)
    assert time.monotonic() - start < 8


def test_ctrl_c_interrupts_opening(endless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "TIME_LIMIT", 8.0)
    start = time.monotonic()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        open_media(endless)
    timer.join()
    assert time.monotonic() - start < 6
    os.truncate(endless, 0)  # ends the search that was abandoned
