"""Safe reading of the files of metrical-tracker and Pixel3DMM."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from avatar.errors import HeadsplatError

#: Frames per second of its default configuration.
RATE = 25.0
#: A frame has a few hundred kilobytes, with its texture a few megabytes.
_MAX_BYTES = 256 << 20
#: Exceptions of torch.load on damaged files.
_DAMAGE = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, UnpicklingError, AssertionError, struct.error, TypeError,
    AttributeError, OverflowError, MemoryError,
)  # fmt: skip


def is_pixel3dmm(content: dict[str, Any]) -> bool:
    """Whether a frame is Pixel3DMM's, whose head turns before a camera that stands still."""
    flame = content.get("flame")
    return "opencv" not in content and isinstance(flame, dict) and {"R", "t"} <= set(flame)


def load_frame(path: Path) -> dict[str, Any]:
    """The content of a .frame file; only tensors, arrays and builtin values are unpickled."""
    allowed: list[Any] = [np.ndarray, np.dtype]
    allowed += [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")]
    # NumPy 2 moved its two array constructors; files contain the path of the NumPy version that wrote them.
    constructors = {"_reconstruct": np.zeros(1).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}
    for name, constructor in constructors.items():
        allowed += [(constructor, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")]
    if path.stat().st_size > _MAX_BYTES:
        raise HeadsplatError(f"{path}: larger than {_MAX_BYTES >> 20} MB, which no frame of metrical-tracker is")
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the protocol of a damaged pickle
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        reason = str(error).split("\n")[0][:120]
        raise HeadsplatError(f"{path}: not a frame of metrical-tracker ({reason}); copy it again") from error
    if not isinstance(content, dict):
        raise HeadsplatError(f"{path}: not a frame of metrical-tracker; copy it again")
    return content
