"""Two served avatars talk in two pages: `python -m tests.bench.bench_conversation a.avatar b.avatar -o sheets`.

An agent each has a local voice and hears the other; a headless Chromium each shows the page of `headsplat serve` with
its sound. Recorded are all poses and all sound with the times at which the page plays them, and small images of what it
really drew. Printed is how many of the closures of m, b and p the page's poses have shut lips at, of how many said, by
the rule of tests/support/closure_score.py at 30 frames per second. The page then draws the mouth of each closure, and
of the widest moment before it, for `closures-a.png`; what it drew in real time is in `drawn-a.png`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import correlate

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.motion.lip_gap import LipGap
from avatar.performance.speech.client import SpeechClient
from avatar.performance.speech.live import Resampler
from avatar.performance.speech.phones import BILABIALS, Phone
from avatar.rendering.cameras import DISTANCE
from avatar.types import JOINT_NAMES, HeadParams
from tests.bench.bench_closures import SENTENCES, SHUT
from tests.support.browser import Page, chromium
from tests.support.page_command import page_command
from tools.weights import espeak

_RATE, _PIECE = 24_000, 480
_AROUND = _RATE // 8  # samples before and after a moment by which its place is found
_LEAD = 0.5  # seconds of silence before the first sound, whose beginning the page may have left out
_FPS = 30.0  # at which a closure is looked for
_TILE = 150  # pixels of a mouth
_MOUTH = 0.085  # meters that a tile shows
_PAUSE = 250  # milliseconds between two images in real time
_SHOWN = 96  # pixels of an image that was drawn in real time
#: Poses and sound with their times on the page's audio clock, and what is drawn.
_RECORD = """(() => {
  const { live, player } = app, { push } = live.waiting;
  globalThis.log = { poses: [], sounds: [], drawn: [] };
  live.waiting.push = function (entry) {
    const { expression, jointRot, translation } = entry.pose;
    log.poses.push([entry.number, entry.time, [...expression, ...jointRot, ...translation]]);
    return push.call(this, entry);
  };
  const { start } = AudioBufferSourceNode.prototype;
  AudioBufferSourceNode.prototype.start = function (when) {
    const bytes = new Uint8Array(Int16Array.from(this.buffer.getChannelData(0), (value) => 32767 * value).buffer);
    log.sounds.push([when, btoa(String.fromCharCode(...bytes))]);
    return start.call(this, when);
  };
  const small = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const { onframe, show } = player;
  let drawn = 0; // a browser that draws on the processor would leave none of it to the sound
  player.show = (pose, camera) => {
    if (!globalThis.isOver && performance.now() - drawn < PAUSE) return;
    drawn = performance.now();
    return show.call(player, pose, camera);
  };
  player.onframe = (frame) => {
    onframe?.(frame);
    const { width, height } = player.canvas, side = Math.min(width, height);
    small.getContext("2d").drawImage(player.canvas, (width - side) / 2, 0, side, side, 0, 0, SIDE, SIDE);
    log.drawn.push([live.context.currentTime, live.number, small.toDataURL("image/jpeg", 0.9)]);
  };
})()""".replace("SIDE", str(_SHOWN)).replace("PAUSE", str(_PAUSE))


@dataclass
class Said:
    """A turn."""

    text: str
    sound: NDArray[np.float32]  # [n] at _RATE
    phones: list[Phone]


@dataclass
class Side:
    """One of the two: an avatar, its voice and its page."""

    name: str
    avatar: Avatar
    voice: str
    page: Page
    address: str
    said: list[Said] = field(default_factory=list)


@contextlib.contextmanager
def _served(name: str, path: Path, voice: str) -> Iterator[Side]:
    """An avatar, its server and its page with the sound on."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        page_command(Path(folder), "serve", str(path.resolve()), "--port", "0", "--seed", str(ord(name))) as (
            _,
            address,
        ),
        chromium(Path(folder), (560, 400)) as page,
    ):
        page.visit(address)
        page.wait("app.live.number > 0")
        page.run("document.getElementById('sound').click()")
        page.wait("app.live.context && app.live.context.currentTime > 0.5")
        page.run(_RECORD)
        yield Side(name, load_avatar(path), voice, page, address)


