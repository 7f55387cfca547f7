"""`headsplat convert`: folders that --overwrite replaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar import cli
from avatar.data.capture_folder import METADATA_FILE, Capture
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("parent") / "c", frames=2)


def test_a_folder_in_our_layout_is_replaced(capture: Capture, tmp_path: Path) -> None:
    command = ["convert", str(capture.root), "-o", str(tmp_path / "out")]
    assert cli.main(command) == 0 and cli.main(command) == 1 and cli.main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("name", "message"), [("notes.txt", "contains other files too (notes.txt)"), ("images", "it has no .headsplat")]
)
def test_any_other_folder_is_not_replaced(
    capture: Capture, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    (tmp_path / name).mkdir()
    assert cli.main(["convert", str(capture.root), "-o", str(tmp_path), "--overwrite"]) == 1
    assert message in capsys.readouterr().err
    assert (tmp_path / name).exists()


def test_the_capture_and_its_parent_are_not_replaced(capture: Capture, capsys: pytest.CaptureFixture[str]) -> None:
    for out, message in ((capture.root, "is also an input"), (capture.root.parent, "contains the input")):
        assert cli.main(["convert", str(capture.root), "-o", str(out), "--overwrite"]) == 1
        assert message in capsys.readouterr().err
    assert (capture.root / METADATA_FILE).exists()
