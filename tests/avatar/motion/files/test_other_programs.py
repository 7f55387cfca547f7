"""Files of other programs with ARKit's weights, made like their own, are read at their times."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import common_name
from avatar.motion.files.read import read_arrays
from tests.avatar.motion.files.other_programs import (
    ALPHABETICAL,
    FRAMES,
    MEDIAPIPE,
    TIME,
    YAW,
    as_csv,
    as_json,
    as_lines,
    capital,
    check,
    live_link_text,
    matrix,
    quaternion,
    sided,
    snake,
    table,
    weight_columns,
    weights,
)


def _seconds(k: int) -> float:
    return round(float(TIME[k]), 6)


def _milliseconds(k: int) -> float:
    return round(1000 * float(TIME[k]), 3)


def _categories(k: int, key: str) -> list[dict[str, object]]:
    return [{"index": i, "score": weights(k, (name,))[name], key: name} for i, name in enumerate(MEDIAPIPE)]


def _face_landmarker(k: int) -> dict[str, object]:
    """A result of MediaPipe's JavaScript: categories, and the matrix column by column, in centimeters."""
    data = np.array(matrix(k, (1.0, 2.0, -40.0))).T.ravel().tolist()
    return {
        "timestamp": _milliseconds(k),
        "faceLandmarks": [[{"x": 0.5, "y": 0.5, "z": 0.0}] * 3],
        "faceBlendshapes": [{"categories": _categories(k, "categoryName"), "headIndex": -1, "headName": ""}],
        "facialTransformationMatrixes": [{"rows": 4, "columns": 4, "data": data}],
    }


def _vtube_studio(k: int) -> dict[str, object]:
    """A packet of VTube Studio on a phone, or of MeowFace."""
    pairs = [{"k": name, "v": value} for name, value in weights(k, spelled=capital).items()]
    pose = {"Rotation": {"x": 0.0, "y": 12.0, "z": 0.0}, "Position": {"x": 0.1, "y": 0.2, "z": -30.0}}
    return {"Timestamp": 1690536009462 + round(_milliseconds(k)), "FaceFound": True, **pose, "BlendShapes": pairs}


def _rokoko(k: int) -> dict[str, object]:
    """A packet of Rokoko Studio, version 3."""
    face = {"faceId": "f1", **weights(k, scale=100)}
    body = {"hip": {"position": {"x": 0, "y": 1, "z": 0}, "rotation": {"x": 0, "y": 0, "z": 0, "w": 1}}}
    actor = {"name": "me", "meta": {"hasFace": True}, "body": body, "face": face}
    return {"version": "3.0", "fps": 30, "scene": {"timestamp": _seconds(k), "actors": [actor], "props": []}}


def _speech_service(first: int, end: int) -> dict[str, object]:
    return {"FrameIndex": first, "BlendShapes": [[*weights(k).values(), 0.0, 0.0, 0.0] for k in range(first, end)]}


