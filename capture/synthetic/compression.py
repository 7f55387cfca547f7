"""Compression of the skin of the procedural person, which makes its wrinkles."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar import ops
from capture.synthetic.person import Person

Array = NDArray[np.floating]

#: Compression (1 minus stretch) without wrinkles, and that of full depth.
_FIRST, _FULL = 0.03, 0.25
#: Depth of the deepest lines relative to those of the texture.
_DEPTH = 2.5


class Compression:
    """Depth of wrinkles from the stretch of the posed mesh against the resting one."""

    def __init__(self, person: Person) -> None:
        self._mesh = ops.stretch_mesh(
            torch.from_numpy(person.rest * np.float32(0.01)),
            person.head.faces,
            torch.from_numpy(person.region("face", "forehead", "nose", "left_eye_region", "right_eye_region")),
        )
        self._corners = self._mesh.vertices[:, None].repeat(1, 3)
        self._first = torch.tensor([[1.0, 0.0, 0.0]]).repeat(len(self._corners), 1)

    def depth(self, vertices: Array, count: int) -> Array:
        """Depth of the lines at the first V of `count` vertices, 0 at the rest, [count].

        Args:
            vertices: [V,3] meters, posed.
            count: of vertices in the result.
        """
        tensors = ops.vertex_stretch(torch.from_numpy(vertices.astype(np.float32))[None], self._mesh)
        strains = ops.principal_strains(tensors, self._mesh.rows, self._corners, self._first)[0, :, 0].numpy()
        depth = np.zeros(count, np.float32)
        depth[self._mesh.vertices.numpy()] = _DEPTH * np.clip((-strains - _FIRST) / (_FULL - _FIRST), 0, 1)
        return depth
