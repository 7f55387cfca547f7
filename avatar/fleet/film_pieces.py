"""Films in pieces: the frames of each piece, and the joining of pieces to the film that one command would write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.common.jsonable import to_jsonable
from avatar.errors import HeadsplatError
from avatar.fleet.inputs import fetch
from avatar.fleet.jobs import Input, Job
from avatar.fleet.process import Ended, run_command
from avatar.fleet.store import Store
from avatar.video.codecs import KEYFRAME_INTERVAL

#: Pieces start at multiples of this: there the encoders start anew.
MULTIPLE = KEYFRAME_INTERVAL
_REPORT = ".report.json"


@dataclass(frozen=True)
class Frames:
    """Frames of a rendering."""

    count: int  # rendered
    whole: int  # of the whole motion


def ranges(whole: int, length: int) -> list[str]:
    """The frames A:B of the pieces of a film of `whole` frames, `length` (a multiple of `MULTIPLE`) in each."""
    return [f"{start}:{min(start + length, whole)}" for start in range(0, whole, length)]


def frames_of(folder: Path) -> Frames:
    """The frames of the rendering in `folder`, from its report."""
    report = _report(folder)
    return Frames(report["frames"], report["frames_whole"])


def join_pieces(job: Job, store: Store, folder: Path) -> Ended:
    """Join the rendered pieces of `job` to its film, in `folder`/out, with the report of the whole.

    Returns:
        How the last command of `headsplat join` ended.

    Raises:
        HeadsplatError: a piece is missing.
    """
    wanted = (Input(store.path(key), key) for key in job.pieces)
    places = [fetch(each, folder / "pieces", number) for number, each in enumerate(wanted)]
    out = folder / "out"
    audio = _audio(job, folder)
    ended: Ended | None = None
    for name in _outputs(places[0]):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        segments = [str(place / name) for place in places]
        command = ["join", *segments, "-o", str(out / name), *(audio if ended is None else ())]
        ended = run_command(command, job.needs, folder / "log.txt", folder, job.time_limit)
        if ended.code:
            return ended
    if ended is None:
        raise HeadsplatError(f"{job.pieces[0]}: has no frames; delete this folder and run the command again")
    _write_report(places, out)
    return ended


def _audio(job: Job, folder: Path) -> tuple[str, ...]:
    if "--audio" not in job.arguments:
        return ()
    sound = job.arguments[job.arguments.index("--audio") + 1]
    assert isinstance(sound, Input)
    return ("--audio", str(fetch(sound, folder / "sound", 0)))


def _outputs(piece: Path) -> list[str]:
    """Names of the videos and folders of images in the folder of a piece; the first one carries the sound."""
    names = list(_report(piece)["files"].values())
    if all((piece / name).exists() for name in names):
        return names
    parents = (path.name for path in sorted(piece.iterdir()) if path.is_dir() and (path / names[0]).is_dir())
    parent = next(parents)  # several passes as folders of images
    return [f"{parent}/{name}" for name in names]


def _report(folder: Path) -> dict[str, Any]:
    content = json.loads(next(folder.glob(f"*{_REPORT}")).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def _write_report(places: list[Path], out: Path) -> None:
    """The report of the whole film: that of the first piece, with sums of what was rendered."""
    reports = [_report(place) for place in places]
    sums = {name: sum(report[name] for report in reports) for name in ("frames", "seconds_film", "seconds_drawing")}
    speed = sums["frames"] / sums["seconds_drawing"] if sums["seconds_drawing"] else 0.0
    content = to_jsonable(reports[0] | sums | {"frames_a_second": round(speed, 2)})
    name = next(places[0].glob(f"*{_REPORT}")).name
    (out / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
