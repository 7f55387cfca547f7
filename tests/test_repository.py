"""Files at the root agree with each other: one version, one set of tool versions, careful workflows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import avatar
from tests.support.bare_root import dockerfile_stages, in_build_context

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def found(pattern: str, name: str) -> str:
    """The first group of the only match of `pattern` in a file."""
    (value,) = re.findall(pattern, text(name), re.MULTILINE)
    assert isinstance(value, str)
    return value


def pin(repository: str) -> str:
    """The revision of a repository in the pre-commit configuration, without its v."""
    return found(rf"repo: https://github\.com/{repository}\n    rev: v([\d.]+)$", ".pre-commit-config.yaml")


def test_the_project_reads_its_version_from_the_package() -> None:
    assert 'dynamic = ["version"]' in text("pyproject.toml")
    assert re.findall(r"^version\s*=", text("pyproject.toml"), re.MULTILINE) == []
    assert found(r'^__version__ = "(.+)"$', "avatar/__init__.py") == avatar.__version__


def test_citation_and_changelog_name_the_version_and_its_date() -> None:
    releases = re.findall(r"^## \[(\d.+)\] - (\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), re.MULTILINE)
    assert releases[0] == (found(r"^version: (.+)$", "CITATION.cff"), found(r"^date-released: (.+)$", "CITATION.cff"))
    assert releases[0][0] == avatar.__version__
    assert text("CHANGELOG.md").index("\n## [Unreleased]\n") < text("CHANGELOG.md").index(f"\n## [{releases[0][0]}]")


def test_pre_commit_runs_the_tool_versions_of_the_development_environment() -> None:
    assert pin("pre-commit/mirrors-clang-format") == found(r'"clang-format==([\d.]+)"', "pyproject.toml")
    least, below = found(r'"ruff>=([\d.]+,<[\d.]+)"', "pyproject.toml").split(",<")
    numbers = [tuple(map(int, version.split("."))) for version in (least, pin("astral-sh/ruff-pre-commit"), below)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_actions_limit_time_and_need_no_secret(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    actions = re.findall(r"uses: \S+@(\S+)", content)
    assert actions and [version for version in actions if not re.fullmatch(r"v\d+|release/v\d+", version)] == []
    assert content.count("    runs-on: ") == content.count("    timeout-minutes: ")
    assert "\npermissions:\n  contents: read\n" in content and "\nconcurrency:\n" in content
    assert "secrets." not in content


def test_workflows_call_the_commands_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    called = {name for path in WORKFLOWS for name in re.findall(r"run: make (\S+)", path.read_text(encoding="utf-8"))}
    assert called == {"test", "test-system", "docs", "lock"} and called <= targets


def test_the_dockerfile_is_short_ends_with_the_cpu_and_gets_what_is_installed_and_nothing_else() -> None:
    assert len(text("Dockerfile").splitlines()) <= 40
    names = [name for _, name, _ in dockerfile_stages(text("Dockerfile"))]
    assert names == ["build", "cuda-build", "cuda", "cpu"]
    sent = {path.name for path in ROOT.iterdir() if in_build_context(path.name)}
    packages = {"avatar", "capture", "viewer", "cuda_ext", "headsplat", "tools"}
    files = {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "Makefile"}
    assert sent == packages | files | {"configs", "requirements"}
    assert in_build_context(".ci/container-extras") and not in_build_context(".ci/run")
