"""`headsplat motion report`: printed text and JSON, written files, options and error messages."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from avatar import cli
from avatar.common.image_io import write_image
from avatar.motion import write_motion
from avatar.performance.facs.table import DEFAULT_TABLE
from avatar.performance.readout.sound import read_loudness
from tests.avatar.performance.readout.acted import Acted
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("takes") / "take.csv"
    write_motion(path, Acted(6).face("happiness", 2, 4).blink(1).motion())
    return path


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `headsplat motion report`."""
    code = cli.main(["motion", "report", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_text_is_printed_by_default(take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = report(capsys, take)
    assert code == 0 and out.startswith("take.csv\n")
    assert "A face of happiness is shown once" in out and "It cannot tell what a person feels" in out
    assert report(capsys, take, "--text")[1] == out


def test_json_is_printed_and_the_text_then_goes_to_stderr(take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(report(capsys, take, "--json", "--rate", 5)[1])
    assert found["format"] == "headsplat.reading" and len(found["frames"]) == 30
    code, out, err = report(capsys, take, "--json", "--text")
    assert code == 0 and json.loads(out)["source"]["name"] == "take.csv" and "Conclusion" in err


def test_files_are_written_by_their_suffix(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / f"reading.{suffix}" for suffix in ("json", "txt", "csv")]
    options = [part for path in paths for part in ("-o", path)]
    assert report(capsys, take, *options, "--contributions")[0] == 0
    assert len(json.loads(paths[0].read_text())["frames"][0]["contributions"]) == 9
    assert "Observation" in paths[1].read_text()
    assert len(list(csv.DictReader(paths[2].open()))) == 180
    code, _, err = report(capsys, take, "-o", paths[0])
    assert code == 1 and "reading.json: exists already; give --overwrite" in err
    assert report(capsys, take, "-o", paths[0], "--overwrite")[0] == 0


def test_an_edited_table_changes_the_reading(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "mine.toml"
    table.write_text(DEFAULT_TABLE.read_text().replace("[emotions.happiness]", "[emotions.joy]"))
    assert "A face of joy is shown once" in report(capsys, take, "--table", table)[1]
    table.write_text("version = 1\nsmile = 2\n")
    code, _, err = report(capsys, take, "--table", table)
    assert code == 1 and "mine.toml: `smile`: unknown name" in err


def test_the_resting_face_and_the_range_are_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    acted = Acted(4).face("AU12", 1, 2, 0.3)
    acted.weights += 0.1
    path = tmp_path / "rest.csv"
    write_motion(path, acted.motion())
    plain, kept, ranged = (
        json.loads(report(capsys, path, "--json", *options)[1]) for options in ((), ("--no-resting",), ("--own-range",))
    )
    assert plain["source"]["resting_face"]["mouthSmileLeft"] == pytest.approx(0.1)
    assert not kept["source"]["resting_face"] and not plain["source"]["own_range"]
    assert ranged["source"]["own_range"]["mouthSmileLeft"] < 0.4


def test_a_capture_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tiny_capture(tmp_path / "c", frames=32, size=16)
    code, out, _ = report(capsys, capture.root)
    assert code == 0 and "A face is seen in 32 of 32 frames" in out
    found = json.loads(report(capsys, capture.root, "--json", "--landmarks", "all")[1])
    assert found["landmarks"]["image"] == {"width": 16, "height": 16, "of": "stored frames"}
    assert found["landmarks"]["shape"] == "person"
    pixels = np.array(found["frames"][0]["landmarks"]["pixels"])
    assert pixels == pytest.approx(capture.track["landmarks"][0, :, :2], abs=0.06)
    assert "landmarks" not in json.loads(report(capsys, capture.root, "--json", "--landmarks", "none")[1])


def test_a_video_is_tracked_first(
    take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar.cli import motion_report

    folders = []

    def tracked(video: Path, out: Path, passes: int, notices: object) -> Path:
        folders.append(out)
        assert (video.name, passes) == ("clip.mp4", 3)
        return tiny_capture(out, frames=32, size=16).root

    monkeypatch.setattr(motion_report, "track_video", tracked)
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    code, out, err = report(capsys, tmp_path / "clip.mp4", "--passes", "3")
    assert code == 0 and out.startswith("clip.mp4\n") and "only of someone who has agreed" in err
    assert not folders[0].exists()


def test_a_photo_or_a_broken_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "face.png", np.zeros((8, 8, 3), np.uint8))
    code, _, err = report(capsys, tmp_path / "face.png")
    assert code == 1 and "face.png: a photo, which shows no motion; give a video, or a motion file" in err
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    assert report(capsys, tmp_path / "broken.mp4")[0] == 1
    code, _, err = report(capsys, tmp_path / "none.mp4")
    assert code == 1 and "none.mp4" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rate", "0"), "--rate: expected 0.01 to"),
        (("--passes", "0"), "--passes: expected 1 to 64, got 0"),
        (("-o", "reading.pdf"), "reading.pdf: a file of another kind; give a name in .json or .txt or .csv with -o"),
        (("--table", "none.toml"), "none.toml: no such table; check the path given to --table"),
    ],
)
def test_bad_options_are_refused(
    take: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, _, err = report(capsys, take, *options)
    assert code == 1 and message in err


def test_an_output_that_is_the_input_is_refused(take: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = take.read_bytes()
    code, _, err = report(capsys, take, "-o", take, "--overwrite")
    assert code == 1 and "is also an input of this command" in err and take.read_bytes() == before


def test_a_motion_of_another_head_needs_that_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motion = Acted(1).motion()
    names = tuple(f"expr{k}" for k in range(52))
    path = tmp_path / "flame.motion.npz"
    write_motion(path, dataclasses.replace(motion, names=names, space="flame"))
    code, _, err = report(capsys, path)
    assert code == 1 and "give the head model it was made for with --motion-head FILE" in err


def test_the_loudness_of_a_file_is_read(tmp_path: Path) -> None:
    import wave

    samples = np.zeros(32000, np.int16)
    samples[8000:16000] = (8000 * np.sin(np.arange(8000))).astype(np.int16)
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    found = read_loudness(tmp_path / "tone.wav")
    assert found is not None
    loud = found.time[found.decibels > -40]
    assert loud[0] == pytest.approx(0.5, abs=0.05) and loud[-1] == pytest.approx(1.0, abs=0.05)
    (tmp_path / "none.mp4").write_bytes(b"nothing")
    assert read_loudness(tmp_path / "none.mp4") is None
