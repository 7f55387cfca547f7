"""Writing a motion in the format given by the file's suffix."""

from __future__ import annotations

from pathlib import Path

from avatar.common.files import write_error
from avatar.errors import HeadsplatError
from avatar.types import Motion

from .live_link_write import write_live_link
from .named_json import write_named_json
from .names import ARKIT
from .stored import write_stored
from .text import LARGEST
from .vhap import FOLDER, STACKED

STORED = ".motion.npz"
#: Ends of the names of files of FLAME parameters, and of a folder of them.
FLAME_FILES = (STACKED, ".deca.npz", ".emoca.npz", ".smirk.npz")
FLAME_FOLDER = FOLDER


def is_flame_name(path: Path) -> bool:
    """Whether a path is written as FLAME parameters."""
    return path.name.lower().endswith((*FLAME_FILES, FLAME_FOLDER))


def write_motion(path: str | Path, motion: Motion) -> tuple[str, ...]:
    """Write a motion atomically.

    Args:
        path: `.csv` (Live Link Face), `.json` (named ARKit weights) or `.motion.npz`, which stores everything. All
            three store `motion.resting`. FLAME parameters: a name that ends with `flame_param.npz`, or with
            `flame_param` for a folder (VHAP, GaussianAvatars), `.deca.npz`, `.emoca.npz` or `.smirk.npz`.
        motion: in the space "arkit52" for the first two, of FLAME's expressions for the last.

    Returns:
        A message for each loss.

    Raises:
        HeadsplatError: another suffix, a space that the format does not support, invalid numbers, or a disk error.
    """
    path = Path(path)
    _check(path, motion)
    try:
        if path.name.lower().endswith(STORED):
            return tuple(write_stored(path, motion))
        if is_flame_name(path):
            from .flame_write import write_flame  # with the loader of FLAME's heads

            return tuple(write_flame(path, motion))
        if path.suffix.lower() not in (".csv", ".json"):
            raise HeadsplatError(
                f"{path}: a motion is written as .csv (Live Link Face), .json or {STORED}, one of FLAME as "
                f"{', '.join(FLAME_FILES)} or a folder {FLAME_FOLDER}; use one of these suffixes"
            )
        if motion.space != ARKIT:
            raise HeadsplatError(
                f"{path}: supports ARKit's weights only, these are of {motion.space}; "
                f"write {STORED}, or convert them with "
                "`headsplat motion convert --motion-head FLAME.pkl --to-head embedded`"
            )
        write = write_live_link if path.suffix.lower() == ".csv" else write_named_json
        return tuple(write(path, motion))
    except OSError as error:
        raise write_error(path, error) from error


def _check(path: Path, motion: Motion) -> None:
    if not len(motion):
        raise HeadsplatError(f"{path}: the motion has no frames; nothing is written")
    for name in ("time", "weights", "joint_rot", "translation"):
        value = getattr(motion, name)
        if not bool((value.abs() <= LARGEST).all()):
            raise HeadsplatError(f"{path}: {name} of the motion has entries that are not numbers; nothing is written")
    if not bool((motion.time.diff() > 0).all()):
        raise HeadsplatError(f"{path}: the times of the motion do not increase; nothing is written")
