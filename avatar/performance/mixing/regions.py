"""Regions of the face: masks with weights 0..1 over ARKit's expressions, the joints and the head's translation."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT

#: Expressions of the embedded head beyond ARKit's: lids that narrow with the cheeks at rest.
EYELIDS = ("eyelidLeft", "eyelidRight")
#: Names of the columns of a mixed motion.
NAMES = (*ARKIT_52, *EYELIDS)
#: The largest translation and rotation index of a mask: one entry per joint, then the translation.
TRANSLATION = len(JOINT_NAMES)

#: Prefixes of the names in a region; every name is in exactly one.
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "brows": ("brow",),
    "lids": ("eyeBlink", "eyeSquint", "eyeWide", "eyelid"),
    "gaze": ("eyeLook",),
    "nose": ("noseSneer",),
    "cheeks": ("cheek",),
    "lips": ("mouth",),
    "jaw": ("jaw",),
    "tongue": ("tongue",),
    "head": (),
}
_JOINTS: Mapping[str, tuple[int, ...]] = {
    "gaze": (LEFT_EYE, RIGHT_EYE),
    "jaw": (JAW,),
    "head": (ROOT, NECK, TRANSLATION),
}
#: Region -> its names, in the order of `NAMES`.
REGIONS: Mapping[str, tuple[str, ...]] = {
    region: tuple(name for name in NAMES if name.startswith(prefixes or "\0")) for region, prefixes in _PREFIXES.items()
}
#: Groups of regions.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "eyes": ("lids", "gaze"),
    "upper": ("brows", "lids", "gaze"),
    "mouth": ("lips", "jaw", "tongue"),
    "lower": ("nose", "cheeks", "lips", "jaw", "tongue"),
    "face": tuple(region for region in REGIONS if region != "head"),
    "all": tuple(REGIONS),
}
#: Movements to a side, not of a side.
SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
SIDES = ("left", "right")
_SIDE_JOINTS = {"left": (LEFT_EYE,), "right": (RIGHT_EYE,)}

#: What a file may state: a selector, several, or weights by selector.
Selection: TypeAlias = str | Iterable[str] | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Mask:
    """How far a layer reaches each part of a motion, 0..1."""

    names: np.ndarray  # [len(NAMES)]
    joints: np.ndarray  # [J+1], of the joints and of the translation

    @staticmethod
    def of(selection: Selection, where: str = "regions") -> Mask:
        """The mask of selectors.

        Args:
            selection: selectors, or weights 0..1 by selector; of two selectors of one name the larger weight counts.
                A selector is a region, a group or an expression, with `.left` or `.right` for one side: `brows`,
                `lids.left`, `mouthSmileLeft`.
            where: the place that error messages name.

        Raises:
            HeadsplatError: no selector, an unknown one, or a weight outside 0..1.
        """
        weights = _weights(selection, where)
        names = np.zeros(len(NAMES))
        joints = np.zeros(len(JOINT_NAMES) + 1)
        for selector, weight in weights.items():
            chosen, moved = selected(selector, where)
            columns = [NAMES.index(name) for name in chosen]
            rows = list(moved)
            names[columns] = np.maximum(names[columns], weight)
            joints[rows] = np.maximum(joints[rows], weight)
        return Mask(names, joints)


def selected(selector: str, where: str = "regions") -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and joints (TRANSLATION: the translation) of a selector.

    A side selects what has a side: `brows.left` does not select browInnerUp, and `jaw.left` selects nothing, which is
    an error.

    Raises:
        HeadsplatError: unknown, or nothing is on that side.
    """
    stem, _, side = selector.partition(".")
    if side and side not in SIDES:
        raise HeadsplatError(f"{where}: {selector!r} has the side {side!r}; give .left or .right, or no side")
    if stem in NAMES:
        if side:
            raise HeadsplatError(f"{where}: {stem} is one expression and has no side; leave out .{side}")
        return (stem,), ()
    regions = GROUPS.get(stem, (stem,) if stem in REGIONS else ())
    if not regions:
        raise HeadsplatError(f"{where}: no region or expression {stem!r:.60}; {_suggestion(stem)}")
    names = tuple(name for region in regions for name in REGIONS[region])
    joints = tuple(joint for region in regions for joint in _JOINTS.get(region, ()))
    if side:
        names = tuple(name for name in names if side_of(name) == side)
        joints = tuple(joint for joint in joints if joint in _SIDE_JOINTS[side])
        if not names:
            raise HeadsplatError(f"{where}: {selector!r}: nothing in {stem} belongs to one side; leave out .{side}")
    return names, joints


def side_of(name: str) -> str:
    """`left`, `right`, or an empty text for an expression that has no side."""
    if name in SIDEWAYS:
        return ""
    return next((side for side in SIDES if name.endswith(side.capitalize())), "")


def region_of(name: str) -> str:
    """The region of one of `NAMES`.

    Raises:
        HeadsplatError: another name.
    """
    for region, names in REGIONS.items():
        if name in names:
            return region
    raise HeadsplatError(f"no expression {name!r:.60}; {_suggestion(name)}")


def _weights(selection: Selection, where: str) -> dict[str, float]:
    if isinstance(selection, str):
        selection = [selection]
    if not isinstance(selection, Mapping):
        selection = dict.fromkeys(selection, 1.0)
    if not selection:
        raise HeadsplatError(f"{where}: names no region; give one, such as mouth, or leave the key out")
    for selector, weight in selection.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise HeadsplatError(f"{where}: {selector!r:.60} is {weight!r:.40}, expected a weight from 0 to 1")
        if not 0 <= weight <= 1:
            raise HeadsplatError(f"{where}: {selector!r:.60} is {weight:g}, expected a weight from 0 to 1")
    return {str(selector): float(weight) for selector, weight in selection.items()}


def _suggestion(name: str) -> str:
    lower = {known.lower(): known for known in (*GROUPS, *REGIONS, *NAMES)}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    if near:
        return f"did you mean {lower[near[0]]}?"
    return f"regions are {', '.join((*REGIONS, *GROUPS))}"
