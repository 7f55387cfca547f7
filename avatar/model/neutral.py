"""The expression that a person's neutral face was tracked with."""

from __future__ import annotations

from torch import Tensor

NEUTRAL_QUANTILE = 0.2


def resting_expression(expression: Tensor) -> Tensor:
    """What the tracker reads off this person's resting face [E], from all weights [T,E]: a low quantile."""
    return expression.quantile(NEUTRAL_QUANTILE, dim=0)