async def _talk(sides: Sequence[Side], turns: int, *, text: bool) -> None:
    """The sides speak in turns; each hears the other."""
    async with SpeechClient(sides[0].address) as first, SpeechClient(sides[1].address) as second:
        clients = [first, second]
        for number in range(turns):
            side, client, other = sides[number % 2], clients[number % 2], clients[1 - number % 2]
            sentence = SENTENCES[number % len(SENTENCES)]
            samples, rate, phones = espeak.synthesize(sentence, side.voice, 150)
            sound = Resampler(rate, _RATE).push(samples)
            side.said.append(Said(sentence, sound, phones))
            if text:
                await client.push_text(sentence)
            start = time.monotonic()
            for index, at in enumerate(range(0, len(sound), _PIECE)):
                await asyncio.sleep(max(start + index * _PIECE / _RATE - time.monotonic(), 0))
                await client.push_audio(sound[at : at + _PIECE], _RATE)
                await other.push_heard(sound[at : at + _PIECE], _RATE)
            await client.end_segment()
            await client.ended()
            await asyncio.sleep(0.4)
    await asyncio.sleep(1)


@dataclass
class Record:
    """What a page has played and drawn; seconds of its audio clock."""

    times: NDArray[np.float64]  # [T]
    poses: NDArray[np.float32]  # [T,E+18]
    start: float  # of the sound
    sound: NDArray[np.float32]  # [n] at _RATE
    drawn: list[tuple[float, int, NDArray[np.uint8]]]  # seconds, number of the pose, BGR
    late: int  # messages whose sound came too late

    @staticmethod
    def of(page: Page) -> Record:
        """What `_RECORD` has recorded."""
        log = json.loads(page.run("JSON.stringify(log)"))
        pieces = [
            (when, np.frombuffer(base64.b64decode(data), "<i2") / np.float32(32767)) for when, data in log["sounds"]
        ]
        start = pieces[0][0] - _LEAD
        sound = np.zeros(round((pieces[-1][0] - start) * _RATE) + len(pieces[-1][1]), np.float32)
        for when, samples in pieces:
            at = round((when - start) * _RATE)
            sound[at : at + len(samples)] = samples
        drawn = []
        for moment, number, data in log["drawn"]:
            coded = np.frombuffer(base64.b64decode(data.partition(",")[2]), np.uint8)
            drawn.append((moment, number, np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)))
        times = np.array([moment for _, moment, _ in log["poses"]])
        poses = np.array([pose for _, _, pose in log["poses"]], np.float32)
        return Record(times, poses, start, sound, drawn, int(page.run("app.live.late")))


@dataclass(frozen=True, eq=False)
class Closure:
    """A closure that was said, and what the page shows at it."""

    phone: str
    middle: float  # seconds of the audio clock
    gap: float  # millimeters, the least in the frames that count
    shut: NDArray[np.float32]  # the pose then
    wide: float  # the largest gap in the half second around it
    open: NDArray[np.float32]


def _heard(played: NDArray[np.float32], said: NDArray[np.float32], at: int, moment: float) -> float | None:
    """Seconds of what was played at which a moment of what was said is heard; None: it is not.

    A page whose sound came too late plays the rest of a turn later, poses and sound alike.
    """
    middle = round(moment * _RATE)
    wanted = said[max(middle - _AROUND, 0) : middle + _AROUND]
    begin = max(at + middle - 5 * _AROUND, 0)
    part = played[begin : at + middle + 10 * _AROUND]
    if len(part) < len(wanted):
        return None
    found = int(correlate(part, wanted, "valid", "fft").argmax())
    if not part[found : found + len(wanted)].any():
        return None
    alike = float(np.corrcoef(part[found : found + len(wanted)], wanted)[0, 1])
    return (begin + found + middle - max(middle - _AROUND, 0)) / _RATE if alike > 0.9 else None


def closures(side: Side, record: Record) -> tuple[list[Closure], int]:
    """All closures of what a side has said and the page has played, and how many it has not played whole."""
    gap = LipGap.of(side.avatar.head)
    assert gap is not None
    weights = torch.from_numpy(record.poses[:, : len(side.avatar.head.expression_names)]).to(gap.opening)
    gaps = 1e3 * gap(weights).numpy()
    found = []
    searched = unheard = 0
    for said in side.said:
        at = searched + int(correlate(record.sound[searched:], said.sound, "valid", "fft").argmax())
        searched = at + len(said.sound) // 2
        for phone in said.phones:
            if phone.name not in BILABIALS:
                continue
            heard = _heard(record.sound, said.sound, at, (phone.start + phone.end) / 2)
            if heard is None:
                unheard += 1
                continue
            middle = record.start + heard
            # The frame of a film that is nearest to the middle, and one on each side of it.
            frames = [int(np.abs(record.times - (round(middle * _FPS) + k) / _FPS).argmin()) for k in (-1, 0, 1)]
            best = min(frames, key=lambda frame: gaps[frame])
            near = np.flatnonzero(np.abs(record.times - middle) < 0.25)
            widest = int(near[gaps[near].argmax()])
            found.append(
                Closure(phone.name, middle, gaps[best], record.poses[best], gaps[widest], record.poses[widest])
            )
    return found, unheard


