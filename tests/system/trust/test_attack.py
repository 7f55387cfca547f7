"""A part of the attack finds nothing, and the attack itself notices every kind of failure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from tests.system.trust.attack.cases import (
    ACCEPTED,
    CRASH,
    EXCEPTION,
    HANG,
    MESSAGE,
    REFUSED,
    ROOT,
    WRONG,
    Case,
    Outcome,
    Result,
    judge,
    message_fault,
)
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.options import BASES
from tests.system.trust.attack.runner import run_cases
from tests.system.trust.attack.table import END, START, as_markdown, rows_of, write_markdown

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the attack forks and limits processes")
_LIMIT = 600  # seconds; it takes 40 on two idle cores


@pytest.mark.slow
def test_a_part_of_the_attack_finds_nothing() -> None:
    command = [sys.executable, "-m", "tests.system.trust.attack", "--short", "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_LIMIT)
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert not failures, "\n".join(failures)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_every_command_with_options_is_attacked() -> None:
    from avatar.cli.commands import COMMANDS

    assert {name.split()[0] for name in BASES} | {"doctor"} == set(COMMANDS)


def _refuse(text: str) -> str:
    raise HeadsplatError(text)


def _exit(folder: Path) -> Outcome:
    raise SystemExit(3)


def _crash(folder: Path) -> Outcome:
    os.abort()


def _hang(folder: Path) -> Outcome:
    time.sleep(1000)
    return Outcome(ACCEPTED)


#: By the kind of outcome that is expected.
CASES = {
    REFUSED: lambda folder: judge(lambda: _refuse("a.avatar: damaged; copy it again")),
    ACCEPTED: lambda folder: judge(lambda: None),
    WRONG: lambda folder: judge(lambda: "all white"),
    MESSAGE: lambda folder: judge(lambda: _refuse("")),
    EXCEPTION: lambda folder: judge(lambda: str(1 / 0)),
    CRASH: _crash,
    HANG: _hang,
}


def test_every_kind_of_outcome_is_noticed(tmp_path: Path) -> None:
    cases = [Case(kind, run) for kind, run in CASES.items()] + [Case("leaves the library", _exit)]
    found: list[Result] = []
    run_cases("made up", cases, tmp_path, found.append, jobs=2, limit=3.0, prepare=lambda: None)
    assert {result.name: result.outcome.kind for result in found} == {
        **{kind: kind for kind in CASES},
        "leaves the library": EXCEPTION,
    }


def test_a_case_runs_in_an_empty_folder(tmp_path: Path) -> None:
    def run(folder: Path) -> Outcome:
        empty = not any(folder.iterdir()) and Path.cwd() == folder
        (folder / "left").touch()
        return Outcome(ACCEPTED if empty else WRONG)

    found: list[Result] = []
    run_cases("made up", [Case("1", run), Case("2", run)], tmp_path, found.append, jobs=1, limit=30.0, prepare=list)
    assert [result.outcome.kind for result in found] == [ACCEPTED, ACCEPTED]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a.avatar: damaged; copy it again", True),
        ("", False),
        ("one\ntwo", False),
        ("\x1b[31mred", False),
        ("x" * 400, False),
        ("x" * 390 + "/the/folder/of/the/case", True),
    ],
)
def test_a_message_is_one_short_line(text: str, right: bool) -> None:
    assert (message_fault(text, ["/the/folder/of/the/case"]) is None) == right


def test_commands_are_judged_by_their_end(tmp_path: Path) -> None:
    assert judge_command(run_command("--version")).kind == ACCEPTED
    assert judge_command(run_command("info", tmp_path / "none.avatar"), (str(tmp_path),)).kind == REFUSED
    assert judge_command(run_command("info")).kind == REFUSED


def test_the_table_is_written_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{START}\nold\n{END}\n\nafter\n")
    results = [Result("avatars", str(kind), Outcome(kind), 0.1) for kind in (REFUSED, ACCEPTED, ACCEPTED, CRASH)]
    for _ in range(2):
        write_markdown(page, as_markdown(rows_of(results, ["avatars"]), "Seed 0."))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\n\nafter\n") and "old" not in text
    assert text.count("| avatars | 4 | 1 | 2 |") == 1
