"""Text that came from a file or a packet, made safe to print: a terminal must not execute it."""

from __future__ import annotations

import re

#: Control characters, line and paragraph separators, changes of the writing direction, and lone surrogates, which no
#: encoding can print.
_UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_UNSAFE}]")
_IN_LINE = re.compile(f"[{_UNSAFE}\n\t]")


def printable(text: str) -> str:
    """`text` with control characters replaced by escape sequences such as `\\x1b`; newlines and tabs stay."""
    return _IN_TEXT.sub(_escape, text)


def single_line(text: str) -> str:
    """`text` with all control characters, also newlines and tabs, replaced by escape sequences."""
    return _IN_LINE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
