"""The wheel stands alone: built from the source distribution, installed into an empty folder, used from another one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import avatar
from avatar.errors import HeadsplatError
from tools.models_wheel import write_wheel

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PACKAGES = ("avatar", "capture", "viewer", "cuda_ext", "headsplat")
BUILD_TOOLS = ("build", "scikit_build_core", "nanobind")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, cwd=cwd, check=False)


def run_installed(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Python with the wheel and the dependencies, but without an editable install of this tree, which would win."""
    dependencies = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), *dependencies])}
    command = (sys.executable, "-S", *arguments)  # -S: .pth files are not read
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in BUILD_TOOLS if importlib.util.find_spec(name) is None]
    missing += [] if shutil.which("cmake") or importlib.util.find_spec("cmake") else ["cmake"]
    missing += [] if any(map(shutil.which, ("c++", "g++", "clang++", "cl"))) else ["a C++ compiler"]
    if missing:
        pytest.skip(f"building a wheel needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("source")
    done = run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", str(folder), str(ROOT), cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = folder.glob("headsplat-*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", str(folder), str(source))
    # The tree's own build has compiled the CUDA half and every instruction-set level; here they would take minutes.
    quick = [f"--config-settings=cmake.define.HEADSPLAT_{name}" for name in ("CUDA=OFF", "PORTABLE=ON")]
    done = run(*build, *quick, cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = folder.glob("headsplat-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("target")
    install = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    done = run(*install, cwd=target)
    assert done.returncode == 0, done.stderr
    return target


def test_the_source_distribution_holds_what_builds_a_wheel_and_nothing_else(source: Path) -> None:
    with tarfile.open(source) as archive:
        names = [name.split("/")[1:] for name in archive.getnames()]
    folders, files = {name[0] for name in names if len(name) > 1}, {name[0] for name in names if len(name) == 1}
    assert folders == {*PACKAGES, "configs"}
    assert files == {"pyproject.toml", "PKG-INFO", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE"}
    assert [name for name in names if name[-1].endswith((".so", ".pyd", ".o", ".pyc"))] == []


def test_wheel_holds_the_packages_the_presets_and_the_licenses_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert set(PACKAGES) == {name for name in top if not name.endswith(".dist-info")}
    files = {
        "avatar/configs/fast.toml",
        "capture/synthetic/demo_clip.mp4",
        "viewer/web/src/page/page.html",
        "viewer/web/src/page/worker.js",
    }
    assert files <= set(names)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    for license in ("LICENSE", "NOTICE"):
        assert any(name.endswith(f".dist-info/licenses/{license}") for name in names)
    sources = (".cpp", ".cu", ".h", "CMakeLists.txt", ".pyc")
    assert [name for name in names if name.endswith(sources)] == []


def test_the_wheel_carries_the_version_of_the_source_tree(wheel: Path) -> None:
    assert wheel.name.split("-")[1] == avatar.__version__


def test_the_smoke_test_of_released_wheels_passes(installed: Path, tmp_path: Path) -> None:
    done = run_installed(installed, str(ROOT / "tests" / "support" / "wheel_smoke.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"headsplat {avatar.__version__}: CPU kernels at level ")


def test_installed_packages_import_and_load_the_embedded_head(installed: Path, tmp_path: Path) -> None:
    code = (
        f"import {', '.join(PACKAGES)}\n"
        "from avatar.common.toml_config import preset_paths\n"
        "from avatar import ops\n"
        "assert cuda_ext.available('cpu'), cuda_ext.reason('cpu')\n"
        "assert {'fast', 'default', 'quality'} <= set(preset_paths()), preset_paths()\n"
        "assert len(avatar.load_head().expression_names) == 54\n"
        f"print(*(module.__file__ for module in ({', '.join(PACKAGES)})), sep='\\n')\n"
    )
    done = run_installed(installed, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not Path(line).is_relative_to(installed)] == []


def test_the_face_models_are_read_from_their_own_wheel(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        models = write_wheel(tmp_path / "dist")
    except HeadsplatError as error:
        pytest.skip(str(error))
    target = tmp_path / "models"
    install = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(models))
    assert run(*install, cwd=tmp_path).returncode == 0
    code = (
        f"import sys; sys.path.append({str(target)!r})\n"
        "from capture.networks.models import WHEEL_MEMBERS, license_text, model_path\n"
        "def fails(folder): raise OSError('nothing is downloaded')\n"
        "print(*(model_path(name, fails).parent for name in WHEEL_MEMBERS), sep='\\n')\n"
        "assert 'Apache License' in license_text()\n"
    )
    monkeypatch.delenv("HEADSPLAT_MODELS", raising=False)
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    done = run_installed(installed, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {str(target / "headsplat_models")} and not (tmp_path / "cache").exists()


def test_installed_command_shows_its_help(installed: Path, tmp_path: Path) -> None:
    assert list((installed / ("Scripts" if os.name == "nt" else "bin")).glob("headsplat*"))
    done = run_installed(installed, "-c", "from avatar.cli import main; main(['--help'])", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "headsplat" in done.stdout
    assert list(tmp_path.iterdir()) == []
