"""Damaged videos, sounds and playlists: described by `info`, decoded as a capture does, used as audio."""

from __future__ import annotations

import contextlib
import io
import math
import os
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.system.trust.attack.cases import HANG, WRONG, Case, Outcome, judge, worst
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.damage import Variants, chosen, damaged_bytes
from tests.system.trust.attack.scene import SIZE, Scene, write_clip, write_sound

#: No damaged video of eight frames has more than this.
_MOST_FRAMES = 2000
_TEXTS = {
    "Latin-1": "\udce9", "escape": "\x1b[31mred\x1b]0;title\x07", "lines": "a\nb\r\nc",
    "long": "x" * 60_000, "JSON": '{"headsplat": [1' + "[" * 3000, "focal length": "1e999",
}  # fmt: skip
_KEYS = ("title", "comment", "com.apple.quicktime.focal_length.35mm_equivalent")


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for path in scene.videos:
        found.append(_case(scene, f"{path.name}: undamaged", path.suffix, path.read_bytes, whole=path.suffix != ".wav"))
        for name, _ in _damages(scene, path):
            found.append(_case(scene, f"{path.name}: {name}", path.suffix, _damaged(scene, path, name)))
        for other in (".mp4", ".mkv", ".avatar.mp4", ".m3u8", ".sdp", ".png", ".txt"):
            found.append(_case(scene, f"{path.name}: named {other}", other, path.read_bytes))
    found += [_playlist_case(scene, name) for name in _playlists(Path(), Path())]
    containers = ("mp4", "mkv", "avi", "wav")
    found += [_tagged_case(scene, suffix, key, name) for suffix in containers for key in _KEYS for name in _TEXTS]
    return found


def check_media(path: Path, scene: Scene) -> Outcome:
    """Describe a file, decode it as a capture does, and use it as the audio of a rendering."""
    hidden = (str(path.parent), str(scene.root))
    film = path.with_name("film out.mp4")
    arguments = ("--motion", scene.motion, "-o", film, "--size", SIZE, "--audio", path)
    outcomes = [judge_command(run_command("info", path), hidden, plain=True)]
    try:
        outcomes.append(judge(lambda: _decoding_fault(path), hidden))
    except TimeoutError as error:
        outcomes.append(Outcome(HANG, str(error)))
    return worst([*outcomes, judge_command(run_command("render", scene.avatar, *arguments), hidden)])


def _decoding_fault(path: Path) -> str | None:
    from capture.video.decoding import open_video

    video, last = open_video(path), -math.inf
    if not (0 < video.fps < 1e6 and 0 <= video.duration < 1e9):
        return f"absurd metadata: {video.fps} fps, {video.duration} s"
    for count, frame in enumerate(video):
        if count > _MOST_FRAMES:
            raise TimeoutError("frames without an end")
        if not frame.time > last:
            return f"times that do not increase: {frame.time} after {last}"
        last = frame.time
    return None


def _case(scene: Scene, name: str, suffix: str, content: Callable[[], bytes], *, whole: bool = False) -> Case:
    def run(folder: Path) -> Outcome:
        path = folder / f"clip{suffix}"
        path.write_bytes(content())
        outcome = check_media(path, scene)
        plain = judge(lambda: _decoding_fault(path)) if whole else outcome
        return Outcome(WRONG, "the file is refused") if whole and plain.kind == "refused" else outcome

    return Case(name, run)


def _damaged(scene: Scene, path: Path, name: str) -> Callable[[], bytes]:
    return lambda: chosen(_damages(scene, path), name)


def _damages(scene: Scene, path: Path) -> Variants[bytes]:
    data = path.read_bytes()
    yield from damaged_bytes(data, scene.random_name("media", path.name), 25)
    if path.suffix == ".wav":
        for channels, rate in ((0, 16000), (65535, 16000), (1, 0), (1, 1), (2, 0xFFFFFFFF)):
            yield f"{channels} channels at {rate} Hz", partial(_wav, data, channels, rate)


def _wav(data: bytes, channels: int, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16000)
        stream.writeframes(data[-4000:])
    content = bytearray(out.getvalue())
    content[22:24], content[24:28] = channels.to_bytes(2, "little"), rate.to_bytes(4, "little")
    return bytes(content)


def _playlists(folder: Path, secret: Path) -> dict[str, str]:
    """Playlists and manifests that name themselves, other files, devices, programs and addresses."""
    found = {}
    targets = {
        "itself": "list", "another video": str(folder / "other.mp4"), "a secret": str(secret),
        "file URL": f"file:{secret}", "zero": "/dev/zero", "random": "/dev/urandom", "pipe": "pipe:0", "network": "http://127.0.0.1:9/a.ts",
        "concat": f"concat:{secret}|{secret}", "subfile": f"subfile,,start,0,end,100,,:{secret}",
        "gopher": "gopher://127.0.0.1", "data": "data:text/plain;base64,QUJD",
    }  # fmt: skip
    for name, target in targets.items():
        m3u8 = target.replace("list", "list.m3u8")
        segment = f"#EXTINF:1,\n{m3u8}\n"
        found[f"hls {name}.m3u8"] = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segment}#EXT-X-ENDLIST\n"
        found[f"hls without end {name}.m3u8"] = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segment}"
        found[f"hls as mp4 {name}.mp4"] = found[f"hls {name}.m3u8"]
        found[f"concat {name}.ffconcat"] = f"ffconcat version 1.0\nfile '{target.replace('list', 'list.ffconcat')}'\n"
        found[f"dash {name}.mpd"] = (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration='
            '"PT5S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        )
    found["sdp.sdp"] = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    found["vapoursynth.vpy"] = "import os\n"
    found["images.mp4"] = "image%05d.png"
    return found


def _playlist_case(scene: Scene, name: str) -> Case:
    def run(folder: Path) -> Outcome:
        source = scene.inputs / "videos" / "clip.mp4"
        (folder / "other.mp4").write_bytes(source.read_bytes())
        secret = folder / "secret"
        secret.mkdir()
        (secret / "clip.ts").write_bytes((scene.inputs / "videos" / "clip.ts").read_bytes())
        path = folder / f"list{Path(name).suffix}"
        path.write_text(_playlists(folder, secret / "clip.ts")[name], encoding="utf-8")
        outcome = check_media(path, scene)
        accepted = not outcome.failed and run_command("info", path).code == 0
        return Outcome(WRONG, "a playlist opens other files") if accepted else outcome

    return Case(f"playlist: {name}", run)


def _tagged_case(scene: Scene, suffix: str, key: str, name: str) -> Case:
    def run(folder: Path) -> Outcome:
        path, mark = folder / f"clip.{suffix}", "MARK" * 10
        write = write_sound if suffix == "wav" else write_clip
        arguments = () if suffix == "wav" else ("mpeg4", "yuv420p")
        value = _TEXTS[name].encode("utf-8", "surrogateescape")
        with contextlib.suppress(ValueError, OSError):
            write(path, *arguments, metadata={key: value.decode("utf-8", "replace")})
        if name == "Latin-1":
            write(path, *arguments, metadata={key: mark})
            path.write_bytes(path.read_bytes().replace(mark.encode(), os.fsencode("é").ljust(len(mark), b"\xe9")))
        return check_media(path, scene)

    return Case(f"{suffix}: {key.rpartition('.')[2]} {name}", run)
