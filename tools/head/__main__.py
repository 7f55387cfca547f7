"""`python -m tools.head`: generate the stored head, optionally its mean face and contact sheets."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from avatar.errors import HeadsplatError
from avatar.head.anatomy import base
from avatar.head.embedded import head_from
from avatar.head.sheets import write_sheets
from avatar.head.stored import ARRAYS

from . import mean_face
from .assemble import build_head


def _network(name: str, model: Path | None) -> mean_face.LandmarkNetwork:
    """An instance of the class `module:attribute` for a model file."""
    module, _, attribute = name.partition(":")
    if model is None or not model.is_file():
        raise HeadsplatError(f"--landmark-model {model}: no such file; give the .tflite file of the network.")
    try:
        return getattr(importlib.import_module(module), attribute)(model)
    except (ImportError, AttributeError, ValueError) as error:
        raise HeadsplatError(f"--rebuild-base {name}: {error}; give MODULE:CLASS of a landmark network.") from error


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.head", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ARRAYS, help="output file of the head")
    parser.add_argument("--base", type=Path, default=base.STORED, help="file of the mean face")
    parser.add_argument(
        "--rebuild-base",
        metavar="MODULE:CLASS",
        help="compute the mean face first; CLASS(landmark model) maps an image [1,192,192,3] RGB 0..1 to "
        "(points [478,3] in pixels, score), such as capture.faces.landmarks:AttentionMesh",
    )
    parser.add_argument("--landmark-model", type=Path, help="model file for CLASS")
    parser.add_argument(
        "--tessellation", type=Path, help="MediaPipe's face_mesh_connections.py, to read the triangles from"
    )
    parser.add_argument("--sheets", metavar="FOLDER", type=Path, help="write contact sheets of the head to a folder")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the generator; returns 0, or 1 with a message on stderr."""
    options = _options(arguments)
    try:
        if options.rebuild_base:
            if options.tessellation:
                triangles = mean_face.read_tessellation(options.tessellation.read_text(encoding="utf-8"))
            else:
                triangles = base.load().triangles
            network = _network(options.rebuild_base, options.landmark_model)
            mean_face.save(mean_face.build(network, triangles), options.base)
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
