"""Damaged expression files of every format: bytes, JSON values, arrays, cells of tables."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from avatar.motion.files.text import read_text
from tests.system.trust.attack.cases import WRONG, Case, Outcome, judge
from tests.system.trust.attack.damage import Variants, chosen, damaged_arrays, damaged_bytes, damaged_json, deep_json
from tests.system.trust.attack.scene import Scene

_CELLS = ("", "nan", "inf", "-1e999", "1e308", "abc", '"', "0x10", "\u0663", "1" * 5000, "\x1b[31m", "\x00")


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for folder in sorted((scene.inputs / "motions").iterdir()):
        for path in sorted(path for path in folder.rglob("*") if path.is_file())[:2]:
            label = f"{folder.name}/{path.name}"
            found.append(Case(f"{label}: undamaged", _run(folder, path, path.read_bytes(), whole=True)))
            for name, _ in _damages(scene, path):
                found.append(Case(f"{label}: {name}", _damaged(scene, folder, path, name)))
    return found


def check_motion(path: Path) -> str | None:
    """Read a motion; returns what is wrong with it."""
    from avatar.motion import read_motion

    motion = read_motion(path)
    if not len(motion):
        return "a motion without frames"
    finite = [motion.time, motion.weights, motion.joint_rot, motion.translation, motion.confidence]
    if not all(bool(values.isfinite().all()) for values in finite if values is not None):
        return "numbers that are not finite"
    return None if bool((motion.time.diff() > 0).all()) else "times that do not increase"


def _damaged(scene: Scene, folder: Path, path: Path, name: str) -> Callable[[Path], Outcome]:
    def run(place: Path) -> Outcome:
        return _run(folder, path, chosen(_damages(scene, path), name))(place)

    return run


def _run(source: Path, path: Path, data: bytes, *, whole: bool = False) -> Callable[[Path], Outcome]:
    def run(place: Path) -> Outcome:
        copy = shutil.copytree(source, place / source.name)
        (copy / path.relative_to(source)).write_bytes(data)
        named = copy if len(list(copy.rglob("*.np[yz]"))) > 2 else copy / path.relative_to(source)
        outcome = judge(lambda: check_motion(named), (str(place),))
        return Outcome(WRONG, "the file is refused") if whole and outcome.kind == "refused" else outcome

    return run


def _damages(scene: Scene, path: Path) -> Variants[bytes]:
    data = path.read_bytes()
    yield from damaged_bytes(data, scene.random_name("motions", path.name), 30)
    if path.suffix == ".json":
        for name, text in damaged_json(json.loads(data)):
            yield name, partial(_encoded, text)
        yield from _large_json()
    elif path.suffix == ".csv":
        yield from _damaged_table(read_text(path))
    elif path.suffix == ".npz":
        yield from _damaged_archive(data)
    elif path.suffix == ".npy":
        for name, array in damaged_arrays(np.load(io.BytesIO(data))):
            yield f"array {name}", lambda array=array: _saved(lambda stream: np.save(stream, array()))


def _encoded(text: Callable[[], str]) -> bytes:
    return text().encode("utf-8", "surrogatepass")


def _large_json() -> Variants[bytes]:
    count = 200_000
    names = [f"name{number}" for number in range(count)]
    yield "200,000 names", lambda: json.dumps({"names": names, "frames": [{"weights": [0.0] * count}]}).encode()
    yield "whole file deep", lambda: deep_json().encode()
    yield "200,000 empty frames", lambda: json.dumps({"names": ["jawOpen"], "frames": [{}] * count}).encode()


def _damaged_table(text: str) -> Variants[bytes]:
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in text else ","))
    width = len(rows[0])

    def with_cell(row: int, column: int, cell: str) -> bytes:
        changed = [list(each) for each in rows]
        changed[row][column] = cell
        return _table(changed)

    for row in (0, 1, len(rows) - 1):
        for column in sorted({0, 1, 2, width - 1} & set(range(len(rows[row])))):
            for cell in _CELLS:
                yield f"row {row} column {column} {cell[:10]!r}", partial(with_cell, row, column, cell)
    columns = ",".join(["Timecode", *(f"c{number}" for number in range(1_000_000))]).encode()
    yield "a million columns", lambda: columns
    yield "a million empty lines", lambda: (text + "\n" * 1_000_000).encode()
    yield "one long line", lambda: ("x" * 5_000_000).encode()
    yield "the same names", lambda: _table([[rows[0][0]] * width, *rows[1:]])
    yield "ragged", lambda: _table([each[: number + 1] for number, each in enumerate(rows)])
    yield "reversed", lambda: _table([rows[0], *reversed(rows[1:])])
    yield "UTF-16", lambda: text.encode("utf-16")


def _table(rows: list[list[str]]) -> bytes:
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


def _damaged_archive(data: bytes) -> Variants[bytes]:
    with np.load(io.BytesIO(data)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name, array in arrays.items():
        others = {key: value for key, value in arrays.items() if key != name}
        yield f"{name} removed", partial(_archive, others)
        for damage, changed in damaged_arrays(array):
            yield f"{name} {damage}", partial(_with_array, others, name, changed)
    if "header" in arrays:
        others = {key: value for key, value in arrays.items() if key != "header"}
        for name, text in damaged_json(json.loads(arrays["header"].tobytes()), most=1):
            content = partial(_header, text)
            yield f"header {name}", partial(_with_array, others, "header", content)


def _header(text: Callable[[], str]) -> np.ndarray:
    return np.frombuffer(_encoded(text), np.uint8)


def _with_array(others: dict[str, np.ndarray], name: str, array: Callable[[], np.ndarray]) -> bytes:
    return _archive(others | {name: array()})


def _archive(arrays: dict[str, np.ndarray]) -> bytes:
    return _saved(lambda stream: np.savez(stream, **arrays))


def _saved(write: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()
