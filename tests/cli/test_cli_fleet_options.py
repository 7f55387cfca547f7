"""Columns of a manifest as options of single commands, and the faults of a fleet's own options; nothing runs here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import pytest

from avatar import cli
from avatar.cli import fleet_options
from avatar.cli.commands import parse
from avatar.cli.evaluate import EvalCommand
from avatar.cli.fleet import FleetCommand, FleetRender, FleetSweep, FleetTrain
from avatar.cli.fleet_options import check_columns, row_arguments, sweep_arguments
from avatar.cli.fleet_run import PROBE, ClusterOptions, planned, prepared
from avatar.cli.render import RenderCommand
from avatar.cli.train import TrainCommand
from avatar.errors import HeadsplatError
from avatar.fleet.jobs import Argument, Input, Needs
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.rows import FleetSetup, Row, failed_row
from avatar.fleet.store import Store
from avatar.jobs.evaluating import EvaluateOptions
from avatar.jobs.training import TrainOptions


@pytest.fixture
def setup(tmp_path: Path) -> FleetSetup:
    return FleetSetup(str(tmp_path), Store(str(tmp_path / "out")), Needs())


def row(**values: Any) -> ManifestRow:
    """A row; __ in a name stands for the dot."""
    return ManifestRow("anna", "people.csv: line 2", {key.replace("__", "."): value for key, value in values.items()})


def texts(arguments: list[Argument]) -> list[str]:
    """Arguments as a worker on this machine passes them."""
    return [each.url if isinstance(each, Input) else str(each) for each in arguments]


def parsed(command: str, setup: FleetSetup, **values: Any) -> Any:
    """The command that the options of a row give; names are those of the command's options."""
    given = row(**{f"{command}__{key}": value for key, value in values.items()})
    check_columns([given], "people.csv")
    needed = {
        "train": ["train", "a.mp4", "-o", "a.avatar"],
        "render": ["render", "a.avatar", "--motion", "take.csv", "-o", "a.mp4"],
        "eval": ["eval", "a.avatar", "a.capture"],
    }[command]
    return parse([*needed, *texts(row_arguments(command, given, setup))])


def failure(column: str, value: Any = "x") -> str:
    with pytest.raises(HeadsplatError) as caught:
        check_columns([ManifestRow("anna", "people.csv: line 2", {"name": "anna", column: value})], "people.csv")
    return str(caught.value)


def test_options_of_train_give_its_command(setup: FleetSetup) -> None:
    found = parsed("train", setup, size="256", seed=7, max_seconds=1.5, preset="fast", refine="no", test_fraction=0.2)
    base = TrainCommand((Path("a.mp4"),), Path("a.avatar"))
    assert found == dataclasses.replace(
        base,
        options=TrainOptions(size=256, seed=7, max_seconds=1.5, preset="fast", refine=False, test_fraction=0.2),
    )


def test_options_of_render_and_of_its_groups_give_its_command(setup: FleetSetup) -> None:
    options = {"size": 300.0, "relight": "studio", "relight-turn": -90, "soft-clamp": False, "background": "#102030"}
    found = parsed("render", setup, **options, gain=["mouth=1.2", "head=.5"], fps=29.97)
    assert isinstance(found, RenderCommand)
    given = found.options
    assert given.image.size == "300"  # Parquet stores whole numbers so where some are missing
    assert (given.light.relight, given.light.relight_turn) == ("studio", -90.0)
    assert not given.motion_options.soft_clamp and given.motion_options.gain == ("mouth=1.2", "head=.5")
    assert given.image.background == "#102030" and given.fps == 29.97


def test_options_of_eval_give_its_command(setup: FleetSetup) -> None:
    found = parsed("eval", setup, size=128, landmarks="false", lpips="alex", device="cpu")
    base = EvalCommand(Path("a.avatar"), Path("a.capture"))
    assert found == dataclasses.replace(
        base, options=EvaluateOptions(size=128, landmarks=False, lpips="alex", device="cpu")
    )


