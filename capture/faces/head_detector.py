"""The landmark network as the detector with which `avatar.head.load_head` finds landmarks on a user's head model."""

from __future__ import annotations

import numpy as np

from capture.faces.landmarks import AttentionMesh
from capture.networks.models import model_path


class HeadDetector:
    """Loads the network on first use: a head model whose landmarks are cached does not need it."""

    def __init__(self) -> None:
        self._mesh: AttentionMesh | None = None

    def __call__(self, crop: np.ndarray) -> tuple[np.ndarray, float]:
        """Points [478,3] in crop pixels and the presence of a face, for a crop [1,192,192,3] float32 in 0..1."""
        if self._mesh is None:
            self._mesh = AttentionMesh(model_path("face_landmarks_attention"))
        return self._mesh(crop)
