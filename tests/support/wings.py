"""Which modules of the wings of `avatar` a process has loaded."""

from __future__ import annotations

import sys

from tests import test_layout

WINGS = tuple(f"avatar.{wing}" for wing in test_layout.WINGS)


def is_below(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of `packages`, or of something in one."""
    return name in packages or name.startswith(tuple(f"{package}." for package in packages))


def loaded_wings() -> list[str]:
    """Modules of the wings that this process has loaded."""
    return sorted(name for name in sys.modules if is_below(name, WINGS))
