"""A damaged avatar file is refused with one sentence, before anything is made from it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from avatar.cli.info import as_text
from avatar.errors import HeadsplatError
from avatar.jobs.inspection import describe_file
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.layout import checksum
from avatar.rendering.animator import render_track
from tests.support.damage import MISSING, with_value
from tests.support.sample_avatar import CAMERA, small_avatar

SENTENCE = r"[^\n\x00-\x1f]*: (damaged avatar file \([^\n\x00-\x1f]+\); train or copy it again" + (
    r"|not an avatar file, or a damaged one; train or copy it again"
    r"|a safetensors file, but not a headsplat avatar; give an \.avatar file"
    r"|avatar version \d+, this headsplat reads up to \d+; update headsplat)"
)


class Stored(NamedTuple):
    """The content of an avatar file."""

    header: dict[str, Any]
    tensors: dict[str, Tensor]

    def write(self, path: Path) -> Path:
        path.write_bytes(save(self.tensors, {"headsplat": json.dumps(self.header)}))
        return path

    def without_checksum(self) -> Stored:
        return Stored({key: value for key, value in self.header.items() if key != "tensors_sha256"}, self.tensors)


@cache
def stored(mode: str) -> Stored:
    """A file as `headsplat train` writes it."""
    capture = {
        "name": "clip", "fingerprint": "0", "width": 32, "height": 32,
        "camera": {"name": "0", "K": CAMERA.K[0].tolist(), "world_to_cam": CAMERA.world_to_cam[0].tolist()},
    }  # fmt: skip
    extras = {"settings": {"size": 64, "steps": 3}, "capture": capture, "track": {"name": "landmarks"}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "me.avatar"
        save_avatar(path, small_avatar(mode), extras)
        return Stored(read_header(path), load(path.read_bytes()))


def frame_of(avatar: Avatar) -> np.ndarray:
    """One rendered frame."""
    params = avatar.head.neutral_params()
    params.translation[0, 2] = -0.5
    return next(render_track(avatar, params, CAMERA))


@cache
def whole_frame(mode: str) -> np.ndarray:
    """One frame of the avatar as it was stored."""
    return frame_of(small_avatar(mode))


def assert_refused(path: Path) -> None:
    """The file is refused with one sentence."""
    with pytest.raises(HeadsplatError) as caught:
        load_avatar(path)
    assert re.fullmatch(SENTENCE, str(caught.value)), str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


def assert_refused_or_whole(path: Path, mode: str = "reduced") -> None:
    """The file is refused, or it is the avatar as it was stored."""
    try:
        loaded = load_avatar(path)
    except HeadsplatError as error:
        assert re.fullmatch(SENTENCE, str(error)), str(error)
        return
    assert np.array_equal(frame_of(loaded), whole_frame(mode))


# --- tensors -------------------------------------------------------------------------------------------------------


def first(value: Tensor, number: float) -> Tensor:
    changed = value.clone()
    changed.view(-1)[0] = number
    return changed


def largest(value: Tensor) -> float:
    return (torch.finfo if value.is_floating_point() else torch.iinfo)(value.dtype).max


Damage = Callable[[Tensor], "Tensor | None"]
#: What happens to one tensor; None where it does not apply.
DAMAGES: dict[str, Damage] = {
    "nan": lambda value: first(value, float("nan")) if value.is_floating_point() and value.numel() else None,
    "infinite": lambda value: first(value, -float("inf")) if value.is_floating_point() and value.numel() else None,
    "huge": lambda value: first(value, largest(value)) if value.numel() else None,
    "negative_index": lambda value: first(value, -1) if value.dtype in (torch.int32, torch.int64) else None,
    "transposed": lambda value: (
        value.permute(*reversed(range(value.ndim))).contiguous() if value.shape != value.shape[::-1] else None
    ),
    "flat": lambda value: value.flatten() if value.ndim > 1 else None,
    "with_an_axis_more": lambda value: value[None],
    "longer": lambda value: torch.cat([value, value[:1]]) if len(value) else torch.zeros(1, dtype=value.dtype),
    "shorter": lambda value: value[:-1].clone() if len(value) else None,
    "empty": lambda value: value[:0].clone() if len(value) else None,
    "as_doubles": lambda value: value.double(),
    "as_small_integers": lambda value: torch.zeros(value.shape, dtype=torch.int8),
}  # fmt: skip


def tensor_cases() -> Iterator[Any]:
    """Every damage of every tensor in files of both modes."""
    for mode in ("reduced", "expression"):
        for name, value in sorted(stored(mode).tensors.items(), key=lambda item: item[0]):
            for damage, change in DAMAGES.items():
                if change(value) is not None and (name, damage) != ("head.uv", "longer"):  # one that no face uses
                    yield pytest.param(mode, name, damage, id=f"{mode}-{name}-{damage}")


@pytest.mark.parametrize(("mode", "name", "damage"), list(tensor_cases()))
def test_a_damaged_tensor_is_refused_without_a_checksum(tmp_path: Path, mode: str, name: str, damage: str) -> None:
    whole = stored(mode).without_checksum()
    changed = DAMAGES[damage](whole.tensors[name])
    assert changed is not None
    assert_refused(Stored(whole.header, whole.tensors | {name: changed}).write(tmp_path / "me.avatar"))


@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_each_missing_tensor_is_refused(tmp_path: Path, mode: str) -> None:
    whole = stored(mode).without_checksum()
    for missing in whole.tensors:
        rest = {name: value for name, value in whole.tensors.items() if name != missing}
        path = Stored(whole.header, rest).write(tmp_path / "me.avatar")
        if missing.startswith("region."):
            assert len(load_avatar(path)) == 6  # which regions exist depends on the head
        else:
            assert_refused(path)


@pytest.mark.parametrize("name", ["avatar.extra", "head.extra", "avatar.rig.\x1b[2J\nfine", "region.extra"])
def test_an_unknown_tensor_is_refused(tmp_path: Path, name: str) -> None:
    whole = stored("reduced").without_checksum()
    assert_refused(Stored(whole.header, whole.tensors | {name: torch.zeros(3)}).write(tmp_path / "me.avatar"))


@pytest.mark.parametrize("name", sorted(name for name, value in stored("reduced").tensors.items() if value.numel()))
def test_one_changed_bit_of_a_tensor_does_not_match_the_checksum(tmp_path: Path, name: str) -> None:
    whole = stored("reduced")
    changed = whole.tensors[name].clone()
    changed.view(-1).view(torch.uint8)[0] ^= 1
    path = Stored(whole.header, whole.tensors | {name: changed}).write(tmp_path / "me.avatar")
    for read in (load_avatar, read_header):
        with pytest.raises(HeadsplatError, match="its tensors do not match their checksum"):
            read(path)


def test_renamed_and_reshaped_tensors_do_not_match_the_checksum() -> None:
    whole = stored("reduced")
    low, high = "avatar.blendshapes.low", "avatar.blendshapes.high"
    exchanged = whole.tensors | {low: whole.tensors[high], high: whole.tensors[low]}
    reshaped = whole.tensors | {"avatar.offsets": whole.tensors["avatar.offsets"].reshape(3, 6)}
    assert whole.header["tensors_sha256"] == checksum(whole.tensors)
    assert len({checksum(whole.tensors), checksum(exchanged), checksum(reshaped)}) == 3


def test_an_avatar_saved_with_the_header_of_another_one_has_its_own_checksum(tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, small_avatar("expression"), {"tensors_sha256": stored("reduced").header["tensors_sha256"]})
    assert len(load_avatar(path)) == 6


@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_a_whole_file_is_read_with_and_without_checksum(tmp_path: Path, mode: str) -> None:
    expected = whole_frame(mode)
    assert (expected < 250).any()
    for whole in (stored(mode), stored(mode).without_checksum()):
        assert np.array_equal(frame_of(load_avatar(whole.write(tmp_path / "me.avatar"))), expected)


# --- header --------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "null": None, "true": True, "list": [], "object": {}, "number": 7, "negative": -1, "fraction": 0.5, "text": "x",
    "control characters": "\x1b[31m\n", "huge": 10**30, "long": "x" * 100_000, "names": ["a", "a"], "NaN": float("nan"),
    "infinite": float("inf"), "lists": [[[["a"]]]], "surrogate": "\ud800",
}  # fmt: skip
#: Entries whose text or number has no effect on the avatar.
FREE = {"axes", "units", "consent"}


def paths_of(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of an object and of the objects in it."""
    for key, inside in value.items():
        yield (*path, key)
        if isinstance(inside, dict):
            yield from paths_of(inside, (*path, key))


