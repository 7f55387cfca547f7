"""Damaged captures: every key of capture.json, every array of track.npz, the images; judged by a short training."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.system.trust.attack.avatars import film_fault
from tests.system.trust.attack.cases import WRONG, Case, Outcome, judge, worst
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
from tests.system.trust.attack.scene import SIZE, Scene, capture_json, copied_capture

_VALUES = ("nan", "escape", "list", "null", "minus", "beyond")
_METADATA, _TRACK = "capture.json", "track.npz"


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = [Case("undamaged", _undamaged(scene))]
    found += [_metadata_case(scene, name) for name, _ in _damaged_metadata(scene)]
    with np.load(scene.capture / _TRACK) as stored:
        for name in stored.files:
            found += [_track_case(scene, name, damage) for damage, _ in damaged_arrays(stored[name])]
            found.append(_track_case(scene, name, None))
    for file in (_METADATA, _TRACK):
        found += [_bytes_case(scene, file, name) for name, _ in _damaged_file(scene, file)]
    found += [_image_case(scene, folder, name) for folder in ("frames", "mattes") for name in IMAGES]
    return found


def check_capture(capture: Path, scene: Scene) -> Outcome:
    """Train four steps on a capture, and look at the avatar; run one of the other commands that read captures."""
    folder = capture.parent
    hidden, out = (str(folder),), folder / "new.avatar"
    trained = run_command("train", capture, "-o", out, "--config", scene.config)
    outcomes = [judge_command(trained, hidden)]
    if trained.code == 0:
        outcomes.append(judge(lambda: _training_fault(out, scene), hidden))
    others: tuple[tuple[object, ...], ...] = (
        ("info", capture),
        ("render", scene.avatar, "--motion", capture, "-o", folder / "film.mp4", "--size", SIZE),
        ("motion", "info", capture, "--json"),
        ("convert", capture, "-o", folder / "layout"),
    )
    outcomes += [judge_command(run_command(*command), hidden, plain=True) for command in others]
    return worst(outcomes)


def _training_fault(path: Path, scene: Scene) -> str | None:
    import torch

    from avatar.model.avatar_file import load_avatar

    avatar = load_avatar(path)
    bad = [name for name, value in avatar.state_dict().items() if not bool(torch.isfinite(value).all())]
    if bad:
        return f"an avatar with numbers that are not finite ({bad[0]})"
    film = path.with_name("trained.mp4")
    ran = run_command("render", path, "--motion", scene.motion, "-o", film, "--size", SIZE)
    return film_fault(film) if ran.code == 0 else f"an avatar that cannot be rendered: {ran.message}"


def _undamaged(scene: Scene) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        outcome = check_capture(copied_capture(scene, folder), scene)
        return outcome if outcome.failed or outcome.kind == "accepted" else Outcome(WRONG, "the capture is refused")

    return run


def _damaged_metadata(scene: Scene) -> Variants[str]:
    content = capture_json(scene)
    yield from damaged_json(content, {name: JSON_VALUES[name] for name in _VALUES}, most=1)
    yield "deep", deep_json
    first = dict(content["cameras"][0])
    for name, K in (
        ("zero", np.zeros((3, 3))), ("mirrored", np.diag([-90.0, 90, 1])), ("large", np.diag([1e30, 1e30, 1])),
        ("thin", np.array([[90.0, 0, 1e9], [0, 90, 24], [0, 0, 1]])), ("skewed", np.full((3, 3), 90.0)),
    ):  # fmt: skip
        yield f"K {name}", partial(json.dumps, content | {"cameras": [first | {"K": K.tolist()}]})
    for name, pose in (("zero", np.zeros((4, 4))), ("scaled", 5 * np.eye(4)), ("far", np.eye(4) + 1e20 * (_last()))):
        cameras = [first | {"world_to_cam": pose.tolist()}]
        yield f"world_to_cam {name}", partial(json.dumps, content | {"cameras": cameras})
    for size in (1, 31, 100, 10**6):
        yield f"size {size}", partial(json.dumps, content | {"width": size, "height": size})
    yield "thousand cameras", partial(json.dumps, content | {"cameras": [first] * 1000})


def _last() -> np.ndarray:
    column = np.zeros((4, 4))
    column[:3, 3] = 1
    return column


def _metadata_case(scene: Scene, damage: str) -> Case:
    def run(folder: Path) -> Outcome:
        capture = copied_capture(scene, folder)
        (capture / _METADATA).write_text(chosen(_damaged_metadata(scene), damage), encoding="utf-8")
        return check_capture(capture, scene)

    return Case(f"capture.json: {damage}", run)


def _track_case(scene: Scene, array: str, damage: str | None) -> Case:
    def run(folder: Path) -> Outcome:
        capture = copied_capture(scene, folder)
        with np.load(capture / _TRACK) as stored:
            arrays = {name: stored[name] for name in stored.files}
        values = arrays.pop(array)
        if damage is not None:
            arrays[array] = chosen(damaged_arrays(values), damage)
        np.savez(capture / _TRACK, **arrays)
        return check_capture(capture, scene)

    return Case(f"track.npz: {array} {damage or 'removed'}", run)


def _damaged_file(scene: Scene, file: str) -> Variants[bytes]:
    data = (scene.capture / file).read_bytes()
    yield from damaged_bytes(data, scene.random_name("captures", file), 15)
    if file == _TRACK:
        yield "pickled objects", partial(_with_objects, data)
        yield "bomb", _bomb


def _bytes_case(scene: Scene, file: str, name: str) -> Case:
    def run(folder: Path) -> Outcome:
        capture = copied_capture(scene, folder)
        (capture / file).write_bytes(chosen(_damaged_file(scene, file), name))
        return check_capture(capture, scene)

    return Case(f"{file}: {name}", run)


def _with_objects(data: bytes) -> bytes:
    """The archive with an array of Python objects, which only a pickle can store."""
    with np.load(io.BytesIO(data)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    out = io.BytesIO()
    np.savez(out, **(arrays | {"time": np.array([{"a": 1}] * len(arrays["time"]), dtype=object)}))
    return out.getvalue()


def _bomb() -> bytes:
    """An archive of a kilobyte per megabyte that declares an array of a gigabyte."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("expression.npy", "w") as stream:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 14, 1 << 13)}
        )
        stream.write(header.getvalue())
        for _ in range(64):
            stream.write(bytes(1 << 20))
    return out.getvalue()


def png(width: int, height: int, kind: int = 2, data: bytes = b"") -> bytes:
    """A PNG file that declares a size, with little or no image data."""
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    start = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


#: Contents in the place of an image; None removes it.
IMAGES: dict[str, bytes | None] = {
    "missing": None, "empty": b"", "text": b"not an image", "bomb": png(30_000, 30_000), "zero size": png(0, 0),
    "wide": png(100_000, 1, 2, bytes(300_001)), "without pixels": png(SIZE, SIZE),
    "other size": png(7, 7, 2, bytes(7 * 22)), "gray": png(SIZE, SIZE, 0, bytes(SIZE * (SIZE + 1))),
}  # fmt: skip


def _image_case(scene: Scene, kind: str, damage: str) -> Case:
    def run(folder: Path) -> Outcome:
        capture, content = copied_capture(scene, folder), IMAGES[damage]
        path = min((capture / kind).iterdir())
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        return check_capture(capture, scene)

    return Case(f"{kind}: {damage}", run)
