"""Reports of a take: JSON by its schema, text, table; and the reader of live frames."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from avatar.performance.readout.live import LiveReader
from avatar.performance.readout.points import NAMED, FacePoints
from avatar.performance.readout.report import SCHEMA, TakeReport
from avatar.performance.readout.take import ReadOptions, Take, read_take
from avatar.performance.readout.words import conclusion
from avatar.types import ROOT
from tests.avatar.performance.readout.acted import TABLE, Acted


@pytest.fixture(scope="module")
def take() -> Take:
    acted = Acted(20).face("surprise", 2, 3.5).face("happiness", 4, 6).blink(1, 7, 9).speech(10, 15).swing(0, 6, 16, 18)
    acted.face("happiness", 17, 17.4)
    acted.confidence[570:] = 0
    return read_take(acted.motion())


@pytest.fixture(scope="module")
def report(take: Take) -> TakeReport:
    return TakeReport(take, "acted.csv")


def errors(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Where a value does not fit a JSON schema, of the keywords that the schema of readings uses."""
    types = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return [f"{path}: {value!r}"]
    kind = schema.get("type")
    if kind and (not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{path}: {value!r} is no {kind}"]
    if (
        not schema.get("minimum", -np.inf)
        <= (value if kind in ("number", "integer") else 0)
        <= schema.get("maximum", np.inf)
    ):
        return [f"{path}: {value!r} is out of range"]
    found = []
    if kind == "array":
        for number, item in enumerate(value):
            found += errors(item, schema.get("items", {}), f"{path}[{number}]")
    if kind == "object":
        known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in known or isinstance(other, dict):
                found += errors(item, known.get(name, other), f"{path}.{name}")
            elif other is False:
                found.append(f"{path}.{name} is not in the schema")
    return found


def test_the_json_is_valid_by_its_schema(report: TakeReport) -> None:
    text = "".join(report.json_parts())
    found = json.loads(text)
    assert errors(found, json.loads(SCHEMA.read_text())) == []
    assert found == report.to_dict()


def test_landmarks_move_with_the_weights_in_millimeters_of_the_head() -> None:
    acted = Acted(2).face("AU26", 0.5, 1.5)
    motion = acted.motion()
    report = TakeReport(read_take(motion), "x", 30, points=FacePoints.of(motion, "named"))
    found = report.to_dict()
    assert errors(found, json.loads(SCHEMA.read_text())) == []
    described = found["landmarks"]
    assert described["shape"] == "mean head" and "image" not in described and len(described["names"]) == 33
    chin, tip = (described["names"].index(name) for name in ("chin", "nose_tip"))
    first, opened = (np.array(found["frames"][row]["landmarks"]["head_mm"]) for row in (0, 30))
    assert first[chin, 1] - opened[chin, 1] > 5 and abs(first[tip] - opened[tip]).max() < 0.5
    left, right = (described["names"].index(f"mouth_corner_{side}") for side in ("left", "right"))
    assert first[left, 0] > 15 and first[right, 0] < -15
    assert FacePoints.of(motion, "none") is None
    every = FacePoints.of(motion, "all")
    assert every is not None
    (frame,) = every.frames([0])
    assert frame["head_mm"][NAMED["chin"]] == first[chin].tolist() and len(frame["head_mm"]) == 478


def test_a_region_is_as_far_from_rest_as_its_largest_weight() -> None:
    acted = Acted(2).face("AU26", 0.5, 1.5).face("AU4", 0.5, 1.5)
    acted.joint_rot[30:, ROOT, 1] = np.radians(15)
    report = TakeReport(read_take(acted.motion(), options=ReadOptions(resting=False)), "x", 30)
    regions = report.to_dict()["frames"][30]["regions"]
    assert list(regions) == ["brows", "eyes", "nose", "cheeks", "mouth", "jaw", "head"]
    weights = dict(zip(ARKIT_52, acted.weights[30], strict=True))
    assert regions["jaw"] == pytest.approx(weights["jawOpen"], abs=1e-3) and regions["jaw"] > 0.3
    assert regions["brows"] == pytest.approx(weights["browDownLeft"], abs=1e-3) and regions["cheeks"] == 0
    lines = list(csv.DictReader(report.csv_lines()))
    assert float(lines[30]["region_jaw"]) == regions["jaw"]
    heads = [float(lines[row]["region_head"]) for row in (0, 59)]
    assert heads == pytest.approx([0.25, 0.25], abs=0.01)  # the mean pose is in the middle


def test_the_check_of_the_schema_can_fail(report: TakeReport) -> None:
    schema, content = json.loads(SCHEMA.read_text()), report.to_dict()
    content["frames"][0]["valence"] = 3
    content["events"][0]["kind"] = "thought"
    content["extra"] = 1
    del content["labels"]
    assert len(errors(content, schema)) == 4


def test_the_json_describes_itself(report: TakeReport) -> None:
    found = report.to_dict()
    assert "cannot tell what a person feels" in found["about"]["limits"][0]
    assert {"units", "distribution", "gaze", "head", "time", "contributions"} <= set(found["about"]["definitions"])
    assert found["source"]["frames"] == 600 and found["source"]["frames_with_face"] == 570
    assert found["summary"]["counts"] == {"blink": 3, "wink": 0, "closure": 0, "nod": 1, "shake": 0, "tilt": 0}
    assert [event["name"] for event in found["events"] if event["kind"] == "emotion"] == [
        "surprise", "happiness", "happiness"
    ]  # fmt: skip


def test_frames_are_thinned_to_the_rate_and_lost_ones_are_unknown(take: Take) -> None:
    for rate, count in ((10, 200), (1, 20), (30, 600), (1000, 600)):
        assert len(TakeReport(take, "x", rate).to_dict()["frames"]) == pytest.approx(count, abs=1)
    last = TakeReport(take, "x").to_dict()["frames"][-1]
    assert last == {"time_s": pytest.approx(19.9, abs=0.1), "face": False, "label": "unknown"}


def test_a_frame_has_the_contributions_of_its_label_or_of_all(take: Take) -> None:
    smile = next(frame for frame in TakeReport(take, "x").to_dict()["frames"] if frame["label"] == "happiness")
    assert set(smile["contributions"]) == {"happiness"}
    assert next(iter(smile["contributions"]["happiness"])).startswith("mouthSmile")
    every = TakeReport(take, "x", contributions=True).to_dict()["frames"][0]
    assert set(every["contributions"]) == set(TABLE.labels)


def test_the_table_has_a_line_for_every_frame(report: TakeReport) -> None:
    lines = list(csv.DictReader(report.csv_lines()))
    assert len(lines) == 600
    assert float(lines[150]["AU12_left"]) > 0.5 and lines[150]["label"] == "happiness"
    assert lines[599]["face"] == "0" and lines[599]["label"] == lines[599]["AU12_left"] == ""
    assert lines[30]["lids"] == "blink" and lines[510]["gesture"] == "nod"


def test_the_text_says_what_is_seen_what_goes_together_and_what_follows(report: TakeReport) -> None:
    text = report.to_text()
    for part in (
        "A face is seen in 570 of 600 frames (95 %), 20.0 s.",
        "Lids: 3 blinks (9 blinks a minute).",
        "1 nod.",
        "reads as surprise (probability 0.9",
        "A face of surprise is followed by one of happiness once.",
        "2 of 2 marked smiles with raised cheeks (AU6).",
        "Most of the time the face reads as neutral",
        "A face of happiness is shown twice, 1 of them shorter than half a second",
        "5 % of the frames have no face and are unknown, not neutral.",
        "It cannot tell what a person feels",
    ):
        assert part in text, part


def test_the_text_has_no_control_characters(take: Take) -> None:
    assert "\x1b" not in TakeReport(take, "a\x1b[31m\nb.csv").to_text()


def test_a_take_without_a_face_concludes_nothing() -> None:
    acted = Acted(2)
    acted.confidence[:] = 0
    lost = read_take(acted.motion())
    assert conclusion(lost) == ["Unknown: no face is seen. Confidence: none."]
    report = TakeReport(lost, "x")
    assert "A face is seen in 0 of 60 frames (0 %)" in report.to_text()
    assert errors(report.to_dict(), json.loads(SCHEMA.read_text())) == []


def test_an_hour_of_frames_takes_little_memory_for_each() -> None:
    take = read_take(Acted(200).motion())
    arrays = [value for value in vars(take).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) / len(take) < 700  # bytes: 150 MB for an hour at 60 fps


def live(acted: Acted, reader: LiveReader | None = None) -> list[Any]:
    """Readings of all frames."""
    reader = reader or LiveReader()
    motion = acted.motion()
    weights, joints = motion.weights.numpy(), motion.joint_rot.numpy()
    return [
        reader.read(motion.names, weights[k], joints[k], float(at), float(acted.confidence[k]))
        for k, at in enumerate(acted.time)
    ]


def test_the_live_reader_reads_as_the_report_does() -> None:
    acted = Acted(8).face("happiness", 5.5, 7)
    acted.weights[:, ARKIT_52.index("mouthFrownLeft")] += 0.2
    readings, take = live(acted, LiveReader()), read_take(acted.motion())
    np.testing.assert_allclose([reading.distribution for reading in readings[160:]], take.distribution[160:], atol=0.01)
    assert readings[190].label == "happiness" and readings[190].units()["AU12"][1] == "D"
    assert readings[20].learning and not readings[-1].learning


def test_the_live_reader_finds_blinks_gestures_and_speech() -> None:
    acted = Acted(16).blink(1, 3, sides=("Left",)).blink(5).blink(7, seconds=1.5).swing(1, 6, 9, 11).speech(11.5, 15)
    readings = live(acted)
    assert readings[30].lids == "wink left" and readings[150].lids == "blink"
    assert readings[220].lids == "closed" and readings[270].lids == "open"
    assert "shake" in {reading.gesture for reading in readings[300:345]}
    assert max(reading.speech for reading in readings[400:440]) > 0.5 > max(r.speech for r in readings[:250])


def test_the_live_reader_knows_nothing_without_a_face() -> None:
    acted = Acted(3).face("happiness", 1, 2.8)
    acted.confidence[45:60] = 0
    readings = live(acted)
    assert not readings[50].face and readings[50].label == "unknown" and readings[50].distribution[-1] == 1
    assert readings[65].face


def test_one_frame_is_read_without_memory() -> None:
    reader = LiveReader(None, np.zeros(len(ARKIT_52)))
    reading = reader.read(("mouthSmileLeft", "mouthSmileRight"), [0.9, 0.9], np.zeros((5, 3)), 0.0)
    assert reading.label == "happiness" and reading.lids == "open" and not reading.learning
    parts = reading.contributions()[TABLE.labels.index("happiness")]
    assert parts[ARKIT_52.index("mouthSmileLeft")] > 0.3


def test_the_live_reader_tolerates_what_is_not_finite() -> None:
    reader = LiveReader()
    assert reader.read(ARKIT_52, np.full(52, np.nan), np.zeros((5, 3)), 0.0).face
    assert not reader.read(ARKIT_52, np.zeros(52), np.full((5, 3), np.nan), 0.1).face
