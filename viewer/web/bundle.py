"""Joins the modules of the player into one script, since a page on the disk cannot load others."""

from __future__ import annotations

import posixpath
import re
from importlib.resources import files

_IMPORT = re.compile(r'^import \{ ([^}]*) \} from "(\.\.?/[\w./]+)";\n', re.MULTILINE)
#: Types of other modules, which only `make lint` reads.
_TYPES = re.compile(r"^/\*\* @import .* \*/\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function|const) (\w+))", re.MULTILINE)


def source(name: str) -> str:
    """Text of a file of the player, named by its path in `src`."""
    return (files("viewer.web") / "src" / name).read_text(encoding="utf-8")


def bundle(entry: str) -> str:
    """One script with the module `entry` (its path in `src`) and all that it imports, each after what it needs.

    Each module is a function, so that only what it exports is visible to the others; exported names must differ.

    Raises:
        ValueError: two modules export one name, or a module imports what another one does not export.
    """
    parts, _ = _join(entry)
    return '"use strict";\n(() => {\n' + parts + "\n})();\n"


def module(entry: str) -> str:
    """As `bundle`, as one ES module that exports what `entry` does."""
    parts, owners = _join(entry)
    exported = ", ".join(name for name, owner in owners.items() if owner == entry)
    return f"{parts}\nexport {{ {exported} }};\n"


def _join(entry: str) -> tuple[str, dict[str, str]]:
    """The modules as text, and which module each exported name is of."""
    parts: dict[str, str] = {}
    owners: dict[str, str] = {}
    _add(entry, parts, owners)
    return "\n".join(parts.values()), owners


def _add(name: str, parts: dict[str, str], owners: dict[str, str]) -> None:
    text = source(name)
    for names, path in _IMPORT.findall(text):
        module = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        if module not in parts:
            _add(module, parts, owners)
        for imported in names.split(", "):
            if owners.get(imported) != module:
                raise ValueError(f"{name}: imports {imported}, which {module} does not export")
    exported = _EXPORT.findall(text)
    for defined in exported:
        if defined in owners:
            raise ValueError(f"{name}: {defined} is exported by {owners[defined]}, too")
        owners[defined] = name
    script = _EXPORT.sub("", _IMPORT.sub("", _TYPES.sub("", text)))
    names_text = ", ".join(exported)
    parts[name] = f"// {name}\nconst {{ {names_text} }} = (() => {{\n{script}\nreturn {{ {names_text} }};\n}})();"
