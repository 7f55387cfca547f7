"""The lines of the procedural person whose wrinkles follow the compression of the skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from capture.synthetic import APPEARANCES
from capture.synthetic.person import Person
from capture.synthetic.skin import SkinPainter
from capture.synthetic.texels import TexelGrid

APPEARANCE = replace(APPEARANCES["noor"], hair=replace(APPEARANCES["noor"].hair, strands=200))


def repeated(person: Person, wide: bool, pitch: float) -> float:
    """How strongly the lines across the middle of the forehead repeat every `pitch` centimeters, 0..1."""
    forehead = person.region("forehead", "face") & (np.abs(person.rest[:, 0]) < 1.5)
    grid = TexelGrid(person.faces[forehead[person.faces].all(1)], 5)
    lines = SkinPainter(person, APPEARANCE, grid, 7, wide).paint().brow_lines
    height = grid.interpolate(person.rest)[:, 1]
    return float(np.abs((lines * np.exp(2j * np.pi * height / pitch)).sum()) / lines.sum())


@pytest.fixture(scope="module")
def person() -> Person:
    return Person(APPEARANCE)


def test_lines_as_deep_as_the_compression_are_twice_as_far_apart(person: Person) -> None:
    fine, wide = (repeated(person, wide, 0.85) for wide in (False, True))
    assert wide > 0.4
    assert fine < 0.1
    assert repeated(person, False, 0.425) > 0.4
