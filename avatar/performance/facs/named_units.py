"""Action units by name and side, `AU12R` = 0.5, as text and files have them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.table import LEFT, RIGHT, FacsTable
from avatar.performance.facs.units import to_weights

Floats = NDArray[np.float64]
#: Endings of a name -> the sides that it sets, of the person.
_SIDES = {"": (LEFT, RIGHT), "L": (LEFT,), "R": (RIGHT,)}
_LEAST = 0.005  # smaller weights are left out
_TRACE = 0.02  # and smaller intensities


def intensities(units: Mapping[str, float], table: FacsTable, where: str = "units") -> Floats:
    """Intensities [U,2] of the left and the right side of units by name.

    Args:
        units: 0..1 by key of the table, with L or R at its end for one side.
        table: of the units.
        where: the option or file that messages name.

    Raises:
        HeadsplatError: no unit of the table, a side of a unit without sides or given twice, or a value out of range.
    """
    found = np.full((len(table.units), 2), np.nan)
    for name, value in units.items():
        key = name if name in table.keys else name.removesuffix("L").removesuffix("R")
        if key not in table.keys:
            near = difflib.get_close_matches(name, table.keys, n=1)
            hint = f"did you mean {near[0]}?" if near else "give action units of docs/guides/reading.md, such as AU12"
            raise HeadsplatError(f"{where}: no action unit {name!r:.40}; {hint}")
        row = table.keys.index(key)
        sides = _SIDES[name.removeprefix(key)]
        if len(sides) == 1 and not table.units[row].sided:
            raise HeadsplatError(f"{where}: {key} has no sides; give {key} in place of {name}")
        if not 0 <= value <= 1:
            raise HeadsplatError(f"{where}: {name} is {value:g}, expected 0 to 1")
        for side in sides:
            if not np.isnan(found[row, side]):
                raise HeadsplatError(f"{where}: a side of {key} is given twice; give it once")
            found[row, side] = value
    return np.nan_to_num(found)


def names_of(sides: Floats, table: FacsTable) -> dict[str, float]:
    """Units by name of intensities [U,2]: without a side where both are alike, and none below 0.02."""
    named: dict[str, float] = {}
    for key, (left, right) in zip(table.keys, np.round(sides, 3).tolist(), strict=True):
        pairs = {key: left} if left == right else {f"{key}L": left, f"{key}R": right}
        named |= {name: value for name, value in pairs.items() if value >= _TRACE}
    return named


def weights_of(units: Mapping[str, float], table: FacsTable, where: str = "units") -> dict[str, float]:
    """ARKit weights of units by name; raises HeadsplatError as `intensities`."""
    row = to_weights(intensities(units, table, where)[None], table)[0].tolist()
    return {name: round(weight, 4) for name, weight in zip(ARKIT_52, row, strict=True) if weight >= _LEAST}
