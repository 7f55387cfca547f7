"""`headsplat capture`, and the capture that `headsplat train` makes of a video, with a replaced pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import capture.pipeline
import capture.sources
from avatar import cli
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.errors import HeadsplatError
from avatar.jobs.capturing import reuse_or_capture
from capture.options import CaptureOptions
from tests.support.tiny import tiny_capture


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Options of every run of a pipeline that writes a tiny capture and one warning."""
    runs: list[Any] = []

    def run_capture(
        source: Path, out: Path, options: Any, progress: Callable[[str, int, int], None], kept: object
    ) -> Capture:
        runs.append(options)
        for name in ("landmarks", "mattes", "track"):
            progress(name, 1, 2)
            progress(name, 2, 2)
        tiny_capture(out, frames=10)
        metadata = json.loads((out / METADATA_FILE).read_text())
        metadata["source"]["sha256"] = capture.sources.file_digest(source)
        metadata["split"] = {"mode": options.split.mode, "value": options.split.value}
        metadata["warnings"] = ["the video is dark"]
        metadata["consent"] = options.consent
        (out / METADATA_FILE).write_text(json.dumps(metadata))
        return Capture.load(out)

    monkeypatch.setattr(capture.pipeline, "run_capture", run_capture)
    return runs


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "selfie.mp4"
    path.write_bytes(b"any bytes: the pipeline is replaced")
    return path


def test_capture_shows_its_stages_warnings_and_result(
    pipeline: list[Any], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--test-every", "5", "--max-frames", "50", "--consent", "it is me"]
    assert cli.main(["capture", str(video), "-o", str(tmp_path / "c"), *flags]) == 0
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.err.splitlines() if "done in" in line] == [
        "landmarks",
        "mattes",
        "track",
        "overlay",
    ]
    assert "warning: the video is dark" in printed.err
    assert "10 frames of 64x64, 2 held out" in printed.out
    assert "8 training frames, 2 held out" in printed.out and "The clip is short" in printed.out
    (options,) = pipeline
    assert (options.test_every, options.max_frames, options.consent) == (5, 50, "it is me")


def test_capture_prints_its_report_as_json(
    pipeline: list[Any], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["capture", str(video), "-o", str(tmp_path / "c"), "--json", "--no-overlay"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "c" / "report.json").read_text())
    assert report["frames"]["training"] == 8 and report["advice"]
    assert not (tmp_path / "c" / "overlay.mp4").exists()


