"""Joined segments equal the full video: images, times, alpha; errors for segments that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.cli import main
from avatar.errors import HeadsplatError
from avatar.video import Encoding, open_output
from avatar.video.codecs import KEYFRAME_INTERVAL
from avatar.video.joining import join
from tests.avatar.video.reading import audio_of, fill, images, packet_times, planes, write_audio

COUNT = KEYFRAME_INTERVAL + 20
CUT = KEYFRAME_INTERVAL  # a frame at which the encoder is restarted


def render(path: Path, start: int, stop: int, *, total: int | None = COUNT, rate: float = 29.97, **options) -> Path:
    """Frames start..stop of the same rendering."""
    size = options.pop("size", 32)
    channels = 4 if options.get("alpha") else 3
    frames = images(stop, channels=channels, height=size, width=size)[start:]
    times = options.pop("times", None)
    fill(
        open_output(path, rate, first_frame=start, total=total, **options),
        frames,
        None if times is None else times[start:stop],
    )
    return path


KINDS = [
    ("mp4", {}, None),
    ("mp4", {"encoding": Encoding("h265")}, None),
    ("mp4", {"times": np.arange(COUNT) ** 1.1 / 30}, None),
    ("mov", {"alpha": True}, None),
    ("webm", {"alpha": True}, "libvpx-vp9"),
    ("webm", {"times": np.arange(COUNT) ** 1.1 / 61}, None),
]
NAMES = ["h264", "h265", "variable rate", "prores", "vp9", "webm variable rate"]


@pytest.mark.parametrize(("suffix", "options", "decoder"), KINDS, ids=NAMES)
def test_segments_cut_at_a_restart_of_the_encoder_equal_the_full_video(
    tmp_path: Path, suffix: str, options: dict, decoder: str | None
) -> None:
    full = render(tmp_path / f"full.{suffix}", 0, COUNT, **options)
    segments = [render(tmp_path / f"{a}.{suffix}", a, b, **options) for a, b in ((CUT, COUNT), (0, CUT))]
    joined = tmp_path / f"joined.{suffix}"
    assert join(segments, joined).count == COUNT
    assert packet_times(joined) == packet_times(full)
    assert planes(joined, decoder) == planes(full, decoder)


def test_segments_cut_anywhere_have_the_images_and_times_of_the_full_video(tmp_path: Path) -> None:
    options = {"encoding": Encoding(lossless=True), "total": 20}
    full = render(tmp_path / "full.mp4", 0, 20, **options)
    segments = [render(tmp_path / f"{a}.mp4", a, b, **options) for a, b in ((0, 1), (1, 9), (9, 20))]
    join(segments, tmp_path / "joined.mp4")
    assert packet_times(tmp_path / "joined.mp4") == packet_times(full)
    assert planes(tmp_path / "joined.mp4") == planes(full)


def test_variable_times_of_webm_segments_equal_those_of_the_full_video(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.006, 0.03, 10))
    full = render(tmp_path / "full.webm", 0, 10, total=10, times=times)
    segments = [render(tmp_path / f"{a}.webm", a, b, total=10, times=times) for a, b in ((0, 3), (3, 7), (7, 10))]
    join(segments, tmp_path / "joined.webm")
    assert packet_times(tmp_path / "joined.webm") == packet_times(full)


def test_variable_times_closer_than_a_tick_are_joined_as_in_the_full_video(tmp_path: Path) -> None:
    times = np.array([0.0, 0.1, 0.1001, 0.2])
    full = render(tmp_path / "full.webm", 0, 4, total=4, times=times)
    segments = [render(tmp_path / f"{a}.webm", a, a + 2, total=4, times=times) for a in (0, 2)]
    join(segments, tmp_path / "joined.webm")
    assert packet_times(tmp_path / "joined.webm") == packet_times(full)


def test_joined_segments_can_be_joined_again(tmp_path: Path) -> None:
    a, b, c = (render(tmp_path / f"{k}.mp4", 4 * k, 4 * k + 4, total=12) for k in range(3))
    join([a, b], tmp_path / "ab.mp4", partial=True)
    join([c, tmp_path / "ab.mp4"], tmp_path / "abc.mp4")
    assert len(packet_times(tmp_path / "abc.mp4")[0]) == 12


def test_the_command_joins_with_audio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio = write_audio(tmp_path / "tone.wav", 0.1)
    segments = [str(render(tmp_path / f"{a}.mp4", a, a + 25, total=50, rate=25)) for a in (0, 25)]
    out = tmp_path / "all.mp4"
    assert main(["join", *segments, "-o", str(out), "--audio", str(audio)]) == 0
    assert capsys.readouterr().out == f"{out}: 50 frames, starting with frame 0\n"
    assert len(audio_of(out)) == 96_000
    assert packet_times(out)[1] == 2


def test_the_command_reports_that_the_audio_of_segments_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = write_audio(tmp_path / "tone.wav", 0.1)
    segment = render(tmp_path / "a.mp4", 0, 5, total=5, audio=audio)
    assert main(["join", str(segment), "-o", str(tmp_path / "all.mp4")]) == 0
    assert (
        "the audio of the segments is dropped: joined, it would have gaps; give --audio FILE" in capsys.readouterr().err
    )


def test_the_command_overwrites_only_with_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment, out = render(tmp_path / "a.mp4", 0, 2, total=2), tmp_path / "all.mp4"
    out.touch()
    assert main(["join", str(segment), "-o", str(out)]) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err
    assert main(["join", str(segment), "-o", str(out), "--overwrite"]) == 0


def test_folders_are_joined_by_frame_numbers(tmp_path: Path) -> None:
    folders = [render(tmp_path / f"p{a}", a, a + 2) for a in (2, 0)]
    assert join(folders, tmp_path / "all").count == 4
    names = sorted(file.name for file in (tmp_path / "all").glob("*.png"))
    assert names == ["00000.png", "00001.png", "00002.png", "00003.png"]


def test_folders_that_start_late_need_partial(tmp_path: Path) -> None:
    folders = [render(tmp_path / f"p{a}", a, a + 1) for a in (5, 6)]
    message = r"all: frames 0 to 4 are in none of the segments; render --frames 0:5 too, or give --partial"
    with pytest.raises(HeadsplatError, match=message):
        join(folders, tmp_path / "all")
    assert join(folders, tmp_path / "all", partial=True).first == 5


MISFITS = [
    ((0, 4), (6, 12), {}, r"b\.mp4: starts with frame 6, and .*a\.mp4 ends with frame 3; render --frames 4:6 too"),
    ((0, 6), (4, 12), {}, r"b\.mp4: starts with frame 4, and .*a\.mp4 ends with frame 5; leave one of them out or"),
    (
        (0, 4),
        (4, 9),
        {},
        r"out\.mp4: frames 9 to 11 of 12 are in none of the segments; render --frames 9:12 too, or",
    ),
    ((2, 4), (4, 12), {}, r"out\.mp4: frames 0 to 1 of 12 are in none of the segments; render --frames 0:2 too, or"),
    ((0, 4), (4, 12), {"size": 48}, r"b\.mp4: its size is 48x48, that of .*a\.mp4 32x32; render it again with the opt"),
    (
        (0, 4),
        (4, 12),
        {"rate": 25},
        r"b\.mp4: its rate is 25 fps, that of .*a\.mp4 29\.97 fps; render it",
    ),
    ((0, 4), (4, 12), {"encoding": Encoding("h265")}, r"b\.mp4: its codec is h265, that of .*a\.mp4 h264; render it"),
    ((0, 4), (4, 12), {"encoding": Encoding(preset="slow")}, r"b\.mp4: encoded with other settings than .*a\.mp4; re"),
    (
        (0, 4),
        (4, 12),
        {"total": 13},
        r"b\.mp4: its number of frames of the full video is 13, that of .*a\.mp4 12; render",
    ),
]


@pytest.mark.parametrize(("a", "b", "options", "message"), MISFITS)
def test_segments_that_do_not_fit_are_named(
    tmp_path: Path, a: tuple[int, int], b: tuple[int, int], options: dict, message: str
) -> None:
    segments = [render(tmp_path / "a.mp4", *a, total=12), render(tmp_path / "b.mp4", *b, **{"total": 12} | options)]
    with pytest.raises(HeadsplatError, match=message):
        join(segments, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_segments_with_decreasing_times_are_named(tmp_path: Path) -> None:
    times = np.array([0.0, 0.1, 0.05, 0.2])
    segments = [render(tmp_path / f"{a}.mp4", a, a + 2, total=4, times=times) for a in (0, 2)]
    message = (
        r"2\.mp4: starts at 0\.050 s, before the end of the segment before it; render it again with the times of the"
    )
    with pytest.raises(HeadsplatError, match=message):
        join(segments, tmp_path / "out.mp4")


def test_foreign_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "foreign.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(images(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "broken.mp4").write_text("no video")
    for name, message in (
        (
            "foreign.mp4",
            r"foreign\.mp4: has no frame numbers in it; only files that `headsplat render` wrote can be joined",
        ),
        ("broken.mp4", r"broken\.mp4: cannot be read as a video \(.*\); render this segment again"),
        ("none.mp4", r"none\.mp4: no such file; give the segments that `headsplat render --frames` wrote"),
    ):
        with pytest.raises(HeadsplatError, match=message):
            join([tmp_path / name], tmp_path / "out.mp4")


def test_an_output_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    segment = render(tmp_path / "a.mp4", 0, 2, total=2)
    with pytest.raises(HeadsplatError, match=r"a\.mp4: given twice; name each segment once"):
        join([segment, segment], tmp_path / "out.mp4")
    with pytest.raises(HeadsplatError, match=r"a\.mp4: is one of the segments; choose another name with -o"):
        join([segment], segment)
    with pytest.raises(
        HeadsplatError, match=r"out\.mov: the segments are \.mp4 files; give the output this suffix too"
    ):
        join([segment], tmp_path / "out.mov")


def test_folders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folders = [render(tmp_path / f"p{a}", a, a + 2) for a in (0, 3)]
    with pytest.raises(HeadsplatError, match=r"00003\.png: the frame before is missing; render --frames 2:3 too"):
        join(folders, tmp_path / "all")
    (tmp_path / "p3" / "notes.txt").touch()
    with pytest.raises(HeadsplatError, match=r"notes\.txt: is not a numbered image; give folders that"):
        join(folders, tmp_path / "all")
    with pytest.raises(HeadsplatError, match=r"p0: is a folder, others are videos; give segments of one kind"):
        join([folders[0], tmp_path / "a.mp4"], tmp_path / "all")
