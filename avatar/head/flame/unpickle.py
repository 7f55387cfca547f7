"""The arrays of a FLAME .pkl file (Python 2's numpy, scipy.sparse, chumpy), read without executing it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import os_error_sentence
from avatar.errors import HeadsplatError

from .pickles import Construction, Name, RefusedPickle, read

#: Larger than any FLAME or SMPL-X file.
MAX_BYTES = 1 << 30
#: Longer texts are not searched for a version.
_MAX_TEXT_LENGTH = 1 << 16
#: Entries of a sparse matrix that is converted to a dense one (SMPL-X's regressor has 0.6 million).
MAX_DENSE = 4_000_000

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_SPARSE_CLASSES = ("csc_matrix", "csr_matrix")
_ACCEPTED = {
    *((module, name) for module in _NUMPY for name in ("_reconstruct", "scalar")),
    *((module, "_frombuffer") for module in _NUMERIC),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    *((module, "_reconstructor") for module in ("copy_reg", "copyreg")),
    *((module, name) for module in ("__builtin__", "builtins") for name in ("object", "set")),
    *(("scipy.sparse" + part, "csc_matrix") for part in ("", ".csc", "._csc")),
    *(("scipy.sparse" + part, "csr_matrix") for part in ("", ".csr", "._csr")),
}


def _is_accepted(name: Name) -> bool:
    """Whether FLAME files contain a name; objects of chumpy are read as the array inside."""
    return (name.module, name.name) in _ACCEPTED or name.module.split(".")[0] == "chumpy"


@dataclass(frozen=True)
class PickledFile:
    """The top-level dictionary of a pickle, its values not yet interpreted."""

    path: Path
    values: Mapping[str, Any]

    def array(self, name: str) -> NDArray[Any]:
        """The array under the key `name`; sparse matrices and chumpy's arrays are converted.

        Raises:
            HeadsplatError: it is not an array of numbers, or its shape does not match its data.
        """
        try:
            return as_array(self.values[name])
        except RefusedPickle as reason:
            raise HeadsplatError(f"{self.path}: `{name}` {reason}; download the file again") from None

    def texts(self) -> list[str]:
        """All short texts of the dictionary."""
        return [value for value in self.values.values() if isinstance(value, str) and len(value) <= _MAX_TEXT_LENGTH]


def read_pickle(path: Path) -> PickledFile:
    """Read a FLAME .pkl file without importing or calling anything that it names.

    Raises:
        HeadsplatError: it is too large, damaged, or contains anything but arrays.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise HeadsplatError(f"{path}: {size >> 20} MB, more than any FLAME file has; give another one")
        root = read(path.read_bytes(), _is_accepted)
    except RefusedPickle as reason:
        raise HeadsplatError(
            f"{path}: {reason}; refused, nothing was executed; get FLAME from https://flame.is.tue.mpg.de"
        ) from None
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error
    if not isinstance(root, dict):
        raise HeadsplatError(f"{path}: contains no dictionary of arrays; give FLAME's own .pkl file")
    return PickledFile(path, {key: value for key, value in root.items() if isinstance(key, str)})


def as_array(value: Any) -> NDArray[Any]:
    """The array that a parsed value describes; its shape is checked against its bytes before any allocation.

    Raises:
        RefusedPickle: not an array, or inconsistent.
    """
    if not isinstance(value, Construction):
        raise RefusedPickle(f"is a {type(value).__name__}, not an array")
    name = _class_of(value)
    if name.name in _SPARSE_CLASSES and isinstance(value.state, dict):
        return _dense(value.state, name.name == "csc_matrix")
    if name.module.split(".")[0] == "chumpy":
        inner = value.state.get("x") if isinstance(value.state, dict) else None
        return _numpy_array(inner, f"is a {name} that contains no array")
    return _numpy_array(value, f"is a {name}, not an array")


def _numpy_array(value: Any, otherwise: str) -> NDArray[Any]:
    """A numpy array; `otherwise` is the error text for anything else."""
    name = value.callee if isinstance(value, Construction) else None
    if name is not None and name.module in _NUMPY and name.name == "_reconstruct":
        return _ndarray(value.state)
    if name is not None and name.module in _NUMERIC and name.name == "_frombuffer":
        return _from_buffer(value.arguments)
    raise RefusedPickle(otherwise)


