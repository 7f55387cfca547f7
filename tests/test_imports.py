"""Who may import whom (the layers of the project), checked on the syntax tree, lazy and relative imports included."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import avatar
import headsplat
from tests.support.import_graph import PACKAGES, ROOT, imports_of

#: Optional packages that no module may need at import time.
OPTIONAL = (
    "smplx",
    "gsplat",
    "nvdiffrast",
    "tinycudann",
    "lpips",
    "onnxruntime",
    "pyvirtualcam",
    "websockets",
    "zstandard",
    "ray",
    "pyarrow",
    "pocketsphinx",
    "sounddevice",
    "pillow_heif",
    "c2pa",
    "cryptography",
    "anywidget",
    "traitlets",
    "gradio",
)
#: The window's packages load a graphics library: only modules that draw the window may need them.
WINDOW = ("imgui_bundle", "moderngl", "glfw")
WINDOW_MODULES = (
    "viewer/gui/display.py",
    "viewer/gui/film_window.py",
    "viewer/gui/window.py",
    "viewer/gui/shared_check.py",
    "viewer/gui/texture.py",
    "viewer/gui/panels/",
)


def violation(module: str, imported: str, lazy: bool) -> str | None:
    """Why `module` may not import `imported`, or None; both dotted, `module` with its package."""
    layer, target = module.split(".")[0], imported.split(".")[0]
    if target not in PACKAGES or target == layer:
        return None
    if layer == "headsplat":
        return None if target == "avatar" else "headsplat has the names of avatar only"
    if target == "headsplat":
        return "headsplat is for users"
    if target == "tools":
        return "the wheel leaves tools out"
    if layer == "tools":
        return None if target in ("avatar", "capture") else "tools imports avatar and capture only"
    if layer == "cuda_ext":
        return "cuda_ext imports nothing of ours"
    if layer == "avatar":
        if target == "cuda_ext":
            allowed = module == "avatar.ops.backend" or (lazy and module == "avatar.cli.doctor")
            return None if allowed else "avatar reaches cuda_ext through avatar/ops/backend.py only"
        if module.split(".")[:2] == ["avatar", "jobs"]:
            return None
        return "of avatar, only avatar.jobs imports capture and viewer"
    return None if target == "avatar" else f"{layer} imports avatar only"


def imports() -> Iterator[tuple[str, str, str, bool]]:
    """(path below the root, "path:line", absolute module, whether lazy) of every import of our packages."""
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        below = path.relative_to(ROOT).as_posix()
        for imported, line, lazy in imports_of(path):
            yield below, f"{below}:{line}", imported, lazy


def test_every_module_imports_only_what_its_layer_may() -> None:
    broken = [
        f"{place}: {imported}: {reason}"
        for path, place, imported, lazy in imports()
        if (reason := violation(path.removesuffix(".py").replace("/", ".").removesuffix(".__init__"), imported, lazy))
    ]
    assert not broken, "\n".join(broken)


def test_optional_packages_are_imported_inside_functions_only() -> None:
    eager = [f"{place}: {name}" for _, place, name, lazy in imports() if not lazy and name.split(".")[0] in OPTIONAL]
    assert not eager, "\n".join(eager)


def test_only_modules_that_draw_the_window_import_its_packages() -> None:
    needed = [
        f"{place}: {name}"
        for path, place, name, _ in imports()
        if name.split(".")[0] in WINDOW and not path.startswith(WINDOW_MODULES)
    ]
    assert not needed, "\n".join(needed)


@pytest.mark.parametrize(
    ("file", "code", "broken"),
    [
        ("avatar/model/rig.py", "import cuda_ext", True),
        ("avatar/model/rig.py", "def f():\n    from cuda_ext import kernels", True),
        ("avatar/head/model.py", "from ...capture import sources", True),
        ("avatar/model/rig.py", "import importlib\nimportlib.import_module('viewer.gui.window')", True),
        ("avatar/ops/backend.py", "import cuda_ext", False),
        ("avatar/ops/backend.py", "import capture", True),
        ("capture/live.py", "from viewer import window", True),
        ("viewer/gui/window.py", "import capture.video.decoding", True),
        ("capture/live.py", "import cuda_ext", True),
        ("capture/live.py", "from avatar import ops", False),
        ("cuda_ext/__init__.py", "import avatar", True),
        ("avatar/cli/live.py", "import capture.live", True),
        ("avatar/cli/live.py", "def run():\n    import capture.live", True),
        ("avatar/cli/live.py", "from capture.options import CaptureOptions", True),
        ("avatar/cli/live.py", "if TYPE_CHECKING:\n    import viewer.session.state", True),
        ("avatar/cli/live.py", "from avatar.jobs import live", False),
        ("avatar/cli/doctor.py", "def run():\n    import cuda_ext", False),
        ("avatar/cli/doctor.py", "import cuda_ext", True),
        ("avatar/cli/bench.py", "def run():\n    import cuda_ext", True),
        ("avatar/jobs/capturing.py", "from capture.options import CaptureOptions", False),
        ("avatar/jobs/live_window.py", "def run():\n    import viewer.gui.window", False),
        ("avatar/jobs/rendering.py", "import cuda_ext", True),
        ("avatar/jobs_of_others.py", "import capture", True),
        ("viewer/gui/window.py", "if TYPE_CHECKING:\n    import capture.live", True),
        ("tools/weights/prior.py", "from capture.synthetic.person import Person", False),
        ("tools/weights/prior.py", "import viewer.gui.window", True),
        ("avatar/cli/live.py", "def run():\n    import tools.weights.prior", True),
        ("headsplat/__init__.py", "import capture", True),
        ("headsplat/__init__.py", "import avatar.jobs", False),
        ("avatar/jobs/notebook.py", "def run():\n    import headsplat", True),
    ],
)
def test_rules_catch_the_imports_they_name(tmp_path: Path, file: str, code: str, broken: bool) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(code)
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    found = any(violation(module, imported, lazy) for imported, _, lazy in imports_of(path, tmp_path))
    assert found == broken


@pytest.mark.parametrize("package", ["avatar", "headsplat"])
def test_importing_the_package_loads_neither_torch_nor_anything_optional(package: str) -> None:
    code = (
        f"import sys, {package}; print(sorted(set(sys.modules) & {{'torch', 'cv2', 'av', 'cuda_ext', *{OPTIONAL!r}}}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_every_public_name_of_avatar_resolves() -> None:
    assert sorted(avatar.__all__) == avatar.__all__
    for name in avatar.__all__:
        assert getattr(avatar, name) is not None


def test_headsplat_has_the_names_of_avatar_the_jobs_and_the_widget() -> None:
    assert set(headsplat.__all__) == {*avatar.__all__, "jobs", "widget"}
    assert all(getattr(headsplat, name) is getattr(avatar, name) for name in avatar.__all__)
    assert headsplat.jobs is importlib.import_module("avatar.jobs")
    assert headsplat.widget.__module__ == "avatar.jobs.notebook"
    with pytest.raises(AttributeError, match="module 'headsplat' has no attribute 'nothing'"):
        _ = headsplat.nothing


def test_a_public_function_is_not_hidden_by_a_module() -> None:
    names = [name for name in avatar.__all__ if not name.startswith("_")]
    assert not [
        name for name in names if (ROOT / "avatar" / f"{name}.py").exists() or (ROOT / "avatar" / name).is_dir()
    ]


@pytest.mark.parametrize("package", ["avatar.head", "avatar.jobs", "avatar.motion", "capture", "capture.report"])
def test_every_public_name_that_loads_on_first_use_resolves_and_no_module_hides_it(package: str) -> None:
    home, folder = importlib.import_module(package), ROOT / package.replace(".", "/")
    names = home.__all__
    for name in names:
        assert getattr(home, name).__name__ == name
    assert not [name for name in names if (folder / f"{name}.py").exists() or (folder / name).is_dir()]


def test_an_unknown_name_of_such_a_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'avatar\.motion' has no attribute 'read_motions'"):
        importlib.import_module("avatar.motion").read_motions  # noqa: B018
