"""FLAME parameters in JSON: an object for each frame (IMavatar, DECA's code.json), or a list for each name
(LAM, by its description).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz

from .flame_layouts import RATES

_NUMBER = re.compile(r"(?:.*[_ -])?([0-9]{1,9})")
#: Lists in each other in the value of a frame, such as a matrix in a batch.
_NESTED = 3
#: The file that `read_motion` looks for in a folder.
JSON_FILE = "flame_params.json"


class JsonArrays:
    """The parameters of a JSON file as arrays; `frame` are the numbers in the names of its frames."""

    def __init__(self, parameters: Mapping[str, Any], numbers: list[int] | None) -> None:
        self.parameters = parameters
        self.numbers = numbers

    @property
    def names(self) -> Collection[str]:
        """Names of the parameters."""
        return {*self.parameters, *(() if self.numbers is None else ("frame",))}

    def array(self, name: str) -> NDArray[Any]:
        """The numbers [T,...] of a parameter.

        Raises:
            DamagedNpz: other values than numbers, or another count of them in some frame.
        """
        if name == "frame" and self.numbers is not None:
            return np.array(self.numbers)
        try:
            return np.array(self.parameters[name], np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DamagedNpz("not numbers, or not the same count in every frame") from error


def json_arrays(content: Any) -> JsonArrays | None:
    """The arrays of a JSON file; None where it has none of these layouts."""
    frames = content.get("frames") if isinstance(content, dict) else content
    if isinstance(frames, list):
        if not frames or not all(isinstance(frame, dict) for frame in frames):
            return None
        found = _of_frames(frames, [_stem(frame.get("file_path")) for frame in frames])
        return JsonArrays({**_rates(content), **found.parameters}, found.numbers)
    if not isinstance(content, dict) or not content:
        return None
    if all(isinstance(value, dict) for value in content.values()):
        ordered = sorted(content.items(), key=lambda item: (len(item[0]), item[0]))
        return _of_frames([frame for _, frame in ordered], [_stem(name) for name, _ in ordered])
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    return JsonArrays({**_rates(content), **lists}, None)


def _rates(content: Any) -> dict[str, Any]:
    """What a file has once: its frames per second."""
    return {name: content[name] for name in RATES if name in content} if isinstance(content, dict) else {}


def _of_frames(frames: list[dict[str, Any]], numbers: list[int | None]) -> JsonArrays:
    """The parameters of frames, one row each; texts are left out."""
    names = [name for name, value in frames[0].items() if isinstance(value, (list, float, int))]
    rows = {name: [_flat(frame.get(name)) for frame in frames] for name in names}
    known = [number for number in numbers if number is not None]
    return JsonArrays(rows, known if len(known) == len(frames) else None)


def _flat(value: Any) -> list[Any]:
    """The numbers of lists in each other, up to a few, in one list."""
    flat = value if isinstance(value, list) else [value]
    for _ in range(_NESTED):
        flat = [number for entry in flat for number in (entry if isinstance(entry, list) else [entry])]
    return flat


def _stem(name: Any) -> int | None:
    """The number that is the name of a frame or of its image."""
    stem = PurePosixPath(name).stem if isinstance(name, str) else ""
    found = _NUMBER.fullmatch(stem)
    return int(found[1]) if found else None
