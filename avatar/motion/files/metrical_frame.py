"""Files of metrical-tracker, read as data."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from avatar.errors import HeadsplatError

#: Frames/s that its own configuration extracts.
RATE = 25.0
#: A frame has a few hundred kilobytes, with its texture a few megabytes.
_MOST_BYTES = 256 << 20
#: What torch.load raises on damaged files, whichever byte is wrong.
_DAMAGE = (
    OSError, RuntimeError, ValueError, EOFError, LookupError, UnpicklingError, AssertionError, struct.error, TypeError,
    AttributeError, OverflowError, MemoryError,
)  # fmt: skip


def load_frame(path: Path) -> dict[str, Any]:
    """The content of a .frame file; nothing but tensors, arrays and plain values is unpickled."""
    plain: list[Any] = [np.ndarray, np.dtype]
    plain += [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")]
    # NumPy moved its own two makers of arrays; files name the place of the NumPy that wrote them.
    makers = {"_reconstruct": np.zeros(1).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}
    for name, maker in makers.items():
        plain += [(maker, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")]
    if path.stat().st_size > _MOST_BYTES:
        raise HeadsplatError(f"{path}: larger than {_MOST_BYTES >> 20} MB, which no frame of metrical-tracker is")
    try:
        with torch.serialization.safe_globals(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of a damaged pickle
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        reason = str(error).split("\n")[0][:120]
        raise HeadsplatError(f"{path}: not a frame of metrical-tracker ({reason}); copy it again") from error
    if not isinstance(content, dict):
        raise HeadsplatError(f"{path}: not a frame of metrical-tracker; copy it again")
    return content
