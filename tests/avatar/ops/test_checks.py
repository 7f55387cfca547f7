"""`avatar.ops.checks`: indices are checked once, and again after a change of the tensor or the size."""

from __future__ import annotations

import pytest
import torch

from avatar.ops.checks import check_indices


def test_indices_written_to_after_a_check_are_checked_again() -> None:
    indices = torch.tensor([0, 3, 2])
    check_indices("faces", indices, 4)
    indices[1] = 4
    with pytest.raises(ValueError, match=r"faces: expected indices in 0\.\.3, got 0\.\.4"):
        check_indices("faces", indices, 4)


def test_checked_indices_are_checked_again_for_another_size() -> None:
    indices = torch.tensor([0, 3, 2])
    check_indices("faces", indices, 4)
    with pytest.raises(ValueError, match=r"faces: expected indices in 0\.\.2"):
        check_indices("faces", indices, 3)


def test_indices_made_in_inference_mode_are_checked_each_time() -> None:
    with torch.inference_mode():
        indices = torch.tensor([0, 5])
        for size in (6, 6):
            check_indices("faces", indices, size)
        with pytest.raises(ValueError, match="faces: expected indices"):
            check_indices("faces", indices, 5)
