"""The speed of the exported page in headless Chromium: first frame, frames per second, pose, sort, size of the file.

    python -m tests.bench.bench_web me.avatar [other.html ...] [--sizes 256 512] [--frames 60] [--rounds 3]

Avatars are exported first; pages are measured as they are, so that two versions of the player can be compared in one
run. Rounds alternate between the pages, and each figure is the best of its rounds. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.browser import chromium, find_chromium

Figures = Mapping[str, float]
_EXPORT = "import sys; from avatar.cli import main; sys.exit(main())"
_HEADER = (
    "| page | size | Gaussians | MB | first frame, ms | fps | pose, ms | sort, ms |",
    "|---|---|---|---|---|---|---|---|",
)


def page_of(path: Path, folder: Path) -> Path:
    """The page of an avatar, exported into `folder`; a page itself is left as it is.

    Raises:
        SystemExit: the avatar cannot be exported.
    """
    if path.suffix == ".html":
        return path.resolve()
    page = folder / f"{path.stem}.html"
    if subprocess.run(
        [sys.executable, "-c", _EXPORT, "export", path, "-o", page], stdout=subprocess.DEVNULL
    ).returncode:
        raise SystemExit(f"{path} cannot be exported; see the message above.")
    return page


def measured(page: Path, size: int, frames: int) -> Figures:
    """Figures of one load of a page, from `benchmark` of the player, in a browser of its own."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        chromium(Path(profile), (size + 400, size + 200)) as browser,
    ):
        browser.open(page)
        return dict(browser.run(f"app.benchmark({size}, {frames})"))


def best_of(rounds: Sequence[Figures]) -> Figures:
    """The best of each figure: the most frames per second, the least of all others."""
    return {key: (max if key == "fps" else min)(figures[key] for figures in rounds) for key in rounds[0]}


def row(name: str, size: int, bytes_: int, figures: Figures) -> str:
    """One row of the table."""
    return (
        f"| {name} | {size}x{size} | {figures['gaussians']:.0f} | {bytes_ / 1e6:.1f} | {figures['firstFrame']:.0f} "
        f"| {figures['fps']:.1f} | {figures['pose']:.1f} | {figures['sort']:.1f} |"
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+", metavar="AVATAR|PAGE")
    parser.add_argument("--sizes", "--size", type=int, nargs="+", default=[512])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if find_chromium() is None:
        raise SystemExit("The benchmark needs Chromium; install it (apt-get install chromium).")
    with tempfile.TemporaryDirectory() as folder:
        pages = [page_of(path, Path(folder)) for path in given.pages]
        print("\n".join(_HEADER))
        for size in given.sizes:
            rounds = [[measured(page, size, given.frames) for page in pages] for _ in range(given.rounds)]
            for page, figures in zip(pages, zip(*rounds, strict=True), strict=True):
                print(row(page.stem, size, page.stat().st_size, best_of(figures)), flush=True)


if __name__ == "__main__":
    main()