def _number(code: re.Match[str]) -> str:
    return str(30 * int(code[1]) + int(code[2]) // 2)


_K = range(FRAMES)
#: Files without a head rotation that is read.
STILL_HEADS: dict[str, Callable[[Path], Path]] = {
    "Rokoko Studio CSV": lambda p: as_csv(p, {"timestamp": _seconds, **weight_columns(ALPHABETICAL, scale=100)}),
    "Rokoko JSON 3": lambda p: as_json(p, [_rokoko(k) for k in _K]),
    "Rokoko JSON 2, a packet a line": lambda p: as_lines(
        p, ({"timestamp": _seconds(k), "faces": [{"faceId": "f", **weights(k, scale=100)}]} for k in _K)
    ),
    "VTube Studio packets": lambda p: as_lines(p, map(_vtube_studio, _K)),
    "Audio2Face-3D JSON": lambda p: as_json(
        p, [{"timeCode": _seconds(k), "blendShapes": weights(k, spelled=capital)} for k in _K]
    ),
    "MediaPipe Python": lambda p: as_json(p, [_categories(k, "category_name") for k in _K]),
    "MediaPipe CSV": lambda p: as_csv(
        p, {"frame": int, "timestamp_ms": _milliseconds, **weight_columns(MEDIAPIPE)}
    ),
    "MediaPipe CSV, a row a name": lambda p: _written(
        p,
        table(
            ("frame", "time_ms", "category_name", "score"),
            ((k, _milliseconds(k), name, weights(k, (name,))[name]) for k in _K for name in MEDIAPIPE),
        ),
    ),
    "names as in Python": lambda p: as_csv(p, {"t": _seconds, **weight_columns(spelled=snake)}),
    "a mesh before the names": lambda p: as_csv(
        p, {"frame": lambda k: k + 1, **weight_columns(spelled=lambda name: f"Face.blendShape1.{sided(name)}")}
    ),
    "no times": lambda p: as_csv(p, weight_columns(("jawOpen", "mouthSmileLeft", *ARKIT_52[:14], "mouthSmileRight"))),
    "ARKit frames": lambda p: as_json(p, [weights(k, spelled=sided) for k in _K]),
    "ARKit by time": lambda p: as_json(p, {f"{12.5 + TIME[k]:.4f}": weights(k) for k in _K}),
    "ARKit by time of day": lambda p: as_json(p, {f"2024-05-31 10:00:{TIME[k]:06.3f}": weights(k) for k in _K}),
    "ARKit, a line a name": lambda p: as_lines(
        p,
        (
            {"timestamp": 1690536009.0 + _seconds(k), "blendShapeLocation": name, "value": value}
            for k in _K
            for name, value in weights(k, spelled=sided).items()
        ),
    ),
    "a list of values a name": lambda p: as_json(
        p,
        {
            "startTime": "1690536009462",
            "endTime": "1690536011462",
            "blendshapes": {name: [weights(k)[name] for k in _K] for name in ARKIT_52},
            "rotations": [{"x": 0, "y": float(YAW[k]), "z": 0, "order": "XYZ"} for k in _K],
        },
    ),
    "names and rows of values": lambda p: as_json(
        p, {"blend_shape_keys": list(ARKIT_52), "blend_shape_values": [list(weights(k).values()) for k in _K]}
    ),
    "frames of names and rows": lambda p: as_json(
        p, {"names": list(ARKIT_52), "frames": [list(weights(k).values()) for k in _K]}
    ),
    "Face Cap": lambda p: _written(
        p,
        "info,Face Cap v1.9,timestamp in nano seconds\nbs," + ",".join(map(sided, ARKIT_52)) + "\n"
        + "".join(
            f"k,{round(_milliseconds(k))},0,0,0,0,9,0,0,0,0,0,{','.join(map(str, weights(k).values()))}\n" for k in _K
        ),
    ),
    "Reallusion's numbers": lambda p: as_csv(
        p,
        {
            "time": _seconds,
            **weight_columns(("jawOpen",), lambda _: "A25_Jaw_Open"),
            **weight_columns(("mouthSmileLeft",), lambda _: "A38_Mouth_Smile_Left"),
            **weight_columns(("mouthSmileRight",), lambda _: "A39_Mouth_Smile_Right"),
            **weight_columns(("eyeBlinkLeft",), lambda _: "A14_Eye_Blink_Left"),
            **weight_columns(("eyeBlinkRight",), lambda _: "A15_Eye_Blink_Right"),
        },
    ),
}  # fmt: skip
#: Files whose head turns.
TURNING: dict[str, Callable[[Path], Path]] = {
    "MediaPipe JavaScript": lambda p: as_json(p, [_face_landmarker(k) for k in _K]),
    "MediaPipe, matrix in rows": lambda p: as_json(
        p, {"frames": [{"t": _seconds(k), "blendshapes": weights(k), "matrix": matrix(k)} for k in _K]}
    ),
    "ARKit with a transform": lambda p: as_json(
        p,
        [
            {
                "timestamp": 12345.678 + _seconds(k),
                "blendShapes": weights(k, spelled=sided),
                "transform": np.array(matrix(k)).T.tolist(),  # simd_float4x4: four columns
                "leftEyeTransform": np.array(matrix(0)).T.tolist(),
            }
            for k in _K
        ],
    ),
    "quaternion in a list": lambda p: as_json(
        p, {"frames": [{"t": _seconds(k), "blendshapes": weights(k), "headQuat": quaternion(k)} for k in _K]}
    ),
    "quaternion in columns": lambda p: as_csv(
        p,
        {
            "time_ms": _milliseconds,
            **weight_columns(),
            **{f"head_q{axis}": lambda k, i=i: quaternion(k)[i] for i, axis in enumerate("xyzw")},  # type: ignore[misc]
        },
    ),
    "Live Link's angles beside seconds": lambda p: as_csv(
        p,
        {
            "timestamp": _seconds,
            **weight_columns(),
            "headYaw": lambda k: float(np.degrees(YAW[k])),
            "headPitch": lambda _: 0.0,
            "headRoll": lambda _: 0.0,
        },
    ),
    "Live Link with numbers for timecodes": lambda p: _written(
        p, re.sub(r"(?m)^10:00:(\d+):(\d+)\.\d+", _number, live_link_text())
    ),
}  # fmt: skip


def _written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("program", STILL_HEADS)
def test_weights_of_other_programs_are_read_at_their_times(program: str, tmp_path: Path) -> None:
    check(read_arrays(STILL_HEADS[program](tmp_path / "a")))


@pytest.mark.parametrize("program", TURNING)
def test_heads_of_other_programs_turn_as_theirs(program: str, tmp_path: Path) -> None:
    check(read_arrays(TURNING[program](tmp_path / "a")), turns=True)


def test_the_speech_service_has_its_order_and_rate(tmp_path: Path) -> None:
    for number, write in enumerate((as_json, as_lines)):
        found = read_arrays(write(tmp_path / str(number), [_speech_service(0, 25), _speech_service(25, FRAMES)]))
        check(found, fps=60)
    check(read_arrays(as_json(tmp_path / "one", _speech_service(0, FRAMES)), fps=30.0), fps=30)


def test_a_rate_in_the_file_is_taken_and_motion_fps_wins(tmp_path: Path) -> None:
    path = as_json(tmp_path / "a", {"fps": 25, "frames": [{"blendshapes": weights(k)} for k in _K]})
    check(read_arrays(path), fps=25)
    check(read_arrays(path, fps=24.0), fps=24)


@pytest.mark.parametrize(
    "spelling",
    [
        "eyeBlink_L",
        "EyeBlinkLeft",
        "eye_blink_left",
        "Eye Blink Left",
        "eyeBlink.L",
        "mesh|eyeBlinkL",
        "A14_Eye_Blink_Left",
    ],
)
def test_names_are_known_in_any_spelling(spelling: str) -> None:
    assert common_name(spelling) == "eyeBlinkLeft"


@pytest.mark.parametrize("name", ["mouth.left", "MouthOpen", "jaw", "TongueTipUp", "expr0", "mouthSmile"])
def test_names_that_are_not_arkits_are_kept(name: str) -> None:
    assert common_name(name) == name


def test_frames_without_a_face_repeat_the_last_pose(tmp_path: Path) -> None:
    lost = range(20, 25)
    columns = {name: lambda k, cell=cell: "" if k in lost else cell(k) for name, cell in weight_columns().items()}  # type: ignore[misc]
    blank = read_arrays(as_csv(tmp_path / "blank", {"time": _seconds, **columns}))
    packets = [{**_vtube_studio(k), "FaceFound": k not in lost} for k in _K]
    flagged = read_arrays(as_lines(tmp_path / "flagged", packets))
    empty = [{"t": _seconds(k), "blendshapes": {} if k in lost else weights(k)} for k in _K]
    for found in (blank, flagged, read_arrays(as_json(tmp_path / "empty", empty))):
        assert found.confidence is not None and np.flatnonzero(found.confidence == 0).tolist() == list(lost)
        jaw = found.weights[:, found.names.index("jawOpen")]
        assert jaw[24] == jaw[19] != jaw[25]


def test_angles_of_unknown_axes_and_other_values_are_named(tmp_path: Path) -> None:
    pose = {name: lambda _: 0.5 for name in ("pitch", "yaw", "roll", "brightness")}
    notes = read_arrays(as_csv(tmp_path / "a", {"time": _seconds, **weight_columns(), **pose})).notes
    assert any(note.startswith("not read, since their axes are not known: pitch, yaw, roll;") for note in notes)
    assert "not read: brightness" in notes


def test_a_matrix_without_a_translation_is_not_guessed(tmp_path: Path) -> None:
    frames = [{"t": _seconds(k), **weights(k), "transform": matrix(k, (0.0, 0.0, 0.0))} for k in _K]
    found = read_arrays(as_json(tmp_path / "a", frames))
    check(found)  # the head does not move
    assert any("not known: transform" in note for note in found.notes)


def test_a_quaternion_that_is_none_is_not_read(tmp_path: Path) -> None:
    columns = {f"head_{axis}": lambda k: 3.0 + k for axis in "xyzw"}
    check(read_arrays(as_csv(tmp_path / "a", {"time": _seconds, **weight_columns(), **columns})))


@pytest.mark.parametrize(
    ("separator", "comma", "encoding", "ends"),
    [
        (";", False, "utf-8", "\n"),
        (";", True, "utf-8-sig", "\r\n"),
        ("\t", False, "utf-8", "\r"),
        ("\t", True, "utf-16", "\r\n"),
        (",", False, "utf-16-le", "\n"),
    ],
)
def test_spreadsheets_files_are_read(separator: str, comma: bool, encoding: str, ends: str, tmp_path: Path) -> None:
    lines = live_link_text(separator).splitlines()
    if comma:  # the timecodes keep their points
        lines = [
            lines[0],
            *(
                separator.join([c if ":" in c else c.replace(".", ",") for c in line.split(separator)])
                for line in lines[1:]
            ),
        ]
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    check(read_arrays(_written(tmp_path / "a.csv", mark + ends.join(lines) + ends, encoding)), turns=True)
    if separator == ";":
        check(read_arrays(_written(tmp_path / "b.csv", f"sep=;{ends}" + ends.join(lines) + ends, encoding)), turns=True)


def test_decimal_commas_between_commas_are_named(tmp_path: Path) -> None:
    lines = live_link_text().splitlines()
    mangled = [lines[0], *(line[:14] + line[14:].replace(".", ",") for line in lines[1:])]
    with pytest.raises(
        HeadsplatError, match=r"line 2: \d+ columns, the header has 63: its numbers seem to have decimal c"
    ):
        read_arrays(_written(tmp_path / "a.csv", "\n".join(mangled)))


def test_the_calibrated_weights_of_a_take_are_read(tmp_path: Path) -> None:
    take = tmp_path / "20240531_MySlate_4"
    take.mkdir()
    as_json(take / "take.json", {"deviceModel": "iPhone13,2", "subject": "iPhone"})
    _written(take / "frame_log.csv", "V,0,0/1000000000,10:00:00:00.000,true\n")
    for part in ("cal", "raw", "neutral"):
        text = live_link_text() if part == "cal" else "\n".join(live_link_text().splitlines()[:2])
        _written(take / f"MySlate_4_iPhone_{part}.csv", text)
    for folder in (take, tmp_path):
        found = read_arrays(folder)
        check(found, turns=True)
        assert found.notes[0].startswith(
            "MySlate_4_iPhone_cal.csv is read, the calibrated weights; not MySlate_4_iPhone_ne"
        )
    (take / "MySlate_4_iPhone_cal.csv").unlink()
    with pytest.raises(
        HeadsplatError, match=r"contains several tables \(MySlate_4_iPhone_neutral.csv, MySlate_4_iPhone_raw"
    ):
        read_arrays(take)
    (take / "MySlate_4_iPhone_neutral.csv").unlink()
    assert len(read_arrays(take)) == 1
    (take / "MySlate_4_iPhone_raw.csv").unlink()
    with pytest.raises(
        HeadsplatError, match="without weights, as in the mode MetaHuman Animator; record it in the mode"
    ):
        read_arrays(take)


def test_the_weights_of_audio2face_3ds_folder_are_read(tmp_path: Path) -> None:
    columns = {"": int, "timeCode": _seconds, **weight_columns(spelled=lambda name: f"blendShapes.{capital(name)}")}
    as_csv(tmp_path / "animation_frames.csv", columns)
    emotions = as_csv(
        tmp_path / "a2f_smoothed_emotion_output.csv", {"time_code": _seconds, "emotion_values.joy": _seconds}
    )
    check(read_arrays(tmp_path))
    with pytest.raises(HeadsplatError, match=r"emotions of Audio2Face-3D, no expressions; give animation_frames\.csv"):
        read_arrays(emotions)
