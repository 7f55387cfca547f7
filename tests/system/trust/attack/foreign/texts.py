"""Encodings of tables and JSON, as programs, spreadsheets and editors save them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable


def _cells(change: Callable[[list[list[str]]], str]) -> Callable[[str], bytes]:
    return lambda text: change(list(csv.reader(io.StringIO(text)))).encode()


def _joined(rows: list[list[str]], mark: str, decimal: str = ".", end: str = "\n") -> str:
    lines = [[cell if ":" in cell else re.sub(r"(?<=\d)\.(?=\d)", decimal, cell) for cell in row] for row in rows]
    return "".join(mark.join(row) + end for row in lines)


def _repeated_header(rows: list[list[str]]) -> str:
    middle = math.ceil(len(rows) / 2)
    return _joined([*rows[:middle], rows[0], *rows[middle:]], ",")


#: Of both kinds of file.
_ENCODED: dict[str, Callable[[str], bytes]] = {
    "as written": str.encode,
    "BOM": lambda text: text.encode("utf-8-sig"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without BOM": lambda text: text.encode("utf-16-be"),
    "empty lines at the end": lambda text: text.encode() + b"\n\n \n",
    "empty lines at the start": lambda text: b"\n\n" + text.encode(),
    "zero byte at the end": lambda text: text.encode() + b"\0",
}
TEXTS: dict[str, dict[str, Callable[[str], bytes]]] = {
    "table": {
        **_ENCODED,
        "CR": lambda text: text.replace("\n", "\r").encode(),
        "tabs": _cells(lambda rows: _joined(rows, "\t")),
        "semicolons": _cells(lambda rows: _joined(rows, ";")),
        "semicolons and decimal commas": _cells(lambda rows: _joined(rows, ";", ",")),
        "decimal commas": _cells(lambda rows: _joined(rows, ",", ",")),
        "quoted decimal commas": _cells(lambda rows: _joined([[f'"{c}"' for c in row] for row in rows], ",", ",")),
        "sep line": _cells(lambda rows: "sep=;\n" + _joined(rows, ";")),
        "quoted cells": _cells(lambda rows: _joined([[f'"{cell}"' for cell in row] for row in rows], ",")),
        "spaces after commas": _cells(lambda rows: _joined(rows, ", ")),
        "commas at the end": _cells(lambda rows: _joined(rows, ",", end=",\n")),
        "empty rows of commas at the end": _cells(lambda rows: _joined([*rows, [""] * len(rows[0])], ",")),
        "comment at the start": lambda text: b"# recorded on stage 3\n" + text.encode(),
        "repeated header": _cells(_repeated_header),
        "units below the header": _cells(lambda rows: _joined([rows[0], ["s"] * len(rows[0]), *rows[1:]], ",")),
        "row cut off": lambda text: text.encode()[:-40],
    },
    "frames": {**_ENCODED, "in a list": lambda text: f"[{text}]".encode()},
    "matrix": {**_ENCODED, "in a list": lambda text: f"[{text}]".encode()},
}
#: Encodings in which a file may be refused.
REFUSABLE = frozenset(
    (
        "UTF-16", "UTF-16 without BOM", "zero byte at the end", "CR", "tabs", "semicolons",
        "semicolons and decimal commas", "decimal commas", "quoted decimal commas", "sep line", "comment at the start",
        "repeated header", "units below the header", "row cut off", "in a list",
    )
)  # fmt: skip
