"""`headsplat fleet` on Ray on this machine: a tiny manifest from end to end, films in pieces, kills, signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from tests.support.fleet import is_running, ours, process_tree, read_metrics, tensors_of

pytest.importorskip("ray", reason="needs Ray (pip install 'headsplat[fleet]')")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has been tried on Linux only"),
]
COMMAND = [sys.executable, "-m", "avatar.cli"]
#: Ray names a process that renders so.
WORK = "ray::pieces/"
_SETTINGS = "steps = 40\nsize = 64\ngaussians = 1500\nlayer = false\n"


@pytest.fixture(scope="module")
def studio(tiny_avatar: Avatar, tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a capture, an avatar, a long motion, settings, and files with faults."""
    folder = tmp_path_factory.mktemp("studio")
    shutil.copytree(tiny.root, folder / "tiny.capture")
    save_avatar(folder / "me.avatar", tiny_avatar, {"capture": capture_entry(tiny)})
    frames = [{"weights": [0.5 - 0.5 * np.cos(k / 6), 0.1], "time": k / 30} for k in range(300)]
    (folder / "take.json").write_text(json.dumps({"names": ["jawOpen", "eyeBlinkLeft"], "frames": frames}))
    (folder / "short.json").write_text(json.dumps({"names": ["jawOpen", "eyeBlinkLeft"], "frames": frames[:30]}))
    (folder / "tiny.toml").write_text(_SETTINGS)
    (folder / "damaged.avatar").write_bytes((folder / "me.avatar").read_bytes()[:5000])
    return folder


