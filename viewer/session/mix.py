"""The mix of the appearances of an avatar that was trained on several recordings of one person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avatar.model.avatar import Avatar
from avatar.model.parts.appearance import Appearances


@dataclass(frozen=True)
class Mix:
    """Names of the recordings and their weights, whose sum is 1; both are empty for an avatar of one recording."""

    names: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @staticmethod
    def of(avatar: Avatar) -> Mix:
        """The appearances of `avatar` in the look of its first recording, which it has without a mix."""
        appearances = avatar.part(Appearances)
        names = () if appearances is None else appearances.names
        return Mix(names, tuple(float(row == 0) for row in range(len(names))))

    @property
    def chosen(self) -> int | None:
        """The only recording with a weight; None for a mix of several."""
        rows = [row for row, weight in enumerate(self.weights) if weight > 0]
        return rows[0] if len(rows) == 1 else None

    def only(self, row: int) -> Mix:
        """The look of one recording."""
        return Mix(self.names, tuple(float(each == row) for each in range(len(self.names))))

    def move_weight(self, row: int, weight: float) -> Mix:
        """With another weight of one recording, 0 to 1; the others keep their proportions and fill up the sum to 1."""
        weight = min(max(weight, 0.0), 1.0)
        others = sum(self.weights) - self.weights[row]
        if others <= 0:  # they have no proportions yet
            rest = [(1 - weight) / max(len(self.names) - 1, 1)] * len(self.names)
        else:
            rest = [value * (1 - weight) / others for value in self.weights]
        return Mix(self.names, tuple(weight if each == row else value for each, value in enumerate(rest)))

    def with_weights(self, weights: Mapping[str, float]) -> Mix:
        """With weights by name, normalized to the sum 1; names without a weight have 0."""
        total = sum(weights.values())
        return Mix(self.names, tuple(weights.get(name, 0.0) / total for name in self.names))

    def by_name(self) -> dict[str, float]:
        """Weights by name."""
        return dict(zip(self.names, self.weights, strict=True))