def mouth_image(side: Side, pose: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[_TILE,_TILE,3] BGR: the mouth of a pose, drawn by the page."""
    head = side.avatar.head
    count = len(head.expression_names)
    values = torch.from_numpy(pose)
    joints = values[count:-3].reshape(1, len(JOINT_NAMES), 3)
    params = side.avatar.with_identity(HeadParams(torch.zeros(0), values[None, :count], joints, values[None, -3:]))
    rotation, translation = head.skull_pose(params)
    corners = head.faces[head.landmark_faces[[13, 14]]]
    lips = (head.skull_vertices(params)[0][corners] * head.landmark_bary[[13, 14], :, None]).sum(1).mean(0)
    x, y, z = (rotation[0] @ lips + translation[0]).tolist()
    focal = _TILE * DISTANCE / _MOUTH
    # A camera before the mouth that looks along -z.
    camera = {
        "fx": focal, "fy": focal, "cx": _TILE / 2, "cy": _TILE / 2, "rotation": [1, 0, 0, 0, -1, 0, 0, 0, -1],
        "translation": [-x, y, z + DISTANCE], "width": _TILE, "height": _TILE,
    }  # fmt: skip
    shown = {
        "expression": pose[:count].tolist(),
        "jointRot": pose[count:-3].tolist(),
        "translation": pose[-3:].tolist(),
    }
    script = f"app.player.show({json.dumps(shown)}, {json.dumps(camera)})"
    return side.page.image(f"{script}.then(() => {{ app.player.redraw(); return app.player.canvas.toDataURL(); }})")[
        ..., ::-1
    ]


def sheet(rows: list[tuple[list[NDArray[np.uint8]], str]], columns: int) -> NDArray[np.uint8]:
    """Stacks of images with a line of text each, in rows of so many."""
    cells = []
    for images, text in rows:
        cell = np.concatenate([*images, np.full((22, images[0].shape[1], 3), 255, np.uint8)])
        cv2.putText(cell, text, (3, cell.shape[0] - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return np.concatenate([np.concatenate(cells[k : k + columns], 1) for k in range(0, len(cells), columns)])


def report(side: Side, out: Path) -> None:
    """Print the figures of a side, and write its sheets."""
    record = Record.of(side.page)
    found, unheard = closures(side, record)
    shut = [each for each in found if each.gap <= SHUT]
    rate = len(record.drawn) / (record.drawn[-1][0] - record.drawn[0][0])
    print(f"{side.name} ({side.voice}): lips shut at {len(shut)} of {len(found)} closures; not played whole: {unheard}")
    if not found:
        return
    gaps = [each.gap for each in found]
    wide = np.median([each.wide for each in found])
    print(f"  gap: median {np.median(gaps):.2f}, most {max(gaps):.2f} mm; widest moments beside them {wide:.1f} mm")
    print(f"  drawn in real time: {rate:.1f} images per second; messages whose sound came late: {record.late}")
    for each in found:
        if each.gap > SHUT:
            print(f"  missed: {each.phone} at {each.middle:.2f} s, {each.gap:.2f} mm")
    side.page.run("globalThis.isOver = true; document.getElementById('follow').click()")
    tiles = []
    for each in found:
        images = [mouth_image(side, each.shut), mouth_image(side, each.open)]
        tiles.append((images, f"{each.phone} {each.gap:.1f} | {each.wide:.1f} mm"))
    cv2.imwrite(str(out / f"closures-{side.name}.png"), sheet(tiles, 10))
    busy = [each for each in record.drawn if record.start <= each[0] <= record.start + 12]
    cv2.imwrite(
        str(out / f"drawn-{side.name}.png"),
        sheet([([image], f"{moment - record.start:.2f} s") for moment, _, image in busy], 14),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Let them talk, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatars", type=Path, nargs=2)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--no-text", action="store_true", help="the agents do not say what they say")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    with _served("a", given.avatars[0], "en-us+f3") as first, _served("b", given.avatars[1], "gmw/en") as second:
        asyncio.run(_talk((first, second), given.turns, text=not given.no_text))
        for side in (first, second):
            report(side, given.out)


if __name__ == "__main__":
    main()
