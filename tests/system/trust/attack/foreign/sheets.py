"""Tables and JSON of named weights as programs write them, and variations of their values."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.arkit import ARKIT_52
from avatar.types import ROOT
from tests.system.trust.attack.foreign.truth import Floats, Truth, arkit_truth

#: Right before left for jaw and mouth, as the app writes them.
_APP = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
_ANGLES = tuple(f"{of}{axis}" for of in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll"))
_NO_HEAD = {"head": r"head (rotation|pose).*does not move|have no rotation: the head does not move"}
Random = np.random.Generator


@dataclass
class Sheet:
    """What a program writes, row by row in the order of the file."""

    form: str  # "table", "frames" (JSON of names and frames) or "matrix" (JSON of Audio2Face)
    truth: Truth
    names: list[str]
    weights: Floats  # [T,E]
    clock: str = ""  # name of the column of times
    stamps: list[Any] = field(default_factory=list)  # [T] timecodes, or numbers
    angle_names: list[str] = field(default_factory=list)
    angles: Floats | None = None  # [T,A]; in JSON the head's rotation
    before: dict[str, list[Any]] = field(default_factory=dict)  # further columns before the weights, or keys
    after: dict[str, list[Any]] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)  # of the JSON object

    def take(self, rows: Any) -> None:
        """Keep these rows, in this order."""
        self.weights = self.weights[rows]
        self.angles = None if self.angles is None else self.angles[rows]
        self.stamps = [self.stamps[row] for row in np.arange(len(self.stamps))[rows]] if self.stamps else []
        for columns in (self.before, self.after):
            for name, cells in columns.items():
                columns[name] = [cells[row] for row in np.arange(len(cells))[rows]]

    def text(self) -> str:
        """The file."""
        return {"table": self._table, "frames": self._frames, "matrix": self._matrix}[self.form]()

    def _table(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        clock = [self.clock] if self.clock else []
        writer.writerow([*self.before, *clock, *self.after, *self.names, *self.angle_names])
        for row, weights in enumerate(self.weights):
            angles = [] if self.angles is None else self.angles[row]
            cells = [f"{value:.8f}" for value in (*weights, *angles)]
            stamp = [self.stamps[row]] if self.clock else []
            others = [[cells[row] for cells in columns.values()] for columns in (self.before, self.after)]
            writer.writerow([*others[0], *stamp, *others[1], *cells])
        return out.getvalue()

    def _frames(self) -> str:
        frames = []
        for row, weights in enumerate(self.weights.tolist()):
            frame: dict[str, Any] = {"weights": weights}
            if self.stamps:
                frame["time"] = self.stamps[row]
            if self.angles is not None:
                frame["rotation"] = self.angles[row].tolist()
            frames.append(frame)
        return json.dumps({**self.keys, "names": self.names, "frames": frames})

    def _matrix(self) -> str:
        content = {"numPoses": len(self.names), "numFrames": len(self.weights), "facsNames": self.names}
        return json.dumps({**self.keys, **content, "weightMat": self.weights.tolist()})


# -- Programs ------------------------------------------------------------------------------------------------------


def _live_link(code: Callable[[int, float], str], rate: float, **admits: str) -> Callable[[Random], Sheet]:
    """A program that writes the columns of Live Link Face, with its own timecodes (by row and seconds)."""

    def make(random: Random) -> Sheet:
        time = np.arange(round(2.6 * max(rate, 24))) / rate
        truth = arkit_truth(random, time)
        x, y, z = truth.joints[ROOT].T  # R = Rx(-pitch) Ry(yaw) Rz(roll)
        truth.joints[ROOT] = Rotation.from_euler("XYZ", np.stack([-x, y, z], 1)).as_rotvec()
        names = [_APP.get(name, name) for name in ARKIT_52]
        weights = np.stack([truth.weights[name] for name in names], 1)
        gaze = [truth.weights[f"eyeLookIn{side}"] - truth.weights[f"eyeLookOut{side}"] for side in ("Left", "Right")]
        nothing = np.zeros(len(time))
        eyes = [0.6 * gaze[0], nothing, nothing, -0.6 * gaze[1], nothing, nothing]
        stamps = [code(row, second) for row, second in enumerate(time)]
        truth.admit(admits)
        names = [name[0].upper() + name[1:] for name in names]
        count = {"BlendShapeCount": [61] * len(time)}
        angles = np.stack([y, x, z, *eyes], 1)
        return Sheet("table", truth, names, weights, "Timecode", stamps, list(_ANGLES), angles, after=count)

    return make


def _ticks(row: int, second: float) -> str:
    at = 36733.25 + second  # of the day
    return f"{int(at) // 3600:02d}:{int(at) // 60 % 60:02d}:{int(at) % 60:02d}:{at % 1 * 60:06.3f}"


def _counted(base: int, start: int = 0, rest: str = "", point: str = ":") -> Callable[[int, float], str]:
    """Timecodes that count the frames of the video."""

    def code(row: int, second: float) -> str:
        number = row + start
        return f"00:00:{number // base:02d}{point}{number % base:02d}{rest.format(number)}"

    return code


def _drop_frame(row: int, second: float) -> str:
    number = row + 1770 + 2 * (row >= 30)  # numbers 0 and 1 of the second minute are left out
    return f"00:{number // 1800:02d}:{number // 30 % 60:02d};{number % 30:02d}"


def _audio2face(form: str, fps: float | None, clock: bool = False) -> Callable[[Random], Sheet]:
    def make(random: Random) -> Sheet:
        truth = arkit_truth(random, np.arange(80) / (fps or 30))
        truth.admit(_NO_HEAD)
        weights = np.stack([truth.weights[name] for name in ARKIT_52], 1)
        if form == "matrix":
            keys = {"trackPath": "/World/voice.wav"} | ({} if fps is None else {"exportFps": fps})
            return Sheet(form, truth, list(ARKIT_52), weights, keys=keys)
        names = [f"blendShapes.{name[0].upper()}{name[1:]}" for name in ARKIT_52]
        index = {"": list(range(len(weights)))}
        stamps = [round(float(second), 6) for second in truth.time] if clock else []
        return Sheet(form, truth, names, weights, "timeCode" if clock else "", stamps, before=index)

    return make


def _frames(timed: bool, rotation: bool) -> Callable[[Random], Sheet]:
    def make(random: Random) -> Sheet:
        time = np.arange(80) / (25 if timed else 30)
        truth = arkit_truth(random, time)
        weights = np.stack([truth.weights[name] for name in ARKIT_52], 1)
        truth.admit({} if rotation else _NO_HEAD)
        stamps = [round(float(second), 6) for second in time] if timed else []
        turn = truth.joints[ROOT] if rotation else None
        return Sheet("frames", truth, list(ARKIT_52), weights, "time" if timed else "", stamps, angles=turn)

    return make


_FLL = ".{:03d}"
PROGRAMS: dict[str, Callable[[Random], Sheet]] = {
    "Live Link Face 60": _live_link(_ticks, 60),
    "Live Link Face 30": _live_link(_ticks, 30),
    "Live Link Face 29.97": _live_link(_ticks, 30 / 1.001),
    **{f"Face Landmark Link {rate}": _live_link(_counted(rate, 1, _FLL), rate) for rate in (24, 25, 30, 50)},
    **{f"editor {rate}": _live_link(_counted(rate), rate) for rate in (24, 25, 30, 48, 50, 60, 120)},
    "editor drop-frame": _live_link(_drop_frame, 30 / 1.001),
    "DualTalk": _live_link(
        lambda row, second: f"00:{row // 60:02d}:{row % 60:02d}:00.000", 25, times="advance 1 s a row, slower than"
    ),
    "converter without times": _live_link(lambda row, second: "00:00:00:00.000", 30),
    "Audio2Face table": _audio2face("table", 30, clock=True),
    "Audio2Face table without timeCode": _audio2face("table", None),
    "Audio2Face JSON": _audio2face("matrix", 60),
    "Audio2Face JSON without exportFps": _audio2face("matrix", None),
    "frames": _frames(timed=True, rotation=True),
    "frames without times": _frames(timed=False, rotation=True),
    "frames without rotation": _frames(timed=True, rotation=False),
}


# -- Variations of the values --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variation:
    """A change of what a program writes."""

    change: Callable[[Sheet, Random], None]
    fits: Callable[[Sheet], bool] = lambda sheet: True
    admits: dict[str, str] = field(default_factory=dict)  # as in `Truth`


def _named(rename: Callable[[str], str]) -> Variation:
    def change(sheet: Sheet, random: Random) -> None:
        for at, name in enumerate(sheet.names):
            prefix = "blendShapes." if name.startswith("blendShapes.") else ""
            sheet.names[at] = prefix + rename(name.removeprefix(prefix))

    return Variation(change, admits={"expressions": "names are not ARKit's and are kept unchanged"})


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def _scaled(amount: float) -> Variation:
    def change(sheet: Sheet, random: Random) -> None:
        sheet.weights = sheet.weights * amount

    return Variation(change, admits={"expressions": r"percent|0 to 100|0\.\.100|0\.\.1\b|0 to 1\b"})


def _degrees(sheet: Sheet, random: Random) -> None:
    assert sheet.angles is not None
    sheet.angles = np.degrees(sheet.angles)


def _quaternions(sheet: Sheet, random: Random) -> None:
    sheet.angles = Rotation.from_rotvec(sheet.truth.joints[ROOT]).as_quat()


def _matrices(sheet: Sheet, random: Random) -> None:
    sheet.angles = Rotation.from_rotvec(sheet.truth.joints[ROOT]).as_matrix().reshape(-1, 9)


def _quaternion_columns(sheet: Sheet, random: Random) -> None:
    assert sheet.angles is not None
    sheet.angles = np.concatenate([Rotation.from_rotvec(sheet.truth.joints[ROOT]).as_quat(), sheet.angles[:, 3:]], 1)
    sheet.angle_names[:3] = ["HeadRotationX", "HeadRotationY", "HeadRotationZ", "HeadRotationW"]


def _without_angles(sheet: Sheet, random: Random) -> None:
    sheet.angles, sheet.angle_names = None, []


def _clock(change: Callable[[Floats], Floats], admits: str = "") -> Variation:
    """A variation of numbered times."""

    def apply(sheet: Sheet, random: Random) -> None:
        sheet.stamps = change(np.array(sheet.stamps, np.float64)).tolist()

    numbered = lambda sheet: bool(sheet.stamps) and not isinstance(sheet.stamps[0], str)  # noqa: E731
    return Variation(apply, numbered, {"times": admits} if admits else {})


def _frame_numbers(time: Floats) -> Floats:
    return np.arange(len(time), dtype=np.float64)


def _missing_rows(sheet: Sheet, random: Random) -> None:
    """A few rows are missing: the tracker lost the face."""
    count = len(sheet.weights)
    kept = np.ones(count, bool)
    start = int(random.integers(5, count - 12))
    kept[start : start + int(random.integers(1, 6))] = False
    sheet.take(kept)
    sheet.truth = sheet.truth.rows(kept)


def _reversed(sheet: Sheet, random: Random) -> None:
    sheet.take(slice(None, None, -1))


def _shuffled(sheet: Sheet, random: Random) -> None:
    sheet.take(random.permutation(len(sheet.weights)))


def _other_order(sheet: Sheet, random: Random) -> None:
    order = random.permutation(len(sheet.names))
    sheet.names = [sheet.names[at] for at in order]
    sheet.weights = sheet.weights[:, order]


def _more_columns(sheet: Sheet, random: Random) -> None:
    count = len(sheet.weights)
    sheet.before = {"frame": list(range(count)), **sheet.before}
    sheet.after = {**sheet.after, "Emotion": ["0.5"] * count}


def _more_names(sheet: Sheet, random: Random) -> None:
    prefix = "blendShapes." if sheet.names[0].startswith("blendShapes.") else ""
    sheet.names = [*sheet.names, f"{prefix}TongueTipUp", f"{prefix}browCenter"]
    sheet.weights = np.concatenate([sheet.weights, random.uniform(0, 0.5, (len(sheet.weights), 2))], 1)


def _fewer_names(sheet: Sheet, random: Random) -> None:
    keep = [at for at, name in enumerate(sheet.names) if "brow" not in name.lower()]
    sheet.names = [sheet.names[at] for at in keep]
    sheet.weights = sheet.weights[:, keep]


def _joints(sheet: Sheet, random: Random) -> None:
    turn = np.degrees(sheet.truth.joints[ROOT])
    if sheet.form == "matrix":
        sheet.keys["joints"] = {"head": turn.tolist(), "jaw": (0 * turn).tolist()}
    else:
        sheet.angle_names = [f"joints.head_{axis}" for axis in "xyz"]
        sheet.angles = turn


_IS_TIMED: Callable[[Sheet], bool] = lambda sheet: bool(sheet.stamps) and len(set(map(str, sheet.stamps))) > 1  # noqa: E731
_FREE: Callable[[Sheet], bool] = lambda sheet: _IS_TIMED(sheet) and "times" not in sheet.truth.admits  # noqa: E731
_IS_APP: Callable[[Sheet], bool] = lambda sheet: len(sheet.angle_names) == len(_ANGLES)  # noqa: E731
_TURNS: Callable[[Sheet], bool] = lambda sheet: sheet.angles is not None  # noqa: E731
_IS_ROTATION: Callable[[Sheet], bool] = lambda sheet: sheet.form == "frames" and sheet.angles is not None  # noqa: E731
_NO_TURN: Callable[[Sheet], bool] = lambda sheet: sheet.form != "frames" and sheet.angles is None  # noqa: E731
_UNIT = r"millisecond|microsecond|frame number|number of the frame|slower than"

VALUES: dict[str, Variation] = {
    "names in small letters": _named(str.lower),
    "names in capitals": _named(str.upper),
    "names with _L and _R": _named(lambda name: re.sub("(?<!jaw)(?<!mouth)(?i:(l)eft|(r)ight)$", r"_\1\2", name)),
    "names with underscores": _named(_snake),
    "names with spaces": _named(lambda name: _snake(name).replace("_", " ")),
    "names with a prefix": _named(lambda name: f"blendShape1.{name}"),
    "names of a mesh": _named(lambda name: f"head_lod0_mesh__{name}"),
    "percent": _scaled(100),
    "bytes": _scaled(255),
    "degrees": Variation(_degrees, _TURNS, {"head": "degrees"}),
    "quaternions": Variation(_quaternions, _IS_ROTATION, {"head": "rotations of 4 numbers are ignored"}),
    "matrices": Variation(_matrices, _IS_ROTATION, {"head": "rotations of 9 numbers are ignored"}),
    "quaternion columns": Variation(_quaternion_columns, _IS_APP, {"head": "no head rotation"}),
    "without angles": Variation(_without_angles, _IS_APP, {"head": "no head rotation"}),
    "joints": Variation(_joints, _NO_TURN, {"head": "dropped, only the weights are read: joints"}),
    "milliseconds": _clock(lambda time: 1e3 * time, _UNIT),
    "microseconds": _clock(lambda time: 1e6 * time, _UNIT),
    "frame numbers": _clock(_frame_numbers, _UNIT),
    "times from 100 s": _clock(lambda time: time + 100),
    "times of day": _clock(lambda time: time + 51234.5),
    "epoch": _clock(lambda time: np.round(time + 1.7e9, 6)),
    "epoch in milliseconds": _clock(lambda time: 1e3 * (time + 1.7e9)),
    "missing rows": Variation(_missing_rows, _FREE, {"times": "holes .* fit no number of frames per second"}),
    "rows reversed": Variation(_reversed, _FREE),
    "rows shuffled": Variation(_shuffled, _FREE),
    "another order": Variation(_other_order),
    "more columns": Variation(_more_columns, lambda sheet: sheet.form == "table"),
    "more names": Variation(_more_names),
    "fewer names": Variation(_fewer_names, admits={"expressions": "not in the file: .*brow"}),
}
#: Variations for which a file may be refused.
REFUSABLE = frozenset(
    (
        "names with underscores", "names with spaces", "names with a prefix", "names of a mesh", "percent", "bytes",
        "microseconds", "milliseconds", "epoch", "epoch in milliseconds",
    )
)  # fmt: skip
