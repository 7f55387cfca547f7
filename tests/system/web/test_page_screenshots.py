"""The pictures of the page in the documentation, and the states that they show."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.page_screenshots import PICTURES, sheet, write
from tests.support.page_states import STATES

DOCS = Path(__file__).parents[3] / "docs"


def test_every_state_is_in_one_picture() -> None:
    shown = [name for rows in PICTURES.values() for row in rows for name in row]
    assert sorted(shown) == sorted(STATES)


def test_every_picture_is_in_the_guide_with_a_text_for_who_cannot_see_it() -> None:
    guide = (DOCS / "guides" / "web.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"!\[(.*)\]\(\.\./images/(.*)\.jpg\)", guide))
    assert sorted(found.values()) == sorted(PICTURES)
    assert all(len(text) > 20 for text in found)


def test_the_pictures_are_small() -> None:
    sizes = [(DOCS / "images" / f"{name}.jpg").stat().st_size for name in PICTURES]
    assert max(sizes) <= 80_000 and sum(sizes) < 700_000


def test_states_of_different_heights_share_a_sheet() -> None:
    low, high = (np.zeros((height, 60, 3), np.uint8) for height in (40, 80))
    drawn = sheet([[(low, "low"), (high, "high")]])
    assert drawn.shape[0] > 80 and drawn.shape[1] > 120
    assert drawn[0].min() == 255  # white between them


def test_a_picture_that_cannot_be_small_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    with pytest.raises(SystemExit, match="more than 80000 bytes"):
        write(tmp_path / "noise.jpg", noise)
    assert not list(tmp_path.iterdir())
