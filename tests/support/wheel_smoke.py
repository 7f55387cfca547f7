"""Smoke test of an installed wheel, run by cibuildwheel in an environment with nothing but the wheel and what it needs.

Run by path, so that the packages come from the installed wheel and not from the source tree around this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import avatar
import capture
import cuda_ext
import viewer

TESTS = Path(__file__).resolve().parents[1]


def main() -> None:
    """Render a stored avatar with the native kernels of the wheel; exits with a message where something is wrong."""
    for package in (avatar, capture, cuda_ext, viewer):
        folder = Path(str(package.__file__)).resolve().parent
        if folder.is_relative_to(TESTS.parent) and "site-packages" not in folder.parts:
            sys.exit(f"{package.__name__}: imported from {folder}, which is the source tree, not the wheel")
        if not (folder / "py.typed").is_file():
            sys.exit(f"{package.__name__}: py.typed is missing from the wheel")
    if not cuda_ext.available("cpu"):
        sys.exit(cuda_ext.reason("cpu"))
    head = avatar.load_head()
    if not torch.isfinite(head.v_template).all():
        sys.exit("the embedded head model holds values that are not finite")
    person = avatar.load_avatar(TESTS / "data" / "version1.avatar")
    rest = avatar.HeadParams(
        identity=torch.zeros(0),
        expression=torch.zeros(1, len(person.head.expression_names)),
        joint_rot=torch.zeros(1, 5, 3),
        translation=torch.tensor([[0.0, 0.0, -0.5]]),
    )
    output = avatar.render(person(rest), avatar.Camera.facing(focal=100, width=64, height=64))
    if not torch.isfinite(output.rgb).all() or not output.alpha.max() > 0.1:
        sys.exit(f"the render is empty or not finite (largest alpha {float(output.alpha.max()):g})")
    print(f"headsplat {avatar.__version__}: {cuda_ext.reason('cpu')}")


if __name__ == "__main__":
    main()
