"""Sweeps: every combination of settings of the training, on every row of a manifest, in one table."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatar.common.toml_config import apply_values, toml_reader
from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Argument, Input, Job, Output
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.rows import FleetSetup, Row, Steps, is_folder, planned
from avatar.fleet.scores import Table, evaluation, table_of
from avatar.fleet.store import Store
from avatar.training.config import TrainConfig

_MAX = 10_000
_KEY = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")


@dataclass(frozen=True)
class Setting:
    """One combination of values of the training's settings."""

    values: Mapping[str, str]  # dotted key -> value as TOML

    @property
    def toml(self) -> str:
        """The settings as a configuration file, by name: the order in which they are given is no other setting."""
        return "".join(f"{key} = {value}\n" for key, value in sorted(self.values.items()))

    @property
    def name(self) -> str:
        """Eight hexadecimal digits that only these values have."""
        return hashlib.sha256(self.toml.encode()).hexdigest()[:8]


def parse_settings(entries: Sequence[str]) -> list[Setting]:
    """All combinations of entries such as `steps=2000,4000` or `refine.iterations=4,8`.

    Raises:
        HeadsplatError: not such an entry, a setting that a training does not have, or a value that it does not accept.
    """
    choices: dict[str, list[str]] = {}
    for entry in entries:
        key, separator, text = entry.partition("=")
        key = key.strip()
        values = list(dict.fromkeys(value.strip() for value in text.split(",")))
        if not separator or not _KEY.fullmatch(key) or not all(value and value.isprintable() for value in values):
            raise HeadsplatError(
                f"--set: {entry!r:.60} is not a setting; give KEY=VALUE,VALUE, such as steps=2000,4000"
            )
        if key in choices:
            raise HeadsplatError(f"--set: {key} is given twice; give all its values at once")
        choices[key] = [_toml_value(key, value) for value in values]
    if not choices:
        raise HeadsplatError("--set: no setting; give the values to compare, such as --set steps=2000,4000")
    if (count := math.prod(len(values) for values in choices.values())) > _MAX:
        raise HeadsplatError(f"--set: {count} combinations, more than {_MAX}; give fewer values")
    return [Setting(dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())]


def _toml_value(key: str, text: str) -> str:
    """A value as TOML, checked against the settings of a training; text may be without quotes."""
    failure: HeadsplatError | None = None
    if dataclasses.is_dataclass(group := getattr(TrainConfig(), key, None)):
        one = dataclasses.fields(group)[0].name
        raise HeadsplatError(f"--set: {key} is a group of settings; give one of them, such as {key}.{one}=VALUE")
    text = f"0{text}" if text.startswith(".") else text  # TOML has no .5
    for toml in (text, f'"{text}"'):
        try:
            content = toml_reader.loads(f"{key} = {toml}\n")
        except (ValueError, RecursionError):  # not TOML, an integer of thousands of digits, deep nesting
            continue
        try:
            apply_values(TrainConfig(), content, "--set")
        except HeadsplatError as error:
            failure = failure or error
        else:
            return toml
    raise failure or HeadsplatError(f"--set: {key}: {text!r:.40} is not a value; give a number, true, false or a word")


def sweep_rows(
    rows: Sequence[ManifestRow],
    settings: Sequence[Setting],
    setup: FleetSetup,
    options: Callable[[str, ManifestRow], Sequence[Argument]],
) -> list[Row]:
    """A row for each row of the manifest and each setting: capture once, train with the setting, evaluate.

    Args:
        rows: of the manifest.
        settings: to compare.
        setup: of the command.
        options: the row's options for `capture`, `train` or `eval` as arguments.
    """
    return [
        planned(
            ManifestRow(_name(row, setting), row.where, row.values),
            lambda row=row, setting=setting: _plan(row, setting, setup, options),  # type: ignore[misc]
        )
        for setting in settings
        for row in rows
    ]


def sweep_table(
    store: Store, rows: Sequence[ManifestRow], settings: Sequence[Setting], without: Container[str] = ()
) -> Table:
    """The settings with the means over all rows that have been evaluated.

    Args:
        store: with the evaluations.
        rows: of the manifest.
        settings: that were compared, at least one.
        without: names (of row and setting) that are left out.
    """
    labels = (*settings[0].values, "rows")
    lines = []
    for setting in settings:
        chosen = [row for row in rows if _name(row, setting) not in without]
        found = [evaluation(store, f"{_place(row, setting)}/eval", row.name) for row in chosen]
        found = [each for each in found if each]
        lines.append(((*setting.values.values(), len(found)), found))
    return table_of(labels, lines)


def _name(row: ManifestRow, setting: Setting) -> str:
    return f"{row.name} {setting.name}"


def _place(row: ManifestRow, setting: Setting) -> str:
    return f"sweep/{row.name}/{setting.name}"


def _plan(
    row: ManifestRow,
    setting: Setting,
    setup: FleetSetup,
    options: Callable[[str, ManifestRow], Sequence[Argument]],
) -> tuple[Job, Callable[[], Steps]]:
    sources = row.list_of("source") or row.list_of("capture")
    if not sources:
        raise HeadsplatError(f"{row.where}: no source; name a video or a capture in the column source")
    read = [setup.located(each) for each in sources]
    place = _place(row, setting)
    label = f"sweep/{row.name}/capture/{row.name}.capture"
    capture: Job | None = None
    trained_on = Input(setup.store.path(label), label, copied=True)
    if len(read) == 1 and is_folder(read[0].url):
        trained_on = setup.located(sources[0], copied=True)
    else:
        arguments = ["capture", *read, "-o", Output(f"{row.name}.capture"), *options("capture", row)]
        capture = setup.job(f"sweep/{row.name}/capture", row.name, arguments)
    config = f"sweep/settings/{setting.name}.toml"
    train = setup.job(
        f"{place}/train",
        row.name,
        ["train", trained_on, "-o", Output(f"{row.name}.avatar"), *options("train", row),
         "--config", Input(setup.store.path(config), config)],
    )  # fmt: skip
    made = [f"{place}/train/{name}" for name in (f"{row.name}.avatar", Path(trained_on.url).name)]
    tested = [Input(setup.store.path(name), name) for name in made]
    final = setup.job(
        f"{place}/eval", row.name, ["eval", *tested, "--json", Output(f"{row.name}.json"), *options("eval", row)]
    )
    return final, lambda: _steps([job for job in (capture, train, final) if job is not None])


def _steps(jobs: Sequence[Job]) -> Steps:
    for job in jobs:
        yield [job]
