"""Fixtures of the capture tests: the real models, and a real face where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.networks import models
from capture.networks.models import WHEEL_MEMBERS, model_path
from capture.synthetic import APPEARANCES


@pytest.fixture(scope="session")
def face_models() -> None:
    """The real models are in the cache (fetched if need be); the test is skipped where they cannot be had."""
    try:
        for name in WHEEL_MEMBERS:
            model_path(name)
    except HeadsplatError as error:
        pytest.skip(str(error))


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, no models of the user's own, none installed; the folder the models would go to."""
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSPLAT_MODELS", raising=False)
    monkeypatch.setattr(models, "PACKAGE", "made_up_models")
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="module")
def sparse() -> Iterator[str]:
    """The name of a procedural person with little hair, who is quickly made."""
    thin = replace(APPEARANCES["noor"].hair, strands=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(APPEARANCES, "sparse", replace(APPEARANCES["noor"], hair=thin))
        yield "sparse"
