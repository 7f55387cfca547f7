"""Export an avatar for other programs: splats (PLY, SPZ, glTF) and an OBJ in one pose, and an animated glTF.

python examples/04_export.py me.avatar take.csv -o exported
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from avatar import drive, load_avatar, read_motion
from avatar.export import posed, write_glb, write_obj, write_ply, write_rigged_ply, write_splat_glb, write_spz

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("avatar", type=Path)
parser.add_argument("motion", type=Path)
parser.add_argument("-o", "--out", type=Path, default=Path("exported"))
arguments = parser.parse_args()

avatar = load_avatar(arguments.avatar)
arguments.out.mkdir(parents=True, exist_ok=True)
smile = posed(avatar, {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}, head_pose=(20, 0, 0))  # degrees
write_ply(arguments.out / "smile.ply", avatar, smile)  # for any splat viewer
write_spz(arguments.out / "smile.spz", avatar, smile)  # the same, a quarter of the size
write_splat_glb(arguments.out / "smile.glb", avatar, smile)  # the same as glTF, with KHR_gaussian_splatting
write_obj(arguments.out / "smile.obj", avatar, smile)
write_rigged_ply(arguments.out / "rig.ply", avatar)  # Gaussians in the frames of their triangles
take = drive(avatar, read_motion(arguments.motion))
write_glb(arguments.out / "take.glb", avatar, take.params, torch.from_numpy(take.time))
for path in sorted(arguments.out.iterdir()):
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
