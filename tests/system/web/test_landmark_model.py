"""The landmark model of a head for the page: its container, and damaged ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from avatar.export.web_blocks import PREAMBLE
from avatar.head import load_head
from capture.live.web_model import landmark_model_pack
from tests.support.browser import Page
from tests.system.web.test_damage import block, framed, rewritten, with_bytes, with_entry, with_header
from viewer.web.bundle import module


@pytest.fixture(scope="module")
def pack() -> bytes:
    return landmark_model_pack(load_head())


@pytest.fixture(scope="module")
def reading(page: Page) -> Page:
    """A page with `read`, which returns the class and the message of the error."""
    address = "data:text/javascript;base64," + base64.b64encode(module("face/landmark_model.js").encode()).decode()
    page.run(f"import('{address}').then((found) => {{ globalThis.LandmarkModel = found.LandmarkModel; }})")
    page.run(
        "globalThis.read = (text) => { try { "
        "new LandmarkModel(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer); return null; } "
        "catch (error) { return [error.constructor.name, error.message]; } }; 0"
    )
    return page


def with_values(name: str, data: bytes) -> Callable[[bytes], bytes]:
    """The pack with other first bytes in a block, and a right checksum."""

    def change(pack: bytes) -> bytes:
        magic, version, size, _, _ = PREAMBLE.unpack_from(pack)
        start = PREAMBLE.size + size
        text = pack[PREAMBLE.size : start]
        place = start + block(json.loads(text), name)["offset"]
        changed = pack[:place] + data + pack[place + len(data) :]
        return framed(magic, version, text, changed[PREAMBLE.size :])

    return change


def with_group(name: str, group: Any) -> Callable[[bytes], bytes]:
    return lambda pack: rewritten(pack, lambda header: header["landmarks"].update({name: group}))


def without(name: str) -> Callable[[bytes], bytes]:
    """The pack without a block."""
    return lambda pack: rewritten(pack, lambda header: header["blocks"].remove(block(header, name)))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda pack: b"", "The data is not the landmark model of a head"),
    "newer": (with_bytes(8, b"\3\0\0\0"), "has version 3 and this page reads version 2; export it again."),
    "truncated": (lambda pack: pack[: len(pack) // 2 & ~3], "The landmark model of the head is incomplete"),
    "one bit": (lambda pack: pack[:-9] + bytes([pack[-9] ^ 1]) + pack[-8:], "its checksum is another one"),
    "an avatar": (with_header(format="headsplat-web"), "its header"),
    "no basis": (without("identity_basis"), "no block identity_basis"),
    "another size": (with_entry("cost", shape=[3]), "shape of cost"),
    "correctives": (with_entry("jaw.correctives", shape=[5, 1404], scale=[1] * 5, zero=[0] * 5), "jaw.correctives"),
    "not a number": (with_values("base", b"\xff\xff\xff\xff"), "numbers of base"),
    "column": (with_values("columns", b"\xff\xff"), "indices of columns"),
    "pair": (with_values("exclusive", b"\xff\xff"), "indices of exclusive"),
    "no names": (with_header(names=None), "its names"),
    "no options": (with_header(fit={}), "numbers of fit.ridge"),
    "no groups": (with_header(landmarks=[]), "landmarks of stable"),
    "group": (with_group("irises", [468, 478]), "landmarks of irises"),
    "short group": (with_group("lip_gap", [13]), "landmarks of lip_gap"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_pack_gives_one_sentence(reading: Page, pack: bytes, name: str) -> None:
    damage, message = DAMAGES[name]
    kind, text = reading.run(f"read('{base64.b64encode(damage(pack)).decode()}')")
    assert kind == "ContainerError"
    assert message in text
    assert text.endswith(".") and "\n" not in text


def test_a_pack_is_read(reading: Page, pack: bytes) -> None:
    assert reading.run(f"read('{base64.b64encode(pack).decode()}')") is None


def test_a_pack_is_small_and_names_head_and_license(pack: bytes) -> None:
    size = PREAMBLE.unpack_from(pack)[2]
    header = json.loads(pack[PREAMBLE.size : PREAMBLE.size + size])
    assert len(pack) < 500_000
    assert header["head"] == {"name": "embedded", "license": "Apache-2.0"}
    assert header["names"] == list(load_head().expression_names)
