"""Build the documentation of the checkout and of its last releases, each in a folder of its own, for GitHub Pages.

    python -m tools.versioned_docs -o public     # public/main, public/0.2.0, ..., versions.json, index.html

The pages have a list of the versions, which `make docs` leaves out. Releases are built from their tags vX.Y.Z.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: So many releases are kept.
LAST = 5


def releases(tags: list[str]) -> list[str]:
    """The tags of the last releases, newest first."""
    found = [tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    return sorted(found, key=lambda tag: [int(number) for number in tag[1:].split(".")], reverse=True)[:LAST]


def write_start(folder: Path, names: list[str]) -> None:
    """Write the list of the versions, newest release first and `main` last, and a page that leads to the first."""
    rows = [{"version": name, "title": name, "aliases": []} for name in names]
    (folder / "versions.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    page = (
        f'<!doctype html><meta http-equiv="refresh" content="0; url={names[0]}/index.html"><title>headsplat</title>\n'
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def build(checkout: Path, folder: Path) -> None:
    """Build the site of a checkout into a folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder.resolve())]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DOCS_VERSIONS": "mike"}
    subprocess.run(command, cwd=checkout, check=True, env=environment)


def main(arguments: list[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.versioned_docs", description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", default=Path("public"))
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    git = ["git", "-C", str(ROOT)]
    tags = subprocess.run([*git, "tag"], check=True, capture_output=True, text=True).stdout.split()
    for tag in releases(tags):
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([*git, "worktree", "add", "--quiet", "--detach", f"{scratch}/tree", tag], check=True)
            build(Path(scratch) / "tree", out / tag[1:])
            subprocess.run([*git, "worktree", "remove", "--force", f"{scratch}/tree"], check=True)
    build(ROOT, out / "main")
    write_start(out, [*(tag[1:] for tag in releases(tags)), "main"])


if __name__ == "__main__":
    main(sys.argv[1:])
