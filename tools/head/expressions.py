"""All 54 expressions of skin and parts, with their gains (stage S9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy.mesh import MIRROR, Floats
from avatar.head.anatomy.parts import Part
from avatar.head.arkit import ARKIT_52

from . import jaw, shapes_brow, shapes_eyes, shapes_lips, shapes_mouth
from .cage import Cage

#: ARKit's 52 names in the order of Live Link Face's packets, then the two separate lids
NAMES: tuple[str, ...] = (*ARKIT_52, "eyelidLeft", "eyelidRight")

#: amplitude of a weight of 1 relative to the authored handles; from fits on clips and the blendshape network
GAINS = {
    "mouthSmile": 1.35, "mouthLeft": 1.6, "mouthRight": 1.6, "mouthFrown": 1.2, "mouthStretch": 1.5,
    "mouthShrugLower": 1.5, "mouthShrugUpper": 1.3, "mouthUpperUp": 1.2, "mouthLowerDown": 1.4,
    "browOuterUp": 1.5, "browDown": 1.3, "eyeWide": 1.25, "browInnerUp": 1.1, "noseSneer": 1.6, "cheekPuff": 1.1,
    "jawForward": 1.3,
}  # fmt: skip


def _gain(name: str) -> float:
    unsided = name.removesuffix("Left").removesuffix("Right")
    return GAINS.get(name, GAINS.get(unsided, 1.0))


def skin_shapes(cage: Cage, jaw_weights: Floats) -> Floats:
    """Displacements [54,C,3] of the cage in the order of NAMES, gains applied, left the mirror image of right."""
    shapes = jaw.shapes(cage.vertices, jaw_weights)
    for name, move in shapes_mouth.soft_tissue(cage, shapes).items():
        shapes[name] = shapes[name] + move
    shapes["mouthClose"] = shapes_lips.close_over(cage, shapes["jawOpen"])
    shapes.update(shapes_lips.both_sides(cage))
    shapes["tongueOut"] = shapes_mouth.lips_parted(cage)
    shapes.update(shapes_brow.both_sides(cage))
    for module in (shapes_eyes, shapes_brow, shapes_mouth):
        for name, field in module.right_side(cage).items():
            shapes[f"{name}Right"] = field
    for name in [name for name in shapes if name.endswith("Right")]:
        shapes[name.replace("Right", "Left")] = (shapes[name] * MIRROR)[cage.mirror]
    unsided = [name for name in shapes if not name.endswith(("Left", "Right"))]
    for name in unsided:
        shapes[name] = (shapes[name] + (shapes[name] * MIRROR)[cage.mirror]) / 2
    return np.stack([shapes[name] * _gain(name) for name in NAMES])


def skin_curves(cage: Cage) -> dict[str, Floats]:
    """Offsets [C,3] from the linear path at weight 0.5 by name, for the expressions with a curved path."""
    curves: dict[str, Floats] = {}
    for name, field in shapes_eyes.right_curves(cage).items():
        curves[f"{name}Right"] = field * _gain(name)
        curves[f"{name}Left"] = (curves[f"{name}Right"] * MIRROR)[cage.mirror]
    return curves


def part_shapes(cage: Cage, parts: Sequence[Part]) -> Floats:
    """Displacements [54,P,3] of all parts' vertices; lower teeth and tongue move with the jaw and its gain."""
    stacked = []
    for part in parts:
        moves = jaw.shapes(part.vertices, part.jaw_weights) if part.jaw_weights.any() else {}
        moves = {name: move * _gain(name) for name, move in moves.items()} | part.shapes
        if part.name == "tongue":
            moves["tongueOut"] = shapes_mouth.tongue_out(cage, part.vertices)
        none = np.zeros_like(part.vertices)
        stacked.append(np.stack([moves.get(name, none) for name in NAMES]))
    return np.concatenate(stacked, 1)
