"""`headsplat render` on a tiny capture: its outputs and error messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from avatar import cli
from avatar.cli.interrupt import stopped_by_interrupt
from avatar.data.capture_folder import Capture
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from tests.support.pretended import Device
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def me(tiny_avatar: Avatar, tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("render") / "me.avatar"
    save_avatar(path, tiny_avatar, {"capture": capture_entry(tiny)})
    return path


@pytest.fixture(scope="module")
def motion_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of a mouth that opens, as an ARKit JSON file at 30 fps."""
    path = tmp_path_factory.mktemp("take") / "take.json"
    frames = [{"weights": [0.5 - 0.5 * np.cos(k / 6), 0.1], "time": k / 30} for k in range(40)]
    path.write_text(json.dumps({"names": ["jawOpen", "eyeBlinkLeft"], "frames": frames}))
    return path


def run(*arguments: Any) -> int:
    return cli.main(["render", *map(str, arguments)])


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    capsys.readouterr()
    assert run(*arguments) == 1
    return capsys.readouterr().err.splitlines()[-1]


def images(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.glob("*.png"))}


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [float(frame.pts * stream.time_base) for frame in container.decode(stream)]


def test_the_own_capture_has_every_frame_at_its_time(tiny: Capture, me: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.mp4"
    assert run(me, "--motion", tiny.root, "-o", out) == 0
    assert times_of(out) == pytest.approx([index / 30 for index in range(24)], abs=1e-4)


def test_images_have_size_background_and_full_motion_numbers(tiny: Capture, me: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    flags = ["--size", "80x60", "--frames", "2:5", "--background", "#0000ff"]
    assert run(me, "--motion", tiny.root, "-o", out, *flags) == 0
    found = images(out)
    assert list(found) == ["00002.png", "00003.png", "00004.png"]
    assert found["00002.png"].shape == (60, 80, 3)
    assert found["00002.png"][0, 0].tolist() == [255, 0, 0]


def test_a_device_renders_the_images_of_the_cpu(gpu: Device, tiny: Capture, me: Path, tmp_path: Path) -> None:
    shared = (me, "--motion", tiny.root, "--size", 40, "--frames", "3:5")
    assert run(*shared, "-o", tmp_path / "cpu", "--device", "cpu") == 0
    assert not gpu.waits and not gpu.uploads
    assert run(*shared, "-o", tmp_path / "gpu", "--device", "cuda") == 0
    assert gpu.waits.total() > 0
    expected, found = images(tmp_path / "cpu"), images(tmp_path / "gpu")
    assert list(found) == list(expected) and len(found) == 2
    assert max(np.abs(found[name].astype(int) - image).max() for name, image in expected.items()) <= 1


def test_render_names_the_devices_it_knows(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failure(capsys, me, "--motion", tiny.root, "-o", tmp_path / "me.mp4", "--device", "gpu")
    assert message == "headsplat: --device gpu: not known; give auto, cpu, cuda or cuda:N"


def test_a_constant_rate_has_the_same_duration(tiny: Capture, me: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.mp4"
    assert run(me, "--motion", tiny.root, "-o", out, "--fps", "60", "--size", "32x32") == 0
    assert times_of(out) == pytest.approx([index / 60 for index in range(47)], abs=1e-9)


@pytest.mark.parametrize("camera", ["front", "orbit:30,0.5", "capture"])
def test_segments_equal_the_full_rendering_exactly(tiny: Capture, me: Path, tmp_path: Path, camera: str) -> None:
    full, segment = tmp_path / "full", tmp_path / "segment"
    flags = ["--camera", camera, "--size", "40x40", "--motion", tiny.root]
    assert run(me, *flags, "-o", full) == 0
    assert run(me, *flags, "-o", segment, "--frames", "15:19") == 0
    expected = images(full)
    for name, image in images(segment).items():
        assert np.array_equal(image, expected[name]), name


def test_two_runs_write_the_same_bytes(tiny: Capture, me: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        assert run(me, "--motion", tiny.root, "-o", tmp_path / f"{name}.mp4", "--frames", ":6", "--size", "48x48") == 0
        files.append((tmp_path / f"{name}.mp4").read_bytes())
    assert files[0] == files[1]


def test_passes_are_written_to_separate_files_or_folders(tiny: Capture, me: Path, tmp_path: Path) -> None:
    flags = ["--motion", tiny.root, "--frames", ":2", "--size", "32x32", "--passes", "rgb,alpha,depth"]
    assert run(me, *flags, "-o", tmp_path / "take.mp4") == 0
    assert run(me, *flags, "-o", tmp_path / "frames") == 0
    assert {path.name for path in tmp_path.glob("*.mp4")} == {"take.mp4", "take_alpha.mp4", "take_depth.mp4"}
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("00001.*")) == [
        "frames/alpha/00001.png", "frames/depth/00001.exr", "frames/rgb/00001.png",
    ]  # fmt: skip


def test_transparent_images_have_alpha(tiny: Capture, me: Path, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    assert run(me, "--motion", tiny.root, "-o", out, "--frames", ":1", "--background", "transparent") == 0
    image = images(out)["00000.png"]
    assert image.shape[2] == 4
    assert image[..., 3].min() == 0 and image[..., 3].max() == 255


def test_two_avatars_are_rendered_side_by_side(tiny: Capture, me: Path, tmp_path: Path) -> None:
    flags = ["--motion", tiny.root, "--frames", "3:4", "--size", "40x30"]
    assert run(me, "-o", tmp_path / "one", *flags) == 0
    assert run(me, me, "-o", tmp_path / "two", *flags) == 0
    one, two = (images(tmp_path / name)["00003.png"] for name in ("one", "two"))
    assert np.array_equal(two, np.hstack([one, one]))


def test_the_report_describes_the_rendering(tiny: Capture, me: Path, tmp_path: Path) -> None:
    assert run(me, "--motion", tiny.root, "-o", tmp_path / "own.mp4", "--frames", "4:9", "--camera", "front") == 0
    report = json.loads((tmp_path / "own.mp4.report.json").read_text())
    found = {name: report[name] for name in ("motion", "camera", "first_frame", "frames", "frames_whole", "finished")}
    assert found == {
        "motion": "capture", "camera": "front", "first_frame": 4, "frames": 5, "frames_whole": 24, "finished": True,
    }  # fmt: skip
    assert "the person it shows has agreed" in report["avatars"][0]["consent"]
    assert report["avatars"][0]["drive"] is None
    assert report["frames_a_second"] > 0


def test_another_persons_motion_is_retargeted_and_reported(
    me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_capture(tmp_path / "other", frames=10, seed=5)
    assert run(me, "--motion", other.root, "-o", tmp_path / "frames", "--self", "off") == 0
    assert "other retargeted to me.avatar: 10 frames" in capsys.readouterr().err
    assert len(images(tmp_path / "frames")) == 10
    drive = json.loads((tmp_path / "frames.report.json").read_text())["avatars"][0]["drive"]
    assert drive["frames"] == 10


def test_a_motion_file_drives_the_avatar_with_its_edits(motion_file: Path, me: Path, tmp_path: Path) -> None:
    flags = ["--motion", motion_file, "--frames", "19:20", "--size", "48x48", "--neutral", "as-is"]
    assert run(me, *flags, "-o", tmp_path / "plain") == 0
    assert run(me, *flags, "-o", tmp_path / "shut", "--gain", "jawOpen=0") == 0
    plain, shut = (images(tmp_path / name)["00019.png"] for name in ("plain", "shut"))
    assert not np.array_equal(plain, shut)


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_the_frames_and_reports_how_to_continue(
    presses: int,
    tiny: Capture,
    me: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from avatar.video import Writer

    add = Writer.add

    def interrupted(self: Writer, image: np.ndarray, time: float | None = None) -> None:
        add(self, image, time)
        if self.count == 4:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Writer, "add", interrupted)
    out = tmp_path / "own.mp4"
    assert run(me, "--motion", tiny.root, "-o", out, "--frames", "2:20", "--size", "32x32") == 130
    assert f"stopped by Ctrl-C: {out} contains 4 of 18 frames (2:6); --frames 6:20" in capsys.readouterr().err
    assert len(times_of(out)) == 4
    report = tmp_path / "own.mp4.report.json"
    assert presses == 2 or not json.loads(report.read_text())["finished"]


def test_the_handler_of_ctrl_c_does_not_print(capsys: pytest.CaptureFixture[str]) -> None:
    with stopped_by_interrupt("stopping") as stop:
        signal.raise_signal(signal.SIGINT)
        assert capsys.readouterr().err == ""
        assert stop.is_set() and stop.is_set()
        assert capsys.readouterr().err == "stopping\n"


def test_motion_tracked_with_another_head_model_is_refused(
    me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_capture(tmp_path / "other", frames=10, seed=5)
    facts = dict(other.metadata) | {"head": other.metadata["head"] | {"model_id": "0" * 16}}
    (other.root / "capture.json").write_text(json.dumps(facts))
    text = failure(capsys, me, "--motion", other.root, "-o", tmp_path / "frames")
    assert "other: tracked with another head model (embedded; this embedded has other geometry); give that" in text


def test_a_folder_of_images_is_replaced_only_with_the_option_and_only_if_it_has_nothing_else(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "frames"
    out.mkdir()
    arguments = [me, "--motion", tiny.root, "-o", out, "--frames", ":2"]
    assert "exists already; give --overwrite" in failure(capsys, *arguments)
    (out / "thesis.doc").touch()
    assert "contains other files too (thesis.doc)" in failure(capsys, *arguments, "--overwrite")
    (out / "thesis.doc").unlink()
    assert run(*arguments, "--overwrite") == 0
    assert len(images(out)) == 2


@pytest.mark.parametrize("passes", ["rgb", "rgb,alpha"])
def test_other_files_in_a_folder_named_like_a_pass_are_kept(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], passes: str
) -> None:
    out = tmp_path / "output"
    (out / "rgb").mkdir(parents=True)
    (out / "rgb" / "thesis.doc").touch()
    text = failure(capsys, me, "--motion", tiny.root, "-o", out, "--passes", passes, "--overwrite")
    assert "contains other files too" in text
    assert (out / "rgb" / "thesis.doc").exists()


def test_a_report_is_replaced_only_with_the_option(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.mp4.report.json").write_text("mine")
    text = failure(capsys, me, "--motion", tiny.root, "-o", tmp_path / "own.mp4")
    assert "own.mp4.report.json: exists already; give --overwrite" in text
    assert [path.name for path in tmp_path.iterdir()] == ["own.mp4.report.json"]


def test_an_old_report_does_not_remain_beside_new_frames(
    tiny: Capture, me: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar.jobs.frame_output import FrameOutput

    def stopped(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    (tmp_path / "own.mp4.report.json").write_text('{"headsplat": "0.2.0", "avatars": []}')
    monkeypatch.setattr(FrameOutput, "render", stopped)
    assert run(me, "--motion", tiny.root, "-o", tmp_path / "own.mp4", "--overwrite") == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-o", "take.avi"], "take.avi: cannot write .avi; give a name in .mp4"),
        (["-o", "take.mp4", "--fps", "0"], "--fps: expected 0.01 to 1000, got 0"),
        (["-o", "take.mp4", "--size", "big"], "--size: 'big' is not a size"),
        (
            ["-o", "take.mp4", "--size", "5000x50"],
            "--size: '5000x50' is not a size; give WIDTHxHEIGHT in pixels (at most 4096)",
        ),
        (["-o", "take.mp4", "--supersample", "9"], "--supersample: expected 1 to 4, got 9"),
        (["-o", "take.mp4", "--background", "mauve"], "--background: 'mauve' is not a color"),
        (
            ["-o", "take.mp4", "--background", "transparent"],
            "take.mp4: .mp4 cannot store alpha; give a name in .mov",
        ),
        (["-o", "take.mp4", "--frames", "5:5"], "--frames: 5:5 selects no frame"),
        (["-o", "take.mp4", "--frames", "50:"], "--frames: 50: selects none of the 24 frames"),
        (["-o", "take.mp4", "--camera", "side"], "--camera: 'side' is not a camera"),
        (["-o", "take.mp4", "--passes", "flow"], "--passes: 'flow' is not a pass"),
        (["-o", "take.mp4", "--gain", "jawOpen"], "--gain: 'jawOpen' is not a factor; give NAME=NUMBER"),
    ],
)
def test_invalid_options_are_refused_with_a_message(
    tiny: Capture,
    me: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in failure(capsys, me, "--motion", tiny.root, *flags)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_motion_is_a_message(me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = failure(capsys, me, "--motion", tmp_path / "take.csv", "-o", tmp_path / "x.mp4")
    assert "take.csv: no such capture or motion file; check the path" in text


def test_a_truncated_avatar_is_a_message(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.avatar"
    shutil.copy(me, short)
    os.truncate(short, short.stat().st_size // 2)
    text = failure(capsys, short, "--motion", tiny.root, "-o", tmp_path / "x.mp4")
    assert "short.avatar: not an avatar file, or a damaged one; train or copy it again" in text


def test_a_motionless_motion_is_reported(
    me: Path, motion_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(motion_file.read_text())
    for frame in content["frames"]:
        frame["weights"] = [0.3, 0.1]
    (tmp_path / "still.json").write_text(json.dumps(content))
    still = "nothing moves in this motion: all frames are the same"
    for path, expected in ((motion_file, False), (tmp_path / "still.json", True)):
        capsys.readouterr()
        assert run(me, "--motion", path, "-o", tmp_path / path.stem, "--size", 24, "--frames", "0:2") == 0
        assert (still in "".join(capsys.readouterr())) == expected


def test_the_frames_of_a_capture_correct_its_motion_where_asked(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own.mp4"
    assert run(me, "--motion", tiny.root, "-o", out, "--self", "on") == 0
    printed = capsys.readouterr()
    assert "its frames correct the motion of me.avatar (correlation ." in (printed.out + printed.err).replace("0.", ".")
    assert times_of(out) == pytest.approx([index / 30 for index in range(24)], abs=1e-4)
    report = json.loads((tmp_path / "own.mp4.report.json").read_text())
    assert "the avatar as its own tracker" in json.dumps(report)


def test_another_film_of_the_person_is_followed_by_its_frames(
    me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = tiny_capture(tmp_path / "second", frames=10)
    assert run(me, "--motion", second.root, "-o", tmp_path / "frames") == 0
    assert "second: its frames correct the motion of me.avatar" in capsys.readouterr().err


def test_a_capture_that_does_not_look_like_the_avatar_is_retargeted(
    tiny: Capture, me: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny.root, other)
    for path in (other / "frames").iterdir():  # upside down
        assert cv2.imwrite(str(path), np.asarray(cv2.imread(str(path)))[::-1])
    assert run(me, "--motion", other, "-o", tmp_path / "frames", "--self", "auto", "--smooth", "0") == 0
    assert "its frames correct the motion" not in capsys.readouterr().err
