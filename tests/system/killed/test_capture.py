"""A capture that was killed with SIGKILL goes on to the same folder, byte for byte, wherever it died."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.killing import run_all

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
SPLIT = {"test_fraction": 0.25}
#: Where runs die: (what happens to a path, how the path ends, which time).
FRESH = {
    "before the key": ("open", "key.json.tmp", 1),
    "between two saves": ("half", "frames/00010.png.tmp", 1),
    "saving landmarks": ("os.rename", "landmarks.npz.tmp", 2),
    "saving held-out landmarks": ("os.rename", "held_out.npz.tmp", 4),
    "before the track": ("os.rename", "track.npz.tmp", 1),
    "in the middle of the facts": ("half", "capture.json.tmp", 1),
    "after the facts": ("shutil.rmtree", "clip/partial", 1),
}
AGAIN = {
    "while made again": ("half", "mattes/00003.png.tmp", 1),
    "before the swap": ("os.rename", "clip", 1),
    "in the middle of the swap": ("os.rename", ".clip.new.partial", 1),
    "before foreign files move": ("os.rename", "notes.txt", 1),
}


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file under `folder`; of the facts all but the seconds."""
    found: dict[str, bytes | str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[str(path.relative_to(folder))] = path.read_bytes()
    facts = json.loads(found["capture.json"])
    facts["seconds"] = None
    found["capture.json"] = json.dumps(facts)
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of runs that died and were repeated, by the name of the place, and of one that was not disturbed."""
    root = tmp_path_factory.mktemp("killed")
    whole, other = root / "whole" / "clip", root / "other" / "clip"
    plain = {"out": str(whole), "kill": None, "options": SPLIT}
    assert run_all([plain, {**plain, "out": str(other), "options": {"test_every": 5}}]) == [0, 0]
    (other / "notes.txt").write_text("mine")
    runs, folders = [], {"whole": whole}
    for name, kill in {**FRESH, **AGAIN}.items():
        out = folders[name] = root / name.replace(" ", "_") / "clip"
        runs.append({"out": str(out), "kill": kill, "options": {**SPLIT, "overwrite": name in AGAIN}})
        if name in AGAIN:
            shutil.copytree(other, out)
    assert run_all(runs) == [-9] * len(runs)
    finished = {name for name, out in folders.items() if (out / "capture.json").exists()}
    assert finished == {"whole", "after the facts", *AGAIN} - {"in the middle of the swap"}
    codes = run_all([{**run, "kill": None} for run in runs])
    assert codes == [1 if name == "after the facts" else 0 for name in [*FRESH, *AGAIN]]  # 1: it is finished
    return folders


@pytest.mark.parametrize("name", FRESH)
def test_a_killed_capture_goes_on_to_the_same_bytes(results: dict[str, Path], name: str) -> None:
    assert contents(results[name]) == contents(results["whole"])


@pytest.mark.parametrize("name", AGAIN)
def test_a_capture_killed_while_made_again_ends_as_the_new_one_and_keeps_foreign_files(
    results: dict[str, Path], name: str
) -> None:
    found = contents(results[name])
    assert found.pop("notes.txt") == b"mine"
    assert found == contents(results["whole"])
    assert [path.name for path in results[name].parent.iterdir()] == ["clip"]
