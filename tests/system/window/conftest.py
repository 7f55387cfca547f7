"""Fixtures of the window's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.display import any_display


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The display (DISPLAY) that windows open on: the existing one, or an Xvfb started for the tests."""
    with any_display() as name:
        yield name
