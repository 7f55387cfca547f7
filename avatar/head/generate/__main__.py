"""`python -m avatar.head.generate`: remake the stored head, its mean face first if asked, and draw it."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from avatar.errors import HeadsplatError
from avatar.head.embedded import head_from
from avatar.head.sheets import write_sheets
from avatar.head.stored import ARRAYS

from . import base
from .assemble import build_head


def _network(name: str, model: Path | None) -> base.LandmarkNetwork:
    """The network that the class `module:attribute` names makes of a model file."""
    module, _, attribute = name.partition(":")
    if model is None or not model.is_file():
        raise HeadsplatError(f"--landmark-model {model}: no such file; give the .tflite file of the network.")
    try:
        return getattr(importlib.import_module(module), attribute)(model)
    except (ImportError, AttributeError, ValueError) as error:
        raise HeadsplatError(f"--rebuild-base {name}: {error}; give MODULE:CLASS of a landmark network.") from error


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m avatar.head.generate", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ARRAYS, help="the head's file")
    parser.add_argument("--base", type=Path, default=base.STORED, help="the mean face's file")
    parser.add_argument(
        "--rebuild-base",
        metavar="MODULE:CLASS",
        help="remake the mean face first; CLASS(landmark model) turns an image [1,192,192,3] RGB 0..1 into "
        "(points [478,3] in pixels, score), as capture.faces.landmarks:AttentionMesh does",
    )
    parser.add_argument("--landmark-model", type=Path, help="file that CLASS is made of")
    parser.add_argument(
        "--tessellation", type=Path, help="MediaPipe's face_mesh_connections.py, to read the triangles from it again"
    )
    parser.add_argument("--sheets", metavar="FOLDER", type=Path, help="draw contact sheets of the head into a folder")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the generator; 0 done, 1 failed with one sentence on stderr."""
    options = _options(arguments)
    try:
        if options.rebuild_base:
            if options.tessellation:
                triangles = base.read_tessellation(options.tessellation.read_text(encoding="utf-8"))
            else:
                triangles = base.load().triangles
            base.save(base.build(_network(options.rebuild_base, options.landmark_model), triangles), options.base)
        head = build_head(base.load(options.base))
        head.write(options.output)
        if options.sheets:
            write_sheets(head_from(head), options.sheets)
    except HeadsplatError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
