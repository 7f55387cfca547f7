"""`headsplat info` and `headsplat doctor`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from avatar import cli
from avatar.cli import doctor
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import VERSION, save_avatar
from avatar.video import write_video
from capture.video.decoding import VideoSource, open_video
from tests.capture.video.test_decoding import rotated


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_video(path, [np.full((64, 96, 3), level, np.uint8) for level in (0, 80, 160)], 25.0)
    return path


def failure(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_info_of_a_video_as_json(capsys: pytest.CaptureFixture[str], video: Path) -> None:
    assert cli.main(["info", str(video), "--json"]) == 0
    properties = json.loads(capsys.readouterr().out)
    assert (properties["kind"], properties["width"], properties["height"]) == ("video", 96, 64)
    assert properties["fps"] == pytest.approx(25)


def test_info_of_a_video_as_text(capsys: pytest.CaptureFixture[str], video: Path) -> None:
    assert cli.main(["info", str(video)]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["kind"] == "video"
    assert lines["width"] == "96"


def record(path: Path, codec: str, times: list[float], **options: str) -> Path:
    """A video of noise whose frames are shown at `times` (seconds), with options of the container."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec} encoder")
    rng = np.random.default_rng(3)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def trimmed(path: Path, count: int, cut: int) -> Path:
    """A video of `count` frames whose edit list leaves out the first `cut`, as trimming without encoding writes it."""
    write_video(path, (np.full((48, 64, 3), 2 * number, np.uint8) for number in range(count)), 30)
    options = {"avoid_negative_ts": "disabled"}
    with (
        av.open(str(path)) as source,
        av.open(str(path.with_name("trimmed.mp4")), "w", options=options) as container,
    ):
        own = source.streams.video[0]
        copy = container.add_stream_from_template(own)
        shift = round(cut / 30 / float(own.time_base or 1))
        for packet in source.demux(own):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                container.mux(packet)
    return path.with_name("trimmed.mp4")


EVEN = [number / 30 for number in range(90)]
#: Name, how it is made, frames, seconds, frames a second.
UNANNOUNCED: list[tuple[str, Callable[[Path], Path], int, float, float]] = [
    ("a browser's recording", lambda d: record(d / "clip.webm", "libvpx", EVEN, live="1"), 90, 3.0, 30),
    (
        "a browser's recording at another rate",
        lambda d: record(d / "clip.webm", "libvpx", [0.05 * number for number in range(40)], live="1"),
        40,
        2.0,
        20,
    ),
    ("an edit list", lambda d: trimmed(d / "clip.mp4", 90, 40), 50, 1.667, 30),
    (
        "fragments",
        lambda d: record(d / "clip.mp4", "libx264", EVEN, movflags="frag_keyframe+empty_moov"),
        90,
        3.0,
        30,
    ),
    ("packets without times", lambda d: record(d / "clip.h264", "libx264", EVEN), 90, 3.6, 25),
]


@pytest.mark.parametrize(
    ("make", "frames", "seconds", "fps"), [kind[1:] for kind in UNANNOUNCED], ids=[kind[0] for kind in UNANNOUNCED]
)
def test_info_counts_the_frames_that_a_header_does_not_announce(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    make: Callable[[Path], Path],
    frames: int,
    seconds: float,
    fps: float,
) -> None:
    path = make(tmp_path)
    assert cli.main(["info", str(path), "--json"]) == 0
    properties = json.loads(capsys.readouterr().out)
    assert (properties["frame_count"], properties["frames_counted"]) == (frames, True)
    assert properties["duration"] == pytest.approx(seconds, abs=0.02)
    assert properties["fps"] == pytest.approx(fps, rel=0.01)
    video = open_video(path)
    assert len(list(video)) == len(video) == frames
    bare = (
        "clip.h264: a bare H.264 stream, which states no times; 25 fps are assumed, give an mp4 or mkv file for its own"
    )
    assert video.warnings == ([bare] if path.suffix == ".h264" else [])
    counted = video.counted()
    assert (counted.frame_count, counted.fps) == (frames, pytest.approx(fps, rel=0.01))