def test_a_row_gives_only_the_options_of_the_command(setup: FleetSetup) -> None:
    mixed = row(name="anna", source="a.mp4", train__seed=1, eval__size=64, render__fps=25)
    assert row_arguments("train", mixed, setup) == ["--seed", "1"]
    assert row_arguments("eval", mixed, setup) == ["--size", "64"]
    assert row_arguments("render", row(render__format="mov"), setup) == []  # of the fleet


@pytest.mark.parametrize("given", [True, "true", "Yes", "1", 1, 1.0])
def test_a_boolean_that_is_the_default_gives_no_flag(setup: FleetSetup, given: Any) -> None:
    assert row_arguments("train", row(train__refine=given), setup) == []


@pytest.mark.parametrize("given", [False, "FALSE", "no", "0", 0, 0.0])
def test_a_boolean_that_is_not_the_default_gives_a_flag(setup: FleetSetup, given: Any) -> None:
    assert row_arguments("train", row(train__refine=given), setup) == ["--no-refine"]
    assert row_arguments("render", row(**{"render__soft-clamp": given}), setup) == ["--no-soft-clamp"]


def test_a_boolean_that_is_off_by_default_gives_its_own_flag(
    setup: FleetSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclasses.dataclass(frozen=True)
    class Options:
        dry_run: bool = False
        size: Annotated[int | None, "pixels"] = None

    monkeypatch.setitem(fleet_options._JOBS, "train", Options)
    assert row_arguments("train", row(train__dry_run="yes"), setup) == ["--dry-run"]
    assert row_arguments("train", row(train__dry_run="no"), setup) == []


@pytest.mark.parametrize("given", ["maybe", 2, "-1", [True]])
def test_what_is_neither_true_nor_false_is_refused(setup: FleetSetup, given: Any) -> None:
    with pytest.raises(HeadsplatError) as caught:
        row_arguments("eval", row(eval__landmarks=given), setup)
    assert str(caught.value) == f"people.csv: line 2: eval.landmarks is {str(given)!r}; give true or false"


def test_a_path_is_an_input_beside_the_manifest(setup: FleetSetup, tmp_path: Path) -> None:
    config = Input(str(tmp_path / "fast.toml"), "fast.toml")
    assert row_arguments("train", row(train__config="fast.toml"), setup) == ["--config", config]
    assert parsed("train", setup, config="fast.toml").options.config == tmp_path / "fast.toml"
    audio = Input("/sounds/a.wav", "/sounds/a.wav")
    assert row_arguments("render", row(render__audio="/sounds/a.wav"), setup) == ["--audio", audio]
    remote = Input("s3://bucket/a.wav", "s3://bucket/a.wav")
    assert row_arguments("render", row(render__audio="s3://bucket/a.wav"), setup) == ["--audio", remote]


@pytest.mark.parametrize(
    "column",
    ["render.background", "render.camera", "render.relight", "render.motion-head", "train.head", "train.perceptual",
     "eval.lpips"],
)  # fmt: skip
def test_a_text_that_names_an_existing_file_is_an_input(setup: FleetSetup, tmp_path: Path, column: str) -> None:
    command, flag = column.split(".")
    arguments = row_arguments(command, row(**{column: "a.file"}), setup)
    assert arguments == [f"--{flag}", "a.file"]
    (tmp_path / "a.file").touch()
    arguments = row_arguments(command, row(**{column: "a.file"}), setup)
    assert arguments == [f"--{flag}", Input(str(tmp_path / "a.file"), "a.file")]
    url = "s3://bucket/a.file"
    assert row_arguments(command, row(**{column: url}), setup) == [f"--{flag}", Input(url, url)]


def test_a_text_that_names_no_file_by_its_meaning_stays_text(setup: FleetSetup, tmp_path: Path) -> None:
    (tmp_path / "smile").touch()
    (tmp_path / "white").mkdir()
    assert row_arguments("render", row(render__appearance="smile"), setup) == ["--appearance", "smile"]
    assert row_arguments("render", row(render__background="white"), setup) == ["--background", "white"]


def test_a_text_of_a_manifest_at_a_url_is_not_searched_for(tmp_path: Path) -> None:
    setup = FleetSetup("s3://bucket/manifests", Store(str(tmp_path)), Needs())
    assert row_arguments("render", row(render__background="white"), setup) == ["--background", "white"]
    remote = Input("s3://bucket/manifests/a.wav", "a.wav")
    assert row_arguments("render", row(render__audio="a.wav"), setup) == ["--audio", remote]


def test_a_list_repeats_an_option_that_can_be(setup: FleetSetup) -> None:
    assert row_arguments("render", row(render__gain=["a=1", "b=2"]), setup) == ["--gain", "a=1", "--gain", "b=2"]
    assert row_arguments("render", row(render__passes=["rgb"]), setup) == ["--passes", "rgb"]
    with pytest.raises(HeadsplatError) as caught:
        row_arguments("render", row(render__passes=["rgb", "depth"]), setup)
    assert str(caught.value) == "people.csv: line 2: render.passes has 2 values; give one"


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("train.sead", "`headsplat train` has no such option; did you mean train.seed?"),
        ("train.max-second", "`headsplat train` has no such option; did you mean train.max-seconds?"),
        ("train.", "`headsplat train` has no such option; see `headsplat train --help`"),
        ("eval.fps", "`headsplat eval` has no such option; see `headsplat eval --help`"),
        ("train.out", "`headsplat fleet` gives this option itself; remove the column"),
        ("train.resume", "`headsplat fleet` gives this option itself; remove the column"),
        ("render.frames", "`headsplat fleet` gives this option itself; remove the column"),
        ("eval.save-images", "`headsplat fleet` gives this option itself; remove the column"),
        ("seed", "unknown; write train.seed"),
        ("size", "unknown; write train.size or render.size or eval.size"),
        ("max-seconds", "unknown; write train.max-seconds"),
        (
            "age",
            "unknown; known are name, source, avatar, motion, capture and COMMAND.OPTION, such as train.seed",
        ),
        (
            "capture.passes",
            "unknown; known are name, source, avatar, motion, capture and COMMAND.OPTION, such as train.seed",
        ),
    ],
)
def test_a_column_that_no_command_knows_gives_a_sentence(column: str, sentence: str) -> None:
    assert failure(column) == f"people.csv: column {column}: {sentence}"


