"""Video files of phones, cameras and programs: which stream is read, and what is said or refused about it."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.video import write_video
from capture.photos import open_photos
from capture.sources import check_source
from capture.video.decoding import open_video
from tests.capture.icc_files import P3, SRGB_CURVE, profile, tiff_with
from tests.capture.video.test_color import COLORS, HLG, PQ, encode, hdr_signal, with_box
from tests.capture.video.test_decoding import quadrants

DOLBY = r"clip\.\w+: Dolby Vision of profile {}, whose colors only Dolby's decoders convert; export it as HDR10"


def dolby_box(profile: int, compatibility: int) -> bytes:
    """A DOVIDecoderConfigurationRecord: version 1.0, level 4, RPU and base layer."""
    record = bytes([1, 0, profile << 1, 4 << 3 | 0b101, compatibility << 4]) + bytes(19)
    return (8 + len(record)).to_bytes(4, "big") + (b"dvcC" if profile < 8 else b"dvvC") + record


def hevc(folder: Path, transfer: int, primaries: int = 9) -> Path:
    return encode(folder / "clip.mov", hdr_signal(COLORS, PQ), 9, transfer, primaries, "libx265")


def with_record(path: Path, profile: int, compatibility: int, tag: bytes = b"hvc1") -> Path:
    content = with_box(path.read_bytes(), b"hvc1", dolby_box(profile, compatibility))
    path.write_bytes(content.replace(b"hvc1", tag))
    return path


def copy_packets(source: Path, path: Path, more: bytes = b"", offset: float = 0.0) -> None:
    """The video in another container, `more` at the end of each packet, `offset` seconds later."""
    with av.open(str(source)) as own, av.open(str(path), "w", options={"strict": "-1"}) as container:
        copy = container.add_stream_from_template(own.streams.video[0])
        for packet in own.demux(video=0):
            if packet.dts is not None:
                made = av.Packet(bytes(packet) + more)
                made.time_base, made.is_keyframe, made.stream = packet.time_base, packet.is_keyframe, copy
                ticks = round(offset / packet.time_base)
                made.pts, made.dts = packet.pts + ticks, packet.dts + ticks
                container.mux(made)


def with_edits(content: bytes, edits: list[tuple[int, int]]) -> bytes:
    """An mp4 file, its index at the end, with another edit list: milliseconds that are shown, and the first tick."""
    place = content.rindex(b"edts") - 4
    size = int.from_bytes(content[place : place + 4], "big")
    rows = b"".join(struct.pack(">IiI", length, start, 1 << 16) for length, start in edits)
    table = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(edits)) + rows
    box = struct.pack(">I4s", 8 + len(table), b"edts") + table
    changed = bytearray(content[:place] + box + content[place + size :])
    for name in (b"moov", b"trak"):
        start = content.rindex(name) - 4
        length = int.from_bytes(content[start : start + 4], "big") + len(box) - size
        changed[start : start + 4] = length.to_bytes(4, "big")
    return bytes(changed)


def test_a_video_of_which_an_editor_cut_away_the_middle_has_no_gap(tmp_path: Path) -> None:
    """The second part is decoded from a key frame 1.5 s before it, which is no clock that restarts."""
    path = tmp_path / "clip.mp4"
    write_video(tmp_path / "own.mp4", [quadrants()] * 150, 30)
    copy_packets(tmp_path / "own.mp4", path)
    with av.open(str(path)) as container:
        ticks = round(1 / float(container.streams.video[0].time_base or 1))
    path.write_bytes(with_edits(path.read_bytes(), [(1000, 0), (2000, 3 * ticks)]))
    source = open_video(path).counted()
    times = [frame.time for frame in source]
    np.testing.assert_allclose(times, np.arange(90) / 30, atol=0.07)
    assert source.frame_count == 90 and source.warnings == []


def test_a_video_whose_times_begin_late_is_not_said_to_end_early(tmp_path: Path) -> None:
    write_video(tmp_path / "own.mp4", [quadrants()] * 30, 30)
    copy_packets(tmp_path / "own.mp4", tmp_path / "clip.mkv", offset=10800)
    source = open_video(tmp_path / "clip.mkv")
    assert source.duration == pytest.approx(1, abs=0.04)
    assert len(list(source)) == 30 and source.warnings == []


@pytest.mark.parametrize("tag", [b"hvc1", b"dvh1"])
def test_dolby_vision_without_a_base_for_other_decoders_is_refused(tmp_path: Path, tag: bytes) -> None:
    path = with_record(hevc(tmp_path, 2, 2), 5, 0, tag)
    with pytest.raises(HeadsplatError, match=DOLBY.format(5)):
        open_video(path)


def test_dolby_vision_by_its_tag_alone_is_refused(tmp_path: Path) -> None:
    path = hevc(tmp_path, 2, 2)
    path.write_bytes(path.read_bytes().replace(b"hvc1", b"dvhe"))
    with pytest.raises(HeadsplatError, match=DOLBY.format(5)):
        open_video(path)


def crc_32(data: bytes) -> int:
    """The checksum of a table of MPEG-TS (ISO/IEC 13818-1, annex A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def with_descriptor(stream: bytes, descriptor: bytes) -> bytes:
    """MPEG-TS of one stream with a descriptor of it at the end of each program map table."""
    packets = [stream[at : at + 188] for at in range(0, len(stream), 188)]
    for number, packet in enumerate(packets):
        if packet[1] & 0x40 and packet[4:6] == b"\0\2":
            size = int.from_bytes(packet[6:8], "big") & 0xFFF
            table = bytearray(packet[5 : 8 + size - 4])
            own = 15 + (int.from_bytes(table[10:12], "big") & 0xFFF)  # where the size of the descriptors is
            table[own : own + 2] = (0xF000 | len(table) - own - 2 + len(descriptor)).to_bytes(2, "big")
            table += descriptor
            table[1:3] = (0xB000 | len(table) + 1).to_bytes(2, "big")
            packets[number] = (packet[:5] + table + crc_32(table).to_bytes(4, "big")).ljust(188, b"\xff")
    return b"".join(packets)


@pytest.mark.parametrize(("number", "compatibility", "transfer"), [(5, 0, 2), (8, 4, HLG), (8, 1, PQ)])
def test_dolby_vision_in_mpeg_ts_is_known_by_its_descriptor(
    tmp_path: Path, number: int, compatibility: int, transfer: int
) -> None:
    copy_packets(hevc(tmp_path, transfer), tmp_path / "clip.ts")
    record = bytes([1, 0, number << 1, 4 << 3 | 0b101, compatibility << 4 | 15])
    content = with_descriptor((tmp_path / "clip.ts").read_bytes(), b"\xb0\5" + record)
    (tmp_path / "clip.ts").write_bytes(content)
    if number == 8:
        assert open_video(tmp_path / "clip.ts").hdr
        return
    with pytest.raises(HeadsplatError, match=DOLBY.format(5)):
        open_video(tmp_path / "clip.ts")


@pytest.mark.parametrize("suffix", ["mov", "mkv", "ts"])
@pytest.mark.parametrize("transfer", [2, HLG])
def test_dolby_vision_without_a_record_is_known_by_its_metadata(tmp_path: Path, suffix: str, transfer: int) -> None:
    unit = b"\x7c\1\x19" + bytes(range(8, 60))
    copy_packets(hevc(tmp_path, transfer), tmp_path / "with.mov", len(unit).to_bytes(4, "big") + unit)
    copy_packets(tmp_path / "with.mov", tmp_path / f"clip.{suffix}")
    if transfer == HLG:
        assert open_video(tmp_path / f"clip.{suffix}").hdr
        return
    with pytest.raises(HeadsplatError, match=DOLBY.format(5)):
        open_video(tmp_path / f"clip.{suffix}")


def test_dolby_vision_in_matroska_is_refused(tmp_path: Path) -> None:
    source = with_record(hevc(tmp_path, 2, 2), 5, 0)
    copy_packets(source, tmp_path / "clip.mkv")
    assert b"dvcC" in (tmp_path / "clip.mkv").read_bytes()
    with pytest.raises(HeadsplatError, match=DOLBY.format(5)):
        open_video(tmp_path / "clip.mkv")


@pytest.mark.parametrize(("number", "compatibility", "transfer"), [(8, 4, HLG), (8, 1, PQ), (7, 6, PQ)])
def test_dolby_vision_with_a_base_is_read(tmp_path: Path, number: int, compatibility: int, transfer: int) -> None:
    assert open_video(with_record(hevc(tmp_path, transfer), number, compatibility)).hdr


@pytest.mark.parametrize(("codec", "transfer"), [("prores_ks", 2), ("ffv1", 2), ("ffv1", 1)])
def test_log_video_is_named(tmp_path: Path, codec: str, transfer: int) -> None:
    path = tmp_path / "clip.mov"
    if codec == "prores_ks":
        write_streams(path, [("prores_ks", 64, 48, 3, True)], (9, transfer))
    else:
        path = encode(tmp_path / "clip.mkv", COLORS / 255, 9, transfer, 9)
    source = open_video(path)
    list(source)
    assert len(source.warnings) == 1
    assert source.warnings[0].startswith(
        f"{path.name}: the primaries of BT.2020 without their transfer function, as log"
    )
    assert source.warnings[0].endswith("export it with the camera's LUT for Rec.709, or film without log")


@pytest.mark.parametrize("transfer", [14, HLG])
def test_standard_video_of_bt2020_is_not_taken_for_log(tmp_path: Path, transfer: int) -> None:
    assert open_video(encode(tmp_path / "clip.mkv", COLORS / 255, 9, transfer, 9)).metadata.notes == ()


def write_streams(path: Path, streams: list[tuple[str, int, int, int, bool]], colors: tuple[int, int] = (1, 1)) -> Path:
    """Video streams: codec, width, height, number of frames, whether players show it; `colors`: primaries, transfer."""
    with av.open(str(path), "w") as container:
        for codec, width, height, _, shown in streams:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height = width, height
            stream.pix_fmt = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            stream.disposition = av.stream.Disposition.default if shown else av.stream.Disposition(0)
            context = stream.codec_context
            context.color_primaries, context.color_trc = colors
        for stream, (_, width, height, count, _) in zip(container.streams.video, streams, strict=True):
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(quadrants(height, width), format="rgb24")
                frame = frame.reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, 30)
                frame.color_primaries, frame.color_trc = colors
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


H264 = "libx264"
NOTE = "2 video tracks; only the one of 64x48 pixels is read; export another one as a file of its own to use it"


@pytest.mark.parametrize(
    ("suffix", "streams", "notes"),
    [
        (".mov", [(H264, 64, 48, 8, True), ("mjpeg", 128, 96, 1, False)], ()),  # a still image beside the video
        (".mp4", [("mjpeg", 128, 96, 1, True), (H264, 64, 48, 8, False)], ()),
        (".mov", [(H264, 64, 48, 8, True), (H264, 128, 96, 8, False)], (NOTE,)),  # a depth map, hidden
        (".mkv", [(H264, 32, 16, 8, True), (H264, 64, 48, 8, True)], (NOTE,)),  # two views
    ],
    ids=["still image", "still image first", "hidden track", "two views"],
)
def test_of_several_streams_the_one_that_players_show_is_read(
    tmp_path: Path, suffix: str, streams: list[tuple[str, int, int, int, bool]], notes: tuple[str, ...]
) -> None:
    source = open_video(write_streams(tmp_path / f"clip{suffix}", streams))
    assert (source.width, source.height, len(list(source))) == (64, 48, 8)
    assert source.metadata.notes == notes


def interlaced(path: Path, codec: str, pixels: str) -> Path:
    """Frames whose upper field is of another color than the lower one."""
    image = np.full((96, 128, 3), (40, 60, 150), np.uint8)
    image[::2] = COLORS[1]
    with av.open(str(path), "w") as container:
        options = {"flags": "+ildct+ilme", "crf": "1", "x264-params": "tff=1", "qscale": "2"}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pixels
        fields = [av.VideoFrame.from_ndarray(np.ascontiguousarray(image[start::2]), format="rgb24") for start in (0, 1)]
        for number in range(4):
            frame = av.VideoFrame(128, 96, pixels)
            for plane, *parts in zip(
                frame.planes, *(each.reformat(format=pixels).planes for each in fields), strict=True
            ):
                lines = np.zeros((plane.height, plane.line_size), np.uint8)
                for start, part in enumerate(parts):
                    own = np.frombuffer(part, np.uint8).reshape(part.height, part.line_size)
                    lines[start::2, : min(lines.shape[1], own.shape[1])] = own[:, : lines.shape[1]]
                plane.update(lines.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("clip.mts", H264, "yuv420p"), ("clip.mp4", H264, "yuv422p"), ("clip.mpg", "mpeg2video", "yuv420p")],
)
def test_of_interlaced_video_one_field_is_used(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    source = open_video(interlaced(tmp_path / name, codec, pixels))
    frames = list(source)
    assert frames[2].rgb.shape == (96, 128, 3)
    # of each color; tens of levels where fields mix
    assert np.abs(frames[2].rgb[8:-8, 8:-8].mean((0, 1)) - COLORS[1]).max() <= 3
    assert frames[2].rgb[8:-8, 8:-8].std((0, 1)).max() < 3
    assert source.warnings == [
        f"{name}: interlaced video; one of two fields is used, half of the lines: film progressive (1080p, not 1080i)"
    ]


@pytest.mark.parametrize(
    ("filmed", "rate", "words"),
    [(240, 30, "slowed down 8 times"), (120, 30, "slowed down 4 times"), (5, 30, "sped up 6 times"), (30, 15, None)],
)
def test_slow_motion_of_android_phones_is_named(tmp_path: Path, filmed: int, rate: int, words: str | None) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["com.android.capture.fps"] = f"{filmed}.000000"
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(quadrants(48, 64), format="rgb24")))
        container.mux(stream.encode(None))
    note = f"filmed at {filmed} fps and {words}; times are those of the file, not of the motion"
    assert open_video(path).metadata.notes == ((note,) if words else ())


