"""Fuzzing of the binary readers, guided by coverage: inputs that reach new lines are kept and changed further.

The name of an input is its descent: `osc:0.17.4` is seed 0 of the target osc, changed with generator 17, then with 4.
So a failing input is made again without the search that found it.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from tests.system.trust.attack.avatars import VERSION_1
from tests.system.trust.attack.cases import ROOT, Case, Outcome, judge
from tests.system.trust.attack.damage import mutated
from tests.system.trust.attack.motions import check_motion
from tests.system.trust.attack.packets import packets_fault, valid_packets
from tests.system.trust.attack.scene import Scene

#: Inputs of one target at full length.
INPUTS = 300
_SHARE_OF_NEWEST = 0.5  # of the parents, from the last entries of the corpus
_TOKENS = (
    b"nan", b"-1e999", b"null", b"\xff\xff\xff\xff", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"'descr': '|O'", b"(1, 2)",
    b"shape", b"\x80\x02", b"cos\nsystem\n", b"#bundle\0", b",sf\0", b"jawOpen", b'{"a": [', b"<f8", b"True", b"0" * 40,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A reader: seeds, a check that raises or returns what is wrong, and the modules whose lines count."""

    name: str
    seeds: Callable[[Scene], list[bytes]]
    check: Callable[[Path, bytes], str | None]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Campaign(Case):
    """Many inputs of one target, one after another."""

    target: Target
    scene: Scene
    inputs: int

    def steps(self, folder: Path) -> Iterator[tuple[str, Callable[[], Outcome]]]:
        """(name, run) of each input; the search goes on from what its lines were."""
        zipfile.ZipExtFile._update_crc = lambda self, data: None  # or nothing gets past it
        coverage = Coverage(self.target.modules)
        corpus = [(str(number), data) for number, data in enumerate(self.target.seeds(self.scene))]
        random = Random(self.scene.random_name("guided", self.target.name))
        queue = list(corpus)
        for _ in range(self.inputs):
            name, data = queue.pop(0) if queue else _child(corpus, random)
            place = folder / "input"
            yield f"{self.target.name}:{name}", lambda data=data, place=place: coverage.run(self.target, place, data)
            if coverage.new and (name, data) not in corpus:
                corpus.append((name, data))


def cases(scene: Scene, inputs: int = INPUTS) -> list[Case]:
    """A campaign for each target."""
    return [Campaign(target.name, lambda folder: Outcome("skipped"), target, scene, inputs) for target in TARGETS]


def find(scene: Scene, name: str) -> Case | None:
    """The case of one input, from its name."""
    wanted, _, descent = name.partition(":")
    target = next((target for target in TARGETS if target.name == wanted), None)
    if target is None or not descent:
        return None
    start, *changes = map(int, descent.split("."))
    data = target.seeds(scene)[start]
    for change in changes:
        data = _changed(data, change)
    chosen, final = target, data

    def run(folder: Path) -> Outcome:
        zipfile.ZipExtFile._update_crc = lambda self, data: None
        return judge(lambda: chosen.check(folder / "input", final), (str(folder),))

    return Case(name, run)


