"""Which module imports which, by the syntax trees of the project: lazy imports and those for type checkers included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("avatar", "capture", "viewer", "cuda_ext", "headsplat", "tools")


@cache
def imports_of(path: Path, root: Path = ROOT) -> tuple[tuple[str, int, bool], ...]:
    """(absolute module, line, whether inside a function or for type checkers only) of every import in the file."""
    return tuple(_imports(path, root))


def _imports(path: Path, root: Path) -> Iterator[tuple[str, int, bool]]:
    package = path.relative_to(root).parts[:-1]
    text = path.read_text(encoding="utf-8")
    for node, lazy in _nodes(syntax(text), False, "import_module" in text or "__import__" in text):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, lazy
        elif isinstance(node, ast.ImportFrom):
            above = list(package[: len(package) - node.level + 1]) if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno, lazy
        elif isinstance(node, ast.Call) and _is_import_call(node):
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value, node.lineno, lazy


@lru_cache(maxsize=1)
def syntax(text: str) -> ast.Module:
    """The syntax tree of a file with this text."""
    return ast.parse(text)


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """What the blocks of `node` consist of, theirs as well: a tenth of the nodes that `ast.walk` finds."""
    return (found for found, _ in _nodes(node, False, False))


def _nodes(node: ast.AST, lazy: bool, expressions: bool) -> Iterator[tuple[ast.AST, bool]]:
    """(node, whether inside a function or for type checkers only) of `node` and of all statements, or nodes, in it."""
    yield node, lazy
    lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_for_types(node)
    blocks = (getattr(node, name, ()) for name in ("body", "orelse", "handlers", "finalbody", "cases"))
    for child in ast.iter_child_nodes(node) if expressions else chain.from_iterable(blocks):
        yield from _nodes(child, lazy, expressions)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_import_call(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__")


def modules(packages: tuple[str, ...] = PACKAGES, root: Path = ROOT) -> dict[str, Path]:
    """Dotted name -> file of every module of the packages."""
    files = (path for package in packages for path in sorted((root / package).rglob("*.py")))
    return {
        path.relative_to(root).as_posix().removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in files
    }


def module_of(name: str, known: dict[str, Path]) -> str:
    """The module that an imported dotted `name` is or belongs to; empty where it is none of `known`."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def import_graph(known: dict[str, Path], root: Path = ROOT) -> dict[str, frozenset[str]]:
    """Module -> modules of `known` that it imports."""
    return {
        module: frozenset(module_of(name, known) for name, _, _ in imports_of(path, root)) - {module, ""}
        for module, path in known.items()
    }
