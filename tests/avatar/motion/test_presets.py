"""Own presets: the file, its limits, and lists of presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatar.errors import HeadsplatError
from avatar.motion.presets import (
    KEYS,
    MAX_BYTES,
    MAX_PRESETS,
    FacePreset,
    change_presets,
    own_presets,
    preset_named,
    presets_path,
    read_presets,
    with_free_key,
    with_preset,
    without_preset,
    write_presets,
)

GRIN = FacePreset(
    "Grin ☺",
    {"jawOpen": 0.4, "mouthSmileLeft": -0.25, "expr7": 2.5},
    (10.0, -5.0, 2.5),
    (3.0, -1.0),
    4,
    "a photo",
    "yes",
)
PLAIN = FacePreset("plain")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "me.presets.json"


def refused(path: Path, content: Any) -> str:
    """The message about a file, without its path."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(HeadsplatError) as caught:
        read_presets(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def with_entries(*entries: Any) -> dict[str, Any]:
    return {"headsplat": "presets", "version": 1, "presets": list(entries)}


def one(entries: dict[str, Any]) -> dict[str, Any]:
    """A file with one preset."""
    return with_entries({"name": "a", **entries})


def test_what_is_written_is_read_back(path: Path) -> None:
    write_presets(path, (GRIN, PLAIN))
    assert read_presets(path) == (GRIN, PLAIN)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum('"name"' in line for line in lines) == 2  # a line each, so that a change of one is a change of its line


def test_an_avatar_has_the_file_beside_it(path: Path) -> None:
    avatar = path.with_name("me.avatar")
    assert presets_path(avatar) == path == presets_path(path)
    assert own_presets(avatar) == ()
    write_presets(path, (PLAIN,))
    assert own_presets(avatar) == (PLAIN,)


def test_a_change_that_fails_leaves_the_file(path: Path) -> None:
    change_presets(path, lambda presets: with_preset(presets, GRIN))
    before = path.read_bytes()
    with pytest.raises(HeadsplatError, match="there is a preset 'Grin ☺' already"):
        change_presets(path, lambda presets: with_preset(presets, GRIN))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "damaged, not readable as JSON"),
        ([], "damaged, expected a JSON object"),
        ({}, 'no file of presets, which has "headsplat": "presets"; check its path'),
        (with_entries() | {"version": 3}, "presets of version 3, this headsplat reads 2; update headsplat"),
        (with_entries() | {"version": True}, "no version 2 in it"),
        (with_entries() | {"preset": []}, "unknown key `preset`; did you mean `presets`?"),
        (with_entries(3), "`presets` is 3, expected a table of names and values"),
        (with_entries({}), "preset 1: no `name` in it"),
        (one({"weigths": {}}), "preset 1: unknown key `weigths`; did you mean `weights`?"),
        (one({"weights": [1]}), "preset 1: `weights` is [1], expected a table of names and values"),
        (one({"weights": {"JawOpen": 1}}), "preset 1: `weights` has 'JawOpen'; did you mean `jawOpen`?"),
        (one({"weights": {"jawOpen": 1.01}}), "preset 1: `weights.jawOpen` is 1.01, expected -1 to 1"),
        (one({"weights": {"x": float("nan")}}), "preset 1: `weights.x` is nan, expected -10 to 10"),
        (one({"weights": {"x": True}}), "preset 1: `weights.x` is True, expected -10 to 10"),
        (one({"weights": dict.fromkeys(map(str, range(1001)), 1)}), "preset 1: `weights` has 1001 expressions"),
        (one({"head": [1, 2]}), "preset 1: `head` has 2 values, expected 3"),
        (one({"jaw": [91, 0]}), "preset 1: `jaw` is [91.0, 0.0], expected degrees up to 90"),
        (one({"key": 10}), "preset 1: `key` is 10, expected 1 to 9"),
        (one({"consent": "x" * 1001}), "preset 1: `consent` has more than 1000 characters"),
        (with_entries({"name": " a"}), "preset 1: `name` is ' a', expected 1 to 40 characters on one line"),
        (with_entries({"name": "\x1b[0m"}), "preset 1: `name` is '\\x1b[0m', expected 1 to 40 characters on one line"),
        (with_entries({"name": "../a"}), "preset 1: `name` is '../a', expected one without slashes"),
        (with_entries({"name": "a"}, {"name": "A"}), "preset 2: there is a preset 'a' already; choose another name"),
        (
            with_entries({"name": "a", "key": 1}, {"name": "b", "key": 1}),
            "preset 2: key 1 shows the preset 'a'; choose another key",
        ),
        ('{"a":' * 2000, "damaged, "),
        (" " * (MAX_BYTES + 1), "larger than 256 KB, which no file of presets is; check its path"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_it_should_be_is_refused(path: Path, content: Any, message: str) -> None:
    assert refused(path, content).startswith(message)


def test_a_missing_file_names_the_command(path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such file of presets; save one with `headsplat preset add`"):
        read_presets(path)


def test_names_are_found_in_any_case_and_replaced_in_their_place() -> None:
    presets = (GRIN, PLAIN)
    assert preset_named(presets, " GRIN ☺") is GRIN and preset_named(presets, "none") is None
    other = FacePreset("PLAIN", {"jawOpen": 1.0})
    assert with_preset((PLAIN, GRIN), other, overwrite=True) == (other, GRIN)
    assert without_preset(presets, "plain") == (GRIN,)
    with pytest.raises(HeadsplatError, match="no preset 'x'; there are Grin ☺, plain"):
        without_preset(presets, "x")


def test_a_preset_gets_the_first_free_key_or_keeps_that_of_its_name() -> None:
    presets: tuple[FacePreset, ...] = ()
    for number in range(len(KEYS) + 1):
        presets = with_preset(presets, with_free_key(presets, FacePreset(f"face {number}")))
    assert [preset.key for preset in presets] == [*KEYS, None]
    assert with_free_key(presets, FacePreset("FACE 4")).key == presets[4].key
    with pytest.raises(HeadsplatError, match=f"there are {MAX_PRESETS} presets"):
        with_preset(tuple(FacePreset(str(k)) for k in range(MAX_PRESETS)), PLAIN)


def test_what_arkits_expressions_cannot_show_is_named() -> None:
    assert GRIN.arkit_weights == {"jawOpen": 0.4, "mouthSmileLeft": 0.0}
    assert GRIN.left_out == ("expressions of the avatar's own", "turn of the head", "jaw")
    assert PLAIN.left_out == ()


def test_action_units_stay_in_the_file_and_raise_its_version(tmp_path: Path) -> None:
    plain, units = FacePreset("a", {"jawOpen": 0.5}), FacePreset("b", {"mouthSmileLeft": 0.5}, units={"AU12L": 0.5})
    for presets, version in (((plain,), 1), ((plain, units), 2)):
        write_presets(tmp_path / "me.presets.json", presets)
        assert f'"version": {version},' in (tmp_path / "me.presets.json").read_text()
        assert read_presets(tmp_path / "me.presets.json") == presets
    with pytest.raises(ValueError, match=r"`units\.AU12X` is 0\.5, expected AU12, AU12L or AU12R, from 0 to 1"):
        FacePreset("c", units={"AU12X": 0.5})
