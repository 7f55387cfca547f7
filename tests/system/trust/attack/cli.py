"""Commands in this process, with their output, and what counts as a proper end of one."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.trust.attack.cases import (
    ACCEPTED,
    EXCEPTION,
    INTERNAL,
    MESSAGE,
    REFUSED,
    Outcome,
    described,
    judge_message,
)

USAGE_ERROR = 2
_PREFIX = "headsplat: "


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str
    error: BaseException | None = None  # that left `main`

    @property
    def message(self) -> str:
        """The text after the last `headsplat: `, or the last line on stderr where there is none."""
        _, found, text = ("\n" + self.err).rpartition("\n" + _PREFIX)
        return text.rstrip("\n") if found else self.err.rstrip("\n").rpartition("\n")[2]


def run_command(*arguments: object) -> Ran:
    """Run `headsplat ARGUMENTS` here."""
    from avatar.cli import main

    before, error, code = (sys.stdout, sys.stderr), None, 0
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    sys.stdout, sys.stderr = out, err
    try:
        code = main([os.fspath(each) if isinstance(each, Path) else str(each) for each in arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as caught:
        error, code = caught, -1
    finally:
        sys.stdout, sys.stderr = before
    return Ran(code, *(_text(stream) for stream in (out, err)), error)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("utf-8", "replace")


def judge_command(ran: Ran, hidden: Sequence[str] = (), *, plain: bool = False) -> Outcome:
    """ACCEPTED for exit code 0, REFUSED for another one with a sentence or the usage.

    Args:
        ran: the command.
        hidden: texts of the case, as in `judge`.
        plain: fail also where stdout contains control characters, which only a file could have brought in.
    """
    if ran.error is not None:
        return Outcome(EXCEPTION, described(ran.error))
    if "internal error" in ran.err:
        return Outcome(INTERNAL, ran.err[ran.err.index("internal error") :][:300])
    if "Traceback (most" in ran.err + ran.out:
        return Outcome(EXCEPTION, f"a traceback is printed: {ran.err[-300:]!r}")
    if plain and any((ord(letter) < 32 and letter != "\n") or 127 <= ord(letter) < 160 for letter in ran.out):
        return Outcome(MESSAGE, "control characters of the file are printed")
    if ran.code == 0:
        return Outcome(ACCEPTED)
    if ran.code == USAGE_ERROR and ran.err + ran.out:
        return Outcome(REFUSED, "usage")
    return judge_message(ran.message, hidden)
