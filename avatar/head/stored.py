"""The embedded head's file: a control cage with its bases, weights and regions in one compressed npz without pickles.

Lengths are int16 in units of 1/1000 cm, x the subject's left, y up, z forward, the origin between the eyeballs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError

MAGIC = "headsplat-head"
VERSION = 2
UNITS_PER_METER = 100_000.0
ARRAYS = Path(__file__).with_name("embedded.npz")


@dataclass(frozen=True)
class StoredHead:
    """Arrays of the file. C cage vertices, P vertices of separate parts, V all after subdivision (skin, then parts)."""

    cage_vertices: NDArray[np.int16]  # [C,3] units
    cage_faces: NDArray[np.uint16]  # [F,3]
    cage_expressions: NDArray[np.int16]  # [C,3,E] units for a weight of 1, before joints turn
    cage_curves: NDArray[np.int16]  # [C,3,K] units at a weight of 1/2
    curve_columns: NDArray[np.uint8]  # [K] expressions that the curves belong to
    joint_dirs: NDArray[np.float32]  # [J,3,E] radians for a weight of 1
    cage_identity: NDArray[np.int16]  # [C,3,S] units for one standard deviation
    cage_weights: NDArray[np.uint16]  # [C,J] of 65535
    cage_uv: NDArray[np.uint16]  # [U,2] of 65535
    cage_uv_faces: NDArray[np.uint16]  # [F,3] into cage_uv
    part_vertices: NDArray[np.int16]  # [P,3] units
    part_faces: NDArray[np.uint16]  # [Q,3] into the parts' vertices
    part_expressions: NDArray[np.int16]  # [P,3,E] units
    part_identity: NDArray[np.int16]  # [parts,3,S] units, a shift of each whole part
    part_of: NDArray[np.uint8]  # [P] which part a vertex belongs to
    part_weights: NDArray[np.uint16]  # [P,J] of 65535
    part_uv: NDArray[np.uint16]  # [P,2] of 65535
    half_part_vertices: NDArray[np.uint16]  # [H] of P, ascending: what half density keeps
    half_part_faces: NDArray[np.uint16]  # [G,3] into those H
    joints: NDArray[np.float32]  # [J,3] meters, at rest
    regressor_joint: NDArray[np.uint8]  # [K]
    regressor_vertex: NDArray[np.uint16]  # [K] of all V
    regressor_weight: NDArray[np.float32]  # [K]
    landmark_vertex: NDArray[np.uint16]  # [478] of all V
    regions: NDArray[np.uint8]  # [R, ceil(V/8)] bits
    colors: NDArray[np.uint8]  # [V,3] sRGB
    expression_names: tuple[str, ...]  # [E]
    identity_names: tuple[str, ...]  # [S]
    region_names: tuple[str, ...]  # [R]

    def write(self, path: Path = ARRAYS) -> None:
        """Write the file; the same arrays give the same bytes (with the same zlib)."""
        header = {
            "magic": MAGIC,
            "version": VERSION,
            "units": "1/1000 cm",
            "axes": "x subject's left, y up, z forward, origin between the eyeballs",
            "licence": "Apache-2.0",
            **{name: list(getattr(self, name)) for name in _NAMES},
        }
        encoded = np.frombuffer(json.dumps(header).encode(), np.uint8)
        arrays = {name: getattr(self, name) for name in _ARRAY_NAMES}
        np.savez_compressed(path, header=encoded, **arrays)


_NAMES = ("expression_names", "identity_names", "region_names")
_ARRAY_NAMES = tuple(item.name for item in fields(StoredHead) if item.name not in _NAMES)


def read(path: Path = ARRAYS) -> StoredHead:
    """Read what `StoredHead.write` wrote.

    Raises:
        HeadsplatError: the file is missing or is not a head of this version.
    """
    if not path.is_file():
        raise HeadsplatError(f"{path}: the embedded head is missing; install headsplat again.")
    with np.load(path, allow_pickle=False) as stored:
        header = json.loads(bytes(stored["header"])) if "header" in stored.files else {}
        stated = header.get("magic"), header.get("version")
        if stated != (MAGIC, VERSION):
            raise HeadsplatError(
                f"{path}: expected {MAGIC} version {VERSION}, found {stated}; install headsplat again."
            )
        content: dict[str, Any] = {name: stored[name] for name in _ARRAY_NAMES}
    content.update({name: tuple(header[name]) for name in _NAMES})
    return StoredHead(**content)
