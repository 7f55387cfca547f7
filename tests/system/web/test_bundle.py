"""The modules of the player in one script and in one page."""

from __future__ import annotations

import posixpath
import re
from importlib.resources import files
from pathlib import Path

import pytest

from viewer.web import bundle as bundling
from viewer.web.bundle import bundle
from viewer.web.page import build_page

ENTRIES = (
    "page/app.js",
    "page/worker.js",
    "page/element.js",
    "page/notebook.js",
    "face/camera_worker.js",
    "film/page.js",
    "film/encoder.js",
)
SOURCE = Path(str(files("viewer.web") / "src"))
SOURCES = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.js")}
#: Each folder imports from itself and from those before it.
FOLDERS = ("container", "avatar", "draw", "draw_cpu", "motions", "face", "film", "page")


def imports(name: str) -> list[str]:
    """The modules that a module imports, by their paths in the folder of the sources."""
    paths = re.findall(r'^import .* from "(.*)";$', SOURCES[name], re.MULTILINE)
    return [posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in paths]


def test_a_folder_imports_from_those_before_it() -> None:
    assert {name.partition("/")[0] for name in SOURCES} == set(FOLDERS)
    for name in SOURCES:
        order = [FOLDERS.index(path.partition("/")[0]) for path in (*imports(name), name)]
        assert max(order) == order[-1], f"{name} imports from a later folder"


def test_a_module_comes_once_and_after_what_it_imports() -> None:
    script = bundle("page/app.js")
    modules = re.findall(r"^// ([\w/]+\.js)$", script, re.MULTILINE)
    assert len(modules) == len(set(modules))
    for name in modules:
        for imported in imports(name):
            assert modules.index(imported) < modules.index(name)


def test_every_module_is_in_a_script_of_the_page() -> None:
    used = {name for entry in ENTRIES for name in re.findall(r"^// ([\w/]+\.js)$", bundle(entry), re.MULTILINE)}
    assert used == set(SOURCES)


def test_no_import_or_export_is_left() -> None:
    for entry in ENTRIES:
        assert not re.search(r"^\s*(import|export) ", bundle(entry), re.MULTILINE)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            {"page/a.js": 'import { gone } from "../draw/b.js";\n', "draw/b.js": ""},
            "page/a.js: imports gone, which draw/b.js does not export",
        ),
        (
            {
                "page/a.js": 'import { one } from "./b.js";\nimport { two } from "./c.js";\n',
                "page/b.js": "export const one = 1;\n",
                "page/c.js": "export const two = 2;\nexport const one = 3;\n",
            },
            "page/c.js: one is exported by page/b.js, too",
        ),
    ],
)
def test_modules_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, modules: dict[str, str], message: str
) -> None:
    monkeypatch.setattr(bundling, "source", modules.__getitem__)
    with pytest.raises(ValueError, match=message):
        bundle("page/a.js")


def test_the_page_names_no_other_address() -> None:
    page = build_page(b"", "me")
    assert "<body" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?!\{)[^\"'>\s]", page.partition("<body")[0])
    assert "http://" not in page and "https://" not in page


def test_the_policy_allows_no_evaluated_text_and_no_inline_handlers() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', build_page(b"", "me"))
    assert policy is not None
    assert "unsafe" not in policy[1] and policy[1].startswith("default-src 'none'")
