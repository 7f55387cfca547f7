"""Strict TOML configuration: what is accepted, and the sentences for what is not."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from avatar.common.toml_config import load_config, load_preset, preset_paths, save_config
from avatar.errors import HeadsplatError
from avatar.training.config import TrainConfig


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ("a", "b")


@dataclass(frozen=True)
class Outer:
    size: int = 256
    seconds: float | None = None
    mode: Literal["one", "two"] = "one"
    pair: tuple[int, int] = (1, 2)
    quick: bool = False
    folder: Path | None = None
    title: str = ""
    inner: Inner = field(default_factory=Inner)


def write(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_of_the_file_go_over_the_base_and_the_rest_stays(tmp_path: Path) -> None:
    path = write(tmp_path, 'size = 512\nmode = "two"\n[inner]\nrate = 2\n')
    loaded = load_config(path, Outer(quick=True))
    assert loaded == Outer(size=512, mode="two", quick=True, inner=Inner(rate=2.0))
    assert isinstance(loaded.inner.rate, float)


@pytest.mark.parametrize(
    "config",
    [
        Outer(),
        Outer(12, 1e-30, "two", (3, 4), True, Path("a b/ü"), 'quote " back \\ line\n tab\t \x00 \x7f 😀'),
        Outer(inner=Inner(-math.inf, ())),
    ],
)
def test_saved_configuration_loads_equal(tmp_path: Path, config: Outer) -> None:
    path = tmp_path / "saved.toml"
    save_config(path, config, "first line\nsecond line")
    assert load_config(path, Outer()) == config
    assert path.read_text(encoding="utf-8").startswith("# first line\n# second line\n")


def test_train_config_round_trips_with_its_nested_rates(tmp_path: Path) -> None:
    config = dataclasses.replace(TrainConfig(), size=384, max_seconds=12.5)
    config = dataclasses.replace(config, rates=dataclasses.replace(config.rates, position=1e-5))
    save_config(tmp_path / "t.toml", config)
    assert load_config(tmp_path / "t.toml", TrainConfig()) == config


def test_none_over_another_default_is_refused_when_saving(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Odd:
        limit: float | None = 3.0

    with pytest.raises(ValueError, match="limit: None cannot be written"):
        save_config(tmp_path / "odd.toml", Odd(limit=None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sise = 3", "unknown key `sise`; did you mean `size`?"),
        ("[inner]\nratte = 3", "unknown key `inner.ratte`; did you mean `rate`?"),
        ("zzz = 3", "unknown key `zzz`; known keys: folder, inner, mode,"),
        ('size = "big"', "`size` is 'big', expected an integer"),
        ("size = 1.5", "`size` is 1.5, expected an integer"),
        ("size = true", "`size` is True, expected an integer"),
        ("quick = 1", "`quick` is 1, expected true or false"),
        ('seconds = "long"', "`seconds` is 'long', expected a number"),
        ('mode = "three"', "`mode` is 'three', expected one of 'one', 'two'"),
        ("pair = [1]", "`pair` has 1 values, expected 2"),
        ("pair = 1", "`pair` is 1, expected a list"),
        ("inner = 3", "`inner` is a group of settings; write it as a table [inner]"),
        ("[inner]\nnames = [1]", "`inner.names` is 1, expected a string"),
        ("size = ", "not valid TOML"),
    ],
)
def test_wrong_file_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(HeadsplatError) as caught:
        load_config(path, Outer())
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)


def test_missing_file_says_which_flag_named_it(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such configuration file; check the path given to --config"):
        load_config(tmp_path / "none.toml", Outer())


def test_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HeadsplatError, match="cannot read the configuration file"):
        load_config(path, Outer())


def test_every_preset_loads_over_the_training_defaults() -> None:
    assert {"fast", "default", "quality"} <= set(preset_paths())
    for name in preset_paths():
        assert isinstance(load_preset(name, TrainConfig()), TrainConfig)
    assert load_preset("default", TrainConfig()) == TrainConfig()


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(HeadsplatError, match=r"no preset 'best'; choose one of .*fast"):
        load_preset("best", TrainConfig())
