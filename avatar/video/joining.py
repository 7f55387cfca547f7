"""Join the segments of a rendering into the full video without re-encoding."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from avatar.common.files import atomic_folder, atomic_path, write_error
from avatar.common.folder_sign import SIGN
from avatar.common.media import open_media
from avatar.errors import HeadsplatError
from avatar.video.audio import AudioTrack, check_audio
from avatar.video.metadata import Segment, read_segment
from avatar.video.sequence import FRAME_FILES
from avatar.video.tracks import PacketTrack, open_container

#: Called with (number of frames done, number of all frames).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JoinResult:
    """The joined output."""

    path: Path
    first: int  # number of the first frame
    count: int  # frames
    audio_dropped: bool  # the segments have audio, the output has none


def join(
    paths: Sequence[Path],
    out: Path,
    *,
    audio: Path | None = None,
    partial: bool = False,
    progress: Progress | None = None,
) -> JoinResult:
    """Concatenate segments, given in any order.

    Args:
        paths: videos that avatar.video wrote, or folders of numbered images.
        out: the video or folder to write; an existing one is replaced.
        audio: a file with audio for the full video. The audio of the segments is dropped: it cannot be concatenated
            without gaps.
        partial: the segments may start after frame 0 and end before the last frame of the full video. Folders of images
            do not store the number of frames of the full video, so a missing end is not detected.
        progress: called after every frame.

    Raises:
        HeadsplatError: a segment does not exist, was not written by avatar.video, overlaps another one or has other
            settings; or frames are missing.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(folders) < len(paths):
        raise HeadsplatError(f"{folders[0]}: is a folder, others are videos; give segments of one kind")
    if folders:
        if audio is not None:
            raise HeadsplatError(f"{out}: a folder of images cannot store audio; leave --audio out")
        return _join_folders(folders, out, partial)
    if audio is not None:
        check_audio(audio)
    segments = sorted((read_segment(path) for path in paths), key=lambda segment: (segment.info.first, segment.stop))
    _check(segments, out, partial)
    with atomic_path(out) as temporary:
        try:
            _remux(segments, temporary, audio, progress)
        except (OSError, av.error.FFmpegError) as error:
            raise write_error(out, error) from error
    count = sum(segment.count for segment in segments)
    audio_dropped = audio is None and any(segment.has_audio for segment in segments)
    return JoinResult(out, segments[0].info.first, count, audio_dropped)


def _check(segments: Sequence[Segment], out: Path, partial: bool) -> None:
    """Raise HeadsplatError unless `segments`, sorted, have equal settings and continue each other."""
    first = segments[0]
    last = segments[-1]
    suffix = first.info.stored_codec.suffix
    if out.suffix.lower() != suffix:
        raise HeadsplatError(f"{out}: the segments are {suffix} files; give the output this suffix too")
    for segment in segments:
        if any(segment.path.samefile(other.path) for other in segments if other is not segment):
            raise HeadsplatError(f"{segment.path}: given twice; name each segment once")
        if out.exists() and segment.path.samefile(out):
            raise HeadsplatError(f"{out}: is one of the segments; choose another name with -o")
        _check_settings(first, segment)
    for before, after in pairwise(segments):
        if after.info.first < before.stop:
            raise HeadsplatError(
                f"{after.path}: starts with frame {after.info.first}, and {before.path} ends with frame "
                f"{before.stop - 1}; leave one of them out or render one again"
            )
        if after.info.first > before.stop:
            raise HeadsplatError(
                f"{after.path}: starts with frame {after.info.first}, and {before.path} ends with frame "
                f"{before.stop - 1}; render --frames {before.stop}:{after.info.first} too"
            )
    if partial or first.info.total is None:
        return
    for start, stop in ((0, first.info.first), (last.stop, first.info.total)):
        if start < stop:
            raise _missing(out, start, stop, f" of {first.info.total}")


def _missing(out: Path, start: int, stop: int, of_total: str = "") -> HeadsplatError:
    """The error for frames start..stop-1 that no segment contains."""
    return HeadsplatError(
        f"{out}: frames {start} to {stop - 1}{of_total} are in none of the segments; render --frames {start}:{stop} "
        "too, or give --partial"
    )


