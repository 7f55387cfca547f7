"""No wing (editing, performance, fleet, bench) is loaded before the user opens what needs it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import cache

import pytest

from tests.support.import_graph import ROOT, imports_of, modules
from tests.support.wings import WINGS, is_below

#: Packages whose modules may use a wing, and are imported by the names of the package only.
ON_FIRST_USE = ("viewer.gui.panels.wings", "viewer.session.wings")
#: Modules that may use a wing, and are imported inside functions only.
OF_MICROPHONES = ("capture.live.microphone", "capture.live.sound_feed", "capture.live.voiced_face")
OF_AGENTS = ("viewer.web.speech_server", "viewer.web.speech_messages", "viewer.web.speech_video")


@cache
def loaded() -> dict[str, list[str]]:
    """What each step of `tests.support.wing_steps` loads."""
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    command = [sys.executable, "-m", "tests.support.wing_steps"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result: dict[str, list[str]] = json.loads(done.stdout)
    return result


def loads_only(step: str, package: str) -> bool:
    """Whether a step loads modules of `package`, and no other of the wings."""
    names = [name for name in loaded()[step] if name not in WINGS]
    return bool(names) and all(is_below(name, (package,)) for name in names)


def test_only_modules_that_are_imported_on_first_use_import_a_wing() -> None:
    homes = (*ON_FIRST_USE, *OF_MICROPHONES, *OF_AGENTS)
    broken = []
    for module, path in modules(("capture", "viewer")).items():
        for name, _, lazy in imports_of(path):
            uses_home = is_below(name, homes) and name not in ON_FIRST_USE
            if not is_below(module, homes) and (is_below(name, WINGS) or (uses_home and not lazy)):
                broken.append(f"{module} -> {name}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("step", ["session", "live", "calibration"])
def test_a_session_that_is_driven_live_loads_no_wing(step: str) -> None:
    assert loaded()[step] == []


@pytest.mark.parametrize(
    ("step", "package"),
    [
        ("sliders", "avatar.performance.mixing"),  # the presets
        ("a smile", "avatar.performance.facs"),  # the count of action units
        ("edit panel", "avatar.editing"),
        ("brush", "avatar.editing"),
        ("reading panel", "avatar.performance.readout"),
    ],
)
def test_a_panel_loads_the_wing_that_it_shows_when_it_is_opened(step: str, package: str) -> None:
    assert loads_only(step, package), loaded()[step]


def test_a_camera_and_a_protocol_load_no_wing() -> None:
    code = (
        "from capture.live import open_pose_source\nfrom tests.support.wings import loaded_wings\n"
        "for options in ({'webcam': '0'}, {'listen': 'vmc'}):\n    open_pose_source(**options)\n"
        "    print(loaded_wings())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["[]", "[]"], done.stderr


@pytest.mark.parametrize("package", ["viewer.session.wings", "viewer.gui.panels.wings"])
def test_every_name_that_is_loaded_on_first_use_resolves(package: str) -> None:
    if package.startswith("viewer.gui"):
        pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)
    home = importlib.import_module(package)
    for name in home.__all__:
        assert getattr(home, name).__name__ == name
