"""The light of the rooms of synthetic people as spherical harmonics."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.reference.sh import sh_basis
from capture.synthetic.rooms import ROOMS, fan


def room_coefficients(name: str) -> NDArray[np.float64]:
    """Spherical harmonics [9,3] of degree 2 of the radiance of a room, linear light, in the order of `sh_basis`.

    A surface of albedo 1 that faces a light of irradiance c alone has the radiance c, hence the factor of pi
    (Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance Environment Maps, 2001).
    """
    total = np.zeros((9, 3))
    for light in ROOMS[name]:
        basis = sh_basis(torch.from_numpy(fan(light)).double(), 9).numpy()
        total += np.pi * basis.mean(0)[:, None] * np.array(light.color)
    return total