def _check_settings(first: Segment, segment: Segment) -> None:
    """Raise HeadsplatError unless `segment` was encoded with the settings of `first`."""
    settings = (
        ("codec", segment.info.codec, first.info.codec),
        ("size", f"{segment.width}x{segment.height}", f"{first.width}x{first.height}"),
        ("rate", _rate_text(segment), _rate_text(first)),
        ("number of frames of the full video", str(segment.info.total), str(first.info.total)),
    )
    for name, found, expected in settings:
        if found != expected:
            raise HeadsplatError(
                f"{segment.path}: its {name} is {found}, that of {first.path} {expected}; render it again with the "
                "options of the others"
            )
    if segment.extradata != first.extradata:
        raise HeadsplatError(
            f"{segment.path}: encoded with other settings than {first.path}; render it again with the options of the "
            "others"
        )


def _rate_text(segment: Segment) -> str:
    if segment.info.timed:  # the mean rates of segments may differ
        return "variable"
    return f"{float(Fraction(segment.info.rate)):.6g} fps"


def _remux(segments: Sequence[Segment], path: Path, audio: Path | None, progress: Progress | None) -> None:
    """Write the packets of all segments to one file, with the audio of `audio`."""
    info = segments[0].info
    codec = info.stored_codec
    clock = info.clock
    total = sum(segment.count for segment in segments)
    with contextlib.ExitStack() as closing:
        container = closing.enter_context(open_container(path, codec, clock))
        container.metadata.update(info.tags())
        template = closing.enter_context(open_media(segments[0].path)).streams.video[0]
        stream = container.add_stream_from_template(template, opaque=True)
        assert isinstance(stream, av.VideoStream)
        stream.metadata.update(template.metadata)  # WebM stores there that it has alpha
        stream.time_base = clock.tick
        if template.average_rate:  # without it WebM stores no frame durations
            stream.codec_context.framerate = template.average_rate
        if codec.tag:
            stream.codec_context.codec_tag = codec.tag
        audio_track = None
        if audio is not None:
            assert codec.audio_encoder is not None
            audio_track = AudioTrack(audio, container, codec.audio_encoder, info.start * clock.tick)
            closing.callback(audio_track.close)
        track = PacketTrack(container, stream, info, audio_track)
        last = -1
        for done, (segment, index, packet, tick) in enumerate(_packets(segments)):
            if tick < last and not index:
                raise HeadsplatError(
                    f"{segment.path}: starts at {segment.info.start * float(clock.tick):.3f} s, before the end of the "
                    "segment before it; render it again with the times of the full video"
                )
            last = max(tick, last + 1)  # times may differ by less than a tick, also between two segments
            track.put(packet, last)
            if progress is not None:
                progress(done + 1, total)
        track.finish()


def _packets(segments: Sequence[Segment]) -> Iterator[tuple[Segment, int, av.Packet, int]]:
    """(segment, number of the packet in it, packet, its tick in the output), in order."""
    clock = segments[0].info.clock
    start = segments[0].info.start
    for segment in segments:
        with open_media(segment.path) as container:
            stream = container.streams.video[0]
            packets = (packet for packet in container.demux(stream) if packet.size)
            for index, packet in enumerate(packets):
                assert packet.pts is not None and packet.time_base is not None
                local = round(packet.pts * packet.time_base * clock.scale)
                tick = clock.at(segment.info.first + index, None) if clock.step else segment.info.start + local
                yield segment, index, packet, tick - start


def _join_folders(folders: Sequence[Path], out: Path, partial: bool) -> JoinResult:
    """Join folders of images, as hard links where the file system supports them."""
    found: dict[int, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        if path.name == SIGN:
            continue
        if not any(map(Path(path.name).match, FRAME_FILES)) or not path.stem.isdecimal():
            raise HeadsplatError(f"{path}: is not a numbered image; give folders that `headsplat render` wrote")
        number = int(path.stem)
        if number in found:
            raise HeadsplatError(f"{path}: {found[number]} is the same frame; leave one of the folders out")
        found[number] = path
    if not found:
        raise HeadsplatError(f"{folders[0]}: contains no images; give folders that `headsplat render` wrote")
    first = min(found)
    if first > 0 and not partial:
        raise _missing(out, 0, first)
    suffix = found[first].suffix
    for number, after in pairwise(sorted(found)):
        if after != number + 1:
            raise HeadsplatError(
                f"{found[after]}: the frame before is missing; render --frames {number + 1}:{after} too"
            )
        if found[after].suffix != suffix:
            raise HeadsplatError(f"{found[after]}: the images before it are {suffix} files; give segments of one kind")
    with atomic_folder(out) as temporary:
        for path in found.values():
            _link(path, temporary / path.name)
    return JoinResult(out, first, len(found), audio_dropped=False)


def _link(source: Path, target: Path) -> None:
    """Hard-link `source` as `target`, or copy it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