def moov_missing(folder: Path) -> bytes:
    write_video(folder / "whole.mp4", [quadrants()] * 4, 24)
    content = (folder / "whole.mp4").read_bytes()
    start = content.index(b"moov") - 4
    return content[:start] + content[start + int.from_bytes(content[start : start + 4], "big") :]


#: What people give instead of a video: name, content, what the sentence says.
OTHERS: list[tuple[str, bytes | None, str]] = [
    ("clip.mp4", None, r"\(its index is missing: the recording was not finished, .*\); copy it again, or repair it"),
    ("clip.mov.part", None, r"\(its index is missing: .* copied only in part\); copy it again"),
    (".clip.MOV.icloud", b"bplist00" + bytes(80), r"\(a placeholder of iCloud\); download the file itself first"),
    ("._clip.MOV", bytes.fromhex("0005160700020000") + bytes(80), r"macOS beside a file\); give the file of the same"),
    ("clip.AAE", b"<?xml version='1.0'?>", r"edits that an iPhone stores .*\); give the file of the same name beside"),
    ("photos.zip", b"PK\x03\x04" + bytes(80), r"\(a ZIP archive\); unpack it and give the video or the photos in it"),
    ("clip.mp4", b"\n<!DOCTYPE html><html></html>", r"\(a web page\); download the file itself"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), OTHERS)
def test_what_is_no_video_is_named(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(moov_missing(tmp_path) if content is None else content)
    check_source([path])
    with pytest.raises(HeadsplatError, match=sentence):
        open_video(path)


def test_raw_photos_are_not_read_by_their_preview(tmp_path: Path) -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    files = {
        "a.tif": tiff_with(image, profile(P3, SRGB_CURVE)),
        "b.dng": tiff_with(image, b"", 50706),
        "c.nef": tiff_with(image, b"", 271, 330),
        "d.CR3": struct.pack(">I4s4sI", 16, b"ftyp", b"crx ", 1) + bytes(40),
        "e.raf": b"FUJIFILMCCD-RAW" + bytes(40),
        "f.psd": b"8BPS" + bytes(40),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert open_photos([tmp_path / "a.tif"]).width == 8
    for name in list(files)[1:]:
        check_source([tmp_path / name])
        with pytest.raises(
            HeadsplatError, match=r"not a photo that can be read \((camera raw|Photoshop)\); give a JPEG"
        ):
            open_photos([tmp_path / name])
