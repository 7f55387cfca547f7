"""Make a release of the checkout: the fragments of changelog.d become entries, and every file names the new version.

    python -m tools.release 0.3.0

It changes CHANGELOG.md, `__version__` and CITATION.cff, deletes the fragments, and makes no commit and no tag.
docs/releasing.md says what comes before and after.
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

from avatar.errors import HeadsplatError

ROOT = Path(__file__).parents[1]
KINDS = ("added", "changed", "fixed", "removed")


def fragments(root: Path = ROOT) -> list[tuple[Path, str]]:
    """Each fragment with its kind, sorted by name.

    Raises:
        HeadsplatError: a file in changelog.d has no kind, or no text.
    """
    found = []
    for path in sorted((root / "changelog.d").iterdir()):
        kind = path.name.split(".")[-2] if path.name.count(".") == 2 and path.suffix == ".md" else ""
        if path.name == "README.md":
            continue
        if kind not in KINDS or not path.read_text(encoding="utf-8").strip():
            raise HeadsplatError(f"{path}: expected NAME.KIND.md with a text, KIND one of {', '.join(KINDS)}")
        found.append((path, kind))
    return found


def release(version: str, date: str, root: Path = ROOT) -> None:
    """Write the release `version` of `date` (2026-11-22) into the files of the checkout `root`.

    Raises:
        HeadsplatError: the version is not three numbers, or a fragment is not valid.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise HeadsplatError(f"{version}: expected a version of three numbers, such as 0.3.0")
    entries = [(path, kind, " ".join(path.read_text(encoding="utf-8").split())) for path, kind in fragments(root)]
    changelog = root / "CHANGELOG.md"
    before, unreleased, after = re.split(
        r"(?ms)^(## \[Unreleased\]\n.*?)(?=^## \[|\Z)", changelog.read_text("utf-8"), maxsplit=1
    )
    for kind in KINDS:
        lines = "".join(f"- {text}\n" for _, of, text in entries if of == kind)
        heading = f"### {kind.capitalize()}\n\n"
        if lines and heading in unreleased:
            unreleased = unreleased.replace(heading, heading + lines, 1)
        elif lines:
            unreleased = f"{unreleased.rstrip()}\n\n{heading}{lines}\n"
    unreleased = unreleased.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {date}\n", 1)
    changelog.write_text(before + unreleased + after, encoding="utf-8", newline="\n")
    for name, pattern, text in (
        ("avatar/__init__.py", r'^__version__ = ".*"$', f'__version__ = "{version}"'),
        ("CITATION.cff", r"^version: .*$", f"version: {version}"),
        ("CITATION.cff", r"^date-released: .*$", f"date-released: {date}"),
    ):
        file = root / name
        changed = re.sub(pattern, text, file.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
        file.write_text(changed, encoding="utf-8", newline="\n")
    for path, _, _ in entries:
        path.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.release VERSION")
    try:
        release(sys.argv[1], datetime.date.today().isoformat())
    except HeadsplatError as error:
        sys.exit(str(error))
