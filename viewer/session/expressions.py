"""ARKit expressions for editing by hand: groups, left and right counterparts."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from avatar.head.arkit import ARKIT_52
from viewer.session.state import Sliders

#: Title, and prefixes of the names in the group.
_GROUPS = (
    ("brows", ("brow",)),
    ("eyes and lids", ("eyeBlink", "eyeSquint", "eyeWide", "eyelid")),
    ("gaze", ("eyeLook",)),
    ("jaw", ("jaw",)),
    ("mouth", ("mouth",)),
    ("cheeks and nose", ("cheek", "nose")),
    ("tongue", ("tongue",)),
)
_REMAINING = "others"
#: Movements to a side, not of a side.
_SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")


def groups(names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Title -> names, in the order of the groups and in the given order within them; names of no group come last."""
    titled = {name: _title(name) for name in names}
    titles = (*(title for title, _ in _GROUPS), _REMAINING)
    names_by_title = {title: tuple(name for name in names if titled[name] == title) for title in titles}
    return {title: group for title, group in names_by_title.items() if group}


def _title(name: str) -> str:
    return next((title for title, starts in _GROUPS if name.startswith(starts)), _REMAINING)


def counterpart(name: str) -> str | None:
    """The other side's expression of a left or right one, None where there is none.

    For gaze it is the one of the same direction: both eyes look the same way.
    """
    if name in _SIDEWAYS:
        return None
    for side, opposite in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            stem = name.removesuffix(side)
            return _OPPOSITE_EYE.get(stem, stem) + opposite
    return None


_OPPOSITE_EYE = {"eyeLookIn": "eyeLookOut", "eyeLookOut": "eyeLookIn"}


def rows(names: Collection[str]) -> list[tuple[str, ...]]:
    """`names` as rows of a list: right and left of one expression in one row, as they appear in the image."""
    result: list[tuple[str, ...]] = []
    for name in names:
        stem = name.removesuffix("Left").removesuffix("Right")
        pair = f"{stem}Right", f"{stem}Left"
        row = pair if name not in _SIDEWAYS and all(side in names for side in pair) else (name,)
        if row not in result:
            result.append(row)
    return result


def matching(names: Collection[str], search: str) -> tuple[str, ...]:
    """Those of `names` where every word of `search` is in the name or its group's title."""
    words = search.lower().split()
    return tuple(name for name in names if all(word in f"{name} {_title(name)}".lower() for word in words))


def with_weight(weights: Mapping[str, float], name: str, weight: float, mirrored: bool) -> dict[str, float]:
    """`weights` with one of them set; without those at 0.

    Args:
        weights: by name.
        name: of the one that is set.
        weight: its new value.
        mirrored: whether its counterpart on the other side gets the same.
    """
    mirror_name = counterpart(name) if mirrored else None
    changed = {**weights, name: weight, **({} if mirror_name is None else {mirror_name: weight})}
    return {name: weight for name, weight in changed.items() if weight}


def as_text(sliders: Sliders) -> str:
    """Weights and head pose as arguments of `headsplat export`, which has none for gaze and jaw joint."""
    weights = sliders.weights
    extra = sliders.model_weights
    names = [name for name in dict.fromkeys((*ARKIT_52, *extra)) if name in {**weights, **extra}]
    words = [f"{name}={weights.get(name, 0.0) + extra.get(name, 0.0):.3g}" for name in names]
    pose = ",".join(f"{angle:g}" for angle in sliders.head)
    return " ".join([*(["--expression", *words] if words else []), f"--head-pose={pose}"])


def at_rest(sliders: Sliders) -> Sliders:
    """The resting face, with the options of `sliders`."""
    return Sliders(mirrored=sliders.mirrored, soft_clamp=sliders.soft_clamp, search=sliders.search)
