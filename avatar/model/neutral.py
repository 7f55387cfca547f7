"""The expression weights with which the neutral face of a person was tracked."""

from __future__ import annotations

from torch import Tensor

NEUTRAL_QUANTILE = 0.2


def resting_expression(expression: Tensor) -> Tensor:
    """Tracked weights of the person's resting face [E]: a low quantile over the frames of `expression` [T,E]."""
    return expression.quantile(NEUTRAL_QUANTILE, dim=0)
