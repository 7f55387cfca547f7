"""The report of a take: JSON, text and a table; `schema.json` describes the JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.printable import single_line
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.units import head_units
from avatar.performance.mixing.regions import REGIONS
from avatar.performance.readout.events import MICRO_SECONDS, Event
from avatar.performance.readout.points import FacePoints
from avatar.performance.readout.signals import gaze_words
from avatar.performance.readout.take import Take
from avatar.performance.readout.words import LIMITS, conclusion, confidence, interaction, observation

FORMAT = "headsplat.reading"
VERSION = 2  # 1 had no landmarks and regions
SCHEMA = Path(__file__).with_name("schema.json")
#: Frames a second in the JSON by default; events are always found in all frames.
DEFAULT_RATE = 10.0
HEAD_DEGREES = 30.0  # of a rotation from the mean pose that counts as 1 in the region of the head
#: Region of a frame -> regions of the face whose expressions it has.
FACE_REGIONS: Mapping[str, tuple[str, ...]] = {
    "brows": ("brows",),
    "eyes": ("lids", "gaze"),
    "nose": ("nose",),
    "cheeks": ("cheeks",),
    "mouth": ("lips", "tongue"),
    "jaw": ("jaw",),
}
_REGION_COLUMNS = {
    name: [ARKIT_52.index(weight) for part in parts for weight in REGIONS[part] if weight in ARKIT_52]
    for name, parts in FACE_REGIONS.items()
}
_LEAST_PART = 0.005  # contributions below it are left out
DEFINITIONS = {
    "units": "action units of the Facial Action Coding System; intensity 0 to 1, letters A (trace) to E (maximum); "
    "left and right are those of the person; below A a unit is left out",
    "distribution": "probability of each label, adding up to 1; neutral: no strong evidence; unknown: evidence that "
    "fits no label, or no face",
    "label": "the most probable label; unknown where that is an emotion with a probability below 0.5",
    "valence, arousal": "-1 to 1 on the circumplex of affect, of the face shown",
    "gaze": "degrees relative to the head: yaw to the left of the person, pitch up",
    "head": "degrees from the mean pose: yaw to the left of the person, pitch up, roll toward the right shoulder",
    "speech": "0 to 1, how likely the person speaks; mouth shapes count less for emotions meanwhile",
    "time": "seconds after the first frame",
    "micro": f"a movement of the face shorter than {MICRO_SECONDS} s, outside of speech",
    "regions": "0 to 1: the largest weight of a region above the resting face; "
    f"head: degrees from the mean pose over {HEAD_DEGREES:g}",
    "landmarks": "of MediaPipe's face mesh, in the order of `landmarks` of the report; pixels: x right, y down from "
    "the upper left corner of the image, where the video is known; head_mm: x to the left of the person, y up, z "
    "forward from between the eyes, in the axes of the head, by the head model and the weights of the frame",
    "contributions": "what each expression weight adds to the score of a label; the sum with `constant` is the score",
    "own_range": "weights that count as 1, where the expressions were scaled by how far they go in this take",
    "resting_face": "weights that are removed before anything is read: their median over this take, at most 0.45",
}


@dataclass(frozen=True, eq=False)
class TakeReport:
    """A take as text, JSON and a table."""

    take: Take
    source: str  # name to print, such as the file
    rate: float = DEFAULT_RATE  # frames a second in `frames`
    contributions: bool = False  # of every label in every frame, not only of the most probable one
    points: FacePoints | None = None  # landmarks of the frames; None: left out

    def to_dict(self) -> dict[str, Any]:
        """The whole report in JSON types."""
        return {**self._head, "frames": list(self._frames())}

    def json_parts(self) -> Iterator[str]:
        """The JSON text in parts, a frame a line, so that memory stays flat."""
        head = json.dumps(self._head, indent=1, allow_nan=False)
        yield head[: head.rindex("\n}")] + ',\n "frames": ['
        for number, frame in enumerate(self._frames()):
            yield ("," if number else "") + "\n  " + json.dumps(frame, allow_nan=False)
        yield "\n ]\n}\n"

    def to_text(self) -> str:
        """The report in plain words."""
        blocks = [self.source, *(f"note: {note}" for note in self.take.notes)]
        for title, lines in self._words.items():
            blocks += ["", title.capitalize(), *(f"- {line}" for line in lines)]
        return "\n".join(single_line(line) for line in [*blocks, "", *LIMITS])

    def csv_lines(self) -> Iterator[str]:
        """A table with one line for every frame of the take; values of frames without a face are empty."""
        take = self.take
        sided = [(k, side) for k in range(len(take.table.units)) for side in (0, 1)]
        names = [f"{take.table.keys[k]}_{'left' if side == 0 else 'right'}" for k, side in sided]
        columns = [
            "time_s",
            "face",
            *names,
            *take.table.labels,
            "label",
            "valence",
            "arousal",
            "gaze_yaw_deg",
            "gaze_pitch_deg",
            "head_yaw_deg",
            "head_pitch_deg",
            "head_roll_deg",
            "lip_gap_mm",
            "speech",
            *(f"region_{name}" for name in self._regions),
            "lids",
            "gesture",
        ]
        yield _csv_line(columns)
        labels = self._labels
        for row in range(len(take)):
            start = [f"{take.time[row] - take.time[0]:.4f}", int(take.face[row])]
            if not take.face[row]:
                yield _csv_line([*start, *[""] * (len(columns) - 2)])
                continue
            numbers = [take.sides[row].reshape(-1), take.distribution[row]]
            angles = [*take.gaze[row], *take.head[row], take.gap[row], take.speech[row]]
            yield _csv_line(
                [
                    *start,
                    *(f"{value:.3f}" for value in np.concatenate(numbers)),
                    take.table.labels[labels[row]],
                    f"{take.valence[row]:.3f}",
                    f"{take.arousal[row]:.3f}",
                    *(f"{value:.2f}" for value in angles),
                    *(f"{values[row]:.3f}" for values in self._regions.values()),
                    self._lids[row],
                    self._gestures[row],
                ]
            )

    @cached_property
    def _words(self) -> dict[str, list[str]]:
        take = self.take
        return {"observation": observation(take), "interaction": interaction(take), "conclusion": conclusion(take)}

    @cached_property
    def _head(self) -> dict[str, Any]:
        take = self.take
        rest = {name: _round(value) for name, value in zip(ARKIT_52, take.rest, strict=True) if value >= _LEAST_PART}
        return {
            "format": FORMAT,
            "version": VERSION,
            "about": {
                "what": "What a face shows over time, read from its expression weights by fixed rules: the same input "
                "gives the same report. A person or a program may quote it only with its limits.",
                "limits": list(LIMITS),
                "definitions": DEFINITIONS,
            },
            "source": {
                "name": self.source,
                "frames": len(take),
                "seconds": _round(take.seconds),
                "fps": _round(take.rate),
                "frames_with_face": int(take.face.sum()),
                "speech_from": take.speech_source,
                "resting_face": rest,
                "own_range": {
                    name: _round(value) for name, value in zip(ARKIT_52, take.reach, strict=True) if value < 1
                },
                "notes": list(take.notes),
            },
            **({} if self.points is None else {"landmarks": self.points.description()}),
            "units": {unit.key: {"name": unit.name, "muscles": unit.muscles} for unit in take.table.units},
            "labels": list(take.table.labels),
            "summary": self._summary(),
            **self._words,
            "events": [self._event(event) for event in take.events],
        }

    def _summary(self) -> dict[str, Any]:
        take = self.take
        seen = max(int(take.face.sum()), 1)
        labels = np.bincount(take.labels()[take.face], minlength=len(take.table.labels)) / seen
        kinds = [event.kind for event in take.events]
        return {
            "label_shares": {name: _round(share) for name, share in zip(take.table.labels, labels, strict=True)},
            "confidence": {name: confidence(take, k) for k, name in enumerate(take.table.labels) if labels[k] > 0},
            "valence_mean": _round(take.valence[take.face].sum() / seen),
            "arousal_mean": _round(take.arousal[take.face].sum() / seen),
            "speech_share": _round((take.speech[take.face] >= 0.5).sum() / seen),
            "counts": {kind: kinds.count(kind) for kind in ("blink", "wink", "closure", "nod", "shake", "tilt")},
        }

    def _event(self, event: Event) -> dict[str, Any]:
        take = self.take
        start = float(take.time[0])
        found: dict[str, Any] = {
            "kind": event.kind,
            "name": event.name,
            "onset_s": _round(event.onset - start, 3),
            "apex_s": _round(event.apex - start, 3),
            "offset_s": _round(event.offset - start, 3),
            "peak": _round(event.peak),
        }
        if event.kind == "unit":
            found["letter"] = take.table.letter(event.peak)
        if event.kind in ("unit", "emotion"):
            found["micro"] = event.micro
        if event.kind in ("nod", "shake"):
            found["count"] = event.count
        if event.side:
            found["side"] = event.side
        if event.kind == "emotion":
            found["contributions"] = self._parts(event.frame, take.table.labels.index(event.name))
        return found

    def _frames(self) -> Iterator[dict[str, Any]]:
        rows = list(self._thinned())
        seen = [row for row in rows if self.take.face[row]]
        landmarks = iter(() if self.points is None else self.points.frames(seen))
        for row in rows:
            frame = self._frame(row)
            if self.points is not None and frame["face"]:
                frame["landmarks"] = next(landmarks)
            yield frame

    def _thinned(self) -> Iterator[int]:
        """The frames that the JSON has."""
        take = self.take
        step = 1 / self.rate
        due = float(take.time[0])
        for row in range(len(take)):
            if take.time[row] >= due - 1e-6:
                due = max(due + step, float(take.time[row]) + 0.5 * step)
                yield row

    def _frame(self, row: int) -> dict[str, Any]:
        take = self.take
        table = self.take.table
        at = _round(take.time[row] - take.time[0], 3)
        if not take.face[row]:
            return {"time_s": at, "face": False, "label": table.labels[-1]}
        label = int(self._labels[row])
        yaw, pitch = (float(value) for value in take.gaze[row])
        shown = range(len(table.labels)) if self.contributions else (label,)
        positions = head_units(take.head[row][None], table)[0]
        return {
            "time_s": at,
            "face": True,
            "units": {
                **{
                    key: _unit(take, row, k)
                    for k, key in enumerate(table.keys)
                    if take.sides[row, k].max() >= table.threshold
                },
                **{
                    unit.key: {"intensity": _round(value), "letter": table.letter(value)}
                    for unit, value in zip(table.head, positions.tolist(), strict=True)
                    if value >= table.threshold
                },
            },
            "label": table.labels[label],
            "distribution": dict(zip(table.labels, map(_round, take.distribution[row]), strict=True)),
            "valence": _round(take.valence[row]),
            "arousal": _round(take.arousal[row]),
            "gaze": {"yaw_deg": _round(yaw, 1), "pitch_deg": _round(pitch, 1), "looking": gaze_words(yaw, pitch)},
            "head": {
                f"{axis}_deg": _round(value, 1)
                for axis, value in zip(("yaw", "pitch", "roll"), take.head[row], strict=True)
            },
            "lip_gap_mm": _round(take.gap[row], 1),
            "lids": self._lids[row],
            "gesture": self._gestures[row],
            "speech": _round(take.speech[row]),
            "regions": {name: _round(values[row]) for name, values in self._regions.items()},
            "contributions": {table.labels[k]: self._parts(row, k) for k in shown},
        }

    def _parts(self, row: int, label: int) -> dict[str, float]:
        """What each weight adds to the score of a label in a frame, the largest first."""
        parts = self.take.contributions(row)[label]
        order = [k for k in np.argsort(-np.abs(parts), kind="stable") if abs(parts[k]) >= _LEAST_PART]
        return {(*ARKIT_52, "constant")[k]: _round(parts[k], 4) for k in order}

    @cached_property
    def _regions(self) -> dict[str, NDArray[Any]]:
        """How far each region [T] is from rest, 0..1."""
        take = self.take
        found = {name: np.clip(take.weights[:, columns].max(1), 0, 1) for name, columns in _REGION_COLUMNS.items()}
        return {**found, "head": np.minimum(np.linalg.norm(take.head, axis=1) / HEAD_DEGREES, 1)}

    @cached_property
    def _labels(self) -> NDArray[np.int64]:
        return self.take.labels()

    @cached_property
    def _lids(self) -> list[str]:
        return self._marked({"blink": "blink", "wink": "wink", "closure": "closed"}, "open")

    @cached_property
    def _gestures(self) -> list[str]:
        return self._marked({"nod": "nod", "shake": "shake", "tilt": "tilt"}, "")

    def _marked(self, kinds: dict[str, str], other: str) -> list[str]:
        """For every frame the word of the event that it is part of."""
        found = [other] * len(self.take)
        for event in self.take.events:
            if event.kind in kinds:
                first, last = np.searchsorted(self.take.time, [event.onset, event.offset])
                word = f"{kinds[event.kind]} {event.side}".strip()
                found[first : last + 1] = [word] * len(found[first : last + 1])
        return found


def _unit(take: Take, row: int, k: int) -> dict[str, Any]:
    left, right = (float(value) for value in take.sides[row, k])
    strongest = max(left, right)
    found: dict[str, Any] = {"intensity": _round(strongest), "letter": take.table.letter(strongest)}
    return {**found, "left": _round(left), "right": _round(right)} if take.table.units[k].sided else found


def _round(value: float, digits: int = 3) -> float:
    return round(float(value), digits) + 0.0  # no negative zero


def _csv_line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
