"""Containers that are damaged or made to harm: one sentence in the page, and nothing else happens."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatar.export.web_blocks import PREAMBLE
from tests.support.browser import Page
from viewer.web.page import build_page


def rewritten(container: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The container with a changed header and a right checksum."""
    magic, version, size, _, _ = PREAMBLE.unpack_from(container)
    header = json.loads(container[PREAMBLE.size : PREAMBLE.size + size])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return framed(magic, version, text, text + container[PREAMBLE.size + size :])


def framed(magic: bytes, version: int, text: bytes, body: bytes) -> bytes:
    return PREAMBLE.pack(magic, version, len(text), PREAMBLE.size + len(body), zlib.crc32(body)) + body


def block(header: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in header["blocks"] if entry["name"] == name)


def with_entry(name: str, **changes: Any) -> Callable[[bytes], bytes]:
    return lambda whole: rewritten(whole, lambda header: block(header, name).update(changes))


def with_header(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda whole: rewritten(whole, lambda header: header.update(changes))


def with_bytes(at: int, data: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: whole[:at] + data + whole[at + len(data) :]


def with_large_index(whole: bytes) -> bytes:
    magic, version, size, _, _ = PREAMBLE.unpack_from(whole)
    start = PREAMBLE.size + size
    header = json.loads(whole[PREAMBLE.size : start])
    place = start + block(header, "gaussians.triangles")["offset"]
    changed = whole[:place] + b"\xff\xff" + whole[place + 2 :]
    return framed(magic, version, whole[PREAMBLE.size : start], changed[PREAMBLE.size :])


def with_text(text: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: framed(whole[:8], 2, text, text)


CASES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda whole: b"", "The data is not an avatar for the web"),
    "another file": (lambda whole: b"\x89PNG\r\n\x1a\n" + bytes(40), "The data is not an avatar for the web"),
    "newer": (with_bytes(8, b"\x03\0\0\0"), "The avatar has version 3 and this page reads version 2; export it again."),
    "truncated": (lambda whole: whole[: len(whole) // 2 & ~3], "The avatar is incomplete"),
    "one bit": (lambda whole: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], "its checksum is another one"),
    "long header": (with_bytes(12, b"\xfc\xff\xff\x7f"), "length of the header"),
    "no JSON": (with_text(b"{   "), "its header is not JSON"),
    "JSON null": (with_text(b"null"), "its header"),
    "blocks null": (with_header(blocks=[None]), "no block head.template"),
    "outside": (with_entry("gaussians.quats", offset=1 << 40), "place of gaussians.quats"),
    "unaligned": (with_entry("gaussians.quats", offset=2), "place of gaussians.quats"),
    "negative": (with_entry("gaussians.quats", offset=-8), "place of gaussians.quats"),
    "huge": (with_entry("head.template", shape=[1 << 30, 3]), "place of head.template"),
    "fraction": (with_entry("head.template", shape=[1.5, 3]), "shape of head.template"),
    "sizes differ": (with_entry("gaussians.colors", shape=[3, 1]), "shape of gaussians.colors"),
    "type": (with_entry("gaussians.colors", dtype="f64"), "type of gaussians.colors"),
    "no scale": (with_entry("gaussians.colors", scale=None), "scale of gaussians.colors"),
    "scale of text": (with_entry("gaussians.colors", scale=["1", "1", "1"]), "scale of gaussians.colors"),
    "index": (with_large_index, "indices of gaussians.triangles"),
    "other Gaussians": (
        with_entry("pose_blendshapes.positions", shape=[21, 1]),
        "shape of pose_blendshapes.positions",
    ),
    "no turn": (with_header(pose_blendshapes={}), "numbers of pose_blendshapes.turn"),
    "no torso": (with_header(torso=None), "numbers of torso."),
    "no driving": (with_header(driving={}), "numbers of driving."),
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_container_gives_one_sentence(page: Page, container: bytes, tmp_path: Path, name: str) -> None:
    damage, message = CASES[name]
    path = tmp_path / "me.html"
    path.write_text(build_page(damage(container), "me"), encoding="utf-8")
    page.open(path)
    failure = page.run("document.getElementById('failure').innerText")
    assert message in failure
    assert failure.endswith(".") and failure.count("\n") == 0
    assert not page.errors()


def test_base64_that_is_damaged_gives_one_sentence(page: Page, container: bytes, tmp_path: Path) -> None:
    path = tmp_path / "me.html"
    path.write_text(build_page(container, "me").replace("SFNQTFRXRUI", "SFN?TFRXRUI"), encoding="utf-8")
    page.open(path)
    assert page.run("document.getElementById('failure').innerText").startswith("The avatar is damaged")


def test_a_title_is_text_and_no_markup(page: Page, container: bytes, tmp_path: Path) -> None:
    title = '"><img src=x onerror="document.title=1">{{container}}'
    path = tmp_path / "me.html"
    path.write_text(build_page(container, title), encoding="utf-8")
    page.open(path)
    assert page.run("document.title") == title
    assert page.run("document.images.length") == 0
