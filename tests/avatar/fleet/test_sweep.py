"""Sweeps: the settings that `--set` gives, their jobs for each row, and the table of their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from avatar.common.toml_config import load_config
from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Argument, Input, Job, Needs
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.rows import FleetSetup, Row
from avatar.fleet.store import Store
from avatar.fleet.sweep import Setting, parse_settings, sweep_rows, sweep_table
from avatar.training.config import TrainConfig


def values(*entries: str) -> list[dict[str, str]]:
    return [dict(setting.values) for setting in parse_settings(entries)]


def test_all_combinations_are_settings() -> None:
    assert values("steps=20,40", "seed=1, 2") == [
        {"steps": "20", "seed": "1"},
        {"steps": "20", "seed": "2"},
        {"steps": "40", "seed": "1"},
        {"steps": "40", "seed": "2"},
    ]
    assert values("steps=20,20, 20") == [{"steps": "20"}]


@pytest.mark.parametrize(
    ("entry", "toml"),
    [
        ("mode=local", '"local"'),
        ('mode="local"', '"local"'),
        ("layer=false", "false"),
        ("ssim=.5", "0.5"),
        ("ssim=0.5", "0.5"),
        ("ssim=1", "1"),
        (" refine.iterations =4", "4"),
        ("perceptual=alex", '"alex"'),
    ],
)
def test_a_value_is_toml_with_or_without_quotes(entry: str, toml: str) -> None:
    assert list(values(entry)[0].values()) == [toml]


def test_a_setting_is_a_configuration_file(tmp_path: Path) -> None:
    (setting,) = parse_settings(["refine.iterations=4", "mode=local", "steps=20"])
    (tmp_path / "setting.toml").write_text(setting.toml)
    config = load_config(tmp_path / "setting.toml", TrainConfig())
    assert (config.refine.iterations, config.mode, config.steps) == (4, "local", 20)


def test_the_name_of_a_setting_depends_on_its_values_only() -> None:
    one, other = parse_settings(["steps=20,40"])
    assert one.name != other.name and len(one.name) == 8 and int(one.name, 16) >= 0
    assert one.name == Setting({"steps": "20"}).name == parse_settings(["steps=7,20"])[1].name
    (first,) = parse_settings(["steps=20", "seed=1"])
    (second,) = parse_settings(["seed=1", "steps=20"])
    assert first.name == second.name
    assert first.name != parse_settings(["steps=1", "seed=20"])[0].name


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([], "no setting; give the values to compare, such as --set steps=2000,4000"),
        (["steps"], "'steps' is not a setting; give KEY=VALUE,VALUE, such as steps=2000,4000"),
        (["steps="], "'steps=' is not a setting; give KEY=VALUE,VALUE, such as steps=2000,4000"),
        (["steps=1,"], "'steps=1,' is not a setting; give KEY=VALUE,VALUE, such as steps=2000,4000"),
        (["=1"], "'=1' is not a setting; give KEY=VALUE,VALUE, such as steps=2000,4000"),
        (["a b=1"], "'a b=1' is not a setting; give KEY=VALUE,VALUE, such as steps=2000,4000"),
        (["steps=1", "steps=2"], "steps is given twice; give all its values at once"),
        (["stepps=1"], "unknown key `stepps`; did you mean `steps`?"),
        (["refine.iteration=1"], "unknown key `refine.iteration`; did you mean `iterations`?"),
        (["steps=many"], "`steps` is 'many', expected an integer"),
        (["steps=1.5"], "`steps` is 1.5, expected an integer"),
        (["steps=0"], "steps: expected 1 to 100000000, got 0"),
        (["mode=fast"], "`mode` is 'fast', expected one of 'reduced', 'expression', 'local'"),
        (["layer=maybe"], "`layer` is 'maybe', expected true or false"),
        (["refine=1"], "refine is a group of settings; give one of them, such as refine.size=VALUE"),
        (['steps=a"b'], "steps: 'a\"b' is not a value; give a number, true, false or a word"),
        (
            [f"seed={','.join(map(str, range(200)))}", f"steps={','.join(map(str, range(1, 52)))}"],
            "10200 combinations, more than 10000; give fewer values",
        ),
    ],
)
def test_what_is_no_setting_gives_a_sentence(entries: list[str], sentence: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        parse_settings(entries)
    assert str(caught.value) == f"--set: {sentence}"


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000, "1\nseed = 2", "\x00", "\ud800"])
def test_a_hostile_value_gives_a_sentence(text: str) -> None:
    with pytest.raises(HeadsplatError, match=r"^--set: "):
        parse_settings([f"steps={text}"])


# Rows


@pytest.fixture
def setup(tmp_path: Path) -> FleetSetup:
    return FleetSetup(str(tmp_path), Store(str(tmp_path / "out")), Needs(), 60.0)


def no_options(command: str, row: ManifestRow) -> Sequence[Argument]:
    return [f"--of-{command}", row.name]


def jobs(row: Row) -> list[Job]:
    """The jobs of a row, which run one after another."""
    assert row.failure is None
    batches = list(row.steps())
    assert all(len(batch) == 1 for batch in batches) and batches[-1][0] == row.final
    return [batch[0] for batch in batches]


def one_row(setup: FleetSetup, **columns: Any) -> tuple[Setting, Row]:
    settings = parse_settings(["steps=20"])
    (found,) = sweep_rows([ManifestRow("anna", "people.csv: line 2", columns)], settings, setup, no_options)
    return settings[0], found


def test_a_video_is_captured_once_then_trained_and_scored_with_each_setting(setup: FleetSetup) -> None:
    setting, found = one_row(setup, source="a.mp4")
    place = f"sweep/anna/{setting.name}"
    capture, train, score = jobs(found)
    assert capture.key == "sweep/anna/capture"
    assert capture.command_line == ["capture", "a.mp4", "-o", "anna.capture", "--of-capture", "anna"]
    config = f"sweep/settings/{setting.name}.toml"
    captured = "sweep/anna/capture/anna.capture"
    trained = ["train", captured, "-o", "anna.avatar", "--of-train", "anna", "--config", config]
    assert (train.key, train.command_line) == (f"{place}/train", trained)
    assert train.inputs[0] == Input(setup.store.path(captured), captured, copied=True)
    assert train.inputs[1] == Input(setup.store.path(config), config)
    made = [f"{place}/train/anna.avatar", f"{place}/train/anna.capture"]
    scored = ["eval", *made, "--json", "anna.json", "--of-eval", "anna"]
    assert (score.key, score.command_line) == (f"{place}/eval", scored)
    assert all(job.time_limit == 60.0 and job.row == "anna" for job in (capture, train, score))


@pytest.mark.parametrize("column", ["source", "capture"])
def test_a_capture_is_trained_on_without_capturing(setup: FleetSetup, tmp_path: Path, column: str) -> None:
    (tmp_path / "a.capture").mkdir()
    setting, found = one_row(setup, **{column: "a.capture"})
    train, score = jobs(found)
    assert train.inputs[0] == Input(str(tmp_path / "a.capture"), "a.capture", copied=True)
    assert score.inputs[1].label == f"sweep/anna/{setting.name}/train/a.capture"


def test_a_capture_in_an_object_store_is_trained_on_without_capturing(setup: FleetSetup) -> None:
    url = "s3://bucket/a.capture"
    _, found = one_row(setup, source=url)
    train, score = jobs(found)
    assert train.inputs[0] == Input(url, url, copied=True) and score.inputs[1].label.endswith("/train/a.capture")


def test_every_row_meets_every_setting(setup: FleetSetup) -> None:
    rows = [ManifestRow(name, "people.csv", {"source": f"{name}.mp4"}) for name in ("anna", "ben")]
    settings = parse_settings(["steps=20,40"])
    found = sweep_rows(rows, settings, setup, no_options)
    assert [each.name for each in found] == [f"{name} {each.name}" for each in settings for name in ("anna", "ben")]
    assert len({each.final.key for each in found if each.final is not None}) == 4
    captures = {each.name.split()[0]: jobs(each)[0] for each in found}
    assert all(jobs(each)[0] == captures[each.name.split()[0]] for each in found)  # shared by all settings


def test_a_row_without_a_source_fails(setup: FleetSetup) -> None:
    _, found = one_row(setup, avatar="a.avatar")
    assert found.failure == "people.csv: line 2: no source; name a video or a capture in the column source"


def test_the_table_has_the_means_of_each_setting(setup: FleetSetup, tmp_path: Path) -> None:
    rows = [ManifestRow(name, "people.csv", {}) for name in ("anna", "ben")]
    settings = parse_settings(["steps=20,40", "mode=local"])
    for number, (name, setting) in enumerate((("anna", 0), ("ben", 0), ("anna", 1))):
        made = tmp_path / str(number)
        made.mkdir()
        (made / f"{name}.json").write_text(json.dumps({"driven": {"psnr": 20.0 + number}}))
        setup.store.publish(f"sweep/{name}/{settings[setting].name}/eval", made, {})
    table = sweep_table(setup.store, rows, settings)
    assert table.header == ("steps", "mode", "rows", "driven psnr")
    assert table.lines == (("20", '"local"', 2, 20.5), ("40", '"local"', 1, 22.0))