def test_the_same_command_writes_a_missing_report(
    pipeline: list[Any], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["capture", str(video), "-o", str(tmp_path / "c"), "--no-overlay"]
    assert cli.main(command) == 0
    (tmp_path / "c" / "report.json").unlink()
    assert cli.main(command) == 0
    assert "is finished; writing its report" in capsys.readouterr().err
    assert (tmp_path / "c" / "report.json").exists() and len(pipeline) == 1
    assert cli.main(command) == 1  # now it is complete


def test_info_prints_the_report_of_a_capture_and_writes_it_again(
    pipeline: list[Any], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "c")
    assert cli.main(["capture", str(video), "-o", folder, "--no-overlay"]) == 0
    capsys.readouterr()
    assert cli.main(["info", folder]) == 0
    assert "what to film again:" in capsys.readouterr().out
    (tmp_path / "c" / "report.json").unlink()
    assert cli.main(["info", folder]) == 0
    assert "no report on the current track; write one with `headsplat info" in capsys.readouterr().out
    assert cli.main(["info", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] is None
    assert cli.main(["info", folder, "--report"]) == 0
    assert "what to film again:" in capsys.readouterr().out
    assert {"report.json", "coverage.png", "overlay.mp4"} <= {path.name for path in (tmp_path / "c").iterdir()}


def test_train_captures_a_video_once_and_reuses_the_capture(
    pipeline: list[Any], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fast.toml").write_text("steps = 5\ngaussians = 100\n")
    arguments = ["train", str(video), "-o", str(tmp_path / "me.avatar"), "--config", str(tmp_path / "fast.toml")]
    assert cli.main(arguments) == 0
    assert "capturing selfie.mp4 into" in capsys.readouterr().err
    assert (tmp_path / "me.capture" / METADATA_FILE).exists()
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert "using the finished capture" in capsys.readouterr().err
    assert len(pipeline) == 1


def test_train_passes_options_of_the_capture_on(
    pipeline: list[Any], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fast.toml").write_text("steps = 5\ngaussians = 100\n")
    arguments = ["train", str(video), "--config", str(tmp_path / "fast.toml"), "-o"]
    assert cli.main([*arguments, str(tmp_path / "a.avatar"), "--framing", "bust", "--passes", "2"]) == 0
    assert cli.main([*arguments, str(tmp_path / "b.avatar")]) == 0
    assert [(options.framing, options.passes) for options in pipeline] == [("bust", 2), ("head", 5)]


@pytest.mark.parametrize(
    ("content", "every", "sentence"),
    [
        (b"another video", None, "contains a capture of another video"),
        (None, 5, "contains a capture with another split"),
    ],
)
def test_a_capture_of_another_video_or_split_is_refused(
    pipeline: list[Any], video: Path, tmp_path: Path, content: bytes | None, every: int | None, sentence: str
) -> None:
    folder = tmp_path / "me.capture"
    reuse_or_capture((video,), folder, CaptureOptions())
    if content is not None:
        video.write_bytes(content)
    with pytest.raises(HeadsplatError, match=f"{sentence}; give --overwrite to capture again"):
        reuse_or_capture((video,), folder, CaptureOptions(test_every=every))
    assert len(pipeline) == 1


def test_the_head_model_is_passed_on_and_compared(pipeline: list[Any], video: Path, tmp_path: Path) -> None:
    flags = ["--head", str(tmp_path / "flame2023.pkl")]
    assert cli.main(["capture", str(video), "-o", str(tmp_path / "c"), *flags]) == 0
    assert pipeline[0].head == flags[1]
    with pytest.raises(HeadsplatError, match="contains a capture with another head model"):
        reuse_or_capture((video,), tmp_path / "c", CaptureOptions(head=flags[1]))


def test_interrupted_pipeline_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any, **_: Any) -> Capture:
        arguments[3]("landmarks", 1, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(capture.pipeline, "run_capture", interrupted)
    assert cli.main(["capture", str(video), "-o", str(tmp_path / "c")]) == 130
    printed = capsys.readouterr().err
    assert "stopped by Ctrl-C" in printed.splitlines()[-1]
    assert "done in" not in printed


def test_overwrite_repairs_a_damaged_capture(pipeline: list[Any], video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "me.capture"
    reuse_or_capture((video,), folder, CaptureOptions())
    (folder / "track.npz").write_bytes(b"damaged")
    shutil.rmtree(folder / "frames")
    shutil.rmtree(folder / "mattes")  # the replaced pipeline makes them
    with pytest.raises(HeadsplatError, match="the track is damaged"):
        reuse_or_capture((video,), folder, CaptureOptions())
    reuse_or_capture((video,), folder, CaptureOptions(overwrite=True))
    assert len(pipeline) == 2 and len(Capture.load(folder)) == 10


@pytest.mark.parametrize(
    ("used", "requested", "sentence"),
    [
        ({"test_camera": "1"}, {}, "with another split"),
        ({}, {"test_camera": "1"}, "with another split"),
        ({"max_size": 512}, {}, "with another --max-size"),
        ({"framing": "bust"}, {}, "with another --framing"),
        ({"max_size": 512}, {"max_size": 512}, None),
    ],
)
def test_a_capture_with_other_options_is_refused(
    pipeline: list[Any], video: Path, tmp_path: Path, used: dict, requested: dict, sentence: str | None
) -> None:
    folder = tmp_path / "me.capture"
    reuse_or_capture((video,), folder, CaptureOptions(**used))
    metadata = json.loads((folder / METADATA_FILE).read_text())
    (folder / METADATA_FILE).write_text(json.dumps(metadata | {"options": CaptureOptions(**used).key()}))
    if sentence is None:
        reuse_or_capture((video,), folder, CaptureOptions(**requested))
        return
    with pytest.raises(HeadsplatError, match=sentence):
        reuse_or_capture((video,), folder, CaptureOptions(**requested))


@pytest.mark.parametrize("focal", ["inf", "nan"])
def test_an_invalid_focal_length_is_refused(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], focal: str
) -> None:
    assert cli.main(["capture", str(video), "-o", str(tmp_path / "c"), "--focal", focal]) == 1
    assert "--focal: expected 10 to" in capsys.readouterr().err
