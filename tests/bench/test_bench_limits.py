"""Every row of docs/limits.md has a place in the bench that scores it."""

from __future__ import annotations

from tests.bench.bench_limits import LIMITS, PAGE, rows_of


def test_every_row_of_the_page_is_measured_or_says_why_not() -> None:
    rows = rows_of(PAGE.read_text(encoding="utf-8"))
    assert len(rows) > 30
    for row, (starts, measures) in zip(rows, LIMITS.items(), strict=True):
        assert row.startswith(starts), f"docs/limits.md has {row[:40]!r}, the bench {starts!r}"
        assert measures, starts


def test_rows_are_read_without_links_and_code() -> None:
    text = "# Page\n\n- `a` and [b](c.md) go\n  on\n\ntext - no row\n- next\n"
    assert rows_of(text) == ["a and b go", "next"]
