"""The modules of the player in one script and in one page."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from viewer.web import bundle as bundling
from viewer.web.bundle import bundle
from viewer.web.page import build_page

ENTRIES = ("app.js", "worker.js", "element.js", "camera_worker.js")
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in (files("viewer.web") / "src").iterdir()}


def test_a_module_comes_once_and_after_what_it_imports() -> None:
    script = bundle("app.js")
    modules = re.findall(r"^// (\w+\.js)$", script, re.MULTILINE)
    assert len(modules) == len(set(modules))
    for name in modules:
        for imported in re.findall(r'from "\./([\w.]+)"', SOURCES[name]):
            assert modules.index(imported) < modules.index(name)


def test_every_module_is_in_a_script_of_the_page() -> None:
    used = {name for entry in ENTRIES for name in re.findall(r"// (\w+\.js)\n", bundle(entry))}
    assert used == {name for name in SOURCES if name.endswith(".js")}


def test_no_import_or_export_is_left() -> None:
    for entry in ENTRIES:
        assert not re.search(r"^\s*(import|export) ", bundle(entry), re.MULTILINE)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"a.js": 'import { gone } from "./b.js";\n', "b.js": ""}, "a.js: imports gone, which b.js does not export"),
        (
            {
                "a.js": 'import { one } from "./b.js";\nimport { two } from "./c.js";\n',
                "b.js": "export const one = 1;\n",
                "c.js": "export const two = 2;\nexport const one = 3;\n",
            },
            "c.js: one is exported by b.js, too",
        ),
    ],
)
def test_modules_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch, modules: dict[str, str], message: str
) -> None:
    monkeypatch.setattr(bundling, "source", modules.__getitem__)
    with pytest.raises(ValueError, match=message):
        bundle("a.js")


def test_the_page_names_no_other_address() -> None:
    page = build_page(b"", "me")
    assert "<body" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?!\{)[^\"'>\s]", page.partition("<body")[0])
    assert "http://" not in page and "https://" not in page


def test_the_policy_allows_no_evaluated_text_and_no_inline_handlers() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', build_page(b"", "me"))
    assert policy is not None
    assert "unsafe" not in policy[1] and policy[1].startswith("default-src 'none'")
