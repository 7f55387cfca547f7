"""Damaged .avatar files: every tensor, every key of the header, the container, and bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

from tests.system.trust.attack.cases import ROOT, WRONG, Case, Outcome, judge, worst
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.damage import (
    JSON_VALUES,
    Variants,
    chosen,
    damaged_arrays,
    damaged_bytes,
    damaged_json,
    deep_json,
)
from tests.system.trust.attack.scene import SIZE, Scene

VERSION_1 = ROOT / "tests" / "data" / "version1.avatar"
#: Headers have many keys that only commands read: fewer values than for other files.
_VALUES = ("nan", "escape", "list", "null", "beyond")
_KEY = "headsplat"


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for label, source in (("me", scene.avatar), ("version1", VERSION_1)):
        found.append(Case(f"{label}: undamaged", _undamaged(scene, source)))
        found += _tensor_cases(scene, label, source)
        found += _header_cases(scene, label, source)
        found += _container_cases(scene, label, source)
    return found


def header_of(path: Path) -> dict[str, Any]:
    """The JSON header of an avatar."""
    with safe_open(str(path), framework="np") as stored:
        return dict(json.loads(stored.metadata()[_KEY]))


def packed(tensors: dict[str, np.ndarray], header: str) -> bytes:
    """The bytes of an .avatar file."""
    return save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, {_KEY: header})


def check_avatar(path: Path, scene: Scene, *, header: bool = False) -> Outcome:
    """Load an avatar, render two frames of a motion with the command, and for a damaged `header` what else reads it."""
    hidden, film = (str(path.parent),), path.with_name("film.mp4")
    ran = run_command("render", path, "--motion", scene.motion, "-o", film, "--size", SIZE)
    outcomes = [judge(lambda: _load_fault(path, scene), hidden), judge_command(ran, hidden, plain=True)]
    if ran.code == 0:
        outcomes.append(judge(lambda: film_fault(film), hidden))
    if header:
        commands: tuple[tuple[object, ...], ...] = (
            ("info", path),
            ("info", path, "--json"),
            ("export", path, "-o", path.with_suffix(".ply")),
            ("eval", path, scene.capture, "--no-refine"),
        )
        outcomes += [judge_command(run_command(*command), hidden, plain=True) for command in commands]
    return worst(outcomes)


def film_fault(path: Path) -> str | None:
    """What is wrong with the frames of a rendered video: no frame, or nothing in all of them."""
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if not frames:
        return "a video without frames"
    return "no frame of the video shows anything" if all(np.ptp(frame) < 12 for frame in frames) else None


def _load_fault(path: Path, scene: Scene) -> str | None:
    import torch

    from avatar.driving.driver import drive
    from avatar.model.avatar_file import load_avatar
    from avatar.motion import read_motion
    from avatar.rendering.animator import Animator
    from avatar.rendering.cameras import front_camera, subject_of

    avatar = load_avatar(path)
    params = drive(avatar, read_motion(scene.motion)).params
    animator = Animator(avatar, SIZE, SIZE)
    animator.render(params[0], front_camera(subject_of(avatar, params), SIZE, SIZE))
    finite = bool(torch.isfinite(animator.rgb).all() and torch.isfinite(animator.alpha).all())
    return None if finite else "an image with numbers that are not finite"


def _undamaged(scene: Scene, source: Path) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        copy = folder / "a.avatar"
        copy.write_bytes(source.read_bytes())
        outcome = check_avatar(copy, scene, header=source == scene.avatar)
        return outcome if outcome.failed or outcome.kind == "accepted" else Outcome(WRONG, "the file is refused")

    return run


def _tensor_cases(scene: Scene, label: str, source: Path) -> Iterator[Case]:
    for name, array in load_file(source).items():
        damages = [damage for damage, _ in damaged_arrays(array)]
        step = (2 if source == VERSION_1 else 1) * (5 if name.startswith("region.") else 1)
        for damage in damages[::step]:
            yield Case(f"{label}: {name} {damage}", _tensor_run(scene, source, name, damage))
        yield Case(f"{label}: {name} removed", _tensor_run(scene, source, name, None))


def _tensor_run(scene: Scene, source: Path, name: str, damage: str | None) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        tensors = load_file(source)
        array = tensors.pop(name)
        if damage is not None:
            tensors[name] = chosen(damaged_arrays(array), damage)
        return _checked(folder, packed(tensors, json.dumps(header_of(source))), scene)

    return run


def _header_cases(scene: Scene, label: str, source: Path) -> Iterator[Case]:
    header = header_of(source)

    def variants() -> Variants[str]:
        yield from damaged_json(header, {name: JSON_VALUES[name] for name in _VALUES}, most=1)
        yield "not JSON", lambda: "{"
        yield "a list", lambda: "[]"
        yield "deep", deep_json
        yield "long", lambda: json.dumps(header | {"note": "x" * 10_000_000})

    def case(damage: str) -> Case:
        def run(folder: Path) -> Outcome:
            return _checked(folder, packed(load_file(source), chosen(variants(), damage)), scene, header=True)

        return Case(f"{label}: header {damage}", run)

    return (case(name) for name, _ in variants())


def _container_cases(scene: Scene, label: str, source: Path) -> Iterator[Case]:
    data = source.read_bytes()

    def case(damage: str) -> Case:
        return Case(
            f"{label}: {damage}", lambda folder: _checked(folder, chosen(_containers(scene, data), damage), scene)
        )

    return (case(name) for name, _ in _containers(scene, data))


def _containers(scene: Scene, data: bytes) -> Variants[bytes]:
    """Damages of the container and of bytes."""
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    body, first = data[8 + length :], next(name for name in head if name != "__metadata__")
    for size in (0, 1, length - 1, 1 << 31, 1 << 63, (1 << 64) - 1):
        yield f"header length {size}", lambda size=size: struct.pack("<Q", size) + data[8:]

    def with_first(key: str, value: Any) -> bytes:
        text = json.dumps(head | {first: head[first] | {key: value}}).encode()
        return struct.pack("<Q", len(text)) + text + body

    for key, value in (
        ("data_offsets", [0, 1 << 62]), ("data_offsets", [-1, 4]), ("data_offsets", [8, 0]), ("shape", [1 << 62]),
        ("shape", [-1]), ("shape", [1 << 32, 1 << 32]), ("dtype", "F128"), ("dtype", "BOOL"), ("dtype", None),
    ):  # fmt: skip
        yield f"first tensor {key} {value}", partial(with_first, key, value)
    yield from damaged_bytes(data, scene.random_name("avatars", len(data) > 1 << 20), 60)


def _checked(folder: Path, data: bytes, scene: Scene, *, header: bool = False) -> Outcome:
    path = folder / "a.avatar"
    path.write_bytes(data)
    return check_avatar(path, scene, header=header)
