"""The store: outputs of a job appear whole or not at all, in a folder and in an object store."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avatar.common.folder_sign import SIGN
from avatar.errors import HeadsplatError
from avatar.fleet.store import RECORD, Store, file_system, is_url, sha256_of
from tests.avatar.fleet.objects import ObjectStore

KEY = "train/anna"
CONTENT = {"anna.avatar": b"avatar", "anna.capture/capture.json": b"{}", "anna.capture/images/\u00e9.png": b"png"}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as a command leaves it, with a lock."""
    return folder_of(tmp_path / "made", CONTENT | {".anna.avatar.lock": b""})


@pytest.fixture(params=["folder", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path, objects: type[ObjectStore]) -> Store:
    return Store(str(tmp_path / "store") if request.param == "folder" else "objects://bucket/store")


def folder_of(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """The files of a stored folder, without record and sign."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name not in (RECORD, SIGN)}


def test_what_is_published_has_its_record(store: Store, made: Path) -> None:
    assert store.record(KEY) is None
    whole = store.publish(KEY, made, {"row": "anna", "arguments": ["train"]})
    assert store.record(KEY) == whole == json.loads(store.read_text(f"{KEY}/{RECORD}"))
    assert whole["row"] == "anna" and whole["arguments"] == ["train"]
    expected = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in CONTENT.items()
    }
    assert whole["outputs"] == expected


def test_publishing_again_replaces_all_files(store: Store, made: Path, tmp_path: Path) -> None:
    store.publish(KEY, made, {"row": "anna"})
    whole = store.publish(KEY, folder_of(tmp_path / "new", {"other": b"1"}), {"row": "anna"})
    assert store.record(KEY) == whole and set(whole["outputs"]) == {"other"}
    with pytest.raises(OSError):
        store.read_text(f"{KEY}/anna.avatar")


def test_removed_is_gone_and_removing_nothing_is_fine(store: Store, made: Path) -> None:
    store.publish(KEY, made, {})
    store.publish("train/ben", made, {})
    store.remove(KEY)
    store.remove("pieces/none")
    assert store.record(KEY) is None and store.record("train/ben") is not None
    with pytest.raises(OSError):
        store.read_text(f"{KEY}/anna.avatar")


def test_a_text_is_replaced(store: Store) -> None:
    store.write_text("train.csv", "one")
    store.write_text("train.csv", "zw\u00f6lf\n")
    assert store.read_text("train.csv") == "zw\u00f6lf\n"


@pytest.mark.parametrize(
    "record",
    [
        "", "[]", "{", "\ud800", "7", "[" * 100_000, '{"format": 2, "outputs": {}}', '{"format": 1}',
        '{"format": 1, "outputs": 3}', '{"format": 1, "outputs": {"a": 3}}', '{"format": 1, "outputs": {"a": {}}}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_none(store: Store, made: Path, record: str) -> None:
    store.publish(KEY, made, {})
    if store.folder is not None:
        (store.folder / KEY / RECORD).write_bytes(record.encode("utf-8", "surrogatepass"))
    else:
        file_system(store.url)[0].pipe_file(store.path(f"{KEY}/{RECORD}"), record.encode("utf-8", "surrogatepass"))
    assert store.record(KEY) is None


# In a folder of the file system


def test_a_folder_has_the_files_without_locks(tmp_path: Path, made: Path) -> None:
    Store(str(tmp_path / "store")).publish(KEY, made, {})
    assert files(tmp_path / "store" / KEY) == CONTENT


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"longer than before")])
def test_a_missing_or_resized_file_is_no_finished_job(tmp_path: Path, made: Path, damage: Any) -> None:
    store = Store(str(tmp_path / "store"))
    store.publish(KEY, made, {})
    damage(tmp_path / "store" / KEY / "anna.capture" / "capture.json")
    assert store.record(KEY) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_nothing_appears_when_publishing_fails(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    store, copytree = Store(str(tmp_path / "store")), shutil.copytree

    def broken(*arguments: Any, **options: Any) -> None:
        copytree(*arguments, **options)
        raise error

    monkeypatch.setattr(shutil, "copytree", broken)
    with pytest.raises(type(error)):
        store.publish(KEY, made, {})
    assert not any((tmp_path / "store" / "train").iterdir()) and store.record(KEY) is None


def test_a_failure_keeps_what_was_published(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "store"))
    whole = store.publish(KEY, made, {"row": "anna"})
    monkeypatch.setattr(shutil, "copytree", lambda *arguments, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.publish(KEY, made, {"row": "other"})
    assert store.record(KEY) == whole and files(tmp_path / "store" / KEY) == CONTENT


@pytest.mark.skipif(os.name == "nt", reason="POSIX processes")
def test_a_process_that_dies_leaves_nothing_and_the_next_one_cleans_up(tmp_path: Path, made: Path) -> None:
    code = (
        "import os, shutil, sys\n"
        "from pathlib import Path\n"
        "from avatar.fleet.store import Store\n"
        "copy = shutil.copytree\n"
        "shutil.copytree = lambda *a, **o: (copy(*a, **o), os._exit(9))\n"
        f"Store(sys.argv[1]).publish({KEY!r}, Path(sys.argv[2]), {{}})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store"), str(made)], cwd=Path(__file__).parents[3]
    )
    assert done.returncode == 9
    (left,) = (tmp_path / "store" / "train").iterdir()
    store = Store(str(tmp_path / "store"))
    assert left.name.startswith(".anna.") and store.record(KEY) is None
    store.check_replaceable(KEY)
    store.publish(KEY, made, {})
    assert [path.name for path in (tmp_path / "store" / "train").iterdir()] == ["anna"]


def test_a_folder_of_somebody_else_is_recognized(tmp_path: Path, made: Path) -> None:
    store = Store(str(tmp_path))
    store.check_replaceable(KEY)
    folder_of(tmp_path / KEY, {"notes.txt": b""})
    (tmp_path / "train" / "ben").touch()
    for key in (KEY, "train/ben"):
        assert store.record(key) is None
        with pytest.raises(HeadsplatError, match=re.escape(str(tmp_path / key))):
            store.check_replaceable(key)
    store.publish("train/clara", made, {})
    store.check_replaceable("train/clara")


def test_files_of_somebody_else_in_a_finished_folder_are_not_deleted(tmp_path: Path, made: Path) -> None:
    store = Store(str(tmp_path))
    store.publish(KEY, made, {})
    store.check_replaceable(KEY)
    store.check_replaceable("train/none")
    (tmp_path / KEY / "notes.txt").touch()
    sentence = r"anna: contains other files too \(notes\.txt\), so it is not replaced; move them or choose another"
    with pytest.raises(HeadsplatError, match=sentence):
        store.publish(KEY, made, {})
    assert (tmp_path / KEY / "notes.txt").exists()


def test_a_file_at_the_place_of_a_job_is_not_deleted(tmp_path: Path, made: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / KEY).write_text("mine")
    with pytest.raises(HeadsplatError) as caught:
        Store(str(tmp_path)).publish(KEY, made, {})
    assert str(caught.value) == f"{tmp_path / KEY}: exists already and is not a folder; move it or choose another -o"
    assert (tmp_path / KEY).read_text() == "mine"


@pytest.mark.parametrize("prefix", ["file://", "local://"])
def test_a_file_url_is_a_folder(tmp_path: Path, prefix: str) -> None:
    store = Store(f"{prefix}{tmp_path}")
    assert store.folder == tmp_path and store.path("train.csv") == str(tmp_path / "train.csv")


# In an object store


def test_the_record_is_stored_last(objects: type[ObjectStore], made: Path) -> None:
    Store("objects://bucket/store/").publish(KEY, made, {})
    assert objects.puts[-1] == f"/bucket/store/{KEY}/{RECORD}"
    assert sorted(objects.puts[:-1]) == sorted(f"/bucket/store/{KEY}/{name}" for name in CONTENT)
    assert set(objects.store) == set(objects.puts)  # no lock, no folder


@pytest.mark.parametrize("number", range(4))
def test_without_its_record_a_job_is_not_done(objects: type[ObjectStore], made: Path, number: int) -> None:
    store = Store("objects://bucket/store")

    def fail(name: str) -> None:
        if len(objects.puts) == number:
            raise ConnectionError("gone")

    objects.before_put = staticmethod(fail)
    with pytest.raises(ConnectionError):
        store.publish(KEY, made, {})
    assert len(objects.puts) == number and store.record(KEY) is None
    objects.before_put = None
    whole = store.publish(KEY, made, {})
    assert store.record(KEY) == whole


def test_a_job_that_is_stored_again_counts_as_absent_meanwhile(objects: type[ObjectStore], made: Path) -> None:
    store = Store("objects://bucket/store")
    store.publish(KEY, made, {})
    seen = []
    objects.before_put = staticmethod(lambda name: seen.append(store.record(KEY)))
    store.publish(KEY, made, {})
    assert seen == [None] * 4 and store.record(KEY) is not None


def test_a_job_whose_old_files_were_not_all_removed_is_not_done(
    objects: type[ObjectStore], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("objects://bucket/store")
    store.publish(KEY, made, {})

    def fail(self: ObjectStore, *arguments: Any, **options: Any) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(objects, "rm", fail)
    with pytest.raises(ConnectionError):
        store.publish(KEY, made, {})
    assert store.record(KEY) is None and f"/bucket/store/{KEY}/anna.avatar" in objects.store


def test_an_object_that_lost_bytes_gives_a_sentence(objects: type[ObjectStore], made: Path) -> None:
    objects.cut = 1
    store = Store("objects://bucket/store")
    with pytest.raises(HeadsplatError) as caught:
        store.publish(KEY, made, {})
    assert str(caught.value) == (
        f"objects://bucket/store/{KEY}/anna.avatar: stored 5 of 6 bytes; check the object store and run the command "
        "again"
    )
    assert store.record(KEY) is None


def test_the_memory_of_fsspec_is_a_store_too(made: Path, tmp_path: Path) -> None:
    store = Store(f"memory://{tmp_path.name}")
    whole = store.publish(KEY, made, {})
    store.publish(KEY, made, {})
    assert store.record(KEY) == whole
    store.remove(KEY)
    assert store.record(KEY) is None


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(HeadsplatError, match=r"^s3://bucket/store: Install s3fs to access S3"):
        Store("s3://bucket/store").record(KEY)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(HeadsplatError) as caught:
        Store("pigeon://a").write_text("a.txt", "b")
    assert (
        str(caught.value) == "pigeon://a: Protocol not known: pigeon; give a path, or a URL such as s3://bucket/folder"
    )


@pytest.mark.parametrize("text", ["s3://bucket/key", "gs://a", "memory://", "git+ssh://a"])
def test_a_url_is_one(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["a/b.mp4", "/a", "C:\\a", "file:///a", "local:///a", "a b://c", "://a", "", "a:b"])
def test_a_path_is_no_url(text: str) -> None:
    assert not is_url(text)


def test_the_checksum_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", {"a": b"1", "b/c": b"2"})
    assert sha256_of(one) == sha256_of(folder_of(tmp_path / "same", {"b/c": b"2", "a": b"1", ".a.lock": b"x"}))
    others = [{"a": b"1", "b/d": b"2"}, {"a": b"2", "b/c": b"1"}, {"a": b"1"}]
    sums = {sha256_of(folder_of(tmp_path / str(number), content)) for number, content in enumerate(others)}
    assert len(sums) == 3 and sha256_of(one) not in sums
    assert sha256_of(one / "a") == hashlib.sha256(b"1").hexdigest()
