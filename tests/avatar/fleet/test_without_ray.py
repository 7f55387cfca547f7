"""`headsplat fleet` without Ray, and what does not need it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("action", ["train", "render", "eval", "sweep"])
def test_without_ray_one_sentence_names_the_pip_command(tmp_path: Path, action: str) -> None:
    code = "import sys; sys.modules['ray'] = None; from avatar import cli; sys.exit(cli.main(sys.argv[1:]))"
    manifest = tmp_path / "people.csv"
    manifest.write_text("name,source\nann,ann.mp4\n")
    options = ["--set", "steps=1,2"] if action == "sweep" else []
    command = [sys.executable, "-c", code, "fleet", action, str(manifest), "-o", str(tmp_path / "out"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == "headsplat: headsplat fleet needs Ray; install it with: pip install 'headsplat[fleet]'"
    assert not (tmp_path / "out").exists()


def test_the_file_of_a_cluster_is_one_for_ray() -> None:
    yaml = pytest.importorskip("yaml")
    util = pytest.importorskip("ray.autoscaler._private.util", reason="needs Ray (pip install 'headsplat[fleet]')")
    content = yaml.safe_load((ROOT / "examples/fleet/cluster.yaml").read_text())
    prepared = util.prepare_config(content)
    util.validate_config(prepared)
    assert len(content["provider"]["worker_ips"]) + 1 == 10
    assert "RAY_AUTH_MODE=token" in json.dumps(prepared["worker_start_ray_commands"])
