"""A `.motion.npz` that is dropped on the page: retargeted as by the engine; a damaged one gives one sentence."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.driving.driver import drive
from avatar.model.avatar import Avatar
from avatar.motion import read_motion, write_motion
from avatar.types import Motion
from tests.support.browser import Page
from tests.system.web.test_driving import ATOL, assert_params, take

FRAMES = 45
LOST = 7


@pytest.fixture
def motion(tmp_path: Path) -> Motion:
    """A take with a moving head, split between root and neck, with turned eyes and a frame without a face."""
    path = tmp_path / "take.csv"
    path.write_text(take(FRAMES), encoding="utf-8")
    noise = torch.Generator().manual_seed(0)
    found = read_motion(path)
    confidence = torch.ones(FRAMES)
    confidence[LOST] = 0
    joint_rot = found.joint_rot + 0.1 * torch.randn(FRAMES, 5, 3, generator=noise)
    return replace(
        found, joint_rot=joint_rot, translation=0.05 * torch.randn(FRAMES, 3, generator=noise), confidence=confidence
    )


def stored(motion: Motion, folder: Path) -> bytes:
    path = folder / "take.motion.npz"
    write_motion(path, motion)
    return path.read_bytes()


def drop_bytes(page: Page, name: str, data: bytes) -> None:
    encoded = base64.b64encode(data).decode("ascii")
    page.run(
        "(() => { const dataTransfer = new DataTransfer(); "
        f"const bytes = Uint8Array.from(atob({json.dumps(encoded)}), (c) => c.charCodeAt(0)); "
        f"dataTransfer.items.add(new File([bytes], {json.dumps(name)})); "
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true })); })()"
    )


def message_of(page: Page, name: str, data: bytes) -> str:
    drop_bytes(page, name, data)
    page.wait(f"document.getElementById('message').textContent.startsWith('{name}')")
    return str(page.run("document.getElementById('message').textContent"))


@pytest.mark.parametrize("compressed", [True, False])
def test_a_stored_motion_is_retargeted_as_by_the_driver(
    shown: Page, layered: Avatar, motion: Motion, tmp_path: Path, compressed: bool
) -> None:
    data = stored(motion, tmp_path)
    if not compressed:
        plain = io.BytesIO()
        with np.load(io.BytesIO(data)) as archive:
            np.savez(plain, **{name: archive[name] for name in archive.files})
        data = plain.getvalue()
    name = f"{compressed}.motion.npz"
    drop_bytes(shown, name, data)
    shown.wait(f"app.playback.motion?.name === '{name}'")
    result = drive(layered, motion)
    for frame in (0, LOST - 1, LOST, FRAMES - 1):
        found = shown.run(f"app.playback.motion.paramsAt({float(result.time[frame] - result.time[0])!r})")
        # Between frames the page interpolates the head, the engine root and neck.
        assert_params(found, result.params, frame, 5e-3 if frame == LOST else ATOL)


def test_travel_of_the_head_moves_the_avatar(shown: Page, motion: Motion, tmp_path: Path) -> None:
    offset = torch.linspace(-0.02, 0.02, FRAMES)[:, None] * torch.tensor([1.0, 0, 0])
    moved = replace(motion, joint_rot=torch.zeros(FRAMES, 5, 3), translation=offset, confidence=None)
    drop_bytes(shown, "travel.motion.npz", stored(moved, tmp_path))
    shown.wait("app.playback.motion?.name === 'travel.motion.npz'")
    first, last = (
        np.array(shown.run(f"app.playback.motion.paramsAt({time}).translation")) for time in (0, (FRAMES - 1) / 30)
    )
    assert (last - first)[0] > 0.005


def rewritten(data: bytes, **changes: Any) -> bytes:
    """The archive with changed arrays (None: left out)."""
    out = io.BytesIO()
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez_compressed(out, **{name: array for name, array in arrays.items() if array is not None})
    return out.getvalue()


def header(data: bytes, **changes: Any) -> np.ndarray:
    with np.load(io.BytesIO(data)) as archive:
        found = json.loads(archive["header"].tobytes())
    return np.frombuffer(json.dumps(found | changes).encode(), np.uint8)


def bomb(data: bytes) -> bytes:
    """An archive whose member is longer than it declares."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("time.npy", bytes(1 << 22))
    changed = bytearray(out.getvalue())
    directory = changed.rindex(b"PK\x01\x02")
    changed[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    return bytes(changed)


DAMAGES = {
    "cut": (lambda data: data[: len(data) // 2], "is damaged (incomplete or damaged); write it again."),
    "bomb": (bomb, "is damaged (size of time.npy); write it again."),
    "other": (lambda data: rewritten(data, header=None), "is not a motion of headsplat; drop a .motion.npz."),
    "newer": (
        lambda data: rewritten(data, header=header(data, version=3)),
        "has version 3, this page reads 2; export the page again.",
    ),
    "joints": (lambda data: rewritten(data, header=header(data, joints=["root"])), "is damaged (its joints); write it"),
    "twice": (
        lambda data: rewritten(data, header=header(data, names=["jawOpen"] * 2)),
        "is damaged (its names); write it",
    ),
    "shape": (
        lambda data: rewritten(data, translation=np.zeros((3, 3), np.float32)),
        "is damaged (shape of translation); write it again.",
    ),
    "text": (
        lambda data: rewritten(data, translation=np.array(["a"])),
        "is damaged (type of translation); write it again.",
    ),
    "nan": (
        lambda data: rewritten(data, translation=np.full((FRAMES, 3), np.nan, np.float32)),
        "is damaged (values of translation); write it again.",
    ),
    "times": (
        lambda data: rewritten(data, time=np.zeros(FRAMES)),
        "is damaged (times that do not increase); write it again.",
    ),
    "faceless": (
        lambda data: rewritten(data, confidence=np.zeros(FRAMES, np.float32)),
        "has no frame with a face; record the take again.",
    ),
    "foreign": (
        lambda data: rewritten(
            data, header=header(data, names=["browInnerUp"]), weights=np.zeros((FRAMES, 1), np.float32)
        ),
        "was made for another head; pack it with headsplat export --motion.",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_motion_that_cannot_be_played_gives_one_sentence(
    shown: Page, motion: Motion, tmp_path: Path, name: str
) -> None:
    damage, expected = DAMAGES[name]
    assert message_of(shown, name, damage(stored(motion, tmp_path))).startswith(f"{name} {expected}")


def test_any_damaged_byte_is_refused_or_read(shown: Page, motion: Motion, tmp_path: Path) -> None:
    data = stored(motion, tmp_path)
    noise = np.random.default_rng(0)
    for _ in range(40):
        changed = bytearray(data)
        changed[noise.integers(len(data))] ^= 1 << noise.integers(8)
        shown.run("document.getElementById('message').textContent = ''")
        shown.run("app.playback.leave(); app.playback.motion = null")
        drop_bytes(shown, "any.npz", bytes(changed))
        shown.wait("document.getElementById('message').textContent || app.playback.motion")
        text = shown.run("document.getElementById('message').textContent")
        assert not text or (text.startswith("any.npz") and text.endswith("."))
    assert not shown.errors()
