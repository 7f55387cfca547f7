"""Rows of a manifest as jobs: their command lines, their inputs and the order in which they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avatar.fleet.jobs import Input, Job, Needs, Outcome
from avatar.fleet.manifest import ManifestRow
from avatar.fleet.rows import FORMATS, FleetSetup, Row, eval_row, render_row, train_row
from avatar.fleet.store import Store, sha256_of
from tests.avatar.fleet.objects import ObjectStore

NEEDS = Needs(2, 0.5, 10**9)
NO_AVATAR = (
    "no avatar has been trained for anna; run `headsplat fleet train` with the same -o first, or name a file in the "
    "column avatar"
)


@pytest.fixture
def setup(tmp_path: Path) -> FleetSetup:
    (tmp_path / "people").mkdir()
    return FleetSetup(str(tmp_path / "people"), Store(str(tmp_path / "out")), NEEDS, 60.0)


def row(**values: Any) -> ManifestRow:
    return ManifestRow("anna", "people.csv: line 2", values)


def final(found: Row) -> Job:
    assert found.failure is None and found.final is not None
    return found.final


def trained(setup: FleetSetup, folder: Path, name: str = "anna") -> Path:
    """Store an avatar as a training of `name` from a video does; returns its file."""
    made = folder / "made" / name
    (made / f"{name}.capture").mkdir(parents=True)
    (made / f"{name}.avatar").write_bytes(name.encode())
    (made / f"{name}.capture" / "capture.json").write_text("{}")
    setup.store.publish(f"train/{name}", made, {"row": name})
    return Path(setup.store.path(f"train/{name}/{name}.avatar"))


def test_a_training_reads_its_source_and_writes_the_avatar_of_its_row(setup: FleetSetup, tmp_path: Path) -> None:
    found = train_row(row(source="a.mp4"), setup, ["--seed", "7"])
    job = final(found)
    assert (job.key, job.row, job.needs, job.time_limit) == ("train/anna", "anna", NEEDS, 60.0)
    assert job.command_line == ["train", "a.mp4", "-o", "anna.avatar", "--seed", "7"]
    assert job.inputs == (Input(str(tmp_path / "people" / "a.mp4"), "a.mp4"),)
    assert list(found.steps()) == [[job]]


def test_a_training_reads_photos_and_files_elsewhere(setup: FleetSetup) -> None:
    job = final(train_row(row(source="front.jpg|/photos/left.jpg|s3://bucket/right.jpg"), setup, []))
    assert [each.url for each in job.inputs] == [
        f"{setup.base}/front.jpg",
        "/photos/left.jpg",
        "s3://bucket/right.jpg",
    ]
    assert [each.label for each in job.inputs] == ["front.jpg", "/photos/left.jpg", "s3://bucket/right.jpg"]
    assert not any(each.copied for each in job.inputs)


def test_a_file_url_is_a_path(setup: FleetSetup) -> None:
    assert setup.located("file:///videos/a.mp4") == Input("/videos/a.mp4", "file:///videos/a.mp4")


def test_paths_of_a_manifest_at_a_url_start_there(tmp_path: Path) -> None:
    setup = FleetSetup("s3://bucket/people/", Store(str(tmp_path)), NEEDS)
    assert setup.located("clips/a.mp4") == Input("s3://bucket/people/clips/a.mp4", "clips/a.mp4")


def test_captures_are_copied_because_training_writes_into_them(setup: FleetSetup, tmp_path: Path) -> None:
    (tmp_path / "people" / "a.capture").mkdir()
    for values in (
        {"source": ["a.capture", "s3://bucket/b.capture/"]},
        {"capture": "a.capture|s3://bucket/b.capture/"},
    ):
        job = final(train_row(row(**values), setup, []))
        assert [each.copied for each in job.inputs] == [True, True]
    assert not final(train_row(row(source="s3://bucket/b.mp4"), setup, [])).inputs[0].copied


def test_a_training_without_a_source_fails(setup: FleetSetup) -> None:
    found = train_row(row(avatar="a.avatar"), setup, [])
    assert found.final is None and list(found.steps()) == []
    assert found.failure == "people.csv: line 2: no source; name a video, photos or captures in the column source"


def test_an_evaluation_is_of_what_the_row_has_trained(setup: FleetSetup, tmp_path: Path) -> None:
    file = trained(setup, tmp_path)
    found = eval_row(row(source="a.mp4"), setup, ["--size", "64"])
    job = final(found)
    avatar, capture = "train/anna/anna.avatar", "train/anna/anna.capture"
    outputs = ["--json", "anna.json", "--markdown", "anna.md"]
    assert job.command_line == ["eval", avatar, capture, *outputs, "--size", "64"]
    assert job.inputs == (Input(str(file), avatar, sha256=sha256_of(file)), Input(setup.store.path(capture), capture))
    assert job.key == "eval/anna" and list(found.steps()) == [[job]]


def test_an_evaluation_is_of_what_the_row_names(setup: FleetSetup, tmp_path: Path) -> None:
    trained(setup, tmp_path, "ben")
    named = final(eval_row(row(avatar="a.avatar", capture="a.capture"), setup, []))
    assert [each.url for each in named.inputs] == [f"{setup.base}/a.avatar", f"{setup.base}/a.capture"]
    other = final(eval_row(row(avatar="ben"), setup, []))
    assert [each.label for each in other.inputs] == ["train/ben/ben.avatar", "train/ben/ben.capture"]
    mixed = final(eval_row(row(avatar="ben", capture="a.capture"), setup, []))
    assert [each.label for each in mixed.inputs] == ["train/ben/ben.avatar", "a.capture"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, NO_AVATAR),
        ({"avatar": "carl"}, NO_AVATAR.replace("anna", "carl")),
        (
            {"avatar": "a.avatar"},
            "people.csv: line 2: no capture; name the avatar's capture folder in the column capture",
        ),
        (
            {"avatar": "a.avatar|b.avatar", "capture": "c"},
            "people.csv: line 2: expected one avatar, got 2; give each a row of its own",
        ),
    ],
)
def test_an_evaluation_without_what_it_reads_fails(setup: FleetSetup, values: dict[str, Any], sentence: str) -> None:
    found = eval_row(row(**values), setup, [])
    assert (found.final, found.failure) == (None, sentence)


def test_an_avatar_in_an_object_store_is_found_by_its_record(
    objects: type[ObjectStore], setup: FleetSetup, tmp_path: Path
) -> None:
    remote = FleetSetup(setup.base, Store("objects://bucket/out"), NEEDS)
    trained(remote, tmp_path)
    avatar, capture = final(eval_row(row(), remote, [])).inputs
    assert avatar.url == "objects://bucket/out/train/anna/anna.avatar" and avatar.sha256 is not None
    assert capture == Input("objects://bucket/out/train/anna/anna.capture", "train/anna/anna.capture")


def test_an_avatar_of_damaged_files_counts_as_not_trained(setup: FleetSetup, tmp_path: Path) -> None:
    trained(setup, tmp_path).write_bytes(b"damaged")
    assert eval_row(row(), setup, []).failure == NO_AVATAR


def test_a_film_is_of_its_avatars_along_its_motion(setup: FleetSetup, tmp_path: Path) -> None:
    trained(setup, tmp_path, "ben")
    found = render_row(row(avatar="a.avatar|ben|sub/c", motion="take.csv"), setup, ["--fps", "25"], ".mp4", None)
    job = final(found)
    columns = ["a.avatar", "train/ben/ben.avatar", "sub/c"]
    assert job.command_line == ["render", *columns, "--motion", "take.csv", "-o", "anna.mp4", "--fps", "25"]
    assert [each.sha256 is not None for each in job.inputs] == [False, True, False, False]
    assert job.key == "render/anna" and list(found.steps()) == [[job]]


def test_a_film_without_an_avatar_is_of_what_the_row_has_trained(setup: FleetSetup, tmp_path: Path) -> None:
    assert render_row(row(motion="take.csv"), setup, [], ".mp4", None).failure == NO_AVATAR
    trained(setup, tmp_path)
    job = final(render_row(row(motion="take.csv"), setup, [], FORMATS["frames"], None))
    assert job.command_line == ["render", "train/anna/anna.avatar", "--motion", "take.csv", "-o", "anna"]


@pytest.mark.parametrize(("values", "number"), [({}, 0), ({"motion": "a.csv|b.csv"}, 2)])
def test_a_film_has_one_motion(setup: FleetSetup, values: dict[str, Any], number: int) -> None:
    found = render_row(row(avatar="a.avatar", **values), setup, [], ".mp4", None)
    assert found.failure == f"people.csv: line 2: expected one motion, got {number}; name it in the column motion"


def test_a_long_film_is_rendered_in_pieces_and_joined(setup: FleetSetup) -> None:
    found = render_row(row(avatar="a.avatar", motion="take.csv"), setup, ["--fps", "25"], ".mp4", 120)
    job = final(found)
    steps = found.steps()
    (first,) = next(steps)
    assert first.key == "pieces/anna/0" and first.whole == job
    assert first.command_line == [*job.command_line, "--frames", "0:120"]
    others = steps.send([Outcome(first.key, None, frames=300)])
    assert [(each.key, each.frames, each.whole) for each in others] == [
        ("pieces/anna/1", "120:240", None),
        ("pieces/anna/2", "240:300", None),
    ]
    assert [each.command_line[-2:] for each in others] == [["--frames", "120:240"], ["--frames", "240:300"]]
    assert all(each.needs == NEEDS and each.time_limit == 60.0 for each in (first, *others))
    (joined,) = steps.send([Outcome(each.key, None) for each in others])
    assert joined.pieces == ("pieces/anna/0", "pieces/anna/1", "pieces/anna/2")
    assert (joined.key, joined.command_line) == (job.key, job.command_line)
    with pytest.raises(StopIteration):
        steps.send([Outcome(joined.key, None)])


def test_a_short_film_is_its_first_piece(setup: FleetSetup) -> None:
    steps = render_row(row(avatar="a.avatar", motion="take.csv"), setup, [], ".mp4", 120).steps()
    (first,) = next(steps)
    with pytest.raises(StopIteration):
        steps.send([Outcome(first.key, None, frames=100, whole=True)])


def test_a_film_can_be_planned_again(setup: FleetSetup) -> None:
    found = render_row(row(avatar="a.avatar", motion="take.csv"), setup, [], ".mp4", 120)
    assert next(found.steps()) == next(found.steps())
