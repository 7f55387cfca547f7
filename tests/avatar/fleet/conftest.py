"""Fixtures of the tests of fleets."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec
import pytest

from tests.avatar.fleet.objects import ObjectStore


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ObjectStore]]:
    """An empty object store at objects://, in this process; attributes that a test changes are its own."""
    fsspec.register_implementation("objects", ObjectStore, clobber=True)
    for name, value in {"store": {}, "pseudo_dirs": [""], "puts": [], "before_put": None, "cut": 0}.items():
        monkeypatch.setattr(ObjectStore, name, value)
    ObjectStore.clear_instance_cache()
    yield ObjectStore
    ObjectStore.clear_instance_cache()
