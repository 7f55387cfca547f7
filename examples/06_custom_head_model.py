"""Define a head model with expressions of its own, map a motion file to it, and write a frame of its mesh as OBJ.

Any linear-blend-skinned head with FLAME's five joints can be a HeadModel; here it is the embedded one with four
expressions. A FLAME, SMPL-X or ICT-FaceKit file needs no code: headsplat train VIDEO --head FILE -o me.avatar

python examples/06_custom_head_model.py take.csv --frame 20 -o face.obj
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from avatar import HeadParams, load_head, read_motion
from avatar.motion import load_bridge

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("motion", type=Path, help="a file with ARKit's expressions")
parser.add_argument("--frame", type=int, default=0)
parser.add_argument("-o", "--out", type=Path, default=Path("face.obj"))
arguments = parser.parse_args()

base, motion = load_head(), read_motion(arguments.motion)
parts = {"smile": "mouthSmile", "open": "jawOpen", "blink": "eyeBlink", "surprise": "browOuterUp"}  # name -> prefix
members = torch.tensor([[name.startswith(part) for part in parts.values()] for name in base.expression_names]).float()
custom = replace(
    base, name="four expressions", expression_names=tuple(parts), capabilities=frozenset(),
    exprdirs=base.exprdirs @ members,  # [V,3,E] meters for a weight of 1
    joint_dirs=base.joint_dirs @ members,  # [J,3,E] radians for a weight of 1
    curvedirs=base.curvedirs[:, :, :0], curve_columns=base.curve_columns[:0],
)  # fmt: skip
weights = torch.zeros(len(motion), len(base.expression_names))
weights[:, [base.expression_index(name) for name in motion.names]] = motion.weights
expression, joint_rot = load_bridge(base, custom)(weights, motion.joint_rot)  # [T,4], [T,5,3]
print({name: round(float(weight), 2) for name, weight in zip(parts, expression[arguments.frame], strict=True)})
params = HeadParams(custom.neutral_params().identity, expression, joint_rot, torch.zeros(len(motion), 3))
vertices = custom.vertices(params[arguments.frame])[0].tolist()  # V positions, meters
lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices]
lines += [f"f {a} {b} {c}" for a, b, c in (custom.faces + 1).tolist()]
arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
