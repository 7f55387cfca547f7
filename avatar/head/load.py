"""`load_head`: the head model that a name, a file or a folder stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError

from .embedded import embedded_head
from .model import HeadModel

if TYPE_CHECKING:
    from .flame import Detector

EMBEDDED, EMBEDDED_HALF = "embedded", "embedded-half"
_SUFFIXES = (".pkl", ".npz")
#: texture coordinates in FLAME's own download: used where one of them lies beside the model's file
_UV_TEMPLATES = ("head_template.obj", "head_template_mesh.obj")
_NEUTRAL_OF_ICT = ("generic_neutral_mesh.obj", "FaceXModel/generic_neutral_mesh.obj")
#: heads read from files: by path, size, time of change, and whether a detector was at hand
_READ: dict[tuple[Path, int, int, bool], HeadModel] = {}


def load_head(
    source: str | Path = EMBEDDED,
    detector: Detector | None = None,
    told: Callable[[str], None] | None = None,
) -> HeadModel:
    """The head model that `source` names; the same object every time, on the CPU in float32.

    Args:
        source: "embedded", "embedded-half" (a quarter of the skin's triangles), a FLAME or SMPL-X file (.pkl or .npz),
            or the folder FaceXModel of ICT-FaceKit.
        detector: finds landmarks in pictures, once for each FLAME file; without one headsplat's own mean face is laid
            on.
        told: receives sentences about a file when it is read.

    Raises:
        HeadsplatError: there is no such head, or the file is none.
    """
    if is_built_in(source):
        return embedded_head(half=source == EMBEDDED_HALF)
    path = Path(source)
    marked = _marking_file(path)
    state = marked.stat()
    key = (marked.resolve(), state.st_size, state.st_mtime_ns, detector is not None)
    if key not in _READ:
        _READ[key] = _read(path, detector, told)
    return _READ[key]


def is_built_in(source: str | Path) -> bool:
    """Whether `source` names a head that comes with headsplat; all others are files or folders of the user's."""
    return source in (EMBEDDED, EMBEDDED_HALF)


def lasting_source(source: str | Path) -> str:
    """`source` as it is remembered: a name, or a path that means the same file in any working folder."""
    return str(source) if is_built_in(source) else str(Path(source).resolve())


def _marking_file(path: Path) -> Path:
    """The file whose change means another head."""
    for name in _NEUTRAL_OF_ICT:
        if (path / name).is_file():
            return path / name
    if path.is_dir():
        raise HeadsplatError(
            f"{path}: no head model in this folder (ICT-FaceKit's has {_NEUTRAL_OF_ICT[0]}); give a FLAME file, or that"
        )
    if path.suffix not in _SUFFIXES:
        raise HeadsplatError(
            f"head {str(path)!r}: give {EMBEDDED}, {EMBEDDED_HALF}, a FLAME file ({' or '.join(_SUFFIXES)}) or "
            "ICT-FaceKit's folder"
        )
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such head file; give FLAME's .pkl or .npz, or leave --head out")
    return path


def _read(path: Path, detector: Detector | None, told: Callable[[str], None] | None) -> HeadModel:
    if path.is_dir():
        from .ict import load_ict

        return load_ict(path)
    from .flame import load_flame

    templates = [path.with_name(name) for name in _UV_TEMPLATES if path.with_name(name).is_file()]
    return load_flame(path, detector, templates[0] if templates else None, told)
