"""Inputs of jobs: what counts as the same as before, and what a worker fetches."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avatar.errors import HeadsplatError
from avatar.fleet.inputs import fetch, is_current, state_of
from avatar.fleet.jobs import Input, Job, Output
from avatar.fleet.store import file_system, sha256_of
from tests.avatar.fleet.objects import ObjectStore


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    return path


def job_of(argument: Input, *options: str) -> Job:
    return Job("train/anna", "anna", ("train", argument, "-o", Output("anna.avatar"), *options))


def record_of(job: Job, folder: Path) -> dict[str, Any]:
    """The record that a worker writes after the job."""
    inputs = {
        each.label: {"state": state_of(each.url), "sha256": each.sha256 or sha256_of(fetch(each, folder, number))}
        for number, each in enumerate(job.inputs)
    }
    return {"arguments": job.command_line, "inputs": inputs}


def test_a_job_is_current_after_it_ran(video: Path, tmp_path: Path) -> None:
    job = job_of(Input(str(video), "a.mp4"))
    assert is_current(job, record_of(job, tmp_path)) is None


def test_a_job_with_other_options_is_not_current(video: Path, tmp_path: Path) -> None:
    job = job_of(Input(str(video), "a.mp4"), "--seed", "1")
    for options in (("--seed", "2"), (), ("--seed", "1", "--no-refine")):
        assert is_current(job_of(job.inputs[0], *options), record_of(job, tmp_path)) == "with other options"
    assert (
        is_current(job_of(Input(str(video), "b.mp4"), "--seed", "1"), record_of(job, tmp_path)) == "with other options"
    )


def test_a_job_in_a_moved_folder_is_current(video: Path, tmp_path: Path) -> None:
    job = job_of(Input(str(video), "a.mp4"))
    record = record_of(job, tmp_path)
    moved = tmp_path / "moved" / "a.mp4"
    moved.parent.mkdir()
    video.rename(moved)
    assert is_current(job_of(Input(str(moved), "a.mp4")), record) is None


def test_a_touched_file_with_equal_content_is_current(video: Path, tmp_path: Path) -> None:
    job = job_of(Input(str(video), "a.mp4"))
    record = record_of(job, tmp_path)
    os.utime(video, (1, 1))
    assert is_current(job, record) is None


@pytest.mark.parametrize("content", [b"other", b"videos", b""])
def test_a_file_with_another_content_is_not_current(video: Path, tmp_path: Path, content: bytes) -> None:
    job = job_of(Input(str(video), "a.mp4"))
    record = record_of(job, tmp_path)
    video.write_bytes(content)
    os.utime(video, (1, 1))
    assert is_current(job, record) == "from another content of a.mp4"


def test_a_folder_is_compared_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "a.capture"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "0.png").write_bytes(b"0")
    job = job_of(Input(str(folder), "a.capture", copied=True))
    record = record_of(job, tmp_path / "work")
    os.utime(folder / "images" / "0.png", (1, 1))
    assert is_current(job, record) is None
    (folder / "images" / "1.png").write_bytes(b"1")
    assert is_current(job, record) == "from another content of a.capture"


def test_an_input_that_is_gone_is_current(video: Path, tmp_path: Path) -> None:
    job = job_of(Input(str(video), "a.mp4"))
    record = record_of(job, tmp_path)
    video.unlink()
    assert is_current(job, record) is None


def test_a_changed_file_that_fails_to_be_read_is_not_current(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(Input(str(video), "a.mp4"))
    record = record_of(job, tmp_path)
    os.utime(video, (1, 1))

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("avatar.fleet.inputs.sha256_of", refuse)
    assert is_current(job, record) == "from another content of a.mp4"


def test_another_avatar_of_the_same_name_is_not_current(video: Path, tmp_path: Path) -> None:
    trained = Input(str(video), "train/anna/anna.avatar", sha256=sha256_of(video))
    job = job_of(trained)
    record = record_of(job, tmp_path)
    assert is_current(job, record) is None
    other = job_of(replace(trained, sha256="0" * 64))
    assert is_current(other, record) == "from another train/anna/anna.avatar"


def test_an_object_is_compared_by_its_tag(objects: type[ObjectStore], tmp_path: Path) -> None:
    url = "objects://bucket/a.mp4"
    fs, place = file_system(url)
    fs.pipe_file(place, b"video")
    job = job_of(Input(url, url))
    record = record_of(job, tmp_path)
    fs.pipe_file(place, b"video")
    assert is_current(job, record) is None
    fs.pipe_file(place, b"other")
    assert is_current(job, record) == f"from another content of {url}"
    fs.rm_file(place)
    assert state_of(url) is None and is_current(job, record) is None


@pytest.mark.parametrize("name", ["ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created"])
def test_the_state_of_an_object_has_the_tag_of_every_file_system(
    objects: type[ObjectStore], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(objects, "info", lambda self, path: {"type": "file", "size": 5, name: "tag"})
    assert state_of("objects://bucket/a.mp4") == "5 tag"
    monkeypatch.setattr(objects, "info", lambda self, path: {"type": "file", "size": 5, name: None})
    assert state_of("objects://bucket/a.mp4") == "5"


def test_a_file_of_this_machine_is_read_where_it_is(video: Path, tmp_path: Path) -> None:
    assert fetch(Input(str(video), "a.mp4"), tmp_path / "in", 0) == video
    assert not (tmp_path / "in").exists()


def test_a_copied_folder_leaves_its_source_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "a.capture"
    source.mkdir()
    (source / "capture.json").write_text("{}")
    (source / ".a.lock").touch()
    place = fetch(Input(str(source), "a.capture", copied=True), tmp_path / "in", 1)
    assert place == tmp_path / "in" / "1" / "a.capture"
    assert [path.name for path in place.iterdir()] == ["capture.json"]
    (place / "capture.json").write_text("changed")
    assert (source / "capture.json").read_text() == "{}"


def test_two_inputs_of_one_name_have_places_of_their_own(objects: type[ObjectStore], tmp_path: Path) -> None:
    urls = ["objects://one/a.jpg", "objects://two/a.jpg"]
    for url in urls:
        fs, place = file_system(url)
        fs.pipe_file(place, url.encode())
    places = [fetch(Input(url, url), tmp_path, number) for number, url in enumerate(urls)]
    assert [place.read_text() for place in places] == urls and all(place.name == "a.jpg" for place in places)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_of_an_object_store_is_fetched_with_its_folders(
    objects: type[ObjectStore], tmp_path: Path, slash: str
) -> None:
    fs, place = file_system("objects://bucket/a.capture")
    fs.pipe_file(f"{place}/capture.json", b"{}")
    fs.pipe_file(f"{place}/images/0.png", b"0")
    found = fetch(Input(f"objects://bucket/a.capture{slash}", "a.capture", copied=True), tmp_path, 0)
    assert found == tmp_path / "0" / "a.capture"
    files = {path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*") if path.is_file()}
    assert files == {"capture.json": b"{}", "images/0.png": b"0"}


def test_what_is_not_there_is_named(objects: type[ObjectStore], tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError) as caught:
        fetch(Input(str(tmp_path / "a.mp4"), "a.mp4"), tmp_path, 0)
    assert str(caught.value) == "a.mp4: no such file or folder; check its path in the manifest"
    with pytest.raises(HeadsplatError) as caught:
        fetch(Input("objects://bucket/a.mp4", "objects://bucket/a.mp4"), tmp_path, 0)
    assert str(caught.value) == "objects://bucket/a.mp4: no such file or folder; check its URL in the manifest"


def test_another_content_than_the_stored_one_is_named(objects: type[ObjectStore], video: Path, tmp_path: Path) -> None:
    label, checksum = "train/anna/anna.avatar", sha256_of(video)
    assert fetch(Input(str(video), label, sha256=checksum), tmp_path, 0) == video
    fs, place = file_system("objects://bucket/anna.avatar")
    fs.pipe_file(place, b"damaged")
    video.write_bytes(b"damaged")
    for url in (str(video), "objects://bucket/anna.avatar"):
        with pytest.raises(HeadsplatError) as caught:
            fetch(Input(url, label, sha256=checksum), tmp_path, 0)
        assert str(caught.value) == (
            f"{label}: its content is not what the fleet has stored (the checksum differs); delete the folder that "
            "contains it, and run the command that makes it again"
        )