def test_info_says_about_where_counting_took_too_long(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path / "clip.webm", "libvpx", [number / 30 for number in range(100)], live="1")
    monkeypatch.setattr("avatar.jobs.inspection.COUNT_LIMIT", 0.0)
    assert cli.main(["info", str(path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    count = int(shown.split("frame count about ")[1].split()[0])
    assert 80 < count < 120  # by the bytes of the frames that were read
    assert f"duration about {round(count / 30, 3)} s" in shown
    assert cli.main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames_counted"] is False


@pytest.mark.parametrize(
    ("matrix", "transfer", "words"),
    [
        ([1, 0, 0, 1], 1, ("none", "BT.709")),
        ([0, 1, -1, 0], 18, ("270 degrees counter-clockwise", "HLG (HDR)")),
        ([-1, 0, 0, 1], 16, ("mirrored left to right", "PQ (HDR)")),
        ([1, 0, 0, -1], 2, ("180 degrees counter-clockwise, then mirrored left to right", "not stated")),
    ],
)
def test_info_has_words_for_rotation_and_transfer(
    capsys: pytest.CaptureFixture[str],
    video: Path,
    matrix: list[int],
    transfer: int,
    words: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = rotated(video, matrix)
    stated = replace(open_video(path).metadata, transfer=transfer, primaries=12)
    monkeypatch.setattr(VideoSource, "count_frames", lambda self, limit: (stated, True))
    assert cli.main(["info", str(path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"rotation {words[0]} " in shown and f"transfer {words[1]} primaries Display P3" in shown
    assert "frame count 3 duration 0.12 s" in shown


def test_info_of_a_missing_file_lists_accepted_kinds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "none.mp4: no such file or folder; give" in failure(capsys, ["info", str(tmp_path / "none.mp4")])


def test_info_prints_how_far_an_avatar_can_be_driven(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_avatar: Avatar
) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)
    assert cli.main(["info", str(path), "--range", "--json"]) == 0
    low, high, limit = json.loads(capsys.readouterr().out)["expression_range"]["jawOpen"]
    assert low < 0.1 and 0.4 < high < limit <= 1
    assert cli.main(["info", str(path), "--range"]) == 0
    assert f"jawOpen {low}, {high}, {limit}" in " ".join(capsys.readouterr().out.split())


def test_only_avatars_have_a_range(capsys: pytest.CaptureFixture[str], video: Path) -> None:
    assert "clip.mp4: --range is for .avatar files; omit it for others" in failure(
        capsys, ["info", str(video), "--range"]
    )


def test_info_of_a_text_file_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    assert "notes.txt is not a video" in failure(capsys, ["info", str(path)])


def test_info_of_a_motion_file_names_motion_info(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "take.csv").touch()
    assert cli.main(["info", str(tmp_path / "take.csv")]) == 1
    assert "`headsplat motion info" in capsys.readouterr().err


def test_info_of_a_folder_without_capture_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "not a finished capture (capture.json is missing)" in failure(capsys, ["info", str(tmp_path)])


def test_info_of_a_capture_of_another_version_names_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "capture.json").write_text('{"magic": "headsplat-capture", "version": 99}')
    text = failure(capsys, ["info", str(tmp_path)])
    assert "capture version 99, this headsplat reads up to version 3; capture the video again" in text


def test_info_of_a_damaged_avatar_is_an_error_of_ours(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    assert "me.avatar: not an avatar file, or a damaged one" in failure(capsys, ["info", str(path)])


def test_info_of_a_newer_avatar_recommends_an_update(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    header = {"magic": "headsplat-avatar", "version": 99}
    save_file({"x": torch.zeros(1)}, tmp_path / "new.avatar", metadata={"headsplat": json.dumps(header)})
    text = failure(capsys, ["info", str(tmp_path / "new.avatar")])
    assert f"avatar version 99, this headsplat reads up to {VERSION}; update headsplat" in text


def test_doctor_reports_every_part_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    properties = json.loads(capsys.readouterr().out)
    assert {"python", "platform", "cores", "native_kernels", "cuda", "packages", "optional", "models", "video"} <= set(
        properties
    )
    assert properties["ready"] is True
    assert "h264" in properties["video"]["decoders"]
    assert properties["cuda"].startswith(("yes: ", "no: "))


def test_doctor_names_the_command_for_a_missing_optional_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.OPTIONAL_PACKAGES, "no_such_package", ("nsp", "pip install nsp", "magic"))
    assert doctor.examine()["optional"]["no_such_package"] == "missing (magic); `pip install nsp`"


def test_doctor_fails_when_a_needed_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(doctor.CORE_PACKAGES, "no_such_package", "nsp")
    assert cli.main(["doctor"]) == 1
    assert "missing; `pip install nsp`" in capsys.readouterr().out


def test_doctor_continues_after_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("no driver")

    monkeypatch.setattr(doctor, "_cuda", broken)
    assert doctor.examine()["cuda"] == "failed: RuntimeError: no driver"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
@pytest.mark.parametrize(
    ("display", "answer"), [(":7", "yes: DISPLAY=:7"), ("", "no: neither DISPLAY nor WAYLAND_DISPLAY is set")]
)
def test_doctor_reports_whether_there_is_a_display(monkeypatch: pytest.MonkeyPatch, display: str, answer: str) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    assert doctor._window().startswith(answer)


def test_doctor_loads_no_window_library() -> None:
    code = (
        "import sys; from avatar.cli import doctor; doctor.examine(); print({'imgui_bundle', 'moderngl', 'glfw'} & "
        "set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cuda", "--device cuda: no CUDA GPU: torch finds no CUDA device."),
        ("cpu", "--device cpu: not a GPU; give cuda or cuda:N"),
    ],
)
def test_doctor_of_a_gpu_that_is_not_there_is_one_sentence(
    capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    assert cli.main(["doctor", "--device", name]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and sentence in printed.err