KEYS = sorted(paths_of(stored("reduced").header))


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_an_entry_of_the_header_with_any_other_value_is_refused_or_harmless(
    tmp_path: Path, path: tuple[str, ...]
) -> None:
    whole, file = stored("reduced"), tmp_path / "me.avatar"
    changes = [with_value(whole.header, path, value) for value in VALUES.values()]
    for changed in (*changes, with_value(whole.header, path)):
        Stored(changed, whole.tensors).write(file)
        assert_refused_or_whole(file)
        try:
            shown = as_text(describe_file(file))
        except HeadsplatError as error:
            shown = str(error)
        assert "\x1b" not in shown


#: Keys without which, or with null in which, no avatar is read.
REQUIRED = ("magic", "version", "expression_names", "head", "head.name", "head.licence", "head.parents",
            "head.capabilities", "blendshapes", "blendshapes.mode", "training")  # fmt: skip


@pytest.mark.parametrize("key", REQUIRED)
def test_a_required_entry_that_is_missing_or_null_is_refused(tmp_path: Path, key: str) -> None:
    whole, path = stored("reduced"), tuple(key.split("."))
    for drop in (True, False):
        changed = with_value(whole.header, path, MISSING if drop else None)
        assert_refused(Stored(changed, whole.tensors).write(tmp_path / "me.avatar"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 0), ("version", True), ("version", 1.0), ("version", 10**30), ("gaussians", 7),
        ("joints", ["neck", "root", "jaw", "left_eye", "right_eye"]),
        ("expression_names", ["jawOpen", "jawOpen"]), ("expression_names", ["jawOpen"]), ("expression_names", ["a", 7]),
        ("expression_names", ["jawOpen", ""]), ("head.parents", [-1, 0, 1, 1]), ("head.parents", [-1, 0, 1, 1, 5]),
        ("head.parents", [-1, 2, 1, 1, 1]), ("head.parents", [0, 0, 0, 0, 0]), ("head.parents", [-1, -1, 1, 1, 1]),
        ("head.parents", [-1, True, 1, 1, 1]), ("head.capabilities", [1]), ("blendshapes.mode", "other"),
        ("blendshapes.mode", "expression"), ("blendshapes.count", 4), ("settings.size", 0), ("capture.width", 0),
        ("capture.camera.K", [[1, 0, 0], [0, 1, 0]]), ("capture.camera.K", [[1, 0, 0], [0, "1", 0], [0, 0, 1]]),
        ("capture.camera.world_to_cam", [[float("nan")] * 4] * 4), ("training.seconds_training", "long"),
        ("tensors_sha256", "0" * 64), ("track.fingerprint", 3), ("head.name", "\ud800"),
        ("expression_names", ["jawOpen", "\udcff"]),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    whole, path = stored("reduced"), tuple(key.split("."))
    changed = with_value(whole.header, path, value)
    assert_refused(Stored(changed, whole.tensors).write(tmp_path / "me.avatar"))


def nested(depth: int, opening: str, closing: str) -> str:
    return json.dumps(stored("reduced").header)[:-1] + ', "more": ' + opening * depth + "1" + closing * depth + "}"


@pytest.mark.parametrize(
    "text",
    [
        nested(30, "[", "]"), nested(30, '{"a":', "}"), nested(900, "[", "]"), nested(200_000, "[", "]"),
        nested(200_000, '{"a":', "}"), "", "{", "[]", "7", "null", '"x"', '{"magic": "headsplat-avatar"}',
        '{"magic": "headsplat-avatar", "version": ' + "9" * 5000 + "}",
        '{"magic": "headsplat-avatar", "version": ' + "9" * 4000 + "}",
    ],
    ids=lambda text: text[:40] + text[-20:],
)  # fmt: skip
def test_a_header_that_is_no_header_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "me.avatar"
    path.write_bytes(save(stored("reduced").tensors, {"headsplat": text}))
    assert_refused(path)


def test_any_changed_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path, random = tmp_path / "me.avatar", np.random.default_rng(3)
    content = stored("reduced").write(path).read_bytes()
    for _ in range(250):
        changed = bytearray(content)
        changed[random.integers(len(content)) if random.random() < 0.5 else random.integers(4000)] ^= (
            1 << random.integers(8)
        )
        path.write_bytes(changed)
        assert_refused_or_whole(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    content = stored("reduced").write(path).read_bytes()
    for length in [*range(0, 64, 7), *range(64, len(content), len(content) // 40)]:
        path.write_bytes(content[:length])
        assert_refused(path)