def fleet(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A whole run of a fleet on two cores."""
    command = [*COMMAND, "fleet", *map(str, arguments), "--cores", "2"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def pixels(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Time and pixels of every frame of a video."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            yield frame.time, frame.to_ndarray()


def started(out: Path) -> list[str]:
    return [event["job"] for event in read_metrics(out / "fleet.jsonl") if event["event"] == "start"]


def test_a_manifest_from_end_to_end_equals_the_single_commands(studio: Path, tmp_path: Path) -> None:
    manifest = write(
        studio / "people.csv",
        "name,source,motion,train.config,render.size",
        "ann,tiny.capture,short.json,tiny.toml,48",
        "bea,missing.mp4,short.json,tiny.toml,48",
        "cleo,tiny.toml,missing.json,tiny.toml,48",
    )
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in (studio / "tiny.capture").rglob("*") if path.is_file()}
    trained = fleet("train", manifest, "-o", out)
    assert trained.returncode == 1, trained.stderr
    assert "bea: failed: missing.mp4: no such file or folder; check its path in the manifest" in trained.stderr
    assert "cleo: failed: tiny.toml is not a video" in trained.stderr and "Traceback" not in trained.stderr
    assert before == {path: path.read_bytes() for path in (studio / "tiny.capture").rglob("*") if path.is_file()}
    rendered, scored = fleet("render", manifest, "-o", out), fleet("eval", manifest, "-o", out)
    assert rendered.returncode == scored.returncode == 1
    assert "no avatar has been trained for bea" in rendered.stderr and "has been trained for bea" in scored.stderr

    single = tmp_path / "single"
    single.mkdir()
    shutil.copytree(studio / "tiny.capture", single / "tiny.capture")
    for command in (
        ["train", single / "tiny.capture", "-o", single / "ann.avatar", "--config", studio / "tiny.toml"],
        ["render", single / "ann.avatar", "--motion", studio / "short.json", "-o", single / "ann.mp4", "--size", "48"],
        ["eval", single / "ann.avatar", single / "tiny.capture", "--json", single / "ann.json"],
    ):
        subprocess.run([*COMMAND, *map(str, command)], check=True, capture_output=True)
    assert tensors_of(out / "train/ann/ann.avatar") == tensors_of(single / "ann.avatar")
    assert (out / "render/ann/ann.mp4").read_bytes() == (single / "ann.mp4").read_bytes()
    ours, theirs = (json.loads(path.read_text()) for path in (out / "eval/ann/ann.json", single / "ann.json"))
    assert [ours[row] for row in ("driven", "refined", "train")] == [
        theirs[row] for row in ("driven", "refined", "train")
    ]
    assert (out / "eval.csv").read_text().splitlines()[1].startswith("ann,")
    assert (out / "train.failed.csv").read_text().count("\n") == 3

    count = len(started(out))
    again = fleet("train", manifest, "-o", out)
    assert "1 done before" in again.stderr and "ann" not in "".join(started(out)[count:])


def test_a_film_in_pieces_has_the_pixels_of_a_single_run(studio: Path, tmp_path: Path) -> None:
    manifest = write(
        studio / "films.csv",
        "name,avatar,motion,render.size,render.passes,render.format",
        "film,me.avatar,take.json,48,,",
        "images,me.avatar,take.json,32,,frames",
        "broken,damaged.avatar,take.json,48,,",
    )
    out = tmp_path / "out"
    done = fleet("render", manifest, "-o", out, "--piece", "120")
    assert done.returncode == 1 and "broken: failed: damaged.avatar: " in done.stderr, done.stderr
    assert {"pieces/film/0", "pieces/film/1", "pieces/film/2", "render/film"} <= set(started(out))
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["render"]
    single = tmp_path / "film.mp4"
    options = ["--motion", studio / "take.json", "--size", "48", "-o", single]
    subprocess.run([*COMMAND, *map(str, ["render", studio / "me.avatar", *options])], check=True, capture_output=True)
    joined, whole = list(pixels(out / "render/film/film.mp4")), list(pixels(single))
    assert len(joined) == len(whole) == 300
    assert all(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(joined, whole, strict=True))
    assert len(list((out / "render/images/images").glob("*.png"))) == 300
    report = json.loads((out / "render/film/film.mp4.report.json").read_text())
    assert report["frames"] == report["frames_whole"] == 300 and report["finished"]


@pytest.mark.parametrize("target", ["worker", "driver"])
def test_a_kill_loses_only_what_was_running(studio: Path, tmp_path: Path, target: str) -> None:
    rows = [f"film{number},me.avatar,short.json,48" for number in range(4)]
    manifest = write(studio / f"{target}.csv", "name,avatar,motion,render.size", *rows)
    out = tmp_path / "out"
    command = [*COMMAND, "fleet", "render", str(manifest), "-o", str(out), "--cores", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (out / "render").is_dir() and any((out / "render").glob("[!.]*/fleet.json")))
        tree = tree_at_work(process.pid)
        worker = next(number for number, name in tree.items() if name.startswith(WORK))
        os.kill(process.pid if target == "driver" else worker, signal.SIGKILL)
        code = process.wait(120)
    finally:
        process.kill()
    wait_until(lambda: not any(map(is_running, ours(tree))))
    before = {path.parent.name for path in (out / "render").glob("[!.]*/fleet.json")}
    assert code == (0 if target == "worker" else -signal.SIGKILL)
    assert len(before) == 4 if target == "worker" else 0 < len(before) < 4
    count = len(started(out))
    again = fleet("render", manifest, "-o", out)
    assert again.returncode == 0, again.stderr
    repeated = {job.split("/")[1] for job in started(out)[count:]}
    assert repeated == {f"film{number}" for number in range(4)} - before
    assert len({(out / f"render/film{k}/film{k}.mp4").read_bytes() for k in range(4)}) == 1
    assert not list(out.rglob(".*partial*"))


def test_ctrl_c_ends_the_fleet_and_its_processes(studio: Path, tmp_path: Path) -> None:
    manifest = write(studio / "stop.csv", "name,avatar,motion", "a,me.avatar,take.json", "b,me.avatar,take.json")
    out = tmp_path / "out"
    command = [*COMMAND, "fleet", "render", str(manifest), "-o", str(out), "--cores", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: any("child_process" in name for name in process_tree(process.pid).values()))
        tree = process_tree(process.pid)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "stopped by Ctrl-C" in said, said
    wait_until(lambda: not any(map(is_running, ours(tree))))
    assert not (out / "render").exists() or not list((out / "render").iterdir())


def test_ray_on_this_machine_listens_to_this_machine_alone(tmp_path: Path) -> None:
    code = """
import os, re
from pathlib import Path
from avatar.fleet.ray_cluster import RayCluster
from tests.support.fleet import process_tree
with RayCluster(str(os.getcwd()), "x", cores=1):
    inodes = set()
    for process in process_tree(os.getpid()):
        for link in Path(f"/proc/{process}/fd").glob("*"):
            try:
                inodes |= set(re.findall(r"socket:\\[(\\d+)\\]", os.readlink(link)))
            except OSError:
                pass
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and cells[9] in inodes:
                print(cells[1].rpartition(":")[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    addresses = set(done.stdout.split())
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def tree_at_work(number: int) -> dict[int, str]:
    """The processes below a driver while one of them does a job: between two jobs none bears the name of one."""
    found: list[dict[int, str]] = []

    def at_work() -> bool:
        found.append(process_tree(number))
        return any(name.startswith(WORK) for name in found[-1].values())

    wait_until(at_work)
    return found[-1]


def wait_until(condition: object, seconds: float = 90.0) -> None:
    """Wait for a condition to hold."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
