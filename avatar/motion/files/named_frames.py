"""Frames of named weights in JSON of any program: wherever ARKit's names are, one object a frame, or a list a name.

Read are lists of frames under any key, objects whose keys are the times, JSON lines, frames with the names nested or as
pairs of name and value (MediaPipe's categories), one pair a line, a list of values a name, and a list of names with
rows of values. Microsoft's speech service writes rows without names in an order that it documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from avatar.common.frame_rate import MAX_FPS
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays

from .clock import clock_column, is_clock, is_time
from .named_rows import NamedRows, has_weights, read_named_rows
from .names import NEUTRAL, is_arkit
from .text import LARGEST, check_frames, check_names

_NAME_KEYS = ("categoryName", "category_name", "name", "k", "key", "blendShapeLocation", "blendshape", "label")
_VALUE_KEYS = ("score", "value", "v", "weight", "coefficient")
_RATE_KEYS = ("fps", "framerate", "frame_rate", "exportfps", "samplerate")
_MATRIX = re.compile(r"transform|matri", re.IGNORECASE)
_NOT_HEAD = re.compile(r"eye|camera|neck|jaw|projection|view", re.IGNORECASE)
_QUATERNION = re.compile(r"quat|rot|orientation", re.IGNORECASE)
#: Objects in objects, faces of a frame, and frames without a face at the start that are searched.
_DEPTH = 6
_FACES = 8
_SEARCHED = 500
#: The order of the service's values, according to its documentation, and their rate.
_SPEECH_SERVICE = (*ARKIT_52, "headRoll", "leftEyeRoll", "rightEyeRoll")
_SPEECH_SERVICE_FPS = 60.0

Frame = Mapping[str, Any]


def read_named_frames(path: Path, content: Any, fps: float | None = None) -> MotionArrays | None:
    """Read frames of named weights; None: the content has no names of ARKit.

    Args:
        path: for error messages.
        content: of the file.
        fps: frames per second if the frames have no times; None: what the file states, else 30.

    Raises:
        HeadsplatError: a frame with a value that is no number, or with names of other expressions.
    """
    notes: list[str] = []
    source = _speech_service(path, content) or _columns(path, content)
    if source is None and (frames := _frames(content)):
        source = _rows(path, frames, _rate(content), notes)
    return None if source is None else read_named_rows(source, fps, notes)


def flat_names(frame: Any) -> list[str]:
    """The names in an object and in those in it."""
    return list(_flat(frame)) if isinstance(frame, dict) else []


def _speech_service(path: Path, content: Any) -> NamedRows | None:
    """Rows of {"FrameIndex": first, "BlendShapes": [[55 numbers]]}, one or a list of them."""
    chunks = content if isinstance(content, list) else [content]
    if not chunks or not all(
        isinstance(chunk, dict) and {"FrameIndex", "BlendShapes"} <= chunk.keys() for chunk in chunks
    ):
        return None
    width = len(_SPEECH_SERVICE)

    def rows() -> Iterator[tuple[str, list[Any]]]:
        for chunk in chunks:
            first, values = chunk["FrameIndex"], chunk["BlendShapes"]
            if not isinstance(first, int) or not isinstance(values, list):
                raise HeadsplatError(f"{path}: FrameIndex: expected a number and rows; export the file again")
            for k, row in enumerate(values):
                if not isinstance(row, list) or len(row) != width:
                    raise HeadsplatError(f"{path}: BlendShapes[{k}]: expected {width} numbers; export the file again")
                yield f"{path}: BlendShapes[{k}]", [first + k, *row]

    return NamedRows(path, ("FrameIndex", *_SPEECH_SERVICE), rows(), _SPEECH_SERVICE_FPS)


def _columns(path: Path, content: Any) -> NamedRows | None:
    """Rows of a list of values a name, or of a list of names and one of rows."""
    if not isinstance(content, dict):
        return None
    for part in (content, *(value for value in content.values() if isinstance(value, dict))):
        lists = {name: value for name, value in part.items() if isinstance(value, list) and is_arkit(str(name))}
        if lists and not any(isinstance(value, (dict, list)) for value in next(iter(lists.values()))[:1]):
            return _of_lists(path, content, lists)
    names = [value for value in content.values() if _is_names(value)]
    tables = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], list)]
    if len(names) == 1:
        for table in tables:
            if all(isinstance(row, list) and len(row) == len(names[0]) for row in table):
                rows = ((f"{path}: row {k + 1}", row) for k, row in enumerate(table))
                return NamedRows(path, names[0], rows, _rate(content))
    return None


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value) and has_weights(value)


def _of_lists(path: Path, content: dict[str, Any], lists: dict[str, list[Any]]) -> NamedRows:
    count = len(next(iter(lists.values())))
    odd = next((name for name, value in lists.items() if len(value) != count), None)
    if odd is not None:
        raise HeadsplatError(f"{path}: {odd}: {len(lists[odd])} values, others have {count}; export the file again")
    beside = {
        name: value
        for name, value in content.items()
        if isinstance(value, list) and len(value) == count and name not in lists
    }
    timed = {name: value for name, value in beside.items() if is_clock(name)}
    unread = {name: [None] * count for name in beside if name not in timed}
    whole = {**timed, **lists, **unread}
    rows = ((f"{path}: frame {k + 1}", list(row)) for k, row in enumerate(zip(*whole.values(), strict=True)))
    return NamedRows(path, tuple(whole), rows, _rate(content) or _span_rate(content, count))


def _rate(content: Any, depth: int = 0) -> float | None:
    """Frames per second that the file states."""
    if not isinstance(content, dict) or depth > 1:
        return None
    for name, value in content.items():
        known = str(name).lower().replace("-", "_") in _RATE_KEYS
        if known and isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MAX_FPS:
            return float(value)
    return next((found for value in content.values() if (found := _rate(value, depth + 1))), None)


def _span_rate(content: dict[str, Any], count: int) -> float | None:
    """Frames per second by the start and the end of a recording in milliseconds."""
    try:
        span = (float(content["endTime"]) - float(content["startTime"])) / 1000
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    rate = count / span if span > 0 else 0.0
    return rate if 1 <= rate <= MAX_FPS else None


def _frames(content: Any, depth: int = 0) -> list[Frame]:
    """The objects with one frame each; empty: there are none."""
    if isinstance(content, list):
        frames: list[Frame] = [frame if isinstance(frame, dict) else {"": frame} for frame in content]
        return _grouped(frames) if _is_pair(frames[0] if frames else {}) else _with_weights(frames)
    if not isinstance(content, dict) or depth > 1:
        return []
    if len(content) > 1 and all(is_time(str(key)) and isinstance(value, dict) for key, value in content.items()):
        return _with_weights([{"time": key, **value} for key, value in content.items()])
    for value in content.values():
        if found := _frames(value, depth + 1):
            return found
    return [] if depth else _with_weights([content])


def _with_weights(frames: list[Frame]) -> list[Frame]:
    return frames if any(has_weights(_flat(frame)) for frame in frames[:_SEARCHED]) else []


def _is_pair(frame: Frame) -> bool:
    """Whether an object is the weight of one name."""
    return _pair(frame) is not None


def _pair(frame: Any) -> tuple[str, Any] | None:
    if not isinstance(frame, dict):
        return None
    name = next((frame[key] for key in _NAME_KEYS if isinstance(frame.get(key), str)), None)
    value = next((frame[key] for key in _VALUE_KEYS if key in frame), None)
    return (name, value) if name is not None and value is not None and (is_arkit(name) or name == NEUTRAL) else None


def _grouped(pairs: list[Frame]) -> list[Frame]:
    """Frames of objects with the weight of one name each: those of one time, or until a name comes again."""
    keys = list(pairs[0])
    clock = clock_column(keys)
    found: list[dict[str, Any]] = []
    for entry in pairs:
        pair = _pair(entry)
        if pair is None:
            continue
        time = {} if clock is None else {keys[clock]: entry.get(keys[clock])}
        if not found or pair[0] in found[-1] or any(found[-1].get(key) != value for key, value in time.items()):
            found.append(time)
        found[-1][pair[0]] = pair[1]
    return list(found)


def _flat(value: Frame, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Name -> value of an object and of those in it; a list that is no matrix, quaternion or pairs is None."""
    found: dict[str, Any] = {}
    for key, content in value.items():
        name = f"{prefix}{key}" if key else prefix.rstrip(".")
        matrix = _matrix_of(content)
        if matrix is not None:
            found[name] = matrix
        elif isinstance(content, dict) and depth < _DEPTH:
            found.update(_flat(content, f"{name}.", depth + 1))
        elif isinstance(content, list) and depth < _DEPTH:
            found.update(_flat_list(name, content, depth))
        else:
            found[name] = None if isinstance(content, (dict, list)) else content
    return found


