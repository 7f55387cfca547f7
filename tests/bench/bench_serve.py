"""Speech through `headsplat serve`, in real time: `python -m tests.bench.bench_serve me.avatar [--minutes 10]`.

An agent pushes a voice in pieces of 20 ms over a WebSocket and interrupts it now and then; two viewers receive poses
and sound, and with `--video` a third one the encoded video. Printed is a Markdown table: from a piece of sound to its
arrival at a viewer, intervals of messages, from an interruption to silence and to a mouth at rest, what is missing,
sound against lips in the first and the last minute, memory of the server, bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import correlate

from avatar.head.arkit import ARKIT_52
from avatar.head.model import HeadModel
from avatar.model.avatar_file import load_avatar
from avatar.motion.lip_gap import LipGap
from avatar.performance.speech.client import SpeechClient
from avatar.performance.speech.live import Resampler
from avatar.performance.speech.stream import SpeechDriver, SpeechStream
from avatar.performance.speech.visemes import CONTROLS
from tests.bench.bench_closures import SENTENCES
from tests.bench.bench_stream import lag, resident
from tests.support.page_command import page_command
from tools.weights import espeak
from viewer.web.speech_messages import BUNDLE, pose_values, read_bundle

_VOICES = "en-us", "en-us+f3", "gmw/en"
_RATE, _FPS = 24_000, 60
_PIECE = 480  # samples: 20 ms
_PAUSE = 0.3  # seconds between turns
_SEARCHED = 2.0  # seconds after a push in which its sound is looked for
_FIXED = 0.3  # seconds of sound that are compared
_RESTS = 0.02  # largest weight of a mouth at rest, from its resting value


@dataclass
class Turn:
    """What the agent has pushed in a turn."""

    sound: NDArray[np.float32]  # [n] at _RATE
    pushed: list[float] = field(default_factory=list)  # seconds, of its pieces
    interrupted: float | None = None  # seconds


@dataclass
class Seen:
    """What a viewer has received."""

    arrivals: list[float] = field(default_factory=list)  # seconds
    numbers: list[int] = field(default_factory=list)  # of the first frames
    poses: list[NDArray[np.float32]] = field(default_factory=list)
    sounds: list[NDArray[np.int16]] = field(default_factory=list)
    bytes: int = 0


@dataclass
class Run:
    """What was measured."""

    turns: list[Turn] = field(default_factory=list)
    viewers: list[Seen] = field(default_factory=lambda: [Seen(), Seen()])
    memory: list[float] = field(default_factory=list)  # MB of the server, once a second
    video: list[tuple[float, bytes]] = field(default_factory=list)  # seconds, what came then


def _sentences() -> list[NDArray[np.float32]]:
    said = (espeak.synthesize(sentence, voice, 170) for sentence, voice in itertools.product(SENTENCES, _VOICES))
    return [Resampler(rate, _RATE).push(samples) for samples, rate, _ in said]


async def _agent(address: str, said: list[NDArray[np.float32]], seconds: float, interruptions: int, found: Run) -> None:
    """Speak for so long."""
    async with SpeechClient(address) as client:
        end = time.monotonic() + seconds
        every = seconds / max(interruptions, 1)
        cut = time.monotonic() + every / 2
        for sound in itertools.cycle(said):
            if time.monotonic() > end:
                return
            turn = Turn(sound)
            found.turns.append(turn)
            start = time.monotonic()
            for index, at in enumerate(range(0, len(sound), _PIECE)):
                await asyncio.sleep(max(start + index * _PIECE / _RATE - time.monotonic(), 0))
                if time.monotonic() > cut and index > 25 and interruptions:
                    cut += every
                    turn.interrupted = time.monotonic()
                    await client.interrupt()
                    break
                turn.pushed.append(time.monotonic())
                await client.push_audio(sound[at : at + _PIECE], _RATE)
            await client.end_segment()
            await asyncio.sleep(_PAUSE + (0.5 if turn.interrupted else 0))


async def _watch(address: str, seen: Seen) -> None:
    from websockets.asyncio.client import connect

    async with connect(
        address.replace("http:", "ws:").replace("/?", "/watch?"), compression=None, proxy=None
    ) as viewer:
        await viewer.recv()
        async for message in viewer:
            seen.arrivals.append(time.monotonic())
            assert isinstance(message, bytes)
            number, poses, sound = read_bundle(message)
            seen.bytes += len(message)
            seen.numbers.append(number)
            seen.poses.append(poses)
            seen.sounds.append(sound)


async def _watch_video(address: str, found: Run) -> None:
    host, _, path = address.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    writer.write(f"GET /{path.replace('?', 'video?', 1)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    while data := await reader.read(1 << 16):
        found.video.append((time.monotonic(), data))


async def run(address: str, process: int, seconds: float, interruptions: int, *, video: bool) -> Run:
    """Let the agent speak while all watch."""
    found, said = Run(), _sentences()
    watching = [asyncio.create_task(_watch(address, seen)) for seen in found.viewers]
    if video:
        watching.append(asyncio.create_task(_watch_video(address, found)))
    await asyncio.sleep(3)

    async def weigh() -> None:
        while True:
            found.memory.append(resident(process))
            await asyncio.sleep(1)

    watching.append(asyncio.create_task(weigh()))
    await _agent(address, said, seconds, interruptions, found)
    await asyncio.sleep(1)
    for task in watching:
        task.cancel()
    results = await asyncio.gather(*watching, return_exceptions=True)
    failures = [each for each in results if not isinstance(each, asyncio.CancelledError)]
    assert not failures, failures
    return found


def place(turn: Turn, sound: NDArray[np.float32], begin: int) -> int | None:
    """The sample of `sound` [n] with the first one of a turn, at `begin` or later; None: it was not found."""
    wanted = turn.sound[: round(_FIXED * _RATE)]
    part = sound[max(begin, 0) : max(begin, 0) + round(_SEARCHED * _RATE)]
    if len(part) < len(wanted):
        return None
    at = int(correlate(part, wanted, "valid", "fft").argmax())
    alike = float(np.corrcoef(part[at : at + len(wanted)], wanted)[0, 1])
    return max(begin, 0) + at if alike > 0.95 else None


def latencies(found: Run, seen: Seen) -> NDArray[np.float64]:
    """Seconds from pushing a piece to the arrival of its last sample."""
    sound = np.concatenate(seen.sounds) / np.float32(32767)
    ends, arrivals = np.cumsum([len(each) for each in seen.sounds]), np.array(seen.arrivals)
    delays = []
    for turn in found.turns:
        before = min(int(np.searchsorted(arrivals, turn.pushed[0])), len(ends) - 1)
        begin = int(ends[before]) - _RATE // 5
        at = place(turn, sound, begin)
        if at is None:
            continue
        for index, pushed in enumerate(turn.pushed):
            last = at + min((index + 1) * _PIECE, len(turn.sound)) - 1
            message = int(np.searchsorted(ends, last, "right"))
            if message >= len(arrivals):
                break
            if turn.interrupted is None or arrivals[message] < turn.interrupted:
                delays.append(arrivals[message] - pushed)
    return np.array(delays)


def interruptions(
    found: Run, seen: Seen, mouth: list[int], rest: NDArray[np.float32]
) -> tuple[list[float], list[float]]:
    """Seconds from each interruption to the first message without sound, and to the first with a mouth at rest."""
    arrivals = np.array(seen.arrivals)
    silent: list[float] = []
    still: list[float] = []
    for turn in found.turns:
        if turn.interrupted is None:
            continue
        after = range(int(np.searchsorted(arrivals, turn.interrupted)), len(arrivals))
        quiet = (k for k in after if not seen.sounds[k].any())
        silent.append(float(arrivals[next(quiet, -1)]) - turn.interrupted)
        calm = (k for k in after if np.abs(seen.poses[k][-1, mouth] - rest[mouth]).max() < _RESTS)
        still.append(float(arrivals[next(calm, -1)]) - turn.interrupted)
    return silent, still


def fragments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(end in bytes, number of the track, time in its ticks) of the fragments of a file."""

    def boxes(start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        while start + 8 <= end:
            size, name = struct.unpack_from(">I4s", data, start)
            yield name, start + 8, start + size
            start += size

    tracks: list[tuple[int, int]] = []
    for name, start, end in boxes(0, len(data)):
        if name == b"mdat":
            yield from ((end, *each) for each in tracks)
        if name != b"moof":
            continue
        tracks = []
        for inner, begin, stop in boxes(start, end):
            if inner == b"traf":
                found = {kind: at for kind, at, _ in boxes(begin, stop)}
                track = struct.unpack_from(">I", data, found[b"tfhd"] + 4)[0]
                tracks.append((track, struct.unpack_from(">Q", data, found[b"tfdt"] + 4)[0]))


def video_rows(found: Run) -> list[tuple[str, str]]:
    """Figures of the encoded video."""
    data = b"".join(piece for _, piece in found.video)
    ends, arrivals = np.cumsum([len(piece) for _, piece in found.video]), np.array([at for at, _ in found.video])
    whole = [each for each in fragments(data) if each[0] <= len(data)]
    times = {
        track: np.array([(ticks / scale, arrivals[np.searchsorted(ends, end)]) for end, number, ticks in whole
                         if number == track]) for track, scale in ((1, 90_000), (2, 48_000))
    }  # fmt: skip
    with av.open(io.BytesIO(data[: whole[-1][0]])) as container:
        sounds = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    first = round(sounds[0][0] * _RATE)
    sound = np.concatenate([np.zeros(first), *(each[::2] for _, each in sounds)]).astype(np.float32)
    start = float((times[2][:, 1] - times[2][:, 0]).min())  # the file begins at this time, or a little before
    delays: dict[int, list[float]] = {1: [], 2: []}
    for turn in found.turns:
        at = place(turn, sound, round((turn.pushed[0] - start - 0.5) * _RATE))
        if at is None:
            continue
        for track in delays:
            for moment, arrival in times[track]:
                index = int((moment * _RATE - at) // _PIECE)
                if 0 <= index < len(turn.pushed) and (turn.interrupted is None or arrival < turn.interrupted):
                    delays[track].append(arrival - turn.pushed[index])
    seconds = arrivals[-1] - arrivals[0]
    return [
        ("video: sound to its image, ms", _spread(np.array(delays[1]))),
        ("video: sound to itself, ms", _spread(np.array(delays[2]))),
        ("video: images per second", f"{len(times[1]) / seconds:.1f}"),
        ("video: kB/s", f"{len(data) / seconds / 1000:.0f}"),
    ]


def _spread(values: NDArray[np.float64]) -> str:
    middle, high = np.quantile(1000 * values, (0.5, 0.95)) if len(values) else (np.nan, np.nan)
    return f"{middle:.0f}, {high:.0f}, {1000 * values.max(initial=0):.0f}"


def rows(found: Run, head: HeadModel, rest: NDArray[np.float32]) -> Iterator[tuple[str, str]]:
    """The table."""
    gap = LipGap.of(head)
    assert gap is not None
    mouth = [head.expression_index(ARKIT_52[column]) for columns in CONTROLS.values() for column in columns]
    cut = [turn for turn in found.turns if turn.interrupted is not None]
    yield "turns, interruptions", f"{len(found.turns)}, {len(cut)}"
    for name, seen in zip("AB", found.viewers, strict=True):
        delays = latencies(found, seen)
        yield f"viewer {name}: sound to its frame, ms ({len(delays)} pieces)", _spread(delays)
        yield f"viewer {name}: between messages, ms", _spread(np.diff(seen.arrivals))
        silent, still = interruptions(found, seen, mouth, rest)
        yield f"viewer {name}: interruption to silence, ms", _spread(np.array(silent))
        yield f"viewer {name}: interruption to rest, ms", _spread(np.array(still))
        missing = int((np.diff(seen.numbers) - BUNDLE).sum())
        samples = sum(map(len, seen.sounds))
        stop = seen.numbers[-1] + BUNDLE
        wanted = round(stop / _FPS * _RATE) - round(seen.numbers[0] / _FPS * _RATE)
        yield f"viewer {name}: frames missing, samples too many", f"{missing}, {samples - wanted}"
        seconds = seen.arrivals[-1] - seen.arrivals[0]
        behind = np.array(seen.arrivals) - np.array(seen.numbers) / _FPS
        part = len(behind) // 10
        slip = behind[-part:].min() - behind[:part].min()
        yield f"viewer {name}: server's time against the clock, first to last tenth, ms", f"{1000 * slip:.1f}"
        expressions = torch.from_numpy(np.concatenate(seen.poses)[:, : len(head.expression_names)])
        gaps = 1e3 * (gap.at_rest + expressions.to(gap.opening) @ gap.opening).numpy()
        sound = np.concatenate(seen.sounds).astype(np.float64) / 32767
        levels = np.array([np.sqrt(np.mean(each**2)) for each in np.array_split(sound, len(gaps))])
        some = round(min(60, seconds / 2) * _FPS)
        lags = [1000 * lag(gaps[span], levels[span], _FPS) for span in (slice(some), slice(-some, None))]
        yield f"viewer {name}: lips after the sound, first and last minute, ms", "{:.0f}, {:.0f}".format(*lags)
        yield f"viewer {name}: kB/s", f"{seen.bytes / seconds / 1000:.0f}"
    if found.video:
        yield from video_rows(found)
    memory = found.memory
    yield (
        "memory of the server, MB: after 10 s, half, end",
        (f"{memory[min(10, len(memory) - 1)]:.0f}, {memory[len(memory) // 2]:.0f}, {memory[-1]:.0f}"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--interruptions", type=int, help="default: five a minute")
    parser.add_argument("--video", action="store_true", help="somebody watches the encoded video, too")
    given = parser.parse_args(arguments)
    avatar = load_avatar(given.avatar)
    rest = pose_values(SpeechDriver(avatar)(SpeechStream(acting=0).next_frame()))
    count = round(5 * given.minutes) if given.interruptions is None else given.interruptions
    with (
        tempfile.TemporaryDirectory() as folder,
        page_command(Path(folder), "serve", str(given.avatar.resolve()), "--port", "0") as (process, address),
    ):
        found = asyncio.run(run(address, process.pid, 60 * given.minutes, count, video=given.video))
    print("| figure (three numbers: median, 95 %, most) | |\n|---|---|")
    for name, value in rows(found, avatar.head, rest):
        print(f"| {name} | {value} |", flush=True)


if __name__ == "__main__":
    main()