def _class_of(value: Construction) -> Name:
    """The class of an object; old protocols write `copy_reg._reconstructor(cls, object, None)`."""
    if value.callee.name == "_reconstructor" and value.arguments and isinstance(value.arguments[0], Name):
        return value.arguments[0]
    return value.callee


def _dtype(value: Any) -> np.dtype[Any]:
    """A numeric dtype from `numpy.dtype('f8', ...)` and its state; object and structured dtypes are refused."""
    if not isinstance(value, Construction) or (value.callee.module, value.callee.name) != ("numpy", "dtype"):
        raise RefusedPickle("has no dtype")
    code = value.arguments[0] if value.arguments else None
    if code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        kind = repr(code[:20]) if isinstance(code, str) else f"a {type(code).__name__}"  # its text may be very long
        raise RefusedPickle(f"contains {kind}, not numbers")
    state = value.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if order not in ("<", ">", "|", "="):
        raise RefusedPickle("has an unknown byte order")
    return np.dtype(f"{order}{code}")


def _bytes(value: Any) -> bytes:
    """Raw bytes, also from strings of Python 2 and from the form in which protocol 2 writes bytes of Python 3."""
    if isinstance(value, Construction) and (value.callee.module, value.callee.name) == ("_codecs", "encode"):
        if len(value.arguments) != 2 or value.arguments[1] not in ("latin1", "latin-1"):
            raise RefusedPickle("has data in an unknown encoding")
        value = value.arguments[0]
    if isinstance(value, str):
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            raise RefusedPickle("has data that is text") from None
    if not isinstance(value, bytes):
        raise RefusedPickle("has data that is not raw numbers")
    return value


def _array(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    raw = _bytes(data)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise RefusedPickle(f"claims the shape {list(shape)[:6]} of {dtype} but has {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _shape(value: Any) -> tuple[int, ...]:
    plain = isinstance(value, tuple) and all(type(size) is int and 0 <= size < MAX_BYTES for size in value)
    if not plain or len(value) > 8 or math.prod(max(size, 1) for size in value) >= 1 << 59:  # numpy counts in int64
        raise RefusedPickle("has no shape")
    return value  # type: ignore[no-any-return]


def _ndarray(state: Any) -> NDArray[Any]:
    """An array from numpy's pickled state (version, shape, dtype, is Fortran, data)."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise RefusedPickle("is an array without contents")
    shape, dtype, fortran, data = state[-4:]
    return _array(data, _dtype(dtype), _shape(shape), "F" if fortran is True or fortran == 1 else "C")


def _from_buffer(arguments: tuple[Any, ...]) -> NDArray[Any]:
    if len(arguments) != 4 or arguments[3] not in ("C", "F"):
        raise RefusedPickle("is an array without contents")
    data, dtype, shape, order = arguments
    return _array(data, _dtype(dtype), _shape(shape), order)


def _dense(state: Mapping[Any, Any], by_column: bool) -> NDArray[Any]:
    """A compressed sparse matrix as a dense array, every index checked."""
    shape = _shape(state.get("_shape", state.get("shape")))
    data = _numpy_array(state.get("data"), f"is a sparse matrix without `{'data'}`")
    indices = _numpy_array(state.get("indices"), f"is a sparse matrix without `{'indices'}`")
    starts = _numpy_array(state.get("indptr"), f"is a sparse matrix without `{'indptr'}`")
    if len(shape) != 2 or not 0 < math.prod(shape) <= MAX_DENSE or len(data) > math.prod(shape):
        raise RefusedPickle(f"is a sparse matrix of shape {list(shape)}, which no regressor has")
    outer, inner = shape[::-1] if by_column else shape
    fits = (
        all(part.ndim == 1 for part in (data, indices, starts))
        and all(part.dtype.kind in "iu" for part in (indices, starts))
        and len(starts) == outer + 1
        and len(data) == len(indices) == int(starts[-1])
        and int(starts[0]) == 0
        and bool((np.diff(starts.astype(np.int64)) >= 0).all())
        and (not len(indices) or 0 <= int(indices.min()) <= int(indices.max()) < inner)
    )
    if not fits:
        raise RefusedPickle("is a sparse matrix with inconsistent arrays")
    full = np.zeros((outer, inner), data.dtype.newbyteorder("="))
    counts: NDArray[np.int64] = np.asarray(np.diff(starts.astype(np.int64)), np.int64)
    np.add.at(full, (np.repeat(np.arange(outer), counts), indices), data)
    return full.T.copy() if by_column else full
