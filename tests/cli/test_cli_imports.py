"""What the start of a command imports, by lists of modules: the time that it takes is in docs/benchmarks.md."""

from __future__ import annotations

import contextlib
import gc
import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.cli.commands import COMMANDS, parse
from avatar.common.imports import uncollected
from avatar.data.capture_folder import Capture
from avatar.video import write_video

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
#: Packages whose import takes time, those of optional features included.
LIBRARIES = {
    "ai_edge_litert", "av", "cuda_ext", "cv2", "flatbuffers", "glfw", "imgui_bundle", "lpips", "moderngl", "numpy",
    "onnx", "onnxruntime", "pocketsphinx", "pyarrow", "ray", "rich", "safetensors", "scipy", "sounddevice", "torch",
    "torchvision", "typeguard", "tyro", "viewer", "websockets",
}  # fmt: skip
#: Runs the command and writes the names of all loaded modules to the file of the first argument.
RUN = """
import sys
listing = sys.argv.pop(1)
from avatar.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as left:
    code = left.code
with open(listing, "w") as stream:
    stream.write("\\n".join(sys.modules))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny: Capture) -> Iterator[Path]:
    """A folder with an avatar, a capture, a video and motions in two formats."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "me.avatar").write_bytes((DATA / "version4.avatar").read_bytes())
    (folder / "me.motion.npz").write_bytes((DATA / "version1.motion.npz").read_bytes())
    (folder / "me.csv").write_text(
        "Timecode,BlendshapeCount,JawOpen,HeadYaw,HeadPitch,HeadRoll\n00:00:00:00.000,4,0.1,0.1,0.2,0\n"
    )
    shutil.copytree(tiny.root, folder / "me.capture")
    write_video(folder / "me.mp4", [np.full((64, 96, 3), level, np.uint8) for level in (0, 80)], 25.0)
    yield folder


def loaded(place: Path, words: str) -> set[str]:
    """All modules that a process has loaded after `headsplat WORDS`."""
    listing = place / "modules.txt"
    command = [sys.executable, "-c", RUN, str(listing), *words.split()]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(listing.read_text().splitlines())


@pytest.mark.parametrize(
    ("words", "libraries"),
    [
        ("--version", ""),
        ("--help", "tyro"),
        ("motion --help", "tyro"),
        ("capture --help", "tyro typeguard"),
        ("render --help", "tyro typeguard"),
        ("serve --help", "tyro typeguard"),
        ("track --help", "tyro typeguard"),
        ("info me.avatar", "tyro numpy safetensors"),
        ("info me.capture", "tyro numpy"),
        ("info me.mp4", "tyro numpy av"),
        ("motion info me.csv", "tyro numpy"),
        ("motion info me.csv --json", "tyro numpy"),
        ("motion info me.motion.npz", "tyro numpy"),
        (
            "render me.avatar --motion me.csv --size 64 -o image",
            "tyro typeguard numpy safetensors torch cuda_ext cv2",
        ),
        (
            "render me.avatar --motion me.csv --size 64 -o film.mp4",
            "tyro typeguard numpy safetensors torch cuda_ext cv2 av",
        ),
    ],
)
def test_a_command_loads_no_other_large_library(place: Path, words: str, libraries: str) -> None:
    found = {name.partition(".")[0] for name in loaded(place, words)} & LIBRARIES
    assert found <= set(libraries.split())


@pytest.mark.parametrize("words", ["info me.avatar", "motion info me.csv"])
def test_a_command_loads_the_modules_of_no_other_command(place: Path, words: str) -> None:
    own = type(parse(words.split())).__module__
    of_commands = {COMMANDS[name].__module__ for name in COMMANDS}
    assert loaded(place, words) & of_commands == {own}


@pytest.mark.parametrize("words", ["info --szie 3", "render a --bake", "trian", "motion inof x", "info"])
def test_usage_errors_name_the_options_of_all_commands(capsys: pytest.CaptureFixture[str], words: str) -> None:
    from avatar.cli import commands

    printed = []
    for parser in (parse, commands._parse_all):
        with pytest.raises(SystemExit) as left:
            parser(words.split())
        printed.append((left.value.code, capsys.readouterr()))
    assert printed[0] == printed[1]
    assert printed[0][0] == 2 and printed[0][1].err


@pytest.mark.parametrize(
    "words",
    [
        "info me.avatar --range",
        "motion convert a.csv -o b.json --fps 30 --gain jaw=2",
        "render a.avatar b.avatar --motion c.csv -o d.mp4 --size 64x48 --relight sunset",
        "train me.mp4 -o me.avatar --preset quality",
    ],
)
def test_a_command_parsed_alone_is_the_same_as_among_all(words: str) -> None:
    from avatar.cli import commands

    assert parse(words.split()) == commands._parse_all(words.split())


@pytest.mark.parametrize("failing", [False, True])
def test_objects_made_by_imports_are_exempt_from_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    name, before = f"made_up_{failing}", gc.get_freeze_count()
    (tmp_path / f"{name}.py").write_text("import gc\nmade, during = [[n] for n in range(1000)], gc.isenabled()")
    monkeypatch.syspath_prepend(str(tmp_path))
    with contextlib.suppress(ZeroDivisionError), uncollected():
        found = importlib.import_module(name)
        assert not found.during
        if failing:
            raise ZeroDivisionError
    try:
        assert gc.isenabled() and gc.get_freeze_count() >= before + 1000
        del sys.modules[name]
        gc.unfreeze()
        with uncollected():
            pass  # nothing was imported: a program that runs commands as functions keeps its collector as it is
        assert gc.isenabled() and gc.get_freeze_count() == 0
    finally:
        gc.unfreeze()
