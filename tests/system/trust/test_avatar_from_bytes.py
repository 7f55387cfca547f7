"""An .avatar file is read once, into memory: what happens to the file afterwards changes no loaded avatar."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.model.avatar_checks import HEAD_TENSORS
from avatar.model.avatar_file import load_avatar, read_avatar, save_avatar
from avatar.model.rig import Rig
from avatar.types import map_tensors
from tests.support.sample_avatar import SAMPLE

TRUNCATE = """
import os, sys
from pathlib import Path
import torch
from avatar.model.avatar_checks import HEAD_TENSORS
from avatar.model.avatar_file import load_avatar
path = Path(sys.argv[1])
avatar = load_avatar(path)
os.truncate(path, 64)
print(float(sum(getattr(avatar.head, name).double().abs().sum() for name in HEAD_TENSORS)))
print(float(avatar(avatar.head.neutral_params()).means.abs().sum()))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of many pages: the sample with a thousand times its Gaussians."""
    path, sample = tmp_path_factory.mktemp("large") / "me.avatar", load_avatar(SAMPLE)

    def repeated(value: Tensor) -> Tensor:
        return value.repeat(1000, *[1] * (value.ndim - 1))

    rig = Rig(map_tensors(repeated, sample.rig.binding), sample.rig.torso)
    local = map_tensors(repeated, sample.local)
    save_avatar(path, Avatar(sample.head, rig, sample.blendshapes, local, sample.neutral))
    return path


def tensors(avatar: Avatar) -> dict[str, Tensor]:
    """Every tensor of an avatar and its head."""
    head = {f"head.{name}": getattr(avatar.head, name) for name in HEAD_TENSORS}
    return head | dict(avatar.head.regions) | avatar.state_dict()


def test_overwriting_the_file_in_place_changes_no_tensor(large: Path, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    path.write_bytes(large.read_bytes())
    avatar = load_avatar(path)
    with path.open("r+b") as stream:
        stream.write(b"\xff" * path.stat().st_size)
    expected = tensors(load_avatar(large))
    found = tensors(avatar)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows does not let an open file be cut")
def test_cutting_the_file_does_not_end_the_process(large: Path, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    path.write_bytes(large.read_bytes())
    done = subprocess.run([sys.executable, "-c", TRUNCATE, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-1000:]}"
    assert all(float(line) > 0 for line in done.stdout.split())


def test_header_and_tensors_come_from_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced by another avatar as soon as it was read for the first time."""
    first, second = load_avatar(SAMPLE), load_avatar(SAMPLE)
    second.offsets.data += 1
    path, other = tmp_path / "me.avatar", tmp_path / "other.avatar"
    save_avatar(path, first, {"consent": "first"})
    save_avatar(other, second, {"consent": "second"})
    read = Path.read_bytes

    def replaced(self: Path) -> bytes:
        content = read(self)
        if other.exists():
            os.replace(other, path)
        return content

    monkeypatch.setattr(Path, "read_bytes", replaced)
    header, avatar = read_avatar(path)
    assert header["consent"] == "first" and torch.equal(avatar.offsets, first.offsets)
    assert read_avatar(path)[0]["consent"] == "second"
