"""No input and no option makes headsplat work or take memory without a bound: each is refused with one sentence."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.bench import Grid
from avatar.cli import main
from avatar.cli.bench import MAX_THREADS
from avatar.errors import HeadsplatError
from avatar.motion import edit, read_motion
from avatar.motion.files import text
from avatar.rendering.background import parse_background
from avatar.types import Motion


@pytest.fixture(autouse=True)
def _within_seconds() -> Iterator[None]:
    """Every case takes far less than a second on an idle machine; the unbounded ones took minutes."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 20


def refused(call: Callable[[], object]) -> str:
    """The sentence with which `call` is refused."""
    with pytest.raises(HeadsplatError) as error:
        call()
    return str(error.value)


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


LIVE_LINK = "Timecode,BlendShapeCount,JawOpen"


def test_a_csv_of_a_million_columns_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "wide.csv", LIVE_LINK + ",x" * 1_000_000 + "\n")
    assert "line 1: longer than 65536 characters" in refused(lambda: read_motion(path))
    path = written(tmp_path / "some.csv", LIVE_LINK + ",x" * 10_000 + "\n")
    assert "line 1: 10003 names, at most 2000 are read" in refused(lambda: read_motion(path))


def test_a_line_without_an_end_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = written(tmp_path / "endless.csv", f"{LIVE_LINK}\n" + "0," * 10_000_000)
    assert "line 2: longer than 65536 characters" in refused(lambda: read_motion(path))


def test_a_row_does_not_continue_over_many_lines_in_quotes(tmp_path: Path) -> None:
    path = written(tmp_path / "quoted.csv", f"{LIVE_LINK}\n" + '"0\n",' * 300_000)
    assert "line 2: 1 columns, the header has 3" in refused(lambda: read_motion(path))


@pytest.mark.parametrize("distinct", [True, False])
def test_json_of_200_000_names_is_refused(tmp_path: Path, distinct: bool) -> None:
    names = ",".join(f'"name{k if distinct else 0}"' for k in range(200_000))
    path = written(tmp_path / "names.json", f'{{"names": [{names}], "frames": [{{"weights": []}}]}}')
    assert "names: 200000 names, at most 2000 are read" in refused(lambda: read_motion(path))


def test_many_names_are_matched_in_one_pass() -> None:
    from avatar.motion.files.names import arkit_columns

    names = ["jawOpen", *(f"name{k}" for k in range(200_000))]
    assert len(arkit_columns(names, "here", [])) == 200_001


def test_a_file_larger_than_any_take_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as stream:
        stream.write(f"{LIVE_LINK}\n".encode())
        stream.truncate(3 << 30)  # sparse: takes no space
    (tmp_path / "large.json").symlink_to(path)
    assert refused(lambda: read_motion(path))
    path.write_bytes(b"{")
    os.truncate(path, 3 << 30)
    assert refused(lambda: read_motion(path))


def test_more_frames_than_any_take_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert text.MAX_FRAMES == 1_000_000
    monkeypatch.setattr(text, "MAX_FRAMES", 1000)  # the same check, without a minute of reading
    rows = "".join(f"00:00:{k // 60 % 60:02}:{k % 60:02},1,0\n" for k in range(1001))
    csv = written(tmp_path / "long.csv", f"{LIVE_LINK}\n{rows}")
    assert "more than 1000 frames, which no take has; split it" in refused(lambda: read_motion(csv))
    frames = ",".join(['{"weights": [0]}'] * 1001)
    named = written(tmp_path / "long.json", f'{{"names": ["jawOpen"], "frames": [{frames}]}}')
    assert "more than 1000 frames" in refused(lambda: read_motion(named))
    audio = f'{{"facsNames": ["jawOpen"], "weightMat": [{",".join(["[0]"] * 1001)}]}}'
    assert "more than 1000 frames" in refused(lambda: read_motion(written(tmp_path / "a2f.json", audio)))
    np.save(tmp_path / "take_exp.npy", np.zeros((1001, 2), np.float32))
    np.save(tmp_path / "take_pose.npy", np.zeros((1001, 15), np.float32))
    assert "more than 1000 frames" in refused(lambda: read_motion(tmp_path / "take_exp.npy"))


