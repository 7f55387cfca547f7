"""The mean face, which `tools/head` makes: 478 symmetric points and the triangles between them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.errors import HeadsplatError
from avatar.geometry.similarity import fit_similarity

from .mesh import Floats, Ints

STORED = Path(__file__).with_name("base.npz")
HEADER = {
    "magic": "headsplat-base",
    "version": 1,
    "units": "cm",
    "axes": "x subject's left, y up, z forward",
    "triangles": "the face mesh tessellation of MediaPipe, Copyright The MediaPipe Authors, Apache-2.0",
}


@dataclass(frozen=True)
class Base:
    """Points and triangles of the mean face."""

    points: Floats  # [478,3] cm, the origin between the pupils, Frankfurt plane level
    mirror: Ints  # [478] an involution
    triangles: Ints  # [852,3] of the tessellation, not symmetric, not oriented


def similarity(source: Floats, target: Floats) -> Floats:
    """`source` [N,3] moved by the least-squares similarity transform to `target` [N,3]."""
    rotation, scale = fit_similarity(source, target)
    return (source - source.mean(0)) @ (scale * rotation).T + target.mean(0)


def load(path: Path = STORED) -> Base:
    """Read a file of `tools/head`.

    Raises:
        HeadsplatError: any other file.
    """
    with np.load(path, allow_pickle=False) as stored:
        header = json.loads(bytes(stored["header"])) if "header" in stored.files else {}
        if (header.get("magic"), header.get("version")) != (HEADER["magic"], HEADER["version"]):
            raise HeadsplatError(
                f"{path.name}: not a version 1 base of the embedded head; run python -m tools.head --rebuild-base."
            )
        return Base(
            stored["points"].astype(float), stored["mirror"].astype(np.int64), stored["triangles"].astype(np.int64)
        )
