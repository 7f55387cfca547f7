"""A case, its outcome, and the judge: what counts as refused, accepted and failed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatar.common.printable import single_line
from avatar.errors import HeadsplatError

REFUSED, ACCEPTED, SKIPPED = "refused", "accepted", "skipped"
INTERNAL, EXCEPTION, MESSAGE = "internal error", "other exception", "no sentence"
CRASH, HANG, WRONG, LOST = "crash", "hang", "white, empty or NaN", "lost or changed file"
#: Kinds of failure, in the order of the table's columns.
FAILURES = (INTERNAL, EXCEPTION, MESSAGE, CRASH, HANG, WRONG, LOST)
#: A message is shorter than this, without the folder of the case and the values that the case gave.
MAX_MESSAGE = 400
ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class Outcome:
    """What a case showed."""

    kind: str  # REFUSED, ACCEPTED, SKIPPED or one of FAILURES
    detail: str = ""  # the message, or why it failed

    @property
    def failed(self) -> bool:
        """Whether this is a failure."""
        return self.kind in FAILURES


#: Runs in the folder of the case, which is empty and the current one.
Run = Callable[[Path], Outcome]


@dataclass(frozen=True)
class Case:
    """One hostile input, reproducible by its name and the seed."""

    name: str
    run: Run

    def steps(self, folder: Path) -> Iterator[tuple[str, Callable[[], Outcome]]]:
        """(name, run) of the single step; a campaign has many."""
        yield self.name, lambda: self.run(folder)


@dataclass(frozen=True)
class Result:
    """The outcome of a named case."""

    attack: str
    name: str
    outcome: Outcome
    seconds: float


def judge(action: Callable[[], str | None], hidden: Sequence[str] = ()) -> Outcome:
    """The outcome of a call into the library.

    Args:
        action: reads and uses an input; returns what is wrong with an accepted result, None for a right one.
        hidden: texts in a message that are not counted as part of the sentence, such as the folder of the case.
    """
    try:
        fault = action()
    except HeadsplatError as error:
        return judge_message(single_line(str(error)), hidden)  # as a command prints it
    except Exception as error:
        return Outcome(EXCEPTION, described(error))
    return Outcome(ACCEPTED) if fault is None else Outcome(WRONG, fault)


def judge_message(text: str, hidden: Sequence[str] = ()) -> Outcome:
    """REFUSED where `text` is one readable sentence."""
    fault = message_fault(text, hidden)
    return Outcome(REFUSED, text[:500]) if fault is None else Outcome(MESSAGE, f"{fault}: {text[:300]!r}")


def message_fault(text: str, hidden: Sequence[str] = ()) -> str | None:
    """Why `text` is not one sentence for the user, or None."""
    for value in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(value, "_")
    if not text.strip():
        return "empty"
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        return "several lines or control characters"
    if len(text) >= MAX_MESSAGE:
        return f"{len(text)} characters"
    return None


def described(error: BaseException) -> str:
    """Type, text and place of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if str(ROOT) in frame.filename and "/tests/" not in frame.filename]
    place = f" at {Path(inside[-1].filename).relative_to(ROOT)}:{inside[-1].lineno}" if inside else ""
    return f"{type(error).__name__}: {str(error)[:200]}{place}"


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """The first failure of several judgements of one input; without any, the first one that refused it."""
    order = sorted(outcomes, key=lambda outcome: (not outcome.failed, outcome.kind != REFUSED))
    return order[0]
