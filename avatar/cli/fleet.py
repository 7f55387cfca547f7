"""`headsplat fleet`: trains, renders, evaluates or compares settings for every row of a manifest, on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg, subcommand

from avatar.cli.fleet_run import ClusterOptions, exit_code, planned, prepared, run_rows, write_table
from avatar.cli.progress import say
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.training import CONSENT

if TYPE_CHECKING:
    from avatar.fleet.jobs import Argument
    from avatar.fleet.manifest import ManifestRow
    from avatar.fleet.rows import FleetSetup, Row

Manifest = Annotated[Positional[str], arg(metavar="MANIFEST")]
Store = Annotated[str, arg(aliases=["-o"], metavar="DIR|URL")]
#: Frames of a piece of a film: a few seconds of start-up to some ten of rendering.
PIECE = 600


@dataclass(frozen=True)
class FleetTrain:
    """Train an avatar for every row of a manifest that has a source."""

    manifest: Manifest
    """a .csv, .jsonl or .parquet file with a line for each person: name, source, and options as train.OPTION"""
    out: Store
    """folder, or URL of an object store such as s3://bucket/folder; finished rows in it are skipped"""
    cluster: Annotated[ClusterOptions, arg(name="")] = field(default_factory=ClusterOptions)

    def run(self) -> int:
        """Train all rows; returns the exit code."""
        from avatar.fleet.rows import train_row

        say(CONSENT)
        with prepared(self.manifest, self.out, self.cluster, "train") as (rows, setup):
            return exit_code(run_rows(planned(rows, "train", setup, train_row), setup, self.cluster, "train"))


@dataclass(frozen=True)
class FleetRender:
    """Render a film for every row of a manifest: its avatar, or what it has trained, along its motion."""

    manifest: Manifest
    """a .csv, .jsonl or .parquet file with a line for each film: name, avatar, motion, and options as render.OPTION"""
    out: Store
    """folder, or URL of an object store such as s3://bucket/folder; finished rows in it are skipped"""
    format: Literal["mp4", "mov", "webm", "frames"] = "mp4"
    """of the films, for rows without render.format; frames: a folder of images"""
    piece: Annotated[int, Between(0, 1_000_000)] = PIECE
    """frames of a piece: longer films are rendered in pieces anywhere and joined, with the same pixels; a multiple of
    120, where the encoders start anew; 0: never in pieces"""
    cluster: Annotated[ClusterOptions, arg(name="")] = field(default_factory=ClusterOptions)

    def run(self) -> int:
        """Render all rows; returns the exit code."""
        from avatar.fleet.film_pieces import MULTIPLE

        if self.piece % MULTIPLE:
            near = max(MULTIPLE, round(self.piece / MULTIPLE) * MULTIPLE)
            raise HeadsplatError(f"--piece {self.piece}: not a multiple of {MULTIPLE} frames; give {near}, for example")
        with prepared(self.manifest, self.out, self.cluster, "render") as (rows, setup):
            return exit_code(run_rows(planned(rows, "render", setup, self._row), setup, self.cluster, "render"))

    def _row(self, row: ManifestRow, setup: FleetSetup, options: Sequence[Argument]) -> Row:
        from avatar.fleet.rows import FORMATS, render_row

        name = str(row.options("render").get("format", self.format)).strip()
        if name not in FORMATS:
            raise HeadsplatError(f"{row.where}: render.format is {name!r:.40}; give one of {', '.join(FORMATS)}")
        return render_row(row, setup, options, FORMATS[name], self.piece or None)


@dataclass(frozen=True)
class FleetEval:
    """Score the avatar of every row of a manifest on its held-out frames, and write one table."""

    manifest: Manifest
    """a .csv, .jsonl or .parquet file with a line for each avatar: name, avatar and capture (default: what the row has
    trained), and options as eval.OPTION"""
    out: Store
    """folder, or URL of an object store such as s3://bucket/folder; finished rows in it are skipped"""
    cluster: Annotated[ClusterOptions, arg(name="")] = field(default_factory=ClusterOptions)

    def run(self) -> int:
        """Evaluate all rows; returns the exit code."""
        from avatar.fleet.rows import eval_row
        from avatar.fleet.scores import evaluation, table_of

        with prepared(self.manifest, self.out, self.cluster, "eval") as (rows, setup):
            failed = run_rows(planned(rows, "eval", setup, eval_row), setup, self.cluster, "eval")
            scores = (
                (row.name, evaluation(setup.store, f"eval/{row.name}", row.name))
                for row in rows
                if row.name not in failed
            )
            found = [((name,), [figures]) for name, figures in scores if figures]
            write_table(table_of(("name",), found), setup, "eval")
            return exit_code(failed)


@dataclass(frozen=True)
class FleetSweep:
    """Compare settings of the training: train and score every row of a manifest with every combination."""

    manifest: Manifest
    """a .csv, .jsonl or .parquet file with a line for each clip: name, source, and options as train.OPTION"""
    out: Store
    """folder, or URL of an object store such as s3://bucket/folder; finished combinations in it are skipped"""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KEY=VALUE,...")] = ()
    """a setting of the training (as in a configuration file) and the values to compare; repeat it for several"""
    cluster: Annotated[ClusterOptions, arg(name="")] = field(default_factory=ClusterOptions)

    def run(self) -> int:
        """Train and evaluate all combinations; returns the exit code."""
        from avatar.cli.fleet_options import sweep_arguments
        from avatar.fleet.sweep import parse_settings, sweep_rows, sweep_table

        settings = parse_settings(self.set)
        say(CONSENT)
        with prepared(self.manifest, self.out, self.cluster, "train") as (rows, setup):
            for setting in settings:
                setup.store.write_text(f"sweep/settings/{setting.name}.toml", setting.toml)
            swept = sweep_rows(rows, settings, setup, lambda command, row: sweep_arguments(command, row, setup))
            failed = run_rows(swept, setup, self.cluster, "sweep")
            write_table(sweep_table(setup.store, rows, settings, failed), setup, "sweep")
            return exit_code(failed)


@dataclass(frozen=True)
class FleetCommand:
    """Train, render or evaluate many rows of a manifest, on the cores of this machine or on a Ray cluster."""

    action: OmitArgPrefixes[
        Annotated[FleetTrain, subcommand("train", prefix_name=False)]
        | Annotated[FleetRender, subcommand("render", prefix_name=False)]
        | Annotated[FleetEval, subcommand("eval", prefix_name=False)]
        | Annotated[FleetSweep, subcommand("sweep", prefix_name=False)]
    ]

    def run(self) -> int:
        """Run the action; returns the exit code."""
        return self.action.run()
