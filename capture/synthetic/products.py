"""Matrix products that stay on the threads of their caller."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.floating]


def product(values: Array, matrix: Array) -> Array:
    """`values` [...,K] times `matrix` [K,C] or [K], by PyTorch.

    Frames are rendered by several threads, each limited to one of PyTorch's. NumPy's BLAS would start threads of its
    own for every product of many points, which wait for each other longer than they calculate.
    """
    flat = torch.from_numpy(np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1]))
    result = flat @ torch.from_numpy(np.ascontiguousarray(matrix, np.float32))
    return result.numpy().reshape(*values.shape[:-1], *matrix.shape[1:])
