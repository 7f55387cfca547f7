"""FLAME model files, `.pkl` or `.npz`, as validated arrays, and which version they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError

from . import smplx
from .unpickle import read_pickle
from .version import SMPLX, Version, recognize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JOINTS = 5
IDENTITIES, EXPRESSIONS = 300, 100
PARENTS = (-1, 0, 1, 1, 1)
#: our name -> what files call it; the first that is there is taken
_KEYS: Mapping[str, tuple[str, ...]] = {
    "v_template": ("v_template",),
    "faces": ("f", "faces"),
    "shapedirs": ("shapedirs", "shapedirs_identity"),
    "exprdirs": ("exprdirs", "expressiondirs", "shapedirs_expression"),
    "posedirs": ("posedirs",),
    "J_regressor": ("J_regressor",),
    "parents": ("kintree_table", "parents"),
    "weights": ("weights", "lbs_weights"),
    "mark_faces": ("mp_lmk_face_idx", "lmk_face_idx"),
    "mark_bary": ("mp_lmk_b_coords", "lmk_b_coords"),
    "mark_index": ("mp_landmark_indices", "landmark_indices"),
}
#: Numbers of all arrays together (SMPL-X has 29 million): as float64 they take eight times what a byte each took.
_MOST_NUMBERS = 1 << 26
_OPTIONAL = ("exprdirs", "mark_faces", "mark_bary", "mark_index")


@dataclass(frozen=True)
class Marks:
    """A MediaPipe landmark embedding that a file carries; it serves as a check of our own."""

    index: Ints  # [N] of MediaPipe's landmarks
    faces: Ints  # [N]
    bary: Floats  # [N,3]


@dataclass(frozen=True)
class FlameArrays:
    """What a FLAME file holds: meters in the file's own frame (y up, face along +z, x the subject's left)."""

    version: Version
    v_template: Floats  # [V,3]
    faces: Ints  # [F,3]
    identity: Floats  # [V,3,S]
    expressions: Floats  # [V,3,E]
    posedirs: Floats  # [V,3,36]
    regressor: Floats  # [5,V], rows sum to 1
    weights: Floats  # [V,5], rows sum to 1
    marks: Marks | None = None


def read_flame(path: Path) -> FlameArrays:
    """Read and check a FLAME file.

    Raises:
        HeadsplatError: no such file, not a FLAME file, or arrays that do not fit each other.
    """
    path = Path(path)
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such head file; give FLAME's .pkl or .npz, or --head embedded")
    arrays, texts = read_members(path)
    return _checked(path, arrays, texts)


def read_members(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays of a model file under our own names, as they are stored, and the texts beside them."""
    if path.suffix == ".npz":
        names, texts, get = _open_npz(path)
    elif path.suffix == ".pkl":
        pickled = read_pickle(path)
        names, texts, get = set(pickled.values), pickled.texts(), pickled.array
    else:
        raise HeadsplatError(f"{path}: expected a head model in .pkl or .npz, got {path.suffix or 'no suffix'}")
    arrays = {}
    for ours, theirs in _KEYS.items():
        found = next((name for name in theirs if name in names), None)
        if found is not None:
            arrays[ours] = get(found)
            if sum(array.size for array in arrays.values()) > _MOST_NUMBERS:
                raise HeadsplatError(f"{path}: has more numbers than any FLAME or SMPL-X file; give one of those")
        elif ours not in _OPTIONAL:
            have = ", ".join(_printable(name) for name in sorted(names)[:12]) or "nothing"
            raise HeadsplatError(f"{path}: no `{theirs[0]}` in it (it has {have}); give a FLAME model file")
    return arrays, texts


def _printable(name: str) -> str:
    """A member's name for a sentence, whatever the file calls it."""
    return name if name.isidentifier() and len(name) <= 40 else ascii(name[:40])


def _open_npz(path: Path) -> tuple[Collection[str], list[str], Callable[[str], NDArray[Any]]]:
    """Names, texts and a reader of the arrays of an .npz whose claimed sizes fit its contents."""
    try:
        stored = Npz(path)
    except DamagedNpz as error:
        raise HeadsplatError(f"{path}: damaged or no .npz file ({error}); get the file again") from None

    def get(name: str) -> NDArray[Any]:
        try:
            return stored.array(name)
        except DamagedNpz as error:
            raise HeadsplatError(f"{path}: `{name}` cannot be read ({error}); get the file again") from None

    return stored.names, stored.texts(), get


