"""Valid ranges of numeric options, as metadata of the types of a dataclass's fields."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from avatar.common.jsonable import shortened
from avatar.errors import HeadsplatError


@dataclasses.dataclass(frozen=True)
class Between:
    """The valid range of a numeric option, as metadata of its type; checked by `check_numbers`."""

    low: float
    high: float
    above: bool = False  # `low` itself is not valid

    def check(self, option: str, value: float) -> None:
        """Raise HeadsplatError unless `value` is within the range; `option` names it."""
        if not self.low <= value <= self.high or (self.above and value == self.low):
            low = shortened(self.low)
            high = shortened(self.high)
            expected = f"more than {low} and at most {high}" if self.above else f"{low} to {high}"
            raise HeadsplatError(f"{option}: expected {expected}, got {shortened(value)}")


def numeric_options(options: Any) -> Iterator[tuple[str, Any, Between | None]]:
    """Name, value (None: not given) and range of every numeric field of a dataclass and of the dataclasses in it.

    Names are those of the command line, such as `--max-frames`.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        hint = hints[field.name]
        if dataclasses.is_dataclass(value):
            yield from numeric_options(value)
        elif _is_numeric(hint):
            ranges = (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Between))
            yield f"--{field.name.replace('_', '-')}", value, next(ranges, None)


def _is_numeric(hint: Any) -> bool:
    """Whether a type annotation is a number, an optional one or a tuple of them."""
    return hint in (int, float) or any(_is_numeric(inner) for inner in typing.get_args(hint))


def check_numbers(options: Any) -> None:
    """Raise HeadsplatError if a numeric field of a dataclass, such as a parsed subcommand, is outside its range."""
    for option, value, between in numeric_options(options):
        if between is not None and value is not None:
            for number in value if isinstance(value, tuple) else (value,):
                between.check(option, number)
