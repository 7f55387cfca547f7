"""Files of other programs that are not read, each with one sentence that says what to export instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52

from .names import common_name

_CSV = "ARKit's 52 weights as CSV or JSON"
_FBX = (
    f"an FBX file, which is not read; export {_CSV} from the program that recorded it (Face Cap: TXT, Rokoko: CSV), or "
    "the curves of the shape keys from Blender"
)
_LIVE = "record its stream with `headsplat live --listen"
_TAKE = "give the take's CSV, or its folder"
_SOUND = "give its sound to `headsplat render --speak`"
_MESH = "points or a mesh, not the motion of a face; give the FLAME parameters beside it"
_NOT_OPENED = "which is not opened because it could run a program; save its arrays with numpy.savez"
_CAMERAS = (
    "cameras and images without all parameters of the face; give the tracker's own output, such as flame_param/ (VHAP) "
    "or checkpoint/ (metrical-tracker)"
)
#: Files and folders in the folders of other programs, and what these are.
_FOLDERS = (
    ("transforms.json", _CAMERAS),
    ("calibration/camera_params.json", "a person of NeRSemble; name the folder of a sequence in it"),
    ("point_cloud", "a model of GaussianAvatars; name point_cloud/iteration_N in it"),
    ("KRT", "a recording of Multiface, whose meshes are not read; track one of its videos with `headsplat capture`"),
)
#: How files begin, and what they are.
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"Kaydara FBX Binary", _FBX),
    (b"; FBX", _FBX),
    (b"HIERARCHY", f"a BVH file: bones without expressions; export {_CSV} beside it"),
    (b"glTF", f"a glTF, VRM or VRMA file, which is not read as a motion; export {_CSV}, or {_LIVE} vmc --record`"),
    (b"#usda", f"a USD file, which is not read; export the weights of Audio2Face as JSON, or {_CSV}"),
    (b"PXR-USDC", f"a USD file, which is not read; export the weights of Audio2Face as JSON, or {_CSV}"),
    (b"atomVersion", f"an ATOM file of Maya, which is not read; export {_CSV}"),
    (b"animVersion", f"an animation file of Maya, which is not read; export {_CSV}"),
    (b"%YAML", f"a YAML file, such as an animation clip of Unity, which is not read; export {_CSV}"),
    (b"BLENDER", f"a file of Blender, which is not read; export {_CSV} from it"),
    (b"\xc1\x83\x2a\x9e", f"an asset of Unreal, which is not read; export {_CSV}, or use the CSV of Live Link Face"),
    (b"Vocaloid Motion Data", f"a VMD file of MikuMikuDance, which is not read; export {_CSV}"),
    (
        b"\x89HDF",
        "an HDF5 file, which is not read; save its arrays with numpy.savez, or write its weights as JSON "
        "with `names` and `frames`",
    ),
    (
        b"MATLAB",
        "a MATLAB file, as DECA, Deep3DFaceRecon and SadTalker write, which is not read; save its arrays with "
        "numpy.savez",
    ),
    (b"ply\n", _MESH),
    (b"ply\r\n", _MESH),
    (b"PAR1", "a Parquet file, which is not read as a motion; write it as CSV"),
    (b"RIFF", f"a sound or a video, no motion; {_SOUND}"),
    (b"ID3", f"a sound, no motion; {_SOUND}"),
    (b"OggS", f"a sound, no motion; {_SOUND}"),
    (b"\x1aE\xdf\xa3", "a video, no motion; track it with `headsplat capture`, and give the folder"),
)
#: Names of ARKit from which a file has its expressions, whatever else it has.
_WHOLE = 40
_PACKET = re.compile(rb"\s*[A-Za-z_]+[-&]\d+(\.\d+)?\|")

_NOT_ARKIT = "which are not ARKit's names; export ARKit's 52 weights, or track the video with `headsplat capture`"
#: Names, in lower case, by which expressions of other sets are known, and what they are.
_SETS: tuple[tuple[str, str], ...] = (
    (
        r"ctrl_expressions_.*|ctrl_l_mouth.*",
        "it has curves of MetaHuman's rig (CTRL_expressions_), which are not ARKit's names; retarget them to ARKit in "
        "Unreal, or use the CSV of Live Link Face in the mode ARKit",
    ),
    (r"au\d\d_[rc]", f"it has action units, as of OpenFace, {_NOT_ARKIT}"),
    (
        r"(.*[._])?viseme_?(sil|pp|ff|th|dd|kk|ch|ss|nn|rr|aa|e|i|ih|o|oh|u|ou)",
        f"it has visemes, no expressions; {_SOUND}",
    ),
    (
        r"(.*\.)?emotion_values\..*",
        "it has the emotions of Audio2Face-3D, no expressions; give animation_frames.csv of the same folder",
    ),
    (
        r"(xr_face_expression_)?(jaw_?drop|lip_?corner_?puller_?[lr]|brow_?lowerer_?[lr])(_fb)?",
        f"it has expressions of Meta Quest (JawDrop, LipCornerPullerL), {_NOT_ARKIT}",
    ),
    (
        r"(mouth_?corner_?pull|lip_?funnel_?upper|lip_?pucker_?upper)(_?left|_?right)",
        "it has VRCFaceTracking's Unified Expressions, which are not ARKit's names; "
        f"convert them to ARKit's 52, or {_LIVE} vmc --record`",
    ),
    (
        r"mouth_ape_shape|mouth_sad_(left|right)|mouth_upper_overturn|cheek_puff_(left|right)",
        f"it has lip shapes of SRanipal (HTC Vive), {_NOT_ARKIT}",
    ),
    (r"eyebrowupdownleft|eyebrowsteepnessleft|rotationquat\.x", f"it has features of OpenSeeFace, {_NOT_ARKIT}"),
    (
        r"param(mouthopeny|anglex|eyelopen)|faceanglex|mouthopen|eyeopenleft",
        "it has parameters of VTube Studio or Live2D, which are not ARKit's names; "
        "record the phone's ARKit weights (BlendShapes) instead",
    ),
    (r"mouth_left_smile|jaw_open_faceware|mouth_left_smile_open", f"it has shapes of Faceware, {_NOT_ARKIT}"),
)
#: Keys of JSON files that have no expressions, and what they are.
_KEYS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"mouthCues"}), f"it has mouth shapes of Rhubarb Lip Sync, no expressions; {_SOUND}"),
    (frozenset({"visemes", "vtimes"}), f"it has visemes of TalkingHead, no expressions; {_SOUND}"),
    (frozenset({"time", "type", "value"}), f"it has speech marks of Amazon Polly, no expressions; {_SOUND}"),
    (frozenset({"asset", "scenes"}), f"a glTF file, which is not read as a motion; export {_CSV}"),
    (frozenset({"Curves", "Meta"}), f"a motion of Live2D, whose parameters are not ARKit's names; export {_CSV}"),
    (
        frozenset({"deviceModel", "subject"}),
        f"the description of a take of Live Link Face; {_TAKE}",
    ),
    (frozenset({"FrameRate"}), f"the description of a video of Live Link Face; {_TAKE}"),
)


def refuse_start(path: Path, start: bytes) -> None:
    """Raise HeadsplatError for the name and the first bytes of a file that is known and not read."""
    title = _title(path, start)
    if title is not None:
        raise HeadsplatError(f"{path}: {title}")


def refuse_folder(folder: Path) -> None:
    """Raise HeadsplatError for a folder of another program, by what is in it."""
    title = next((title for name, title in _FOLDERS if (folder / name).exists()), None)
    if title is not None:
        raise HeadsplatError(f"{folder}: {title}")
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            with path.open("rb") as stream:
                title = _title(path, stream.read(32))
            if title is not None:
                raise HeadsplatError(f"{folder}: contains {path.name}, {title}")


def _title(path: Path, start: bytes) -> str | None:
    """What a file is and what to give instead; None for one that is not known."""
    if path.name == "frame_log.csv":
        return f"times of the frames of a take of Live Link Face; {_TAKE}"
    if re.fullmatch(r"transforms(_\w+)?\.json", path.name):
        return _CAMERAS
    if re.match(rb"\x80[\x02-\x05]", start) or path.suffix.lower() in (".pkl", ".pickle", ".pck"):
        return f"a Python pickle, {_NOT_OPENED}"
    if start[4:8] == b"ftyp":
        return "a video or a sound, no motion; track it with `headsplat capture`, and give the folder"
    if _PACKET.match(start):
        return f"packets of iFacialMocap, which have no times; {_LIVE} ifacialmocap --record`"
    return next((title for magic, title in _STARTS if start.startswith(magic)), None)


def refuse_archive(path: Path, names: Collection[str]) -> None:
    """Raise HeadsplatError for a ZIP file by the names of its members."""
    if any(name.endswith("data.pkl") for name in names):
        raise HeadsplatError(f"{path}: a file of PyTorch, {_NOT_OPENED}")
    if any(name.startswith("xl/") for name in names):
        raise HeadsplatError(f"{path}: an Excel workbook; save its sheet as CSV")
    if any(name.lower().endswith((".csv", ".json", ".mov", ".txt")) for name in names):
        raise HeadsplatError(f"{path}: a ZIP archive; unpack it, and give the motion file in it or its folder")


def refuse_names(path: Path, names: Sequence[str]) -> None:
    """Raise HeadsplatError for names of another set of expressions, which may have some of ARKit's among them.

    Models that have all of ARKit's may have others beside them, such as visemes.
    """
    if len({common_name(name) for name in names} & set(ARKIT_52)) >= _WHOLE:
        return
    for pattern, title in _SETS:
        lower = [name.strip().lower() for name in names]
        if any(re.fullmatch(pattern, name) or re.fullmatch(pattern, name.split(".")[-1]) for name in lower):
            raise HeadsplatError(f"{path}: {title}")


def refuse_json(path: Path, content: Any) -> None:
    """Raise HeadsplatError for the content of a JSON file that is known and not read."""
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(first, dict):
        for keys, title in _KEYS:
            if keys <= first.keys():
                raise HeadsplatError(f"{path}: {title}")


def refuse_array(path: Path, shape: Sequence[int]) -> None:
    """Raise HeadsplatError for the shape of an array that can only be weights without names."""
    size = " x ".join(map(str, shape))
    if len(shape) == 2 and 51 <= shape[1] <= 61 and shape[1] != 60:
        raise HeadsplatError(
            f"{path}: {size} numbers without names: programs order ARKit's weights differently, so write them as JSON "
            "with `names` and `frames`, or as CSV with ARKit's names in the first line"
        )
