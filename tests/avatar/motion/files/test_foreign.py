"""Files of other programs that are not read are refused with one sentence that names what to do instead."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.read import read_arrays
from tests.avatar.motion.files.other_programs import as_csv, as_json, check, weight_columns


def _refusal(path: Path) -> str:
    with pytest.raises(HeadsplatError) as caught:
        read_arrays(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"Kaydara FBX Binary  \0\x1a\0", "an FBX file, which is not read; export ARKit's 52 weights as CSV or JSON"),
        (b"; FBX 7.4.0 project file\n", "an FBX file"),
        (b"HIERARCHY\nROOT Hips\n{\n", "a BVH file: bones without expressions"),
        (b"glTF\2\0\0\0", "a glTF, VRM or VRMA file"),
        (b"#usda 1.0\n(\n)\n", "a USD file"),
        (b"PXR-USDC\0", "a USD file"),
        (b"atomVersion 1.0;\nmayaVersion 2024;\n", "an ATOM file of Maya"),
        (b"animVersion 1.1;\n", "an animation file of Maya"),
        (b"%YAML 1.1\n--- !u!74 &7400000\nAnimationClip:\n", "such as an animation clip of Unity"),
        (b"BLENDER-v300", "a file of Blender"),
        (b"\xc1\x83\x2a\x9e\0", "an asset of Unreal"),
        (b"Vocaloid Motion Data 0002\0", "a VMD file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PAR1\0", "a Parquet file"),
        (b"\x80\x04\x95\x10", "a Python pickle, which is not opened"),
        (b"\0\0\0\x20ftypisom", "a video or a sound, no motion; track it with `headsplat capture`"),
        (b"RIFF\0\0\0\0WAVE", "give its sound to `headsplat render --speak`"),
        (b"jawOpen&12|eyeBlink_L&0|=head#0,0,0,0,0,0|", "packets of iFacialMocap, which have no times"),
    ],
)
def test_other_kinds_of_files_are_named(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    assert words in _refusal(tmp_path / "a")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("CTRL_expressions_jawOpen", "CTRL_expressions_mouthCornerPullL"), "curves of MetaHuman's rig"),
        (("AU01_r", "AU12_r", "AU45_c", "pose_Rx"), "action units, as of OpenFace"),
        (("viseme_sil", "viseme_aa"), "visemes, no expressions"),
        (("emotion_values.joy",), "emotions of Audio2Face-3D"),
        (("Jaw_Drop", "Lip_Corner_Puller_L"), "expressions of Meta Quest"),
        (("XR_FACE_EXPRESSION_JAW_DROP_FB", "XR_FACE_EXPRESSION_EYES_CLOSED_L_FB"), "expressions of Meta Quest"),
        (("JawOpen", "JawLeft", "TongueOut", "MouthCornerPullRight", "LipFunnelUpperLeft"), "Unified Expressions"),
        (("Jaw_Open", "Mouth_Smile_Left", "Mouth_Ape_Shape"), "lip shapes of SRanipal"),
        (("RotationQuat.X", "EyebrowUpDownLeft", "MouthOpen"), "features of OpenSeeFace"),
        (("FaceAngleX", "MouthOpen", "EyeOpenLeft"), "parameters of VTube Studio"),
        (("ParamMouthOpenY", "ParamAngleX"), "parameters of VTube Studio or Live2D"),
    ],
)
def test_expressions_of_other_sets_are_named_in_tables_and_json(
    names: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """Some have a few of ARKit's names: read alone, those would give a face that hardly moves."""
    table = as_csv(tmp_path / "a.csv", {"time": lambda k: k / 30, **{name: lambda k: k / 60 for name in names}})
    frames = [{"time": k / 30, "curves": dict.fromkeys(names, k / 60)} for k in range(4)]
    assert words in _refusal(table) and words in _refusal(as_json(tmp_path / "a.json", {"frames": frames}))
    rows = [{"weights": [0.1] * len(names)}]
    assert words in _refusal(as_json(tmp_path / "b.json", {"names": list(names), "frames": rows}))


def test_visemes_beside_all_of_arkits_names_do_not_refuse_a_file(tmp_path: Path) -> None:
    columns = {
        "time": lambda k: round(k / 30, 5),
        **weight_columns(ARKIT_52),
        "viseme_aa": lambda _: 0.0,
        "mouthOpen": lambda _: 0.0,
    }
    found = read_arrays(as_csv(tmp_path / "a.csv", columns))
    check(found)
    assert "not read: viseme_aa, mouthOpen" in found.notes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"metadata": {}, "mouthCues": [{"start": 0, "end": 1, "value": "X"}]}, "mouth shapes of Rhubarb Lip Sync"),
        ({"visemes": ["aa"], "vtimes": [0], "vdurations": [10]}, "visemes of TalkingHead"),
        ([{"time": 6, "type": "viseme", "value": "p"}, {"time": 73, "type": "viseme", "value": "a"}], "Amazon Polly"),
        ({"asset": {"version": "2.0"}, "scenes": []}, "a glTF file"),
        ({"Version": 3, "Meta": {}, "Curves": []}, "a motion of Live2D"),
        ({"deviceModel": "iPhone13,2", "subject": "me", "frames": 60}, "give the take's CSV, or its folder"),
        ({"FrameRate": 60}, "the description of a video of Live Link Face"),
    ],
)
def test_json_without_expressions_is_named(content: object, words: str, tmp_path: Path) -> None:
    assert words in _refusal(as_json(tmp_path / "a.json", content))
    if isinstance(content, list):
        (tmp_path / "b").write_text("\n".join(map(json.dumps, content)))
        assert words in _refusal(tmp_path / "b")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((60, 52), "60 x 52 numbers without names: programs order ARKit's weights differently"),
        ((60, 51), "60 x 51 numbers without names"),
        ((60, 5023, 3), "positions of 5023 vertices"),
        ((60, 15069), "positions of 5023 vertices"),
        ((60, 100), "its name does not show whether it contains expressions or poses"),
    ],
)
def test_arrays_without_names_are_not_guessed(shape: tuple[int, ...], words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    assert words in _refusal(tmp_path / "a.npy")


def test_archives_are_to_be_unpacked(tmp_path: Path) -> None:
    for name, member, words in (
        ("a.zip", "take/MySlate_1_iPhone.csv", "a ZIP archive; unpack it"),
        ("a.xlsx", "xl/workbook.xml", "an Excel workbook; save its sheet as CSV"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, "x")
        assert words in _refusal(tmp_path / name)


def test_a_truncated_line_of_face_cap_or_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("info,Face Cap\nbs,jawOpen\nk,0,0,0,0,0,0,0,0,0,0,0,.5\nk,33,0,0,0\n")
    assert "line 4: 4 values, expected 12 by the names in line 2" in _refusal(tmp_path / "a")
    (tmp_path / "b").write_text('{"t": 0, "jawOpen": 0.1}\n{"t": 0.1, "jaw')
    assert "line 2: not JSON; the file is truncated or damaged" in _refusal(tmp_path / "b")
