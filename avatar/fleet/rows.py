"""Rows of a manifest as sequences of jobs: a training, an evaluation, or a film in pieces."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from avatar.errors import HeadsplatError
from avatar.fleet.film_pieces import ranges
from avatar.fleet.jobs import Argument, Input, Job, Needs, Outcome, Output
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.store import Store, is_url, local_path

#: Yields jobs that may run at the same time, receives their outcomes (all successful), and so on until the row is done.
Steps: TypeAlias = Generator[Sequence[Job], Sequence[Outcome], None]
FORMATS = {"mp4": ".mp4", "mov": ".mov", "webm": ".webm", "frames": ""}


@dataclass(frozen=True)
class Row:
    """One row of a fleet."""

    name: str
    final: Job | None  # whose record says that the row is done
    steps: Callable[[], Steps]
    failure: str | None = None  # why there is nothing to run


@dataclass(frozen=True)
class FleetSetup:
    """What the rows of one command have in common."""

    base: str  # folder or URL from which paths of the manifest start
    store: Store
    needs: Needs
    time_limit: float | None = None  # seconds, of each job

    def located(self, text: str, *, copied: bool = False) -> Input:
        """A file of the manifest."""
        if is_url(text) or Path(local_path(text)).is_absolute():
            return Input(local_path(text), text, copied)
        joined = f"{self.base.rstrip('/')}/{text}" if is_url(self.base) else str(Path(self.base, text))
        return Input(joined, text, copied)

    def job(self, key: str, row: str, arguments: Sequence[Argument]) -> Job:
        """A job with the needs and the limit of this command."""
        return Job(key, row, tuple(arguments), self.needs, self.time_limit)

    def trained(self, name: str) -> tuple[Input, str]:
        """The avatar that the row `name` has trained, and the name of its capture folder in the store.

        Raises:
            HeadsplatError: it has not been trained.
        """
        record = self.store.record(f"train/{name}")
        if record is None:
            raise HeadsplatError(
                f"no avatar has been trained for {name}; run `headsplat fleet train` with the same -o first, or name "
                "a file in the column avatar"
            )
        outputs = record["outputs"]
        file = f"{name}.avatar"
        captures = [
            str(PurePosixPath(entry).parent) for entry in outputs if PurePosixPath(entry).name == "capture.json"
        ]
        capture = f"train/{name}/{captures[0]}" if captures else ""
        label = f"train/{name}/{file}"
        return Input(self.store.path(label), label, sha256=outputs[file]["sha256"]), capture


def planned(row: ManifestRow, plan: Callable[[], tuple[Job, Callable[[], Steps]]]) -> Row:
    """The row of `plan`, or one that fails with the sentence that `plan` raises."""
    try:
        final, steps = plan()
    except HeadsplatError as error:
        return failed_row(row.name, str(error))
    return Row(row.name, final, steps)


def failed_row(name: str, reason: str) -> Row:
    """A row that cannot run."""
    return Row(name, None, _nothing, reason)


def train_row(row: ManifestRow, setup: FleetSetup, options: Sequence[Argument]) -> Row:
    """Training on the row's `source`: a video, photos, or capture folders, which are copied beside the avatar."""

    def plan() -> tuple[Job, Callable[[], Steps]]:
        sources = row.list_of("source") or row.list_of("capture")
        if not sources:
            raise HeadsplatError(f"{row.where}: no source; name a video, photos or captures in the column source")
        read = [setup.located(each) for each in sources]
        read = [replace(each, copied=is_folder(each.url)) for each in read]
        arguments = ["train", *read, "-o", Output(f"{row.name}.avatar"), *options]
        final = setup.job(f"train/{row.name}", row.name, arguments)
        return final, lambda: _single(final)

    return planned(row, plan)


def eval_row(row: ManifestRow, setup: FleetSetup, options: Sequence[Argument]) -> Row:
    """Evaluation of the row's avatar on its capture; by default of what the row has trained."""

    def plan() -> tuple[Job, Callable[[], Steps]]:
        avatars = row.list_of("avatar")
        captures = row.list_of("capture")
        if len(avatars) > 1:
            raise HeadsplatError(f"{row.where}: expected one avatar, got {len(avatars)}; give each a row of its own")
        avatar, stored = _avatar(row, setup, avatars[0]) if avatars else setup.trained(row.name)
        if not captures and not stored:
            raise HeadsplatError(f"{row.where}: no capture; name the avatar's capture folder in the column capture")
        capture = setup.located(captures[0]) if captures else Input(setup.store.path(stored), stored)
        outputs = ("--json", Output(f"{row.name}.json"), "--markdown", Output(f"{row.name}.md"))
        final = setup.job(f"eval/{row.name}", row.name, ["eval", avatar, capture, *outputs, *options])
        return final, lambda: _single(final)

    return planned(row, plan)


def render_row(
    row: ManifestRow, setup: FleetSetup, options: Sequence[Argument], suffix: str, length: int | None
) -> Row:
    """A film of the row's avatars along its motion.

    Args:
        row: of the manifest.
        setup: of the command.
        options: of `headsplat render`.
        suffix: of the film, one of FORMATS.
        length: frames of a piece, a multiple of `film_pieces.MULTIPLE`; None: never in pieces.
    """

    def plan() -> tuple[Job, Callable[[], Steps]]:
        names = row.list_of("avatar")
        motions = row.list_of("motion")
        if len(motions) != 1:
            raise HeadsplatError(f"{row.where}: expected one motion, got {len(motions)}; name it in the column motion")
        avatars = [_avatar(row, setup, each)[0] for each in names or [row.name]]
        film = Output(f"{row.name}{suffix}")
        arguments = ["render", *avatars, "--motion", setup.located(motions[0]), "-o", film, *options]
        final = setup.job(f"render/{row.name}", row.name, arguments)
        return final, lambda: _single(final) if length is None else _film(final, length)

    return planned(row, plan)


def _avatar(row: ManifestRow, setup: FleetSetup, text: str) -> tuple[Input, str]:
    """A file in the column avatar, or the name of a row that has trained one, and the capture of the latter."""
    is_file = text.lower().endswith(".avatar") or "/" in text or "\\" in text
    return (setup.located(text), "") if is_file else setup.trained(text)


def is_folder(url: str) -> bool:
    """Whether a source is a folder; at a URL its name decides."""
    if is_url(url):  # without asking the object store for each row
        return PurePosixPath(url).suffix.lower() in ("", ".capture")
    return Path(url).is_dir()


def _nothing() -> Steps:
    yield from ()


def _single(job: Job) -> Steps:
    yield [job]


def _film(final: Job, length: int) -> Steps:
    """The first piece, whose report has the length of the film, then the others, then the joined film."""
    name = final.row
    first = final.piece(f"pieces/{name}/0", f"0:{length}", first=True)
    (outcome,) = yield [first]
    if outcome.whole:
        return
    assert outcome.frames is not None
    spans = ranges(outcome.frames, length)
    others = [final.piece(f"pieces/{name}/{number}", span, first=False) for number, span in enumerate(spans[1:], 1)]
    yield others
    yield [replace(final, pieces=(first.key, *(each.key for each in others)))]
