"""No number, text or settings file leads to an internal error: each is refused with one sentence."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatar.cli import main
from avatar.cli.commands import COMMANDS
from avatar.common.ranges import Between, check_numbers, numeric_options
from avatar.common.toml_config import MAX_BYTES, load_config
from avatar.errors import HeadsplatError
from avatar.jobs.parsing import parse_frames
from avatar.training.config import TrainConfig
from capture.options import CaptureOptions
from capture.synthetic.options import SyntheticOptions
from capture.tracker.camera import focal_prior

HUGE = 10**400


def commands() -> Iterator[tuple[tuple[str, ...], type]]:
    """The words and the class of every command, from the command line's own table."""
    for name, command in COMMANDS.items():
        hints = typing.get_type_hints(command)
        actions = typing.get_args(hints["action"]) if "action" in hints else ()
        yield from [((name, action.__name__.removeprefix(command.__name__[:-7]).lower()), action) for action in actions]
        if not actions:
            yield (name,), command


def made(command: type, required: Any = "x") -> Any:
    """A command with only what it requires."""
    needed = [item.name for item in dataclasses.fields(command) if _is_required(item)]
    return command(**dict.fromkeys(needed, required))


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def options() -> Iterator[tuple[tuple[str, ...], type, str, Between | None]]:
    for words, command in commands():
        for option, _, between in numeric_options(made(command)):
            yield words, command, option, between


ALL = list(options())
IDS = [f"{' '.join(words)} {option}" for words, _, option, _ in ALL]


def with_option(command: Any, option: str, value: Any) -> Any:
    """The command with a numeric option set, which may belong to one of its groups."""
    name = option.removeprefix("--").replace("-", "_")
    if name in {item.name for item in dataclasses.fields(command)}:
        is_tuple = "tuple" in str(typing.get_type_hints(type(command))[name])
        return dataclasses.replace(command, **{name: (value,) if is_tuple else value})
    groups = [
        item.name for item in dataclasses.fields(command) if dataclasses.is_dataclass(getattr(command, item.name))
    ]
    for group in groups:
        inner = with_option(getattr(command, group), option, value)
        if inner != getattr(command, group):
            return dataclasses.replace(command, **{group: inner})
    return command


def test_the_options_are_found() -> None:
    assert {"synth --seed", "render --fps", "motion convert --smooth", "bench --threads", "live --seconds"} <= set(IDS)
    assert len(ALL) > 40


@pytest.mark.parametrize(("words", "command", "option", "between"), ALL, ids=IDS)
def test_every_number_has_a_range(words: tuple[str, ...], command: type, option: str, between: Between | None) -> None:
    assert between is not None, f"{' '.join(words)} {option}: give it a range with Annotated[..., Between(LOW, HIGH)]"
    assert math.isfinite(between.low) and math.isfinite(between.high)


@pytest.mark.parametrize(("words", "command", "option", "between"), ALL, ids=IDS)
def test_every_hostile_number_is_refused(words: tuple[str, ...], command: type, option: str, between: Between) -> None:
    for value in (math.nan, math.inf, -math.inf, between.low - 1, between.high + 1, HUGE, -HUGE, 10**5000):
        with pytest.raises(HeadsplatError, match=f"^{option}: expected .*, got .{{1,20}}$"):
            check_numbers(with_option(made(command), option, value))
    check_numbers(with_option(made(command), option, between.high))


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        ("synth -o x", "--seed", "-1"),
        ("synth -o x", "--focal", "1e9"),
        ("synth -o x", "--fps", "nan"),
        ("capture x -o y", "--focal", "1e9"),
        ("train x -o y.avatar", "--seed", str(HUGE)),
        ("render a.avatar --motion m -o x.mp4", "--fps", "1e-300"),
        ("render a.avatar --motion m -o x.mp4", "--travel", "inf"),
        ("export a.avatar -o x.ply", "--frame", "-1"),
        ("motion info m", "--motion-fps", "inf"),
        ("motion convert m -o x.csv", "--smooth", "1e300"),
        ("live a.avatar", "--seconds", "nan"),
        ("bench", "--counts", str(10**12)),
    ],
)
def test_the_command_line_refuses_it_before_any_work(
    words: str, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words.split(), f"{option}={value}"]) == 1
    assert capsys.readouterr().err.startswith(f"headsplat: {option}: expected ")


