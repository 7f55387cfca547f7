"""`headsplat demo` with a tiny capture in place of the synthetic video: its files and its report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import avatar.cli.capture
import capture.synthetic.video
from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.video import write_video
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished demo."""
    folder = tmp_path_factory.mktemp("demo") / "out"

    def make_video(path: Path, options: Any, progress: Any) -> None:
        write_video(path, np.zeros((4, 64, 64, 3), np.uint8), 30.0)

    def make_capture(request: Any, overwrite: bool) -> Capture:
        return tiny_capture(request.out, frames=24)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capture.synthetic.video, "make_video", make_video)
        patch.setattr(avatar.cli.capture, "make_capture", make_capture)
        assert cli.main(["demo", "-o", str(folder), "--seconds", "1", "--size", "64"]) == 0
    return folder


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
