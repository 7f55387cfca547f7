"""A training killed with SIGKILL and resumed gives the same avatar, bit for bit, and leaves no other files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from avatar.data.capture_folder import Capture
from tests.support.killing import run_all

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
#: Where trainings are killed: (event, end of the path, count).
KILLS = {
    "before a later checkpoint": ("os.rename", "me.checkpoint.part", 3),
    "before the avatar": ("os.rename", ".avatar", 1),
    "after the avatar": ("os.remove", "me.checkpoint", 1),
}


@pytest.fixture(scope="module")
def folders(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of trainings that were killed and resumed, and of one that was not killed ("whole")."""
    root = tmp_path_factory.mktemp("killed")
    (root / "quick.toml").write_text("steps = 6\ngaussians = 300\nbases = 3\nsize = 48\n")
    out = {name: root / name.replace(" ", "_") for name in ("whole", *KILLS)}

    def run(name: str, *flags: str, kill: Any = None) -> dict[str, Any]:
        arguments = [str(tiny.root), "-o", str(out[name] / "me.avatar"), "--config", str(root / "quick.toml"), *flags]
        return {"kill": kill, "train": arguments}

    codes = run_all([run("whole"), *(run(name, kill=list(kill)) for name, kill in KILLS.items())])
    assert codes == [0] + [-9] * len(KILLS)
    assert run_all([run(name, "--resume") for name in KILLS]) == [0] * len(KILLS)
    return out


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_training_gives_the_same_bits(folders: dict[str, Path], name: str) -> None:
    whole, found = (load_file(folders[folder] / "me.avatar") for folder in ("whole", name))
    assert set(whole) == set(found)
    for tensor in whole:
        np.testing.assert_array_equal(found[tensor], whole[tensor], err_msg=tensor)


@pytest.mark.parametrize("name", KILLS)
def test_a_killed_training_leaves_no_other_files(folders: dict[str, Path], name: str) -> None:
    kinds = {path.name for path in folders[name].iterdir()}
    assert kinds == {path.name for path in folders["whole"].iterdir()}
