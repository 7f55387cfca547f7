"""`headsplat render --background FILM`: a tiny avatar in the frames of its own film, with another motion or a voice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avatar import cli
from avatar.common.made_note import has_note
from avatar.data.capture_folder import Capture
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.video import write_video
from avatar.video.audio import has_audio
from capture.sources import file_digest
from capture.video.decoding import open_video
from tests.support.sounds import write_wav

FRAMES = 26  # two more than the capture, which show no face
MARGIN = (12, 20)  # of the film around the stored window, pixels


@pytest.fixture(scope="module")
def scene(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with me.avatar, film.mp4 of 88x104 pixels with a window of 64x64 in it, and film.capture."""
    folder = tmp_path_factory.mktemp("dubbing")
    save_avatar(folder / "me.avatar", tiny_avatar, {"capture": capture_entry(tiny)})
    images = [cv2.imread(str(tiny.image_path("frames", min(row, 23))))[..., ::-1] for row in range(FRAMES)]
    padded = (np.pad(image, ((MARGIN[1],) * 2, (MARGIN[0],) * 2, (0, 0)), mode="edge") for image in images)
    write_video(folder / "film.mp4", padded, 30, crf=4)
    shutil.copytree(tiny.root, folder / "film.capture")
    path = folder / "film.capture" / "capture.json"
    content = json.loads(path.read_text())
    content["source"] = {"name": "film.mp4", "sha256": file_digest(folder / "film.mp4"), "fps": 30, "frames": FRAMES}
    content["source"] |= {"width": 88, "height": 104, "rotation": 0, "mirrored": False, "turned": 0}
    path.write_text(json.dumps({**content, "crop": {"width": 64, "height": 64, "scale": 1.0}, "lost": [24, 25]}))
    names = {"names": ["jawOpen", "browInnerUp"]}
    take = [{"weights": [0.5 - 0.5 * np.cos(k / 3), 0.9], "time": k / 30} for k in range(40)]
    (folder / "take.json").write_text(json.dumps({**names, "frames": take}))
    return folder


def run(scene: Path, out: Path, *arguments: str) -> int:
    film = ("--background", str(scene / "film.mp4"))
    return cli.main(["render", str(scene / "me.avatar"), *film, "-o", str(out), *arguments])


def of_film(scene: Path) -> list[np.ndarray]:
    return [frame.rgb for frame in open_video(scene / "film.mp4")]


def images(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.png"))]


def test_the_film_s_own_motion_gives_the_film(scene: Path, tmp_path: Path) -> None:
    assert run(scene, tmp_path / "own", "--motion", str(scene / "film.capture")) == 0
    assert np.array_equal(images(tmp_path / "own"), of_film(scene))


def test_another_motion_changes_the_mouth_and_nothing_else(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "dubbed"
    assert run(scene, out, "--motion", str(scene / "take.json"), "--dub", "mouth", "--frames", "4:26") == 0
    made, film = images(out), of_film(scene)[4:]
    assert len(made) == 22 and sorted(path.name for path in out.glob("*.png"))[0] == "00004.png"
    changed = np.array([np.abs(new.astype(int) - old).max(2) for new, old in zip(made, film, strict=True)])
    assert not changed[:, : MARGIN[1]].any() and not changed[:, :, : MARGIN[0]].any(), "outside of the window"
    assert not changed[:, : MARGIN[1] + 20].any(), "eyes and brows"
    assert changed[5].max() > 30 and (changed[5] == 0).mean() > 0.6
    assert not changed[-2:].any(), "frames without a face"
    assert all(map(has_note, out.glob("*.png")))
    report = json.loads((tmp_path / "dubbed.report.json").read_text())["avatars"][0]["drive"]
    assert report["part"] == "mouth" and report["without_face"] == [24, 25]


def test_a_voice_replaces_the_sound_and_the_film_keeps_its_times(scene: Path, tmp_path: Path) -> None:
    sound = tmp_path / "voice.wav"
    write_wav(sound, 0.3 * np.sin(np.arange(8000) / 6), 16_000)
    out = tmp_path / "dubbed.mp4"
    assert run(scene, out, "--speak", str(sound)) == 0
    assert has_audio(out) and not has_audio(scene / "film.mp4") and has_note(out)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
        assert (stream.width, stream.height) == (88, 104)
    assert times == pytest.approx(np.arange(FRAMES) / 30, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "64"), "--size does not go with a film as --background; leave it out"),
        (("--fps", "25"), "--fps does not go with a film as --background; leave it out"),
        (("--passes", "rgb,depth"), "--passes does not go with a film as --background; leave it out"),
        (("--device", "cuda"), "--device does not go with a film as --background; leave it out"),
        (("--background", "red", "--dub", "mouth"), "--dub goes with a film; give --background FILM, or leave it out"),
    ],
)
def test_options_without_a_meaning_are_refused(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(scene, tmp_path / "out", "--motion", str(scene / "take.json"), *arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"headsplat: {message}"
    assert not (tmp_path / "out").exists()
