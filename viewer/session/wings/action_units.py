"""Action units, valence and arousal, and phrases for the sliders: reads them from weights, and sets weights by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.motion.presets import FacePreset
from avatar.performance.facs.emotions import EmotionReader
from avatar.performance.facs.named_units import names_of, weights_of
from avatar.performance.facs.phrases import PhraseReader
from avatar.performance.facs.table import LEFT, RIGHT, FacsTable, Unit
from avatar.performance.facs.units import UnitReader
from viewer.session.expressions import counterpart
from viewer.session.state import UnitIntensity

Floats = NDArray[np.float64]
Weights = Mapping[str, float]

_VISIBLE = 0.05  # of a weight that changes
_LEAST = 0.005  # weights below it are 0: sliders show two decimals


@cache
def table() -> FacsTable:
    """headsplat's own table."""
    return FacsTable.load()


@cache
def _units() -> UnitReader:
    return UnitReader(table())


@cache
def _emotions() -> EmotionReader:
    return EmotionReader(table())


def units_of(weights: Weights) -> tuple[UnitIntensity, ...]:
    """All units of the table, as they are read from `weights`."""
    return _units_of(_key(weights))


def affect_of(weights: Weights) -> tuple[float, float]:
    """Valence and arousal, -1..1, as they are read from `weights`."""
    return _affect_of(_key(weights))


def unit_records(sides: Floats) -> tuple[UnitIntensity, ...]:
    """Intensities [U,2] of the left and the right side as records."""
    letter = table().letter
    return tuple(
        UnitIntensity(unit.key, unit.name, float(right), float(left), unit.sided, letter(float(max(left, right))))
        for unit, (left, right) in zip(table().units, sides, strict=True)
    )


def of_units(preset: FacePreset) -> tuple[FacePreset, str]:
    """A preset as the action units that are read from it, and a sentence on what they cannot keep, or an empty text.

    Weights of no unit (`mouthLeft`), negative ones and those of the avatar's own expressions stay as they are.
    """
    before = preset.arkit_weights
    units = names_of(_sides(_key(before)), table())
    made = weights_of(units, table())
    known = {name for unit in table().units for side in unit.weights for name in side}
    kept = {name: weight for name, weight in preset.weights.items() if name not in known or weight < 0}
    changed = [name for name in sorted(known) if abs(made.get(name, 0.0) - before.get(name, 0.0)) > _VISIBLE]
    note = f"; action units show another {', '.join(changed)}" if changed else ""
    return replace(preset, weights={**kept, **made}, units=units), note


def sides_of(unit: UnitIntensity) -> tuple[tuple[str, int, float], ...]:
    """Prefix, side and intensity of each side, as they appear in the image."""
    both = (("R ", RIGHT, unit.right), ("L ", LEFT, unit.left))
    return both if unit.sided else (("", LEFT, max(unit.right, unit.left)),)


def matching_units(search: str) -> tuple[str, ...]:
    """Keys of the units where every word of `search` is in the key, the name, a muscle or a phrase."""
    words = search.lower().split()
    texts = {unit.key: " ".join((unit.key, unit.name, unit.muscles, *unit.words)).lower() for unit in table().units}
    return tuple(key for key, text in texts.items() if all(word in text for word in words))


def with_unit(weights: Weights, key: str, side: int, intensity: float, mirrored: bool) -> dict[str, float]:
    """`weights` so that the unit `key` reads as `intensity`, of both sides where edits are `mirrored`.

    The unit's own weights change, those of other units stay. AU25, AU26 and AU27 are ranges of one weight, the opening
    of the jaw, which is set.

    Args:
        weights: without those at 0.
        key: of the table.
        side: LEFT or RIGHT of the person; of no effect on a unit without sides.
        intensity: 0..1.
        mirrored: not for movements to a side, as the jaw's.
    """
    unit = table().unit(key)
    row = table().keys.index(key)
    pair = all(counterpart(name) for name in unit.weights[LEFT])
    sides = (LEFT, RIGHT) if mirrored and unit.sided and pair else (side,)
    before = _sides(_key(weights))[row]
    changed = dict(weights)
    for each in sides:
        factors = unit.weights[each]
        if unit.gap or unit.curve:
            changed |= dict.fromkeys(factors, _opening(changed, unit, row, intensity))
            continue
        for name, factor in factors.items():
            own = intensity == 0 and not _is_shared(name, key)
            value = 0.0 if own else changed.get(name, 0.0) + factor * (intensity - float(before[each]))
            changed[name] = min(max(value, 0.0), 1.0)
    return _drop_small(changed)


@lru_cache(maxsize=32)
def face_at(valence: float, arousal: float) -> Weights:
    """Weights of the face at a point of the valence-arousal pad."""
    return _weights(_emotions().face_of(valence, arousal))


def face_described(text: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Weights of the face that `text` describes, and what was understood; raises HeadsplatError for unknown words."""
    phrase = PhraseReader(table())(text)
    return _weights(phrase.units), phrase.understood


def places() -> tuple[tuple[str, float, float], ...]:
    """Name, valence and arousal of the emotions."""
    return tuple((emotion.name, emotion.valence, emotion.arousal) for emotion in table().emotions)


def on_pad(valence: float, arousal: float) -> tuple[float, float]:
    """A point within the unit circle of the pad, the nearest one."""
    distance = max(float(np.hypot(valence, arousal)), 1.0)
    return round(valence / distance, 3), round(arousal / distance, 3)


def _opening(weights: Weights, unit: Unit, row: int, intensity: float) -> float:
    """The weight of the jaw by which a unit that is a range of it has an intensity."""
    alone = np.zeros((1, len(table().units), 2))
    alone[0, row] = intensity
    (name,) = unit.weights[LEFT]
    column = ARKIT_52.index(name)
    value = float(_units().weights(alone)[0, column])
    if unit.gap and intensity > 0:  # what opens the lips besides the jaw counts as well
        jaw_shut = _vector(weights)
        jaw_shut[column] = 0.0
        beside = float(_units().gap(jaw_shut[None])[0]) - table().gap_rest
        value -= beside / max(float(table().gap_opening[column]), 1e-6)
    return min(max(value, 0.0), 1.0)


@cache
def _is_shared(name: str, key: str) -> bool:
    """Whether another unit than `key` has the weight `name`."""
    return any(name in side for unit in table().units if unit.key != key for side in unit.weights)


def _weights(sides: Floats) -> dict[str, float]:
    return _drop_small(dict(zip(ARKIT_52, _units().weights(sides[None])[0].tolist(), strict=True)))


def _drop_small(weights: Weights) -> dict[str, float]:
    return {name: round(weight, 4) for name, weight in weights.items() if weight >= _LEAST}


def _key(weights: Weights) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(weights.items()))


def _vector(weights: Weights) -> Floats:
    return np.array([weights.get(name, 0.0) for name in ARKIT_52])


# One face is read by several parts of a panel, in every frame of the window.


@lru_cache(maxsize=8)
def _sides(weights: tuple[tuple[str, float], ...]) -> Floats:
    return _units().sides(_vector(dict(weights))[None])[0]


@lru_cache(maxsize=8)
def _units_of(weights: tuple[tuple[str, float], ...]) -> tuple[UnitIntensity, ...]:
    return unit_records(_sides(weights))


@lru_cache(maxsize=8)
def _affect_of(weights: tuple[tuple[str, float], ...]) -> tuple[float, float]:
    affect = _emotions()(_sides(weights)[None])
    return float(affect.valence[0]), float(affect.arousal[0])
