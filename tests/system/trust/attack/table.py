"""The table of a run: by class how many cases were refused, accepted and failed, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.system.trust.attack.cases import ACCEPTED, FAILURES, REFUSED, SKIPPED, Result

START, END = "<!-- attack: table -->", "<!-- attack: end of the table -->"
_HEADINGS = ("class", "cases", "refused", "accepted", *FAILURES)


def rows_of(results: Sequence[Result], names: Sequence[str]) -> list[list[str]]:
    """Rows of the table: one for each class, and the sum."""
    rows = []
    for name in (*names, None):
        kinds = Counter(result.outcome.kind for result in results if name in (None, result.attack))
        cases = sum(kinds.values()) - kinds[SKIPPED]
        counts = (cases, kinds[REFUSED], kinds[ACCEPTED], *(kinds[kind] for kind in FAILURES))
        rows.append([name or "all", *map(str, counts)])
    return rows


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """The table for a terminal."""
    table = [_HEADINGS, *rows]
    columns = [list(column) for column in zip(*table, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    aligned = [str.ljust] + [str.rjust] * (len(columns) - 1)
    return "\n".join(
        "  ".join(align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)) for row in table
    )


def as_markdown(rows: Sequence[Sequence[str]], summary: str) -> str:
    """The table as Markdown, and a sentence."""
    rule = ["---"] + ["---:"] * (len(_HEADINGS) - 1)
    lines = [f"| {' | '.join(cells)} |" for cells in (_HEADINGS, rule, *rows)]
    return "\n".join([*lines, "", summary])


def write_markdown(path: Path, text: str) -> None:
    """Write the table to a page: between its markers, or, where it has none, as the whole page."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    if START in page and END in page:
        before, after = page.split(START)[0], page.split(END)[1]
        text = f"{before}{START}\n\n{text}\n\n{END}{after}"
    else:
        text += "\n"
    path.write_text(text, encoding="utf-8")