def test_a_column_without_a_name_is_refused() -> None:
    assert failure("") == "people.csv: a column with values has no name; write one into the header"


def test_every_reserved_option_is_one_of_its_command() -> None:
    commands = {"train": TrainCommand, "render": RenderCommand, "eval": EvalCommand}
    for command, reserved in fleet_options._RESERVED.items():
        names = {option.name for option in fleet_options._options(commands[command])}
        assert reserved <= names and reserved.isdisjoint(fleet_options._known(command))


def test_a_sweep_captures_with_the_capture_options_and_holds_out_a_fifth(setup: FleetSetup) -> None:
    given = row(source="a.mp4", train__passes=2, train__framing="bust", train__seed=3, eval__size=64)
    capture = sweep_arguments("capture", given, setup)
    assert capture == ["--passes", "2", "--framing", "bust", "--test-fraction", "0.2"]
    assert sweep_arguments("train", given, setup) == ["--seed", "3"]
    assert sweep_arguments("eval", given, setup) == ["--size", "64"]


def test_a_sweep_holds_out_what_the_row_says(setup: FleetSetup) -> None:
    for column, value in (("train.test-every", 5), ("train.test_yaw", 15), ("train.test-fraction", 0.5)):
        flag = "--" + column.removeprefix("train.").replace("_", "-")
        assert sweep_arguments("capture", row(**{column: value}), setup) == [flag, str(value)]
        assert sweep_arguments("train", row(**{column: value}), setup) == []


def test_a_bad_option_fails_its_row_alone(setup: FleetSetup) -> None:
    rows = [row(train__refine="maybe"), ManifestRow("ben", "people.csv: line 3", {"train.seed": 1})]
    given: list[list[Argument]] = []

    def plan(row: ManifestRow, _: FleetSetup, arguments: list[Argument]) -> Row:
        given.append(arguments)
        return failed_row(row.name, "planned")

    found = planned(rows, "train", setup, plan)
    assert [(each.name, each.failure) for each in found] == [
        ("anna", "people.csv: line 2: train.refine is 'maybe'; give true or false"),
        ("ben", "planned"),
    ]
    assert given == [["--seed", "1"]]


