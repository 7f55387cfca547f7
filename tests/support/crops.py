"""The rectangle of the source frame that a row of a capture shows, from what the capture stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from capture.video.crop import Crop


def crop_of_row(metadata: Mapping[str, Any], principal_point: np.ndarray) -> Crop:
    """The crop of a row of a capture of one camera, from capture.json and the row's principal point [2]."""
    crop = replace(Crop(0, 0, 0, 0, 1.0), **{name: metadata["crop"][name] for name in ("width", "height", "scale")})
    middle = np.array([metadata["source"]["width"], metadata["source"]["height"]]) / 2
    x, y = np.rint(middle - principal_point / crop.scales).astype(int)
    return replace(crop, x=int(x), y=int(y))