def _head_of_body(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """FLAME's arrays of a SMPL-X file; raises HeadsplatError where its parts do not fit each other."""
    vertices = _floats(path, arrays, "v_template", (None, 3))
    count = len(vertices)
    _indices(path, arrays["faces"], "f", count)
    _floats(path, arrays, "shapedirs", (count, 3, None))
    _floats(path, arrays, "posedirs", (count, 3, 9 * (smplx.JOINT_COUNT - 1)))
    _rows_of_one(path, "J_regressor", _floats(path, arrays, "J_regressor", (smplx.JOINT_COUNT, count)))
    _rows_of_one(path, "weights", _floats(path, arrays, "weights", (count, smplx.JOINT_COUNT)))
    return smplx.head_part(arrays)


def _checked(path: Path, arrays: Mapping[str, NDArray[Any]], texts: list[str]) -> FlameArrays:
    """The arrays as float64 and int64 once every one of them fits."""
    body = smplx.is_smplx(arrays)
    if body:
        arrays = _head_of_body(path, arrays)
    vertices = _floats(path, arrays, "v_template", (None, 3))
    count = len(vertices)
    faces = _indices(path, arrays["faces"], "f", count)
    shapes = _floats(path, arrays, "shapedirs", (count, 3, None))
    identity, expressions = shapes[:, :, :IDENTITIES], shapes[:, :, IDENTITIES:]
    if "exprdirs" in arrays and arrays["exprdirs"].size:
        identity, expressions = shapes, _floats(path, arrays, "exprdirs", (count, 3, None))
    regressor = _rows_of_one(path, "J_regressor", _floats(path, arrays, "J_regressor", (JOINTS, count)))
    weights = _rows_of_one(path, "weights", _floats(path, arrays, "weights", (count, JOINTS)))
    _check_parents(path, arrays["parents"])
    posedirs = _floats(path, arrays, "posedirs", (count, 3, 9 * (JOINTS - 1)))
    return FlameArrays(
        version=SMPLX if body else recognize(vertices, regressor, texts, (path.name, path.parent.name)),
        v_template=vertices,
        faces=faces,
        identity=identity,
        expressions=expressions[:, :, :EXPRESSIONS],
        posedirs=posedirs,
        regressor=regressor,
        weights=weights,
        marks=_marks(path, arrays, len(faces)),
    )


def _floats(path: Path, arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...]) -> Floats:
    array = np.asarray(arrays[name])
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=False))
    if not fits or array.dtype.kind not in "fiu" or not array.size:
        wanted = ",".join("N" if size is None else str(size) for size in shape)
        raise HeadsplatError(
            f"{path}: `{name}` expected [{wanted}], got {list(array.shape)} of {array.dtype}; give a FLAME model file"
        )
    result = array.astype(np.float64)
    if not np.isfinite(result).all() or np.abs(result).max() > 1e4:
        raise HeadsplatError(f"{path}: `{name}` has values that are no lengths in meters; get the file again")
    return result


def _indices(path: Path, array: NDArray[Any], name: str, count: int) -> Ints:
    whole = array.ndim == 2 and array.shape[1] == 3 and len(array) and array.dtype.kind in "iuf"
    if not whole or not np.isfinite(array.astype(np.float64)).all() or (array != np.floor(array)).any():
        raise HeadsplatError(f"{path}: `{name}` expected faces [F,3], got {list(array.shape)} of {array.dtype}")
    if array.min() < 0 or array.max() >= count:
        raise HeadsplatError(f"{path}: `{name}` names vertices outside 0..{count - 1}; get the file again")
    return array.astype(np.int64)


def _rows_of_one(path: Path, name: str, table: Floats) -> Floats:
    worst = float(np.abs(table.sum(1) - 1).max())
    if worst > 1e-3:
        raise HeadsplatError(f"{path}: rows of `{name}` must sum to 1, one is off by {worst:.3g}; get the file again")
    return table / table.sum(1, keepdims=True)


def _check_parents(path: Path, table: NDArray[Any]) -> None:
    """FLAME's tree: root, neck, then jaw and eyes on the neck; the root's parent is written as -1 or 2^32-1."""
    row = (table[0] if table.ndim == 2 and len(table) else table).ravel()[: JOINTS + 1].tolist()
    if row[1:] != list(PARENTS[1:]):
        raise HeadsplatError(
            f"{path}: `kintree_table` expected parents {list(PARENTS)} (root, neck, jaw, eyes), got {row}; "
            "give a FLAME model file"
        )


def _marks(path: Path, arrays: Mapping[str, NDArray[Any]], face_count: int) -> Marks | None:
    if not all(name in arrays for name in ("mark_faces", "mark_bary", "mark_index")):
        return None
    faces, bary, index = (np.asarray(arrays[name]) for name in ("mark_faces", "mark_bary", "mark_index"))
    fits = faces.ndim == index.ndim == 1 and bary.shape == (len(faces), 3) and len(index) == len(faces) > 0
    whole = faces.dtype.kind in "iu" and index.dtype.kind in "iu" and bary.dtype.kind == "f"
    if (
        not (fits and whole and np.abs(bary).max() <= 2)  # not of NaN either
        or not 0 <= faces.min() <= faces.max() < face_count
        or not 0 <= index.min() <= index.max() < 478
    ):
        raise HeadsplatError(f"{path}: its landmark embedding does not fit its faces; get the file again")
    return Marks(index.astype(np.int64), faces.astype(np.int64), bary.astype(np.float64))