def test_json_that_takes_gigabytes_once_parsed_is_refused_before(tmp_path: Path) -> None:
    path = written(tmp_path / "bomb.json", '{"names": ["jawOpen"], "frames": [' + "[]," * 5_000_000 + "[]]}")
    assert "which no take has; split it" in refused(lambda: read_motion(path))


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "deep.json", '{"names": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}")
    assert "not JSON of a motion" in refused(lambda: read_motion(path))


def test_an_array_of_flags_does_not_grow_eightfold(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "flame_param.npz", expr=np.zeros((200_000, 400), bool))
    assert "80000000 values, which no take has" in refused(lambda: read_motion(tmp_path / "flame_param.npz"))


def test_a_window_over_all_of_a_dense_motion_is_refused() -> None:
    count = 3000
    motion = Motion(
        time=torch.arange(count).double() * 1e-5,
        names=("jawOpen",),
        weights=torch.zeros(count, 1),
        space="arkit52",
        joint_rot=torch.zeros(count, 5, 3),
        translation=torch.zeros(count, 3),
    )
    assert "at most 2000 are averaged" in refused(lambda: edit.smooth(motion, 10.0))
    assert len(edit.smooth(motion[:200], 3e-5)) == 200


def png(path: Path, width: int, height: int) -> Path:
    """A PNG of a few hundred bytes whose header declares the size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_a_background_of_30_000_pixels_a_side_is_refused_by_its_header(tmp_path: Path) -> None:
    path = png(tmp_path / "large.png", 30_000, 30_000)
    sentence = refused(lambda: parse_background(str(path), 64, 64))
    assert "30000x30000 pixels" in sentence and "make it smaller" in sentence


def test_a_background_of_one_column_is_refused(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "column.png"), np.zeros((20_000, 1, 3), np.uint8))
    sentence = refused(lambda: parse_background(str(tmp_path / "column.png"), 4096, 4096))
    assert "1x20000 pixels are too narrow for a frame of 4096x4096" in sentence


def test_a_synthetic_person_moves_at_a_frame_in_100_seconds() -> None:
    from avatar.head.arkit import ARKIT_52
    from capture.synthetic.motion import perform

    motion = perform(ARKIT_52, 3, 0.01, 1.0, np.random.default_rng(0))
    assert np.isfinite(motion.expression).all()


def test_a_benchmark_does_not_start_99999_threads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--threads", "99999"]) == 1
    assert capsys.readouterr().err == f"headsplat: --threads: expected 1 to {MAX_THREADS}, got 99999\n"


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"counts": (2_000_000,), "bases": (1000,)}, "counts: times the number of blendshapes at most 50000000"),
        ({"sizes": (4096,), "batches": (1024,)}, "batches: times the pixels of an image at most 134217728"),
    ],
)
def test_a_benchmark_whose_product_is_gigabytes_is_refused(grid: dict[str, tuple[int, ...]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Grid(**grid)


def test_the_default_grid_is_measured() -> None:
    assert Grid().product()


def test_help_in_a_terminal_of_one_column_ends() -> None:
    command = [sys.executable, "-c", "import sys; from avatar.cli import main; sys.exit(main(['--help']))"]
    ended = subprocess.run(
        command, env={**os.environ, "COLUMNS": "1"}, capture_output=True, encoding="utf-8", timeout=60
    )
    assert ended.returncode == 0 and "headsplat" in ended.stdout


def test_help_of_every_command_ends_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    for command in ("render", "bench"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    assert os.environ["COLUMNS"] == "5"
    assert "--supersample" in capsys.readouterr().out
