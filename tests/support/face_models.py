"""A made-up wheel of face models in place of the real ones, installed ones included: no network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from capture.networks import models


def make_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in `folder` with the members of the real one, whose checksums are the expected ones."""
    path = folder / models.WHEEL
    folder.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in models.WHEEL_MEMBERS.items():
            archive.writestr(member, f"model {name}")
        archive.writestr("mediapipe-0.10.21.dist-info/LICENSE", "Apache License")
    monkeypatch.setattr(models, "WHEEL_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    digests = {name: hashlib.sha256(f"model {name}".encode()).hexdigest() for name in models.WHEEL_MEMBERS}
    monkeypatch.setattr(models, "MODEL_SHA256", digests)
    monkeypatch.setattr(models, "PACKAGE", "made_up_models")
    return path
