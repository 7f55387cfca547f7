"""Pieces of one rendering to the whole, without encoding anything again."""

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
from avatar.errors import HeadsplatError
from avatar.video.audio import SoundTrack, check_sound
from avatar.video.metadata import Piece, read_piece
from avatar.video.sequence import PICTURES
from avatar.video.tracks import PacketTrack, open_container

#: Called with (frames done, frames in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Joined:
    """What was joined."""

    path: Path
    first: int  # number of the first frame
    count: int  # frames
    silenced: bool  # the pieces had sound, the whole has none


def join(
    paths: Sequence[Path],
    out: Path,
    *,
    audio: Path | None = None,
    partial: bool = False,
    progress: Progress | None = None,
) -> Joined:
    """Put the pieces `paths`, in any order, behind one another in `out`.

    Args:
        paths: videos that avatar.video wrote, or folders of numbered pictures.
        out: the video or folder; what is there is replaced.
        audio: a file with sound for the whole; the pieces' own sound is left out, it would not meet without gaps.
        partial: the pieces may begin after frame 0 and end before the last of the whole. Folders of pictures do not say
            how many frames the whole has: that they end too early is never found.
        progress: called after every frame.

    Raises:
        HeadsplatError: a piece is missing, foreign, overlaps another or does not fit.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(folders) < len(paths):
        raise HeadsplatError(f"{folders[0]}: is a folder beside videos; give pieces of one kind")
    if folders:
        if audio is not None:
            raise HeadsplatError(f"{out}: a folder of pictures holds no sound; leave --audio out")
        return _join_folders(folders, out, partial)
    if audio is not None:
        check_sound(audio)
    pieces = sorted((read_piece(path) for path in paths), key=lambda piece: (piece.metadata.first, piece.stop))
    _check(pieces, out, partial)
    with atomic_path(out) as temporary:
        try:
            _remux(pieces, temporary, audio, progress)
        except (OSError, av.error.FFmpegError) as error:
            raise write_error(out, error) from error
    count = sum(piece.count for piece in pieces)
    silenced = audio is None and any(piece.sound for piece in pieces)
    return Joined(out, pieces[0].metadata.first, count, silenced)


def _check(pieces: Sequence[Piece], out: Path, partial: bool) -> None:
    first, last = pieces[0], pieces[-1]
    if out.suffix.lower() != first.metadata.stored.suffix:
        raise HeadsplatError(
            f"{out}: the pieces are {first.metadata.stored.suffix} files; give the whole that suffix too"
        )
    for piece in pieces:
        if any(piece.path.samefile(other.path) for other in pieces if other is not piece):
            raise HeadsplatError(f"{piece.path}: given twice; name each piece once")
        if out.exists() and piece.path.samefile(out):
            raise HeadsplatError(f"{out}: is one of the pieces; choose another name with -o")
        _check_alike(first, piece)
    for before, after in pairwise(pieces):
        if after.metadata.first < before.stop:
            raise HeadsplatError(
                f"{after.path}: begins with frame {after.metadata.first}, and {before.path} goes up to frame "
                f"{before.stop - 1}; leave one of them out or render one again"
            )
        if after.metadata.first > before.stop:
            raise HeadsplatError(
                f"{after.path}: begins with frame {after.metadata.first}, and {before.path} ends with frame "
                f"{before.stop - 1}; render --frames {before.stop}:{after.metadata.first} too"
            )
    if partial or first.metadata.total is None:
        return
    for start, stop in ((0, first.metadata.first), (last.stop, first.metadata.total)):
        if start < stop:
            raise _missing(out, start, stop, f" of {first.metadata.total}")


def _missing(out: Path, start: int, stop: int, whole: str = "") -> HeadsplatError:
    return HeadsplatError(
        f"{out}: frames {start} to {stop - 1}{whole} are in none of the pieces; render --frames {start}:{stop} too, or "
        "give --partial"
    )


def _check_alike(first: Piece, piece: Piece) -> None:
    kinds = (
        ("codec", piece.metadata.codec, first.metadata.codec),
        ("size", f"{piece.width}x{piece.height}", f"{first.width}x{first.height}"),
        ("rate", _rate_in_words(piece), _rate_in_words(first)),
        ("number of frames of the whole", str(piece.metadata.total), str(first.metadata.total)),
    )
    for kind, found, wanted in kinds:
        if found != wanted:
            raise HeadsplatError(
                f"{piece.path}: its {kind} is {found}, that of {first.path} {wanted}; render it again with the "
                "options of the others"
            )
    if piece.setup != first.setup:
        raise HeadsplatError(
            f"{piece.path}: encoded with other settings than {first.path}; render it again with the options of the "
            "others"
        )


def _rate_in_words(piece: Piece) -> str:
    if piece.metadata.timed:  # the mean of a piece says nothing of the others'
        return "its frames' own times"
    return f"{float(Fraction(piece.metadata.rate)):.6g} frames/s"


def _remux(pieces: Sequence[Piece], path: Path, audio: Path | None, progress: Progress | None) -> None:
    facts = pieces[0].metadata
    clock, total = facts.clock, sum(piece.count for piece in pieces)
    with contextlib.ExitStack() as closing:
        container = closing.enter_context(open_container(path, facts.stored, clock))
        container.metadata.update(facts.tags())
        template = closing.enter_context(av.open(str(pieces[0].path))).streams.video[0]
        stream = container.add_stream_from_template(template, opaque=True)
        assert isinstance(stream, av.VideoStream)
        stream.metadata.update(template.metadata)  # a webm says there that it has alpha
        stream.time_base = clock.tick
        if template.average_rate:  # without one a webm stores no frame's duration
            stream.codec_context.framerate = template.average_rate
        if facts.stored.tag:
            stream.codec_context.codec_tag = facts.stored.tag
        sound = None
        if audio is not None:
            assert facts.stored.sound is not None
            sound = SoundTrack(audio, container, facts.stored.sound, facts.start * clock.tick)
            closing.callback(sound.close)
        track, last = PacketTrack(container, stream, facts, sound), -1
        for done, (piece, index, packet, tick) in enumerate(_packets(pieces)):
            if tick < last and not index:
                raise HeadsplatError(
                    f"{piece.path}: begins at {piece.metadata.start * float(clock.tick):.3f} s, when the piece before "
                    "is not over; render it again with times of the whole"
                )
            last = max(tick, last + 1)  # times may lie closer than a tick, also where two pieces meet
            track.put(packet, last)
            if progress is not None:
                progress(done + 1, total)
        track.finish()


def _packets(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int, av.Packet, int]]:
    """(piece, packet's number in it, packet, its tick in the whole) in order."""
    clock, start = pieces[0].metadata.clock, pieces[0].metadata.start
    for piece in pieces:
        with av.open(str(piece.path)) as container:
            stream = container.streams.video[0]
            packets = (packet for packet in container.demux(stream) if packet.size)
            for index, packet in enumerate(packets):
                assert packet.pts is not None and packet.time_base is not None
                own = round(packet.pts * packet.time_base * clock.scale)
                place = clock.at(piece.metadata.first + index, None) if clock.step else piece.metadata.start + own
                yield piece, index, packet, place - start


def _join_folders(folders: Sequence[Path], out: Path, partial: bool) -> Joined:
    found: dict[int, Path] = {}
    for picture in (picture for folder in folders for picture in sorted(folder.iterdir())):
        if not any(map(Path(picture.name).match, PICTURES)) or not picture.stem.isdecimal():
            raise HeadsplatError(f"{picture}: is no numbered picture; give folders that `headsplat render` wrote")
        number = int(picture.stem)
        if number in found:
            raise HeadsplatError(f"{picture}: {found[number]} is the same frame; leave one of the folders out")
        found[number] = picture
    if not found:
        raise HeadsplatError(f"{folders[0]}: holds no pictures; give folders that `headsplat render` wrote")
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
            raise HeadsplatError(f"{found[after]}: the pictures before are {suffix} files; give pieces of one kind")
    with atomic_folder(out) as temporary:
        for picture in found.values():
            _link(picture, temporary / picture.name)
    return Joined(out, first, len(found), silenced=False)


def _link(source: Path, target: Path) -> None:
    """`source` under the name `target` as well, as a copy where the file system knows no second names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
