"""Builds the npm package of the web player: `python -m viewer.web.package FOLDER`.

One ES module with the element `<headsplat-avatar>` and `loadAvatar`, no dependency. The version is that of headsplat.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from avatar import __version__

from .bundle import bundle, module

NAME = "headsplat-player"
_COPIED = ("spark.js", "spark.d.ts", "README.md")


def player_module() -> str:
    """The ES module of the package."""
    return element_module("page/element.js")


def element_module(entry: str) -> str:
    """An ES module with the element: `entry` is element.js or imports it."""
    heading = f"/*! {NAME} {__version__}, Apache-2.0 */\n"
    return heading + module(entry).replace('"{{worker}}"', json.dumps(bundle("page/worker.js")))


def write_package(folder: Path) -> None:
    """Write the package into `folder`, which is created; files of an earlier build are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "name": NAME,
        "version": __version__,
        "description": "Head avatars of headsplat on a page: one element, no dependency",
        "type": "module",
        "exports": {
            ".": {"types": "./headsplat.d.ts", "default": "./headsplat.js"},
            "./spark.js": {"types": "./spark.d.ts", "default": "./spark.js"},
        },
        "types": "./headsplat.d.ts",
        "files": ["headsplat.js", "headsplat.d.ts", *_COPIED, "LICENSE"],
        "license": "Apache-2.0",
        "keywords": ["gaussian splatting", "head avatar", "web component"],
    }
    (folder / "package.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (folder / "headsplat.js").write_text(player_module(), encoding="utf-8")
    sources = files("viewer.web") / "npm"
    for name in ("headsplat.d.ts", *_COPIED):
        (folder / name).write_text((sources / name).read_text(encoding="utf-8"), encoding="utf-8")
    license_file = Path(__file__).parents[2] / "LICENSE"
    if license_file.is_file():
        shutil.copyfile(license_file, folder / "LICENSE")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m viewer.web.package FOLDER")
    write_package(Path(sys.argv[1]))
