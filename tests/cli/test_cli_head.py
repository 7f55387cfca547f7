"""`headsplat head`: properties, contact sheets and bridges of head models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import avatar.head
from avatar import cli
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from tests.avatar.motion.made_up import arkit_head, flame_head


@pytest.fixture(autouse=True)
def heads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`flame.npz` is a made-up head, and bridges are cached in a temporary folder."""
    known = {"embedded": arkit_head, "flame.npz": flame_head}

    def load(source: str = "embedded", detector: object = None, on_message: object = None) -> HeadModel:
        if source not in known:
            raise HeadsplatError(f"{source}: no such head; give embedded or a head file")
        return known[source]()

    monkeypatch.setattr(avatar.head, "load_head", load)
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["head", *arguments]) == 0
    return capsys.readouterr().out


def test_info_as_json_has_the_properties_of_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    properties = json.loads(printed(capsys, "info", "--json"))
    head = arkit_head()
    assert (properties["source"], properties["licence"], properties["model_id"]) == (
        "embedded",
        "Apache-2.0",
        head.model_id,
    )
    assert (properties["vertices"], properties["faces"]) == (len(head.v_template), len(head.faces))
    assert properties["expression_names"] == list(head.expression_names)
    assert properties["joints_metres"]["left_eye"][0] == -properties["joints_metres"]["right_eye"][0] > 0.02
    assert properties["regions_vertices"]["lips"] == int(head.regions["lips"].sum())
    assert 0.3 < properties["size_metres"]["height"] < 0.45


def test_info_as_text_describes_the_given_head(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "info", "flame.npz").splitlines()
    assert "made-up FLAME" in next(line for line in lines if line.startswith("name"))
    assert any(line.startswith("joints metres") for line in lines)


def test_unknown_head_is_an_error_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["head", "info", "nobody.pkl"]) == 1
    error = capsys.readouterr().err
    assert error == "headsplat: nobody.pkl: no such head; give embedded or a head file\n"


def test_bridge_lists_lost_expressions(capsys: pytest.CaptureFixture[str]) -> None:
    properties = json.loads(printed(capsys, "bridge", "embedded", "flame.npz", "--json"))
    assert (properties["from"], properties["to"]) == ("embedded", "flame.npz")
    assert "tongueOut" in properties["lost"] and "mouthSmileLeft" not in properties["lost"]
    rows = {row["name"]: row for row in properties["expressions"]}
    assert set(rows) == set(arkit_head().expression_names)
    assert rows["mouthSmileLeft"]["expressed"] > 0.9
    assert rows["mouthSmileLeft"]["error"] < 0.05


def test_bridge_as_text_has_a_row_for_every_expression(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "bridge", "embedded", "embedded").splitlines()
    assert lines[1].split() == ["eyeBlinkLeft", "100%", "1.00", "0.00", "0%"]
    assert lines[-1] == "lost: nothing"
    assert len([line for line in lines if "%" in line]) == len(arkit_head().expression_names)


def test_bridge_is_cached(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = printed(capsys, "bridge", "embedded", "flame.npz")
    assert len(list((tmp_path / "cache" / "bridges").iterdir())) == 2
    assert printed(capsys, "bridge", "embedded", "flame.npz") == first


@pytest.fixture
def quick_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(head: HeadModel, folder: Path) -> list[Path]:
        (folder / "neutral.png").write_bytes(b"image")
        return [folder / "neutral.png"]

    monkeypatch.setattr("avatar.head.sheets.write_sheets", write)


@pytest.mark.usefixtures("quick_sheets")
def test_sheets_are_written_to_the_folder_and_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = printed(capsys, "sheets", "-o", str(tmp_path / "sheets"))
    assert out.splitlines() == [str(tmp_path / "sheets" / "neutral.png")]
    assert (tmp_path / "sheets" / "neutral.png").is_file()


@pytest.mark.usefixtures("quick_sheets")
def test_sheets_do_not_replace_a_folder_without_overwrite(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    assert cli.main(["head", "sheets", "-o", str(tmp_path / "sheets")]) == 1
    assert "sheets: exists already; give --overwrite" in capsys.readouterr().err
    printed(capsys, "sheets", "-o", str(tmp_path / "sheets"), "--overwrite")


@pytest.mark.usefixtures("quick_sheets")
def test_sheets_never_replace_a_folder_with_other_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    assert cli.main(["head", "sheets", "-o", str(tmp_path / "thesis"), "--overwrite"]) == 1
    assert "contains other files too (thesis.tex)" in capsys.readouterr().err


def test_missing_action_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["head"])
    assert stopped.value.code == 2
