"""Public names of a package that are imported on first use: one of its modules then needs no other."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of the package named `package`.

    Args:
        package: dotted name.
        homes: module of each public name, relative to the package. No module may have the name of a public name of its
            package: the import of the module would hide it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get
