"""Every path and every dotted name of ours that the documentation mentions exists."""

from __future__ import annotations

import importlib
import re
import tempfile
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest
from safetensors import safe_open

import avatar
from avatar import export
from avatar.model.avatar_file import save_avatar
from tests.support.sample_avatar import small_avatar
from tests.test_layout import LAYERS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")}
)
FOLDERS = "avatar|capture|viewer|cuda_ext|configs|tools|tests|examples|docs|cpu|cuda"
PATH = re.compile(rf"(?<![\w./<-])(?:{FOLDERS})/[\w./-]*[\w/](?![\w*<{{])")
DOTTED = re.compile(r"(?<![\w./-])(?:avatar|capture|viewer|cuda_ext|tools)(?:\.[A-Za-z_]\w*)+(?![\w*{/])")
#: What looks like a dotted name but is a file: capture.json.
FILE = re.compile(r"\.(?:json|toml|py|md|npz|png|mp4|csv|html|hsa)$")
#: Packages that an adapter of ours needs, which are not installed for the tests.
OPTIONAL = {"livekit", "pipecat"}
#: Pages that mention what is gone: the changes of past versions.
HISTORY = {"CHANGELOG.md"}


def mentions(pattern: re.Pattern[str], text: str) -> set[str]:
    """What `pattern` finds in a page, without the part of an address."""
    return set(pattern.findall(re.sub(r"https?://\S+", "", text)))


def path_exists(path: str) -> bool:
    """Whether a path is below the root; paths of kernels may begin in cuda_ext."""
    return any((base / path).exists() for base in (ROOT, ROOT / "cuda_ext"))


@cache
def stored_names() -> frozenset[str]:
    """Names of tensors in an .avatar file, and what they begin with: they look like names of modules."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "me.avatar"
        save_avatar(path, small_avatar("reduced"))
        with safe_open(str(path), framework="np") as file:
            names = list(file.keys())
    parts = (name.split(".") for name in names)
    return frozenset(".".join(part[:length]) for part in parts for length in range(2, len(part) + 1))


def name_exists(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if str(error.name).split(".")[0] in OPTIONAL:
                return length == len(parts)  # it is there, for whoever installs what it adapts
            if not name.startswith(str(error.name)):
                raise
            continue
        for part in parts[length:]:
            if not hasattr(found, part) and part not in getattr(found, "__dataclass_fields__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


def missing(text: str) -> list[str]:
    """Paths and dotted names in a page that do not exist."""
    paths = [path for path in mentions(PATH, text) if not path_exists(path)]
    names = {name for name in mentions(DOTTED, text) if not FILE.search(name)} - stored_names()
    return sorted(paths + [name for name in names if not name_exists(name)])


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_a_page_mentions_only_what_exists(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see `avatar/nowhere.py`", ["avatar/nowhere.py"]),
        ("see `avatar/model/rig.py` and [this](https://example.org/avatar/nowhere.py)", []),
        ("`cpu/raster.cpp` and `cpu/nothing.cpp`", ["cpu/nothing.cpp"]),
        ("call `avatar.load_avatar`, then `avatar.types.Camera.K`", []),
        ("call `avatar.nothing`, `avatar.types.Camera.nothing`", ["avatar.nothing", "avatar.types.Camera.nothing"]),
        ("the tensor `avatar.rig.torso.weight` and the file `capture.json`", []),
        ("a wish like `avatar.model.nowhere`", ["avatar.model.nowhere"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_found(text: str, found: list[str]) -> None:
    assert missing(text) == found


def test_the_api_page_has_every_public_name() -> None:
    listed = set(re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE))
    public = {f"avatar.{name}" for name in avatar.__all__ if not name.startswith("_")}
    public |= {f"avatar.export.{name}" for name in export.__all__ if isinstance(getattr(export, name), FunctionType)}
    assert public - listed == set()
    assert [name for name in listed if not name_exists(name)] == []


def test_the_packages_stand_in_the_order_of_their_imports() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Packages", 1)[1]
    cells = re.findall(r"^\| (`avatar/.+?) \|", text, re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`avatar/(\w+)", cell)] == list(LAYERS)
