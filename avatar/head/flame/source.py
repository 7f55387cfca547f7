"""FLAME and SMPL-X model files, `.pkl` or `.npz`, as validated arrays, with their version.

The FLAME version of a file, recognized by its content, and its license.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

from .unpickle import read_pickle

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JOINTS = 5
IDENTITIES = 300
EXPRESSIONS = 100
PARENTS = (-1, 0, 1, 1, 1)
#: our name -> names in files; the first that exists is used
_KEYS: Mapping[str, tuple[str, ...]] = {
    "v_template": ("v_template",),
    "faces": ("f", "faces"),
    "shapedirs": ("shapedirs", "shapedirs_identity"),
    "exprdirs": ("exprdirs", "expressiondirs", "shapedirs_expression"),
    "posedirs": ("posedirs",),
    "J_regressor": ("J_regressor",),
    "parents": ("kintree_table", "parents"),
    "weights": ("weights", "lbs_weights"),
    "landmark_faces": ("mp_lmk_face_idx", "lmk_face_idx"),
    "landmark_bary": ("mp_lmk_b_coords", "lmk_b_coords"),
    "landmark_index": ("mp_landmark_indices", "landmark_indices"),
}
#: Values of all arrays together (SMPL-X has 29 million): as float64 they take up to eight times the file's bytes.
_MAX_VALUES = 1 << 26
_OPTIONAL = ("exprdirs", "landmark_faces", "landmark_bary", "landmark_index")

_RESEARCH = "FLAME license, non-commercial scientific research only (https://flame.is.tue.mpg.de/modellicense.html)"
_OPEN = "CC-BY-4.0, FLAME 2023 Open, Max-Planck-Gesellschaft (https://flame.is.tue.mpg.de)"
_UNKNOWN = "FLAME, version not recognized: take it as non-commercial research only unless your copy says otherwise"


@dataclass(frozen=True)
class Version:
    """A FLAME version."""

    name: str
    license: str


FLAME_2020 = Version("FLAME 2020", _RESEARCH)
FLAME_2023 = Version("FLAME 2023", _RESEARCH)
FLAME_2023_OPEN = Version("FLAME 2023 Open", _OPEN)
UNRECOGNIZED = Version("FLAME (version not recognized)", _UNKNOWN)
SMPLX = Version("SMPL-X head", "SMPL-X license, non-commercial research only (https://smpl-x.is.tue.mpg.de)")

#: Joints of the mean head that only this version has: jaw, left eye, right eye, meters in the file's frame.
#: 2020 and 2023 have the same keys, counts and layout, and their values are not public: only texts identify them.
_JOINTS_AT = (
    (FLAME_2023_OPEN, ((-0.00046, -0.01550, -0.05768), (0.03172, 0.02288, 0.02437), (-0.03141, 0.02288, 0.02265))),
)
_TOLERANCE = 2e-4  # meters

_TEXT_PATTERNS = (
    (FLAME_2023_OPEN, re.compile(r"flame[\s_-]*2023[\s_-]*open", re.IGNORECASE)),
    (FLAME_2023, re.compile(r"flame[\s_-]*2023", re.IGNORECASE)),
    (FLAME_2020, re.compile(r"flame[\s_-]*2020", re.IGNORECASE)),
)


def recognize(
    v_template: NDArray[np.float64], regressor: NDArray[np.float64], texts: Iterable[str], names: Iterable[str] = ()
) -> Version:
    """Recognize the version of a file.

    Args:
        v_template: [V,3] meters.
        regressor: [5,V].
        texts: texts in the file.
        names: names of the file and its folder: used last, and never for a less restrictive license.

    Returns:
        The version, `UNRECOGNIZED` if unknown.
    """
    joints = (regressor @ v_template)[[JAW, LEFT_EYE, RIGHT_EYE]]
    for version, positions in _JOINTS_AT:
        if np.abs(joints - np.array(positions)).max() < _TOLERANCE:
            return version
    for text in texts:
        for version, pattern in _TEXT_PATTERNS:
            if pattern.search(text):
                return version
    for name in names:
        for version, pattern in _TEXT_PATTERNS[1:]:
            if pattern.search(name):
                return version
    return UNRECOGNIZED


@dataclass(frozen=True)
class FileLandmarks:
    """A MediaPipe landmark embedding in the file; used to check ours."""

    index: Ints  # [N] MediaPipe's landmark numbers
    faces: Ints  # [N]
    bary: Floats  # [N,3]


@dataclass(frozen=True)
class FlameArrays:
    """The contents of a FLAME file, in meters in the file's frame (y up, face along +z, x the subject's left)."""

    version: Version
    v_template: Floats  # [V,3]
    faces: Ints  # [F,3]
    identity: Floats  # [V,3,S] meters per standard deviation
    expressions: Floats  # [V,3,E] meters at weight 1
    posedirs: Floats  # [V,3,36] meters
    regressor: Floats  # [5,V], rows sum to 1
    weights: Floats  # [V,5], rows sum to 1
    landmarks: FileLandmarks | None = None


def read_flame(path: Path) -> FlameArrays:
    """Read and check a FLAME file.

    Raises:
        HeadsplatError: no such file, not a FLAME file, or inconsistent arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such head file; give FLAME's .pkl or .npz, or --head embedded")
    arrays, texts = read_members(path)
    return _check(path, arrays, texts)


