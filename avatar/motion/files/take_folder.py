"""Folders of programs that write several files a take: which of them has the weights."""

from __future__ import annotations

from pathlib import Path

from avatar.errors import HeadsplatError

_TAKE = "take.json"
#: Tables beside the weights: times of the video's frames, and of Audio2Face-3D the emotions.
_NO_WEIGHTS = ("frame_log.csv", "_emotion_output.csv", "_input_emotions.csv")
_WEIGHTS = "animation_frames.csv"
_CALIBRATED = "_cal.csv"


def weights_in(folder: Path, notes: list[str]) -> Path | None:
    """The file of weights in a folder, or in the only one in it; None: there is none.

    Live Link Face writes `_cal.csv`, `_raw.csv` and `_neutral.csv` where its face is calibrated, else one CSV.

    Raises:
        HeadsplatError: a take without weights, or more than one file that may be it.
    """
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    if len(inner) == 1 and not (folder / _TAKE).is_file() and (inner[0] / _TAKE).is_file():
        folder = inner[0]
    tables = sorted(path for path in folder.glob("*.csv") if not path.name.endswith(_NO_WEIGHTS))
    if (folder / _WEIGHTS).is_file():
        return folder / _WEIGHTS
    calibrated = [path for path in tables if path.name.endswith(_CALIBRATED)]
    if len(calibrated) == 1:
        others = [path.name for path in tables if path != calibrated[0]]
        notes.append(f"{calibrated[0].name} is read, the calibrated weights; not {' and '.join(others) or 'others'}")
        return calibrated[0]
    if (folder / _TAKE).is_file() and not tables:
        raise HeadsplatError(
            f"{folder}: a take of Live Link Face without weights, as in the mode MetaHuman Animator; record it in the "
            "mode ARKit, or track its .mov with `headsplat capture`"
        )
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables[:3])
        raise HeadsplatError(f"{folder}: contains several tables ({names}); name the file of one motion")
    return tables[0] if tables else None
