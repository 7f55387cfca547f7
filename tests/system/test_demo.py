"""`headsplat demo` with a tiny capture in place of that of its video: its files, its report and what it prints."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

import avatar.jobs.capturing
import capture.synthetic.video
from avatar import cli
from avatar.data.capture_folder import Capture
from capture.options import CaptureOptions
from capture.synthetic import SyntheticOptions
from capture.synthetic.video import DEMO_CLIP
from tests.support.tiny import tiny_capture


@dataclass(frozen=True)
class Finished:
    """A finished demo."""

    folder: Path
    source: tuple[Path, ...]  # of its capture
    options: CaptureOptions  # of its capture
    said: str  # stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder, requests, said = tmp_path_factory.mktemp("demo") / "out", [], io.StringIO()

    def make_capture(source: tuple[Path, ...], out: Path, options: CaptureOptions, notices: Any) -> Capture:
        requests.append((source, options))
        return tiny_capture(out, frames=24)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(avatar.jobs.capturing, "make_capture", make_capture)
        with redirect_stderr(said):
            assert cli.main(["demo", "-o", str(folder), "--seconds", "1", "--size", "64"]) == 0
    return Finished(folder, *requests[0], said.getvalue())


@pytest.fixture
def demo(finished: Finished) -> Path:
    """The folder of a finished demo."""
    return finished.folder


def test_demo_writes_avatar_videos_figures_and_report(demo: Path) -> None:
    expected = {"demo.avatar", "demo.toml", "phone.mp4", "own_motion.mp4", "puppet.csv", "puppet.mp4"}
    expected |= {
        "evaluation.json",
        "comparison.png",
        "puppet.png",
        "report.md",
        "report.html",
        "capture",
        "demo.preview.png",
        "demo.report.json",
        ".headsplat",
    }
    assert {path.name for path in demo.iterdir()} == expected


def test_the_video_is_that_of_the_package_and_its_person_is_synthetic(finished: Finished) -> None:
    assert (finished.folder / "phone.mp4").read_bytes() == DEMO_CLIP.read_bytes()
    assert finished.source == (finished.folder / "phone.mp4",)
    assert finished.options.consent == "a synthetic person"


def test_another_number_of_frames_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after the video: the capture that follows is interrupted."""

    def interrupted(*_: Any) -> Capture:
        raise KeyboardInterrupt

    drawn: list[SyntheticOptions] = []
    monkeypatch.setattr(capture.synthetic.video, "make_video", lambda path, options, progress: drawn.append(options))
    monkeypatch.setattr(avatar.jobs.capturing, "make_capture", interrupted)
    cli.main(["demo", "-o", str(tmp_path / "d"), "--frames", "41"])
    assert drawn == [SyntheticOptions(frames=41)]


def test_every_stage_says_what_it_does_and_how_long_it_takes(finished: Finished) -> None:
    stages = re.findall(r"^(\d)/5 \S.*: about \d+ s$", finished.said, re.MULTILINE)
    assert stages == ["1", "2", "3", "4", "5"]


def test_the_motion_of_the_puppet_is_a_live_link_file_that_drives_the_avatar(demo: Path, tmp_path: Path) -> None:
    assert (demo / "puppet.csv").read_text(encoding="utf-8").startswith("Timecode,BlendShapeCount,EyeBlinkLeft")
    again = ["render", str(demo / "demo.avatar"), "--motion", str(demo / "puppet.csv"), "-o", str(tmp_path / "a.mp4")]
    assert cli.main(again) == 0
    with av.open(str(tmp_path / "a.mp4")) as part, av.open(str(demo / "puppet.mp4")) as whole:
        first, second = (next(film.decode(video=0)).to_ndarray(format="rgb24") for film in (part, whole))
    assert (first == second).all()


def test_the_report_page_embeds_all_media(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == 5
    assert all(source.startswith("data:") for source in sources)


def test_the_report_names_the_baselines_and_that_the_person_is_synthetic(demo: Path) -> None:
    for name in ("report.md", "report.html"):
        text = (demo / name).read_text(encoding="utf-8")
        assert "a static face" in text
        assert "they do not measure accuracy on people" in text


def test_images_of_the_markdown_report_exist(demo: Path) -> None:
    images = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (demo / "report.md").read_text(encoding="utf-8"))
    assert images
    assert all((demo / name).is_file() for name in images)


def test_demo_does_not_replace_an_earlier_one_without_overwrite(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "-o", str(demo)]) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err


def test_demo_refuses_too_few_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "-o", str(tmp_path / "d"), "--frames", "10"]) == 1
    assert "--frames: expected 40 to 10000, got 10" in capsys.readouterr().err
