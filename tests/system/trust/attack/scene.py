"""The tiny inputs that are damaged: made once for a run, in a child, since the attack must not start threads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from avatar.data.capture_folder import Capture
from tests.system.trust.attack.forked import call_forked

FRAMES, SIZE = 12, 48
#: Settings of the shortest training.
CONFIG = f"steps = 4\ngaussians = 200\nbases = 2\nsize = {SIZE}\nrefine_at = 1.0\n"
#: Containers of the tiny videos: codec and pixel format by suffix.
VIDEOS = {
    "mp4": ("libx264", "yuv420p"), "mov": ("mpeg4", "yuv420p"), "mkv": ("libx264", "yuv420p"),
    "webm": ("libvpx-vp9", "yuv420p"), "avi": ("mpeg4", "yuv420p"), "ts": ("mpeg2video", "yuv420p"),
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """The folder of a run of the attack, with its inputs."""

    root: Path
    seed: int

    @property
    def inputs(self) -> Path:
        """The pristine inputs."""
        return self.root / "inputs"

    @property
    def avatar(self) -> Path:
        """An avatar of the tiny capture."""
        return self.inputs / "me.avatar"

    @property
    def capture(self) -> Path:
        """A capture of 12 frames of 48 pixels."""
        return self.inputs / "me.capture"

    @property
    def motion(self) -> Path:
        """Two frames of an expression file."""
        return self.inputs / "two.motion.npz"

    @property
    def config(self) -> Path:
        """Settings of a training of four steps."""
        return self.inputs / "tiny.toml"

    @property
    def videos(self) -> list[Path]:
        """Videos of eight frames in several containers, and a sound."""
        return sorted((self.inputs / "videos").iterdir())

    def random_name(self, *parts: object) -> str:
        """Seed of a generator for a named case."""
        return ":".join(map(str, (self.seed, *parts)))

    def copy_inputs(self, folder: Path) -> Path:
        """A copy of the inputs of the commands in `folder`/in."""
        target = folder / "in"
        shutil.copytree(self.inputs, target, ignore=shutil.ignore_patterns("heads", "layout", "motions"))
        return target


def make_scene(root: Path, seed: int) -> Scene:
    """Make the inputs below `root`."""
    scene = Scene(root, seed)
    (root / "tmp").mkdir(parents=True)
    os.environ.update(
        HEADSPLAT_CACHE=str(root / "cache"),
        HEADSPLAT_MODELS="",
        PIP_NO_INDEX="1",  # no case may download the face models
        TMPDIR=str(root / "tmp"),
        XDG_CONFIG_HOME=str(root / "config"),
    )
    call_forked(_fill, scene)
    return scene


def _fill(scene: Scene) -> None:
    import torch

    from avatar.cli import main
    from tests.avatar.motion.files import small
    from tests.avatar.performance.coefficients import films
    from tests.support.tiny import tiny_capture

    torch.set_num_threads(1)
    inputs = scene.inputs
    inputs.mkdir()
    _write_film(inputs / "film.mp4", tiny_capture(scene.capture, FRAMES, SIZE))
    scene.config.write_text(CONFIG)
    (scene.inputs / "fleet.csv").write_text("name,source,motion\nme,me.capture,two.motion.npz\n")
    presets = '{"headsplat": "presets", "version": 1, "presets": [{"name": "grin", "weights": {"jawOpen": 0.4}}]}'
    training = inputs / "first.toml"
    training.write_text(CONFIG.replace("steps = 4", "steps = 60").replace("= 200", "= 600"))
    assert main(["train", str(scene.capture), "-o", str(scene.avatar), "--config", str(training)]) == 0
    for path in inputs.glob("me.*.*"):
        path.unlink()
    (inputs / "me.toml").unlink()
    (inputs / "me.presets.json").write_text(presets)
    training.unlink()
    small.write_motion(scene.motion, small.motion(2))
    film = films.film(24)
    small.write_motion(inputs / "rig.motion.npz", film)
    films.rig_file(inputs / "rig.npz", film)
    rig = str(inputs / "rig.npz"), str(inputs / "rig.motion.npz"), "-o", str(inputs / "rig.bridge.npz")
    assert main(["motion", "bridge", *rig]) == 0
    (inputs / "motions").mkdir()
    for name, write in small.FILES.items():
        folder = inputs / "motions" / name.split(".")[0]
        folder.mkdir(exist_ok=True)
        write(folder / name)
    small.vhap(inputs / "motions" / "vhap")
    _write_heads(inputs / "heads")
    assert main(["convert", str(scene.capture), "-o", str(inputs / "layout")]) == 0
    for span in ("0:6", "6:12"):
        out = inputs / "segments" / f"{span[0]}.mp4"
        arguments = ["--motion", str(scene.capture), "-o", str(out), "--size", str(SIZE), "--frames", span]
        assert main(["render", str(scene.avatar), *arguments]) == 0
    (inputs / "videos").mkdir()
    for suffix, (codec, pixels) in VIDEOS.items():
        write_clip(inputs / "videos" / f"clip.{suffix}", codec, pixels)
    write_sound(inputs / "videos" / "sound.wav")


def _write_film(path: Path, capture: Capture) -> None:
    """The film of a capture, which is then the capture of that file."""
    from avatar.video import write_video
    from capture.sources import file_digest

    write_video(path, capture.images(range(FRAMES), SIZE)[0], 30)
    content = json.loads((capture.root / "capture.json").read_text())
    content["source"]["sha256"] = file_digest(path)
    (capture.root / "capture.json").write_text(json.dumps(content))


def _write_heads(folder: Path) -> None:
    from tests.avatar.head.flame import made_up

    folder.mkdir()
    made_up.write_pickle(folder / "small.pkl", made_up.tiny_arrays("2020"))
    made_up.write_npz(folder / "small.npz", made_up.tiny_arrays("2023"))


def write_clip(path: Path, codec: str, pixels: str, count: int = 8, metadata: dict[str, str] | None = None) -> Path:
    """Write a video of `count` frames of noise and a gradient."""
    import av

    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for number in range(count):
            image = np.full((48, 64, 3), 20 * number, np.uint8) + random.integers(0, 20, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path, metadata: dict[str, str] | None = None) -> Path:
    """Write half a second of a tone."""
    import av

    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        tone = (8000 * np.sin(np.arange(8000) / 8)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by relative path; links are not followed."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def changed(folder: Path, before: dict[str, str]) -> str | None:
    """What has become of the files that had the hashes `before`: a sentence on the first changed one, or None."""
    now = hashes(folder)
    for name, digest in before.items():
        if name not in now:
            return f"{name} is gone"
        if now[name] != digest:
            return f"{name} has changed"
    return None


def copied_capture(scene: Scene, folder: Path) -> Path:
    """A copy of the capture."""
    return shutil.copytree(scene.capture, folder / "me.capture")


def capture_json(scene: Scene) -> dict[str, object]:
    """The metadata of the capture."""
    return dict(json.loads((scene.capture / "capture.json").read_text(encoding="utf-8")))