@pytest.mark.parametrize(("given", "suffix"), [({}, ".mov"), ({"render__format": "frames"}, "")])
def test_the_format_of_a_film_is_that_of_its_row_or_of_the_command(
    setup: FleetSetup, given: dict[str, Any], suffix: str
) -> None:
    command = FleetRender("people.csv", "out", format="mov")
    found = command._row(row(avatar="a.avatar", motion="take.csv", **given), setup, [])
    assert found.final is not None and f"anna{suffix}" in found.final.command_line


def test_an_unknown_format_is_refused(setup: FleetSetup) -> None:
    with pytest.raises(HeadsplatError, match=r"line 2: render\.format is 'gif'; give one of mp4, mov, webm, frames"):
        FleetRender("people.csv", "out")._row(row(render__format="gif"), setup, [])


@pytest.mark.parametrize(("piece", "near"), [("500", 480), ("1", 120), ("900001", 900000)])
def test_a_piece_that_no_encoder_starts_at_is_refused_before_the_manifest_is_read(
    capsys: pytest.CaptureFixture[str], piece: str, near: int
) -> None:
    assert cli.main(["fleet", "render", "none.csv", "-o", "out", "--piece", piece]) == 1
    sentence = f"--piece {piece}: not a multiple of 120 frames; give {near}, for example"
    assert capsys.readouterr().err.splitlines()[-1] == f"headsplat: {sentence}"


def test_relative_folders_are_made_absolute_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.fleet.ray_cluster.check_installed", lambda: None)
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("name,source\nanna,a.mp4\n")
    for manifest, out in (("people.csv", "out"), (f"file://{tmp_path}/people.csv", f"file://{tmp_path}/out")):
        with prepared(manifest, out, ClusterOptions(time_limit=5.0), "train") as (rows, setup):
            assert [each.name for each in rows] == ["anna"]
            assert setup == FleetSetup(
                str(tmp_path), Store(str(tmp_path / "out")), ClusterOptions().needs("train"), 5.0
            )
            assert (tmp_path / "out" / PROBE).is_file()


def test_a_second_fleet_with_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.fleet.ray_cluster.check_installed", lambda: None)
    (tmp_path / "people.csv").write_text("name,source\nanna,a.mp4\n")
    arguments = str(tmp_path / "people.csv"), str(tmp_path / "out"), ClusterOptions()
    with (
        prepared(*arguments, "train"),
        pytest.raises(HeadsplatError, match=r"out: another headsplat command is writing it"),
    ):
        prepared(*arguments, "eval").__enter__()


def test_a_manifest_with_a_fault_creates_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.fleet.ray_cluster.check_installed", lambda: None)
    (tmp_path / "people.csv").write_text("name,sauce\nanna,a.mp4\n")
    with pytest.raises(HeadsplatError, match="column sauce: unknown"):
        prepared(str(tmp_path / "people.csv"), str(tmp_path / "out"), ClusterOptions(), "train").__enter__()
    assert not (tmp_path / "out").exists()


def test_a_sweep_without_settings_is_refused_before_the_manifest_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fleet", "sweep", "none.csv", "-o", "out"]) == 1
    assert "--set: no setting; give the values to compare" in capsys.readouterr().err


def test_the_command_line_gives_the_actions_and_their_needs() -> None:
    command = parse(["fleet", "train", "p.csv", "-o", "out", "--row-cores", "2", "--gpus", "0.5", "--memory", "1.5"])
    assert isinstance(command, FleetCommand) and isinstance(command.action, FleetTrain)
    assert command.action.cluster.needs("train") == Needs(2, 0.5, 1_500_000_000)
    assert ClusterOptions().needs("train").memory > 10**9  # measured
    sweep = parse(["fleet", "sweep", "p.csv", "-o", "out", "--set", "steps=1,2", "--set", "seed=3"])
    assert isinstance(sweep, FleetCommand) and isinstance(sweep.action, FleetSweep)
    assert sweep.action.set == ("steps=1,2", "seed=3")
