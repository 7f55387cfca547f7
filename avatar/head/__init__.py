"""The head models: one contract (`HeadModel`), two sources."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel

__all__ = ["HeadModel", "load_head"]


@lru_cache(maxsize=2)
def load_head(source: str = "embedded") -> HeadModel:
    """The head model of `source`; the same object for the same source."""
    if source != "embedded":
        raise HeadsplatError(f"head {source!r}: only 'embedded' can be loaded in this version; use --head embedded.")
    with np.load(Path(__file__).with_name("proto.npz")) as stored:
        data = {key: stored[key] for key in stored.files}
    real = {key: torch.from_numpy(data[key].astype(np.float32)) for key in data if data[key].dtype.kind == "f"}
    faces = torch.from_numpy(data["faces"].astype(np.int64))
    weights = real["lbs_weights"]
    return HeadModel(
        name="embedded",
        licence="Apache-2.0",
        v_template=real["v_template"],
        faces=faces,
        shapedirs=real["shapedirs"],
        exprdirs=real["exprdirs"],
        posedirs=torch.zeros(len(weights), 3, 0),
        J_regressor=real["J_regressor"],
        parents=(-1, 0, 1, 1, 1),
        lbs_weights=weights / weights.sum(1, keepdim=True),
        expression_names=tuple(str(name) for name in data["names"]),
        landmark_faces=torch.from_numpy(data["lmf"].astype(np.int64)),
        landmark_bary=real["lmb"],
        uv=real["uv"],
        uv_faces=faces,
        regions={str(n): torch.from_numpy(m) for n, m in zip(data["region_names"], data["regions"], strict=True)},
        colors=real["colors"],
        capabilities=frozenset({"eyelids", "teeth", "tongue", "mouth_interior", "arkit"}),
    )
