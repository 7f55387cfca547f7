"""The commands that open a window, without a display, and those that never open one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = """
import contextlib, importlib, io, pkgutil, sys
import avatar.cli
for module in pkgutil.iter_modules(avatar.cli.__path__):
    if module.name != "__main__":
        importlib.import_module(f"avatar.cli.{module.name}")
motion = sys.argv[1]
with contextlib.redirect_stdout(io.StringIO()):
    for words in (["info", motion], ["motion", "info", motion], ["doctor"], ["head", "--help"], ["render", "--help"],
                  ["view", "--help"], ["live", "--help"], ["train", "--help"]):
        with contextlib.suppress(SystemExit):
            avatar.cli.main(words)
window = ("imgui_bundle", "moderngl", "glfw", "viewer")
print(sorted(name for name in sys.modules if name.split(".")[0] in window))
"""


def headsplat(folder: Path, *words: str, **display: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty folder with `display` as display variables; it prints whether torch was loaded."""
    code = (
        "import sys; from avatar.cli import main; code = main(sys.argv[1:]); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment = {**kept, **display, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
@pytest.mark.parametrize(
    ("words", "display", "found"),
    [
        (["view", "me.avatar"], {}, "there is no display for the window (neither DISPLAY nor WAYLAND_DISPLAY is set)"),
        (["live", "me.avatar"], {"DISPLAY": ""}, "there is no display for the window (neither DISPLAY nor"),
        (["view", "me.avatar"], {"DISPLAY": ":77"}, "DISPLAY=:77: no display can be opened (X11: Failed to open"),
    ],
)
def test_no_display_is_a_one_line_error_before_torch_is_loaded(
    tmp_path: Path, words: list[str], display: dict[str, str], found: str
) -> None:
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    done = headsplat(tmp_path, *words, **display)
    assert (done.returncode, done.stdout) == (1, "False\n"), done.stderr
    assert done.stderr.startswith(f"headsplat: {found}")
    assert done.stderr.endswith("`headsplat render` needs no window\n")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_libraries_that_cannot_be_loaded_are_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from avatar import cli

    (tmp_path / "imgui_bundle.py").write_text(
        "raise ImportError('libX11.so.6: cannot open shared object file: No such file or directory')"
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "imgui_bundle"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    assert cli.main(["view", "me.avatar"]) == 1
    assert capsys.readouterr().err == (
        "headsplat: the window's libraries cannot be loaded (libX11.so.6: cannot open shared object file: No such file "
        "or directory); on Debian and Ubuntu: apt install libgl1 libx11-6\n"
    )


def test_commands_without_a_window_do_not_load_its_libraries(tmp_path: Path) -> None:
    motion = tmp_path / "motion.csv"
    motion.write_text("Timecode,BlendshapeCount,JawOpen\n00:00:00:00.000,1,0.1\n00:00:00:01.000,1,0.2\n")
    found = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(motion)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr
