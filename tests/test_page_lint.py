"""The checks of the JavaScript of the page: they cover every source with locked tools, and go on without Node.js."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import page_lint
from tests.support.page_lint import CONFIG, ROOT, main

SOURCES = sorted(path for suffix in ("js", "mjs", "ts") for path in (ROOT / "viewer").rglob(f"*.{suffix}"))


def read(name: str) -> dict[str, dict[str, str]]:
    content = json.loads((CONFIG / name).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_the_types_of_every_source_are_checked_strictly() -> None:
    settings = read("tsconfig.json")
    assert set(settings) == {"compilerOptions", "include"}
    assert all(settings["compilerOptions"][name] for name in ("allowJs", "checkJs", "strict"))
    folders = [Path(os.path.normpath(CONFIG / name)) for name in settings["include"]]
    assert SOURCES
    assert [path for path in SOURCES if not any(path.is_relative_to(folder) for folder in folders)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_source_turns_a_check_off(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"@ts-|eslint-disable|@(?:type|param|returns) \{any\}", text)


def test_the_tools_are_locked_in_exact_versions_with_hashes() -> None:
    wanted = read("package.json")["devDependencies"]
    assert [version for version in wanted.values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    packages = json.loads((CONFIG / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert packages.pop("")["devDependencies"] == wanted
    assert [name for name, entry in packages.items() if not entry["integrity"].startswith("sha512-")] == []


@pytest.mark.parametrize(
    ("installed", "reason"),
    [((), "Node.js is not installed"), (("node",), "npm is not installed")],
)
def test_without_node_or_npm_one_line_says_that_nothing_is_checked(
    installed: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in installed else None)
    assert main() == 0
    assert capsys.readouterr().out == f"the JavaScript of the page is not checked: {reason}\n"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | int]:
    """A machine with Node.js and npm whose tools are not installed: what the version is, and which commands fail."""
    machine: dict[str, str | int] = {"--version": "v24.1.0"}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        answer = machine.get(command[1], 0)
        if isinstance(answer, str):
            return subprocess.CompletedProcess(command, 0, answer, "")
        return subprocess.CompletedProcess(command, answer, "", "npm error")

    (tmp_path / "package-lock.json").touch()
    monkeypatch.setattr(page_lint, "CONFIG", tmp_path)
    monkeypatch.setattr(page_lint, "ROOT", tmp_path.parent)
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(subprocess, "run", run)
    return machine


def test_an_old_node_is_named_with_the_version_that_is_needed(
    node: dict[str, str | int], capsys: pytest.CaptureFixture[str]
) -> None:
    node["--version"] = "v18.19.1"
    assert main() == 0
    assert capsys.readouterr().out.endswith(": Node.js v18.19.1 is older than 20.19\n")


def test_a_registry_that_cannot_be_reached_is_no_error(
    node: dict[str, str | int], capsys: pytest.CaptureFixture[str]
) -> None:
    node.update(ci=1, ping=1)
    assert main() == 0
    assert capsys.readouterr().out.endswith(": npm cannot reach its registry\n")


def test_tools_that_cannot_be_installed_from_a_registry_in_reach_are_an_error(node: dict[str, str | int]) -> None:
    node["ci"] = 1
    with pytest.raises(SystemExit, match="failed:\nnpm error"):
        main()
