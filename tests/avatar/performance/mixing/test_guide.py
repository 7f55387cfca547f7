"""The guide: its files are valid, and its tables have every key."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from avatar.performance.mixing.closures import ClosureOptions
from avatar.performance.mixing.envelope import Pulse
from avatar.performance.mixing.keyframes import is_keyframes, read_keyframes
from avatar.performance.mixing.regions import GROUPS, REGIONS
from avatar.performance.mixing.stack_file import LayerSpec, StackSpec, read_stack

ROOT = Path(__file__).parents[4]
GUIDE = (ROOT / "docs" / "guides" / "mixing.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_files_of_the_guide_are_valid(number: int, tmp_path: Path) -> None:
    path = tmp_path / "guide.toml"
    path.write_text(FILES[number])
    if is_keyframes(path, {"key": []} if "[[key]]" in FILES[number] else {}):
        assert read_keyframes(path)
    else:
        assert read_stack(path).layers


def test_the_guide_has_files() -> None:
    assert len(FILES) == 3


def test_tables_have_every_key() -> None:
    keys = set(re.findall(r"`\[?(\w+)\]?`", GUIDE))
    records = [item.name for record in (LayerSpec, StackSpec, ClosureOptions, Pulse) for item in fields(record)]
    assert set(records) - {"layers", "folder"} <= keys and {*REGIONS, *GROUPS} <= keys
