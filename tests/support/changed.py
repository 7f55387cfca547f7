"""The test files that a change can reach, by the import graph: `make test CHANGED=main`.

The change is what differs from the common ancestor with a revision, uncommitted and new files included. A test is
reached by

- a module that it imports, directly or through others, lazily or not, or that a string names (a process it starts);
- `conftest.py` of its folder and of those above; what a fixture imports counts where its name is a parameter;
- another file of a package (a kernel, a script of the page, a data file), as the modules of the folder it lies in;
- a file whose name a string of the test, or of a module of the tests that it imports, contains as a word.

The tests of the repository itself, directly in `tests/`, always run. A change of what sets up the environment, or of a
file that nothing explains, reaches every test.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath

import pytest

from tests.support.import_graph import PACKAGES, ROOT, imports_of, module_of, modules, syntax

#: Texts of the root and below, which only the tests of the repository itself read.
_TEXTS = (
    ".dockerignore",
    ".github/",
    "Dockerfile",
    "changelog.d/",
    "docs/",
    "LICENSE",
    "NOTICE",
    ".clang-format",
    ".pre-commit-config.yaml",
    "mkdocs.yml",
)


@cache
def known() -> dict[str, Path]:
    """Every module of the project, tests included."""
    return modules((*PACKAGES, "tests"))


def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return syntax(path.read_text(encoding="utf-8"))


@cache
def _named(path: Path) -> tuple[frozenset[tuple[str, int]], frozenset[tuple[str, int]]]:
    """(parameter, line) and (string, line) of all parameters and strings in a file."""
    nodes = list(ast.walk(tree(path)))
    strings = (node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    parameters = ((node.arg, node.lineno) for node in nodes if isinstance(node, ast.arg))
    return frozenset(parameters), frozenset((str(node.value), node.lineno) for node in strings)


@cache
def graph() -> dict[str, frozenset[str]]:
    """Module or fixture (module::name) -> modules and fixtures that it needs."""
    found = {module: _needs(module) for module in known()}
    for module in known():
        if module.endswith(".conftest"):
            found |= {f"{module}::{name}": _needs_of_fixture(module, name) for name in _fixtures(module)}
    return found


def _needs(module: str) -> frozenset[str]:
    path = known()[module]
    lines = {line for lines in _fixtures(module).values() for line in lines}
    names = {name for name, line, _ in imports_of(path) if not (module.endswith(".conftest") and line in lines)}
    if not module.startswith("tests."):
        return _with_packages(names) - {module}
    names |= {word for word in words(path) if "." in word and word in known()}
    names |= set(_conftests(module))
    fixtures = _automatic(module) if module.endswith(".conftest") else _used_fixtures(module)
    return _with_packages(names) - {module} | fixtures


def _needs_of_fixture(module: str, name: str) -> frozenset[str]:
    lines = _fixtures(module)[name]
    names = {imported for imported, line, _ in imports_of(known()[module]) if line in lines}
    return _with_packages(names) | {module} | _used_fixtures(module, lines)


def _with_packages(names: set[str]) -> frozenset[str]:
    """The modules that dotted names belong to and, below the uppermost, their packages, which are imported as well."""
    found = {module_of(name, known()) for name in names} - {""}
    packages = {".".join(name.split(".")[:count]) for name in found for count in range(2, name.count(".") + 1)}
    return frozenset(found | packages)


@cache
def _fixtures(module: str) -> dict[str, range]:
    """Lines of every function of a conftest; empty for other modules."""
    if not module.endswith(".conftest"):
        return {}
    functions = (node for node in tree(known()[module]).body if isinstance(node, ast.FunctionDef))
    return {node.name: range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in functions}


def _automatic(module: str) -> frozenset[str]:
    """Fixtures of a conftest that every test around it uses."""
    functions = (node for node in tree(known()[module]).body if isinstance(node, ast.FunctionDef))
    return frozenset(
        f"{module}::{node.name}"
        for node in functions
        if any("autouse" in ast.dump(each) for each in node.decorator_list)
    )


def _used_fixtures(module: str, lines: range | None = None) -> frozenset[str]:
    """Fixtures of the conftests around `module` that parameters of its functions (in `lines`), or strings, name."""
    found = chain.from_iterable(_named(known()[module]))
    names = {name for name, line in found if lines is None or line in lines}
    around = [conftest for conftest in (*_conftests(module), module) if conftest.endswith(".conftest")]
    return frozenset(f"{conftest}::{name}" for conftest in around for name in names & set(_fixtures(conftest)))


def _conftests(module: str) -> Iterator[str]:
    parts = module.split(".")
    names = (".".join([*parts[:count], "conftest"]) for count in range(1, len(parts)))
    return (name for name in names if name in known() and name != module)


@cache
def words(path: Path) -> frozenset[str]:
    """The words of all strings of a file: names of modules that are started, of files, of programs."""
    _, strings = _named(path)
    return frozenset(word.strip("`'\"();,") for text, _ in strings for word in text.replace("/", " ").split())


def reached(changed: Iterable[str]) -> list[str]:
    """The test files that changed files can reach; all paths are relative to the root."""
    start: set[str] = set()
    names: set[str] = set()
    for path in map(PurePosixPath, changed):
        if path.as_posix().startswith(_TEXTS) or (len(path.parts) == 1 and path.suffix in (".md", ".cff")):
            continue
        owners = _owners(path)
        if owners is None:
            return sorted(_test_files().values())
        start |= owners
        names.add(path.name)
    start |= {module for module in known() if module.startswith("tests.") and names & words(known()[module])}
    needed = _needed_by(start)
    return sorted(path for module, path in _test_files().items() if module in needed or path.count("/") == 1)


def _owners(path: PurePosixPath) -> set[str] | None:
    """Modules whose change stands for that of `path`; None if it may change everything."""
    top = path.parts[0]
    if top == "examples":
        return set()  # found by its name, or by the glob of a test of the repository
    if top not in (*PACKAGES, "tests"):
        return None
    if path.suffix == ".py":
        name = path.as_posix().removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return {name} if name in known() else set()  # who imported a file that is gone has changed too
    if top == "tests":
        return set()
    for folder in path.parents:
        inside = {module for module, file in known().items() if file.parent == ROOT / folder}
        if inside:
            return inside
    return None


def _needed_by(start: set[str]) -> set[str]:
    """`start` and all that needs one of it, directly or through others."""
    users: dict[str, set[str]] = {}
    for name, targets in graph().items():
        for target in targets:
            users.setdefault(target, set()).add(name)
    found, todo = set(start), list(start)
    while todo:
        new = users.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


@cache
def _test_files() -> dict[str, str]:
    """Module -> path relative to the root of every file of tests."""
    files = {module: path.relative_to(ROOT).as_posix() for module, path in known().items()}
    return {module: path for module, path in files.items() if module.rpartition(".")[2].startswith("test_")}


def changed_since(revision: str) -> list[str]:
    """Paths that differ from the common ancestor with `revision`, and new ones that git does not ignore."""

    def git(*arguments: str) -> list[str]:
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise pytest.UsageError(
                f"--changed {revision}: {done.stderr.strip()}; give a branch or a commit of this repository"
            )
        return done.stdout.splitlines()

    (ancestor,) = git("merge-base", revision, "HEAD")
    return [*git("diff", "--name-only", ancestor), *git("ls-files", "--others", "--exclude-standard")]