def _flat_list(name: str, content: list[Any], depth: int) -> dict[str, Any]:
    pairs = [pair for entry in content if (pair := _pair(entry)) is not None]
    if pairs:
        return dict(pairs)
    if len(content) == 4 and _QUATERNION.search(name) and all(isinstance(number, (int, float)) for number in content):
        return {f"{name}.{axis}": number for axis, number in zip("xyzw", content, strict=True)}
    inner = [entry if isinstance(entry, dict) else {"": entry} for entry in content if isinstance(entry, (dict, list))]
    flat = [_flat(entry, f"{name}.", depth + 1) for entry in inner[:_FACES]]
    return next((entry for entry in flat if has_weights(entry)), flat[0] if flat else {name: None})


def _matrix_of(content: Any) -> list[float] | None:
    """16 numbers of a 4x4 matrix: alone, in four lists, or as `data`; the first of a list of one."""
    if isinstance(content, list) and len(content) == 1:
        (content,) = content
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if isinstance(content, list) and len(content) == 4 and all(isinstance(row, list) for row in content):
        content = [number for row in content for number in row]
    if not isinstance(content, list) or len(content) != 16:
        return None
    numbers = [float(number) for number in content if type(number) in (int, float) and abs(number) <= LARGEST]
    return numbers if len(numbers) == len(content) else None


def _rows(path: Path, frames: list[Frame], rate: float | None, notes: list[str]) -> NamedRows:
    check_frames(len(frames), path)
    flat = [_flat(frame) for frame in frames]
    names: dict[str, None] = {}
    for frame in flat:
        names.update(dict.fromkeys(frame))
        check_names(len(names), str(path))
    weights = {name for name in names if is_arkit(name)}
    sparse = sum(bool(weights & frame.keys()) and not weights <= frame.keys() for frame in flat)
    if sparse:
        notes.append(f"{sparse} of {len(flat)} frames have only some of the names: the others are 0 there")
    matrices = [
        place
        for place, name in enumerate(names)
        if _MATRIX.search(name) and not _NOT_HEAD.search(name) and any(isinstance(f.get(name), list) for f in flat)
    ]
    matrix = matrices[0] if len(matrices) == 1 else None
    rows = ((f"{path}: frame {k + 1}", _cells(frame, names, matrix)) for k, frame in enumerate(flat))
    return NamedRows(path, tuple(names), rows, rate, matrix)


def _cells(frame: dict[str, Any], names: Iterable[str], matrix: int | None) -> list[Any]:
    cells = [frame.get(name) for name in names]
    return [None if isinstance(cell, list) and place != matrix else cell for place, cell in enumerate(cells)]