def read_members(path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays of a model file under our names, unconverted, and the texts in the file."""
    if path.suffix == ".npz":
        names, texts, get = _open_npz(path)
    elif path.suffix == ".pkl":
        pickled = read_pickle(path)
        names = set(pickled.values)
        texts = pickled.texts()
        get = pickled.array
    else:
        raise HeadsplatError(f"{path}: expected a head model in .pkl or .npz, got {path.suffix or 'no suffix'}")
    arrays = {}
    for ours, theirs in _KEYS.items():
        key = next((name for name in theirs if name in names), None)
        if key is not None:
            arrays[ours] = get(key)
            if sum(array.size for array in arrays.values()) > _MAX_VALUES:
                raise HeadsplatError(
                    f"{path}: has more values than any FLAME or SMPL-X file; give a FLAME or SMPL-X file"
                )
        elif ours not in _OPTIONAL:
            present = ", ".join(_printable(name) for name in sorted(names)[:12]) or "nothing"
            raise HeadsplatError(f"{path}: no `{theirs[0]}` in it (it has {present}); give a FLAME model file")
    return arrays, texts


def _printable(name: str) -> str:
    """A member's name in printable form, cut to 40 characters."""
    return name if name.isidentifier() and len(name) <= 40 else ascii(name[:40])


def _open_npz(path: Path) -> tuple[Collection[str], list[str], Callable[[str], NDArray[Any]]]:
    """Names, texts and an array reader of an .npz whose headers match its contents."""
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
    """FLAME's arrays of a SMPL-X file.

    Raises:
        HeadsplatError: inconsistent arrays.
    """
    vertices = _floats(path, arrays, "v_template", (None, 3))
    count = len(vertices)
    _indices(path, arrays["faces"], "f", count)
    _floats(path, arrays, "shapedirs", (count, 3, None))
    _floats(path, arrays, "posedirs", (count, 3, 9 * (SMPLX_JOINTS - 1)))
    _normalized_rows(path, "J_regressor", _floats(path, arrays, "J_regressor", (SMPLX_JOINTS, count)))
    _normalized_rows(path, "weights", _floats(path, arrays, "weights", (count, SMPLX_JOINTS)))
    return smplx_head(arrays)


def _check(path: Path, arrays: Mapping[str, NDArray[Any]], texts: list[str]) -> FlameArrays:
    """Check all arrays and convert them to float64 and int64."""
    body = is_smplx(arrays)
    if body:
        arrays = _head_of_body(path, arrays)
    vertices = _floats(path, arrays, "v_template", (None, 3))
    count = len(vertices)
    faces = _indices(path, arrays["faces"], "f", count)
    shapes = _floats(path, arrays, "shapedirs", (count, 3, None))
    identity = shapes[:, :, :IDENTITIES]
    expressions = shapes[:, :, IDENTITIES:]
    if "exprdirs" in arrays and arrays["exprdirs"].size:
        identity = shapes
        expressions = _floats(path, arrays, "exprdirs", (count, 3, None))
    regressor = _normalized_rows(path, "J_regressor", _floats(path, arrays, "J_regressor", (JOINTS, count)))
    weights = _normalized_rows(path, "weights", _floats(path, arrays, "weights", (count, JOINTS)))
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
        landmarks=_landmarks(path, arrays, len(faces)),
    )


def _floats(path: Path, arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...]) -> Floats:
    array = np.asarray(arrays[name])
    fits = array.ndim == len(shape) and all(
        size in (None, actual) for size, actual in zip(shape, array.shape, strict=False)
    )
    if not fits or array.dtype.kind not in "fiu" or not array.size:
        expected = ",".join("N" if size is None else str(size) for size in shape)
        raise HeadsplatError(
            f"{path}: `{name}` expected [{expected}], got {list(array.shape)} of {array.dtype}; give a FLAME model file"
        )
    result = array.astype(np.float64)
    if not np.isfinite(result).all() or np.abs(result).max() > 1e4:
        raise HeadsplatError(f"{path}: `{name}` has values that are not lengths in meters; get the file again")
    return result


def _indices(path: Path, array: NDArray[Any], name: str, count: int) -> Ints:
    whole = array.ndim == 2 and array.shape[1] == 3 and len(array) and array.dtype.kind in "iuf"
    if not whole or not np.isfinite(array.astype(np.float64)).all() or (array != np.floor(array)).any():
        raise HeadsplatError(f"{path}: `{name}` expected faces [F,3], got {list(array.shape)} of {array.dtype}")
    if array.min() < 0 or array.max() >= count:
        raise HeadsplatError(f"{path}: `{name}` has vertex numbers outside 0..{count - 1}; get the file again")
    return array.astype(np.int64)


def _normalized_rows(path: Path, name: str, table: Floats) -> Floats:
    worst = float(np.abs(table.sum(1) - 1).max())
    if worst > 1e-3:
        raise HeadsplatError(f"{path}: rows of `{name}` must sum to 1, one is off by {worst:.3g}; get the file again")
    return table / table.sum(1, keepdims=True)


