"""`load_head`: a head model by name, file or folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError

from .model import HeadModel

if TYPE_CHECKING:
    from .flame import Detector

EMBEDDED = "embedded"
EMBEDDED_HALF = "embedded-half"
_SUFFIXES = (".pkl", ".npz")
#: texture coordinates of FLAME's download: used where one of them lies beside the model file
_UV_TEMPLATES = ("head_template.obj", "head_template_mesh.obj")
_NEUTRAL_OF_ICT = ("generic_neutral_mesh.obj", "FaceXModel/generic_neutral_mesh.obj")
#: heads read from files, by path, size, modification time, and whether a detector was given
_LOADED: dict[tuple[Path, int, int, bool], HeadModel] = {}


def load_head(
    source: str | Path = EMBEDDED,
    detector: Detector | None = None,
    on_message: Callable[[str], None] | None = None,
) -> HeadModel:
    """Load the head model `source`, on the CPU in float32.

    Args:
        source: "embedded", "embedded-half" (a quarter of the skin's triangles), a FLAME or SMPL-X file (.pkl or .npz),
            or the folder FaceXModel of ICT-FaceKit.
        detector: detects landmarks in rendered images, once per FLAME file; None: headsplat's mean face is fitted to
            the mesh instead.
        on_message: receives messages about a file when it is read.

    Returns:
        The model; a second call with the same source returns the same object.

    Raises:
        HeadsplatError: there is no such head, or the file is not a head model.
    """
    if is_built_in(source):
        from .embedded import embedded_head  # with SciPy's sparse matrices: an avatar's own head needs neither

        return embedded_head(half=source == EMBEDDED_HALF)
    path = Path(source)
    main_file = _main_file(path)
    state = main_file.stat()
    key = (main_file.resolve(), state.st_size, state.st_mtime_ns, detector is not None)
    if key not in _LOADED:
        _LOADED[key] = _read(path, detector, on_message)
    return _LOADED[key]


def is_built_in(source: str | Path) -> bool:
    """Whether `source` is the name of a head shipped with headsplat; all others are the user's files or folders."""
    return source in (EMBEDDED, EMBEDDED_HALF)


def stored_source(source: str | Path) -> str:
    """`source` in the form that is stored: a built-in name or an absolute path."""
    return str(source) if is_built_in(source) else str(Path(source).resolve())


def _main_file(path: Path) -> Path:
    """The file that identifies the head: if it changes, the head is read again."""
    for name in _NEUTRAL_OF_ICT:
        if (path / name).is_file():
            return path / name
    if path.is_dir():
        raise HeadsplatError(
            f"{path}: no head model in this folder (ICT-FaceKit's has {_NEUTRAL_OF_ICT[0]}); give that folder or a "
            "FLAME file"
        )
    if path.suffix not in _SUFFIXES:
        raise HeadsplatError(
            f"head {str(path)!r}: give {EMBEDDED}, {EMBEDDED_HALF}, a FLAME file ({' or '.join(_SUFFIXES)}) or "
            "ICT-FaceKit's folder"
        )
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such head file; give FLAME's .pkl or .npz, or leave --head out")
    return path


def _read(path: Path, detector: Detector | None, on_message: Callable[[str], None] | None) -> HeadModel:
    if path.is_dir():
        from .ict import load_ict

        return load_ict(path)
    from .flame import load_flame

    templates = [path.with_name(name) for name in _UV_TEMPLATES if path.with_name(name).is_file()]
    return load_flame(path, detector, templates[0] if templates else None, on_message)
