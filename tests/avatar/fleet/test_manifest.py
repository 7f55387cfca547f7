"""Manifests: what CSV, JSON lines and Parquet give, and the sentence for each fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import HeadsplatError
from avatar.fleet import manifest
from avatar.fleet.manifest import MAX_BYTES, ManifestRow, read_manifest


def write(folder: Path, content: str | bytes, suffix: str = ".csv") -> str:
    path = folder / f"people{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def values(path: str) -> list[tuple[str, dict[str, Any]]]:
    return [(row.name, dict(row.values)) for row in read_manifest(path)]


def failure(path: str) -> str:
    """The sentence of a manifest that cannot be read, without the path that it starts with."""
    with pytest.raises(HeadsplatError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(path)
    return str(caught.value).removeprefix(path)


@pytest.mark.parametrize(
    "content",
    [
        b"name,source\nanna,a.mp4\n",
        b"\xef\xbb\xbfname,source\r\nanna,a.mp4\r\n",  # of a spreadsheet: byte order mark, Windows line ends
        b"name;source\nanna;a.mp4",
        b" name , source \nanna,a.mp4\n\n,\n",  # spaces, empty lines
        b"name,source,motion\nanna,a.mp4\n",  # fewer cells than columns
    ],
)
def test_csv_of_several_programs_gives_the_same_row(tmp_path: Path, content: bytes) -> None:
    assert values(write(tmp_path, content)) == [("anna", {"name": "anna", "source": "a.mp4"})]


def test_quoted_cells_may_contain_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    (row,) = read_manifest(write(tmp_path, 'name,source,avatar\nanna,"a,b ""1"".mp4","x\ny"\n'))
    assert row.values == {"name": "anna", "source": 'a,b "1".mp4', "avatar": "x\ny"}


def test_a_header_with_both_delimiters_has_commas(tmp_path: Path) -> None:
    assert values(write(tmp_path, "name,a;b\nanna,1\n")) == [("anna", {"name": "anna", "a;b": "1"})]


def test_rows_state_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'name,source\nanna,"a\nb"\n\nben,c\n')
    assert [row.where for row in read_manifest(path)] == [f"{path}: line 3", f"{path}: line 5"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", ": has no rows; write one for each person, with columns such as name and source"),
        ("name,source\n", ": has no rows; write one for each person, with columns such as name and source"),
        ("name,source\n,\n ,\n", ": has no rows; write one for each person, with columns such as name and source"),
        (
            "name,source\nanna,a.mp4,b.mp4\n",
            ": line 2 has 3 cells, the header has 2; write a cell that contains a comma in quotes",
        ),
        (b"name,source\nanna,\xff.mp4\n", ": not a UTF-8 text file; save it as UTF-8"),
        ("name\nanna\n".encode("utf-16"), ": not a UTF-8 text file; save it as UTF-8"),
        ("name,source,name\na,b,c\n", ": two columns are called name; remove one of them"),
        ("name,name \na,c\n", ": two columns are called name; remove one of them"),
        (
            "name,train.max-seconds,train.max_seconds\na,1,2\n",
            ": two columns are called train.max_seconds; remove one of them",
        ),
        (
            "name,source\nanna,1\nben,2\nanna,3\n",
            ": line 4: its name anna is also that of line 2; give each row another name in the column name",
        ),
        (
            "name,source\nanna,1\nAnna,2\n",
            ": line 3: its name Anna is also that of line 2; give each row another name in the column name",
        ),
        ('name\n"anna\n', ": line 2 is not CSV (unexpected end of data); correct it"),
        (
            "name\na\0b\n",
            ": line 2: column name has a character that no file name or option can have (a zero or half of a surrogate "
            "pair); correct it",
        ),
        ("train.seed\n7\n", ": line 2 names no file; give it a source, an avatar, a motion or a capture"),
    ],
)
def test_a_faulty_csv_gives_a_sentence(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    found = failure(write(tmp_path, content))
    if "\0" in str(content) and "line contains NUL" in found:
        pytest.skip("this Python's csv refuses NUL itself")
    assert found == sentence


@pytest.mark.parametrize(
    "name", ["../anna", "a/b", "a b", ".hidden", "-o", "_a", "anna.", "a\nb", "a" * 101, "\u4eba" * 67, "|"]
)
def test_a_name_that_is_none_for_files_is_refused(tmp_path: Path, name: str) -> None:
    sentence = failure(write(tmp_path, json.dumps({"name": name, "source": "a.mp4"}), ".jsonl"))
    shown = repr(name if len(name) <= 60 else f"{name[:57]}...")
    assert sentence == (
        f": line 1: {shown} is not a name for files; give letters, digits and -_.+ (at most 100), starting with a "
        "letter or a digit, in the column name"
    )


@pytest.mark.parametrize("name", ["anna", "Anna-2_b.c+d", "a" * 100, "\u00e9mile", "\u4eba\u7269", "7"])
def test_a_name_for_files_is_kept(tmp_path: Path, name: str) -> None:
    assert [row.name for row in read_manifest(write(tmp_path, f"name,source\n{name},a.mp4\n"))] == [name]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"source": "clips/anna.v2.mp4"}, "anna.v2"),
        ({"source": "C:\\clips\\anna.mp4"}, "anna"),
        ({"source": "s3://bucket/anna.mp4"}, "anna"),
        ({"source": "anna.capture/"}, "anna"),
        ({"source": "front.jpg|left.jpg"}, "front"),
        ({"source": ["front.jpg", "left.jpg"]}, "front"),
        ({"avatar": "anna.avatar", "motion": "take.csv"}, "take"),  # one avatar has many takes
        ({"avatar": "anna.avatar", "capture": "c"}, "anna"),
        ({"capture": "c"}, "c"),
        ({"name": 7, "source": "a.mp4"}, "7"),
    ],
)
def test_a_row_without_a_name_has_that_of_its_first_file(tmp_path: Path, row: dict[str, Any], name: str) -> None:
    assert [each.name for each in read_manifest(write(tmp_path, json.dumps(row), ".jsonl"))] == [name]


@pytest.mark.parametrize("source", ["|", "/", ["/"], {}])
def test_a_source_without_a_file_name_is_refused(tmp_path: Path, source: Any) -> None:
    assert "is not a name for files" in failure(write(tmp_path, json.dumps({"source": source}), ".jsonl"))


def test_json_lines_keep_types_and_drop_what_is_empty(tmp_path: Path) -> None:
    row = {"name": "anna", "source": ["a", "", None, " "], "train.seed": 7, "train.refine": False, "motion": None}
    empty = {"avatar": " ", "capture": [], "train.size": float("nan"), "train.mode": [None]}
    path = write(tmp_path, f"\n{json.dumps(row | empty)}\n  \n", ".jsonl")
    assert values(path) == [("anna", {"name": "anna", "source": ["a"], "train.seed": 7, "train.refine": False})]
    assert read_manifest(path)[0].where == f"{path}: line 2"


def test_json_texts_may_contain_line_separators(tmp_path: Path) -> None:
    row = {"name": "anna", "source": "a\u2028b\x85c.mp4"}
    assert values(write(tmp_path, json.dumps(row, ensure_ascii=False), ".ndjson")) == [("anna", row)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "{name: anna}",
            " is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); ",
        ),
        ('["anna"]', " is not a JSON object; write one object of columns a line"),
        ("7", " is not a JSON object; write one object of columns a line"),
        ("[" * 100_000, " is not JSON ("),
        ('{"name": ' + "9" * 5000 + "}", " is not JSON ("),
        ('{"name": "a", "name": "b"}', ": two columns are called name; remove one of them"),
        ('{"name": "a", "source": "\\ud800.mp4"}', ": column source has a character that no file name or option can"),
        ('{"name": "a", "source": ["\\u0000"]}', ": column source has a character that no file name or option can"),
        ('{"name": "a", "\\ud800": 1}', ": column \\ud800 has a character that no file name or option can have"),
    ],
)
def test_a_faulty_json_line_gives_a_sentence_with_its_number(tmp_path: Path, line: str, sentence: str) -> None:
    path = write(tmp_path, '{"name": "ok", "source": "a"}\n\n' + line + "\n", ".jsonl")
    assert failure(path).startswith(f": line 3{sentence}")


def test_a_json_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert failure(write(tmp_path, b"\xff\xfe", ".jsonl")) == ": not a UTF-8 text file; save it as UTF-8"


def test_parquet_gives_its_types(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {
        "name": ["anna", "ben"],
        "source": [["a.jpg", None, "b.jpg"], None],
        "motion": [None, "take.csv"],
        "train.seed": pa.array([7, None], pa.int64()),
        "train.test-fraction": pa.array([float("nan"), 0.5]),
        "train.refine": [True, False],
    }
    pq.write_table(pa.table(columns), tmp_path / "people.parquet")
    path = str(tmp_path / "people.parquet")
    assert values(path) == [
        ("anna", {"name": "anna", "source": ["a.jpg", "b.jpg"], "train.seed": 7, "train.refine": True}),
        ("ben", {"name": "ben", "motion": "take.csv", "train.test-fraction": 0.5, "train.refine": False}),
    ]
    assert [row.where for row in read_manifest(path)] == [f"{path}: row 1", f"{path}: row 2"]


@pytest.mark.parametrize("content", [b"", b"name\nanna\n", b"PAR1" + bytes(64) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    sentence = failure(write(tmp_path, content, ".parquet"))
    assert sentence.startswith(": not a Parquet file (") and sentence.endswith("; write it again")


def test_parquet_with_two_columns_of_a_name_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["name", "name"])
    pq.write_table(table, tmp_path / "people.parquet")
    assert failure(str(tmp_path / "people.parquet")) == ": two columns are called name; remove one of them"


def test_parquet_without_its_package_gives_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    sentence = ": Parquet needs pyarrow (pip install pyarrow), or give a .csv file"
    assert failure(write(tmp_path, b"PAR1", ".parquet")) == sentence


@pytest.mark.parametrize("name", ["people.xlsx", "people", "people.csv.gz"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    assert failure(str(tmp_path / name)) == ": not a manifest; give a .csv, .jsonl or .parquet file"


def test_a_missing_manifest_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert failure(str(tmp_path / "none.csv")) == ": no such manifest; check the path"
    (tmp_path / "folder.csv").mkdir()
    assert failure(str(tmp_path / "folder.csv")).startswith(": cannot read the manifest (")
    assert failure("memory://none/none.csv") == ": no such manifest; check the path"


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "huge.csv").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    monkeypatch.setattr(manifest, "MAX_BYTES", 1 << 20)
    assert failure(str(tmp_path / "huge.csv")) == ": larger than 1 MB, which no manifest is; check its path"
    assert MAX_BYTES == 256 << 20


def test_a_manifest_at_a_url_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/manifests/people.csv", b"name,source\nanna,a.mp4\n")
    assert values("memory://manifests/people.csv") == [("anna", {"name": "anna", "source": "a.mp4"})]
    monkeypatch.setattr(manifest, "MAX_BYTES", 10)
    assert failure("memory://manifests/people.csv") == ": larger than 0 MB, which no manifest is; check its path"


@pytest.mark.parametrize(
    ("value", "entries"),
    [("a|b", ["a", "b"]), (" a | ", ["a"]), (["a|b", " c "], ["a|b", "c"]), (7, ["7"]), ("|", []), ([], [])],
)
def test_a_column_of_several_entries_is_a_list_or_text_with_bars(value: Any, entries: list[str]) -> None:
    assert ManifestRow("anna", "here", {"source": value}).list_of("source") == entries
    assert ManifestRow("anna", "here", {}).list_of("source") == []


def test_options_of_a_command_have_underscores() -> None:
    row = ManifestRow("anna", "here", {"train.max-seconds": 5, "train.seed": 1, "render.fps": 30, "source": "a"})
    assert row.options("train") == {"max_seconds": 5, "seed": 1}
    assert row.options("eval") == {}


TEXT = st.text(st.sampled_from('name,source;.|"\n\r\t\\{}[]:0a \0\ufeff\u2028\u00e9') | st.characters(), max_size=60)


@settings(max_examples=150, deadline=None)
@given(suffix=st.sampled_from([".csv", ".jsonl"]), header=st.sampled_from(["", "name,source\n", "source\n"]), body=TEXT)
def test_any_text_gives_rows_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, header: str, body: str
) -> None:
    path = str(tmp_path_factory.getbasetemp() / f"any{suffix}")
    Path(path).write_text(header + body, encoding="utf-8", errors="surrogatepass", newline="")
    gives_rows_or_a_sentence(path)


CELL = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
COLUMN = st.sampled_from(["name", "source", "avatar", "train.seed"]) | st.text(max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(COLUMN, CELL | st.lists(CELL, max_size=3), max_size=4), min_size=1, max_size=3))
def test_any_json_objects_give_rows_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = str(tmp_path_factory.getbasetemp() / "objects.jsonl")
    Path(path).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    gives_rows_or_a_sentence(path)


def gives_rows_or_a_sentence(path: str) -> None:
    try:
        rows = read_manifest(path)
    except HeadsplatError as error:
        assert str(error).startswith(path)
        return
    names = [row.name.lower() for row in rows]
    assert names and len(set(names)) == len(names)
    for row in rows:
        assert row.values and row.name == row.name.strip()
        str(dict(row.values)).encode()  # can be printed and stored