def _check_parents(path: Path, table: NDArray[Any]) -> None:
    """Check for FLAME's tree: root, neck, then jaw and eyes on the neck; the root's parent is -1 or 2^32-1."""
    row = (table[0] if table.ndim == 2 and len(table) else table).ravel()[: JOINTS + 1].tolist()
    if row[1:] != list(PARENTS[1:]):
        raise HeadsplatError(
            f"{path}: `kintree_table` expected parents {list(PARENTS)} (root, neck, jaw, eyes), got {row}; "
            "give a FLAME model file"
        )


def _landmarks(path: Path, arrays: Mapping[str, NDArray[Any]], face_count: int) -> FileLandmarks | None:
    names = ("landmark_faces", "landmark_bary", "landmark_index")
    if not all(name in arrays for name in names):
        return None
    faces, bary, index = (np.asarray(arrays[name]) for name in names)
    fits = faces.ndim == index.ndim == 1 and bary.shape == (len(faces), 3) and len(index) == len(faces) > 0
    whole = faces.dtype.kind in "iu" and index.dtype.kind in "iu" and bary.dtype.kind == "f"
    if (
        not (fits and whole and np.abs(bary).max() <= 2)  # also refuses NaN
        or not 0 <= faces.min() <= faces.max() < face_count
        or not 0 <= index.min() <= index.max() < 478
    ):
        raise HeadsplatError(f"{path}: its landmark embedding does not match its faces; get the file again")
    return FileLandmarks(index.astype(np.int64), faces.astype(np.int64), bary.astype(np.float64))


SMPLX_JOINTS = 55
#: SMPL-X's neck, head, jaw and eyes serve as FLAME's root, neck, jaw and eyes; both have the same tree
_SMPLX_HEAD_JOINTS = (12, 15, 22, 23, 24)
_SMPLX_MIN_WEIGHT = 0.5  # sum of a vertex's skin weights on those joints
#: number of identities and expressions of SMPL-X files by the number of their shape directions
_SMPLX_SPLITS = {400: (300, 100), 20: (10, 10)}
_SMPLX_FITTED = 50  # identities for which the new joint regressor is fitted to the old one


def is_smplx(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the arrays of a file are a SMPL-X body's."""
    regressor = arrays["J_regressor"]
    weights = arrays["weights"]
    return regressor.ndim == 2 == weights.ndim and len(regressor) == SMPLX_JOINTS == weights.shape[1]


def smplx_head(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """FLAME's arrays of the head of a body: the vertices skinned to neck, head, jaw or eyes, and their faces.

    Args:
        arrays: v_template [V,3], faces [F,3], shapedirs [V,3,S], posedirs [V,3,486], J_regressor [55,V],
            weights [V,55]; the caller checks the shapes of the result.

    Returns:
        The arrays under the names that this module uses, K vertices.
    """
    joints = list(_SMPLX_HEAD_JOINTS)
    on_head = np.asarray(arrays["weights"])[:, joints].sum(1) > _SMPLX_MIN_WEIGHT
    new_index = np.cumsum(on_head) - 1
    faces = arrays["faces"].astype(np.int64)
    faces = new_index[faces[on_head[faces].all(1)]]
    weights = np.array(arrays["weights"][on_head][:, joints], float)
    weights[:, 0] = 1 - weights[:, 1:].sum(1)
    shapes = arrays["shapedirs"]
    identities, expressions = _SMPLX_SPLITS.get(shapes.shape[2], (shapes.shape[2], 0))
    columns = np.concatenate([np.arange(9 * (joint - 1), 9 * joint) for joint in joints[1:]])
    return {
        "v_template": arrays["v_template"][on_head],
        "faces": faces,
        "shapedirs": shapes[on_head][:, :, :identities],
        "exprdirs": shapes[on_head][:, :, identities : identities + expressions],
        "posedirs": arrays["posedirs"][on_head][:, :, columns],
        "J_regressor": _smplx_regressor(arrays, on_head, joints, identities),
        "parents": np.array([-1, 0, 1, 1, 1]),
        "weights": weights,
    }


def _smplx_regressor(
    arrays: Mapping[str, NDArray[Any]], on_head: NDArray[np.bool_], joints: list[int], identities: int
) -> NDArray[np.float64]:
    """Minimum-norm weights [5,K] over kept vertices that reproduce the joints of the mean and the first identities."""
    old = np.asarray(arrays["J_regressor"], float)[joints]
    count = min(identities, _SMPLX_FITTED, (int(on_head.sum()) - 4) // 6)
    fields = np.concatenate([arrays["v_template"][..., None], arrays["shapedirs"][:, :, :count]], 2).astype(float)
    positions = np.einsum("jv,vck->jck", old, fields).reshape(len(joints), -1)
    equations = np.vstack([fields[on_head].reshape(int(on_head.sum()), -1).T, np.ones(int(on_head.sum()))])
    targets = np.hstack([positions, np.ones((len(joints), 1))])
    return np.linalg.lstsq(equations, targets.T, rcond=None)[0].T