def _child(corpus: list[tuple[str, bytes]], random: Random) -> tuple[str, bytes]:
    newest = corpus[-max(len(corpus) // 4, 1) :] if random.random() < _SHARE_OF_NEWEST else corpus
    name, data = random.choice(newest)
    change = random.randrange(1_000_000)
    return f"{name}.{change}", _changed(data, change)


def _changed(data: bytes, change: int) -> bytes:
    return mutated(data, Random(change), _TOKENS)


class Coverage:
    """The lines of some modules that have run so far."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._files = tuple(str(ROOT / module) for module in modules)
        self._lines: set[tuple[str, int]] = set()
        self.new = False  # whether the last input ran a line for the first time

    def run(self, target: Target, place: Path, data: bytes) -> Outcome:
        """Check an input with its lines counted."""
        before, tracer = len(self._lines), sys.gettrace()
        sys.settrace(self._enter)
        try:
            return judge(lambda: target.check(place, data), (str(place.parent),))
        finally:
            sys.settrace(tracer)
            self.new = len(self._lines) > before

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._files) else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def _stored(place: Path, suffix: str, data: bytes) -> Path:
    place.mkdir(exist_ok=True)
    path = place / f"a{suffix}"
    path.write_bytes(data)
    return path


def _check_avatar(place: Path, data: bytes) -> str | None:
    from avatar.model.avatar_file import load_avatar

    avatar = load_avatar(_stored(place, ".avatar", data))
    finite = all(bool(value.isfinite().all()) for value in avatar.state_dict().values())
    return None if finite else "an avatar with numbers that are not finite"


def _check_flame(suffix: str) -> Callable[[Path, bytes], str | None]:
    def check(place: Path, data: bytes) -> str | None:
        from avatar.head.flame.source import read_flame

        return read_flame(_stored(place, suffix, data)) and None

    return check


def _check_motion(suffix: str) -> Callable[[Path, bytes], str | None]:
    return lambda place, data: check_motion(_stored(place, suffix, data))


def _check_refined(place: Path, data: bytes) -> str | None:
    from avatar.data.capture_folder import Capture
    from avatar.refine.track import RefinedTrack

    capture = Capture.load(place.parent / "capture")
    (capture.root / "refined.npz").write_bytes(data)
    return RefinedTrack.load(capture) and None


def _check_osc(place: Path, data: bytes) -> str | None:
    from capture.live.protocols.osc import parse_osc

    parse_osc(data)
    return packets_fault("vmc", [data])


def _check_packet(protocol: str) -> Callable[[Path, bytes], str | None]:
    return lambda place, data: packets_fault(protocol, [data])


def _check_npz(place: Path, data: bytes) -> str | None:
    from avatar.common.npz import DamagedNpz, Npz
    from avatar.errors import HeadsplatError

    try:
        archive = Npz(_stored(place, ".npz", data))
        for name in archive.names:
            archive.array(name)
        archive.texts()
    except DamagedNpz as error:
        raise HeadsplatError(f"damaged: {''.join(letter for letter in str(error) if letter.isprintable())}") from error
    return None


def _motion_file(folder: str, name: str) -> Callable[[Scene], list[bytes]]:
    return lambda scene: [(scene.inputs / "motions" / folder / name).read_bytes()]


def _head_file(name: str) -> Callable[[Scene], list[bytes]]:
    return lambda scene: [(scene.inputs / "heads" / name).read_bytes()]


_MOTIONS = ("avatar/motion/files", "avatar/common/npz.py")
TARGETS = (
    Target("avatar", lambda scene: [VERSION_1.read_bytes()], _check_avatar, ("avatar/model",)),
    Target("pickle", _head_file("small.pkl"), _check_flame(".pkl"), ("avatar/head/flame",)),
    Target("FLAME npz", _head_file("small.npz"), _check_flame(".npz"), ("avatar/head/flame", "avatar/common/npz.py")),
    Target("npz", _motion_file("m", "m.motion.npz"), _check_npz, ("avatar/common/npz.py",)),
    Target("motion npz", _motion_file("m", "m.motion.npz"), _check_motion(".motion.npz"), _MOTIONS),
    Target("FLAME motion", _motion_file("flame_param", "flame_param.npz"), _check_motion(".npz"), _MOTIONS),
    Target("frame", _motion_file("00001", "00001.frame"), _check_motion(".frame"), _MOTIONS),
    Target("Live Link CSV", _motion_file("take", "take.csv"), _check_motion(".csv"), _MOTIONS),
    Target("named JSON", _motion_file("named", "named.json"), _check_motion(".json"), _MOTIONS),
    Target("Audio2Face", _motion_file("a2f", "a2f.json"), _check_motion(".json"), _MOTIONS),
    Target("osc", lambda scene: valid_packets("vmc"), _check_osc, ("capture/live/protocols",)),
    Target("livelink", lambda scene: valid_packets("livelink"), _check_packet("livelink"), ("capture/live/protocols",)),
    Target(
        "ifacialmocap", lambda scene: valid_packets("ifacialmocap"), _check_packet("ifacialmocap"), ("capture/live",)
    ),
)
