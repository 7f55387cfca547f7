"""Progress of a command: a line on a terminal, lines at intervals, JSON, or nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from avatar import cli
from avatar.cli import progress
from avatar.cli.info import InfoCommand
from avatar.cli.progress import State, choose_display, display_of_process, printed, say, stage
from avatar.data.capture_folder import Capture
from avatar.jobs.notices import Notices
from avatar.model.avatar_file import load_avatar

ROOT = Path(__file__).parents[2]
FIELDS = ["stage", "fraction", "seconds_left", "text", "busy"]


@pytest.fixture(autouse=True)
def display() -> Iterator[None]:
    yield
    choose_display("auto")


def wait_for(condition: str, text: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wait until `condition` was printed to stderr; `text` collects what is printed."""
    end = time.monotonic() + 20
    while condition not in "".join(text) and time.monotonic() < end:
        text.append(capsys.readouterr().err)
        time.sleep(0.01)
    assert condition in "".join(text)


def test_lines_appear_without_an_update(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.05)
    printed: list[str] = []
    with stage("mattes") as update:
        wait_for("mattes:   0%\n" * 3, printed, capsys)
        update(0.25, "5 of\n20")
        wait_for("mattes:  25%, 5 of\\n20\n" * 3, printed, capsys)
    assert capsys.readouterr().err.splitlines()[-1].startswith("mattes: done in ")


def test_a_short_stage_prints_its_duration_only(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("mattes") as update:
        update(0.5, "half")
    assert capsys.readouterr().err.startswith("mattes: done in 0.")


def test_json_lines_have_all_fields_from_the_start_to_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "JSON_INTERVAL", 0.05)
    choose_display("json")
    printed: list[str] = []
    with stage("mattes") as update:
        update(0.25, "5 of 20 ä")
        wait_for("of 20", printed, capsys)
    printed.append(capsys.readouterr().err)
    found = [json.loads(line) for line in "".join(printed).splitlines()]
    assert all(list(each) == FIELDS and each["stage"] == "mattes" for each in found)
    assert found[0] == {"stage": "mattes", "fraction": 0.0, "seconds_left": None, "text": "", "busy": False}
    assert (found[1]["fraction"], found[1]["text"]) == (0.25, "5 of 20 ä")
    assert (found[-1]["fraction"], found[-1]["seconds_left"]) == (1.0, 0.0)


def test_a_failed_stage_ends_its_display_and_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    for display in ("auto", "json"):
        choose_display(display)  # type: ignore[arg-type]
        with pytest.raises(ZeroDivisionError), stage("mattes") as update:
            update(0.5, "")
            raise ZeroDivisionError
    printed = capsys.readouterr().err
    assert "done" not in printed and '"fraction": 1.0' not in printed


def test_quiet_shows_no_progress_but_messages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.01)
    choose_display("quiet")
    with stage("mattes") as update:
        update(0.5, "half")
        time.sleep(0.05)
        say("warning: dark")
    assert capsys.readouterr().err == "warning: dark\n"


def test_the_text_says_why_it_takes_longer() -> None:
    assert State("mattes", 0.5, 61.3, "5 of 10", True).to_text() == "61 s left, 5 of 10, the machine is busy"
    assert State("mattes", 0.5, None, "", False).to_text() == ""


@pytest.mark.parametrize(
    ("arguments", "display"),
    [
        (["info", "x"], "auto"),
        (["--quiet", "info", "x"], "quiet"),
        (["info", "x", "--quiet"], "quiet"),
        (["--progress", "json", "info", "x"], "json"),
        (["info", "x", "--progress=json"], "json"),
        (["info", "--progress", "json", "x", "--quiet"], "quiet"),
    ],
)
def test_the_options_hold_for_every_command_at_any_position(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], display: str
) -> None:
    seen: list[str] = []

    def run(command: InfoCommand) -> int:
        seen.append(display_of_process())
        return 0

    monkeypatch.setattr(InfoCommand, "run", run)
    assert cli.main(arguments) == 0
    assert seen == [display]


@pytest.mark.parametrize("arguments", [["info", "x", "--progress"], ["--progress", "yaml", "info", "x"]])
def test_another_form_of_progress_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert cli.main(arguments) == 1
    assert "the only form is json; write --progress json" in capsys.readouterr().err


def test_the_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    assert "--quiet" in printed and "--progress json" in " ".join(printed.replace("│", " ").split())


def test_a_terminal_shows_one_line_with_the_time_left() -> None:
    code = (
        "import time\nfrom avatar.cli.progress import stage\n"
        "with stage('mattes') as update:\n"
        "    for step in range(30):\n"
        "        update(step / 300, f'{step} [of] 300')\n"
        "        time.sleep(0.1)\n"
    )
    master, terminal = pytest.importorskip("pty").openpty()  # of POSIX
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=terminal, cwd=ROOT, env=environment)
    os.close(terminal)
    printed = bytearray()
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        printed += chunk
    os.close(master)
    assert process.wait() == 0
    text = printed.decode("utf-8")
    assert " s left, " in text and "[of] 300" in text and "mattes: done in " in text


def test_train_shows_its_phases_as_json_or_not_at_all(
    tiny: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fast.toml").write_text("steps = 4\ngaussians = 200\nbases = 2\nlayer = false\n")
    arguments = ["train", str(tiny.root), "--config", str(tmp_path / "fast.toml"), "--size", "32"]
    assert cli.main([*arguments, "-o", str(tmp_path / "a.avatar"), "--progress", "json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert list(dict.fromkeys(each["stage"] for each in found)) == ["preparing", "training", "finishing"]
    for name in ("preparing", "training", "finishing"):
        fractions = [each["fraction"] for each in found if each["stage"] == name]
        assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert cli.main([*arguments, "-o", str(tmp_path / "b.avatar"), "--quiet"]) == 0
    printed = capsys.readouterr()
    assert "4 steps" in printed.out
    assert not any(word in printed.err for word in ("preparing", "training:", "finishing", "{"))
    left, right = (load_avatar(tmp_path / name).state_dict() for name in ("a.avatar", "b.avatar"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_stage_of_a_job_ends_alone_and_a_failed_one_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with printed() as notify:
        notices = Notices(notify)
        with notices.stage("outer") as update:
            update(0.5)
            with pytest.raises(ZeroDivisionError), notices.stage("inner"):
                raise ZeroDivisionError
            notices.say("it goes on")
        notices.show("the result")
    printed_text = capsys.readouterr()
    said = printed_text.err.splitlines()
    assert said[0] == "it goes on" and said[1].startswith("outer: done in ") and len(said) == 2
    assert printed_text.out == "the result\n"