@pytest.mark.parametrize("text", ["0:" + "9" * 5000, "9" * 5000 + ":", "9" * 5000])
def test_numbers_of_thousands_of_digits_are_no_range_of_frames(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"--frames: .* is not a range"):
        parse_frames(text)


@pytest.mark.parametrize("seed", [-1, 2**32, HUGE])
def test_a_seed_is_refused_in_python_too(seed: int) -> None:
    with pytest.raises(HeadsplatError, match="seed: expected 0 to 4294967295"):
        SyntheticOptions(seed=seed)
    with pytest.raises(ValueError, match="seed: expected 0 to 4294967295"):
        TrainConfig(seed=seed)


@pytest.mark.parametrize("focal", [1e9, 0.5, 50_000.0])
def test_a_focal_length_that_no_camera_has_is_refused(focal: float) -> None:
    with pytest.raises(HeadsplatError, match=r"--focal: .* is no focal length .* 640x480; give 128 to 19200"):
        focal_prior(640, 480, None, focal)
    assert focal_prior(640, 480, None, 600.0).focal == 600
    CaptureOptions(focal=50_000.0)  # the size of the frames decides


@pytest.mark.parametrize("focal", [1e9, 0.5, math.nan])
def test_a_focal_length_is_refused_in_python_as_on_the_command_line(focal: float) -> None:
    with pytest.raises(HeadsplatError, match="--focal: expected 10 to 1000000, got"):
        CaptureOptions(focal=focal)


TOML = {
    "nested lists": "size = " + "[" * 5000 + "]" * 5000,
    "nested tables": "size = " + "{a = " * 5000 + "1" + "}" * 5000,
    "dotted key": ".".join(["refine"] * 5000) + " = 1",
    "deep table": "[" + ".".join(["refine"] * 5000) + "]\nsize = 1",
    "huge integer": f"steps = {HUGE}",
    "integer of 5000 digits": "steps = " + "9" * 5000,
    "huge integer for a number": f"max_seconds = {HUGE}",
    "negative": "seed = -1",
    "not a number": "mask = nan",
    "infinite": "max_seconds = inf",
    "a rate that is not a number": "[rates]\nposition = nan",
    "a rate of 1e30": "[rates]\nposition = 1e30",
    "a refinement that is not finite": "[refine]\nsigma = inf",
    "a refinement of 10^400 pixels": f"[refine]\nsize = {HUGE}",
    "more memory than a machine has": "gaussians = 2000000\nbases = 256",
    "a date": "seed = 1979-05-27",
    "a list": "size = [1, 2]",
    "a table": "[size]\na = 1",
    "a text": 'steps = "many"',
    "a boolean": "steps = true",
    "a number for a group": "rates = 1",
    "another mode": "mode = 5",
    "a list for a mode": "mode = [1]",
    "a table for a mode": "[mode]\na = 1",
    "unknown": "sise = 1",
    "unknown in a group": "[rates]\nposishun = 1.0",
    "not TOML": "\x00\x01",
    "larger than settings are": "#" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("content", TOML.values(), ids=TOML)
def test_a_hostile_configuration_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(HeadsplatError) as error:
        load_config(path, TrainConfig())
    assert str(error.value).startswith(f"{path}: ") and len(str(error.value)) < len(str(path)) + 700


def test_a_configuration_of_bytes_or_a_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    for path in (tmp_path, tmp_path / "binary.toml", tmp_path / "none.toml"):
        assert main(["train", "x", "-o", str(tmp_path / "x.avatar"), "--config", str(path)]) == 1
        written = capsys.readouterr().err
        assert "internal error" not in written and str(path) in written
