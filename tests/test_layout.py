"""The layout: which package of `avatar` may import which, no import cycles, warnings about long files and functions."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.import_graph import PACKAGES, ROOT, import_graph, modules, statements, syntax

#: Packages of `avatar`, lowest first: each imports only from those before it. The package itself has the public names.
CORE = (
    "errors",
    "types",
    "common",
    "geometry",
    "reference",
    "ops",
    "head",
    "model",
    "data",
    "motion",
    "rendering",
    "driving",
    "refine",
    "training",
    "evaluation",
    "video",
    "export",
)
#: What the three jobs do without: above the core in the order of imports, so that no module of the core imports it.
WINGS = ("editing", "performance", "scenes", "dubbing", "bench", "fleet")
LAYERS = (*CORE, *WINGS, "jobs", "cli")
MAX_MODULES = 3  # directly in `avatar`
MAX_PARAMETERS = 12
#: Lines from which a file and a function are named in a warning: length is a signal to look, not an error.
LONG_FILE, LONG_FUNCTION = 600, 60


@cache
def imported() -> dict[str, frozenset[str]]:
    """Module -> modules of ours that it imports, lazily or not."""
    return import_graph(modules())


def package_of(module: str) -> str:
    """The package of a module of `avatar`."""
    return module.split(".")[1] if "." in module else ""


def is_upward(module: str, target: str) -> bool:
    """Whether `module` of `avatar` imports a module of a package that comes after its own."""
    if module == "avatar" or not (module.startswith("avatar.") and target.startswith("avatar.")):
        return False
    return LAYERS.index(package_of(target)) > LAYERS.index(package_of(module))


def cycles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Groups of modules that import each other (strongly connected components by Tarjan, 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for target in graph.get(module, ()):
            if target not in order:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], order[target])
        if lowest[module] == order[module]:
            members = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(members) > 1:
                found.append(sorted(members))

    for module in graph:
        if module not in order:
            visit(module)
    return found


def test_a_room_imports_only_from_packages_before_it() -> None:
    upward = [f"{a} -> {b}" for a, targets in imported().items() for b in sorted(targets) if is_upward(a, b)]
    assert not upward, "\n".join(upward)


def test_every_room_has_its_place_in_the_order() -> None:
    found = {package_of(module) for module in modules() if module.startswith("avatar.")}
    assert found == set(LAYERS)


def test_no_module_imports_itself_through_others() -> None:
    # `avatar` names its public functions lazily, so it may be imported from anywhere for its version.
    graph = {module: targets - {"avatar"} for module, targets in imported().items() if module != "avatar"}
    assert not cycles(graph), "\n".join(" <-> ".join(members) for members in cycles(graph))


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, [["a", "b", "c"]]),
        ({"a": {"b"}, "b": {"a"}, "c": {"d", "a"}, "d": {"c"}}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_cycles_are_found(graph: dict[str, set[str]], found: list[list[str]]) -> None:
    assert cycles({module: frozenset(targets) for module, targets in graph.items()}) == found


def test_an_upward_import_is_recognized() -> None:
    assert is_upward("avatar.head.model", "avatar.training.fit")
    assert not is_upward("avatar.training.fit", "avatar.head.model")
    assert not is_upward("avatar.head.model", "avatar.head.regions")


def test_few_modules_lie_directly_in_avatar() -> None:
    assert len(list((ROOT / "avatar").glob("*.py"))) <= MAX_MODULES


def sources() -> Iterator[Path]:
    """Every source file of the project, native ones and tests included."""
    for package in (*PACKAGES, "tests", "examples"):
        for suffix in ("py", "cpp", "cu", "h", "cuh", "js"):
            yield from (
                path
                for path in sorted((ROOT / package).rglob(f"*.{suffix}"))
                if not {"build", "CMakeFiles"} & set(path.parts)
            )


def test_long_files_are_named_in_a_warning() -> None:
    for path in sources():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > LONG_FILE:
            warnings.warn(f"{path.relative_to(ROOT).as_posix()}: {lines} lines", stacklevel=1)


class Function(NamedTuple):
    """What the tests look at in a function; trees of all files would keep the garbage collector busy."""

    name: str
    line: int
    lines: int
    parameters: int


@cache
def functions(path: Path) -> tuple[Function, ...]:
    """Every function of a Python file."""
    nodes = statements(syntax(path.read_text(encoding="utf-8")))
    return tuple(
        Function(node.name, node.lineno, code_lines(node), len(args.args + args.kwonlyargs + args.posonlyargs))
        for node in nodes
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for args in [node.args]
    )


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    first = function.body[0]
    docstring = ast.get_docstring(function) is not None
    described = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - described


def test_long_functions_are_named_in_a_warning() -> None:
    for path in sources():
        for function in functions(path) if path.suffix == ".py" else ():
            if function.lines > LONG_FUNCTION:
                place = f"{path.relative_to(ROOT).as_posix()}:{function.line}"
                warnings.warn(f"{place} {function.name}: {function.lines} lines", stacklevel=1)


def test_no_signature_is_too_wide() -> None:
    wide = [
        f"{path.relative_to(ROOT).as_posix()}:{function.line} {function.name}"
        for path in modules().values()
        for function in functions(path)
        if function.parameters > MAX_PARAMETERS
    ]
    assert not wide, "\n".join(wide)


@pytest.mark.parametrize(("picture", "packages"), [("core", CORE), ("wings", WINGS)])
def test_the_diagrams_of_the_architecture_page_show_every_package(picture: str, packages: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / "images" / f"{picture}.svg").read_text(encoding="utf-8")
    assert not [name for name in packages if f"avatar/{name}<" not in text and f"{name}, " not in text]


def test_the_trainer_is_short_and_names_no_optional_part() -> None:
    kinds = r"layer\b|light|wrinkle|appearance|weight_network|corrector|hash|perceptual|guidance|local_bases|prior"
    core = ("training/trainer.py", "training/relocation.py", "training/anchors.py", "model/avatar_file.py")
    texts = {name: (ROOT / "avatar" / name).read_text(encoding="utf-8") for name in core}
    named = {name: re.findall(kinds, text, re.IGNORECASE) for name, text in texts.items()}
    assert not any(named.values()), named
    assert len(texts[core[0]].splitlines()) <= 250
