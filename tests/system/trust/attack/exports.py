"""Exporters and reports with hostile names: in the avatar's header, in the capture, and as names of the output."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from tests.support.damage import with_value
from tests.system.trust.attack.avatars import header_of, packed
from tests.system.trust.attack.cases import ACCEPTED, MESSAGE, WRONG, Case, Outcome, judge, worst
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.damage import HOSTILE_TEXTS
from tests.system.trust.attack.scene import SIZE, Scene, capture_json, copied_capture

#: Entries of the header that outputs repeat.
_KEYS = (("consent",), ("head", "name"), ("head", "licence"), ("capture", "name"), ("expression_names", 0))
_FORMATS = ("ply", "spz", "splats glb", "rigged ply", "obj", "glb", "vrm", "lam", "folder", "video")
_NAMES = (
    "a b",
    "-a",
    "a\nb",
    "\udce9",
    "é漢",
    "'\"`$(id)",
    "x" * 240,
    "x" * 300,
    "..a",
    "a<b>&c",
    "%d%s",
    "\x1b[31m",
    "~",
    "a|b",
)


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for number, text in enumerate(HOSTILE_TEXTS):
        for key in _KEYS:
            for form in _FORMATS:
                name = f"{form}: {'.'.join(map(str, key))} text {number}"
                found.append(Case(name, _header_run(scene, key, text, form)))
        found.append(Case(f"eval: capture named with text {number}", _eval_run(scene, text)))
        found.append(Case(f"demo report: text {number}", _demo_run(text)))
    for number, name in enumerate(_NAMES):
        for form in (*_FORMATS, "csv", "train", "capture info"):
            found.append(Case(f"{form}: output name {number}", _name_run(scene, name, form)))
    return found


def _command(form: str, avatar: Path, out: Path, scene: Scene) -> tuple[object, ...]:
    motion = ("--motion", scene.motion)
    return {
        "ply": ("export", avatar, "-o", out.with_name(f"{out.name}.ply")),
        "spz": ("export", avatar, "-o", out.with_name(f"{out.name}.spz")),
        "splats glb": ("export", avatar, "-o", out.with_name(f"{out.name}.glb"), "--splats"),
        "rigged ply": ("export", avatar, "-o", out.with_name(f"{out.name}.ply"), "--rigged"),
        "obj": ("export", avatar, "-o", out.with_name(f"{out.name}.obj")),
        "glb": ("export", avatar, "-o", out.with_name(f"{out.name}.glb"), *motion),
        "vrm": ("export", avatar, "-o", out.with_name(f"{out.name}.vrm")),
        "lam": ("export", avatar, "-o", out.with_name(f"{out.name}.zip")),
        "folder": ("export", avatar, "-o", out, *motion),
        "video": ("render", avatar, *motion, "-o", out.with_name(f"{out.name}.mp4"), "--size", SIZE),
        "csv": ("motion", "convert", scene.motion, "-o", out.with_name(f"{out.name}.csv")),
        "train": ("train", scene.capture, "-o", out.with_name(f"{out.name}.avatar"), "--config", scene.config),
        "capture info": ("info", out),
    }[form]


def _header_run(scene: Scene, key: tuple[Any, ...], text: str, form: str) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        header = with_value(header_of(scene.avatar), key, text)
        path = folder / "a.avatar"
        path.write_bytes(packed(load_file(scene.avatar), json.dumps(header)))
        ran = run_command(*_command(form, path, folder / "out", scene))
        outcomes = [judge_command(ran, (str(folder), text), plain=True)]
        if ran.code == 0:
            outcomes += [judge(lambda path=path: output_fault(path)) for path in _outputs(folder)]
        if "\x1b" in ran.err or "\x1b" in ran.out:
            outcomes.append(Outcome(MESSAGE, "control characters of the file are printed"))
        return worst(outcomes)

    return run


def _outputs(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in _CHECKS]


def _name_run(scene: Scene, name: str, form: str) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        if form == "capture info":
            copied_capture(scene, folder).rename(folder / name)
        ran = run_command(*_command(form, scene.avatar, folder / name, scene))
        return judge_command(ran, (str(folder), name))

    def safe(folder: Path) -> Outcome:
        try:
            return run(folder)
        except OSError:  # the system has no such name
            return Outcome(ACCEPTED)

    return safe


def output_fault(path: Path) -> str | None:
    """What a strict reader would refuse in an exported file."""
    return _CHECKS[path.suffix](path.read_bytes())


def _ply_fault(data: bytes) -> str | None:
    head, _, body = data.partition(b"end_header\n")
    allowed = rb"(ply|format [a-z_]+ 1\.0|comment .*|element \w+ \d+|property [\w ]+)"
    bad = [
        line for line in head.split(b"\n")[:-1] if not re.fullmatch(allowed, line) or b"\r" in line or b"\x1b" in line
    ]
    return f"a header line {bad[0][:60]!r}" if bad or not body else None


def _obj_fault(data: bytes) -> str | None:
    for line in data.split(b"\n"):
        if (
            line
            and line.split()[0] not in (b"v", b"vn", b"vt", b"f", b"o", b"g", b"s", b"#")
            and not line.startswith(b"#")
        ):
            return f"a line {line[:60]!r}"
        if any((byte < 32 and byte != 9) or byte == 127 for byte in line):
            return f"control characters in the line {line[:60]!r}"
    return None


def _glb_fault(data: bytes) -> str | None:
    magic, _, total, length = struct.unpack("<4sIII", data[:16])
    content = json.loads(data[20 : 20 + length])
    if magic != b"glTF" or total != len(data) or "meshes" not in content:
        return "not a glTF file"
    return None


def _json_fault(data: bytes) -> str | None:
    json.loads(data, parse_constant=lambda name: 1 / 0)
    return None


def _spz_fault(data: bytes) -> str | None:
    magic, version, count, _, _, _, streams, table = struct.unpack_from("<4sIIBBBBI", data)
    if (magic, version) != (b"NGSP", 4) or not count:
        return "not a file of version 4"
    text = data[40:table].decode()
    if any((ord(sign) < 32 and sign != "\n") or ord(sign) == 127 for sign in text):
        return "control characters in the text"
    sizes = struct.unpack_from(f"<{2 * streams}Q", data, table)
    return None if table + 16 * streams + sum(sizes[::2]) == len(data) else "sizes that are not those of the streams"


def _lam_fault(data: bytes) -> str | None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    return _glb_fault(files["skin.glb"]) or _ply_fault(files["offset.ply"]) or _json_fault(files["vertex_order.json"])


_CHECKS = {
    ".ply": _ply_fault, ".spz": _spz_fault, ".obj": _obj_fault, ".glb": _glb_fault, ".json": _json_fault,
    ".vrm": _glb_fault, ".zip": _lam_fault,
}  # fmt: skip


def _eval_run(scene: Scene, text: str) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        capture = copied_capture(scene, folder)
        content = capture_json(scene)
        content["source"] = dict(content["source"]) | {"name": text}
        content["cameras"] = [dict(content["cameras"][0]) | {"name": text}]
        (capture / "capture.json").write_text(json.dumps(content), encoding="utf-8")
        table, numbers = folder / "table.md", folder / "numbers.json"
        ran = run_command("eval", scene.avatar, capture, "--no-refine", "--markdown", table, "--json", numbers)
        outcomes = [judge_command(ran, (str(folder), text), plain=True)]
        outcomes.append(judge_command(run_command("info", capture), (str(folder), text), plain=True))
        if ran.code == 0:
            outcomes.append(judge(lambda: _table_fault(table.read_text(encoding="utf-8")) or output_fault(numbers)))
        return worst(outcomes)

    return run


def _table_fault(text: str) -> str | None:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    if len({line.replace("\\|", "").count("|") for line in rows}) > 1:
        return "a table whose rows have different numbers of cells"
    return "a script in the table" if "<script" in text else None


def _demo_run(text: str) -> Callable[[Path], Outcome]:
    """The pages of the demo name the files in its folder, which may have any name."""

    def run(folder: Path) -> Outcome:
        from types import SimpleNamespace

        import numpy as np

        from avatar.jobs.demo_report import DemoReport, write_report

        image = np.zeros((8, 8, 3), np.uint8)
        figures = {"psnr_head": 20.0, "psnr": 20.0}
        evaluation: Any = SimpleNamespace(
            rows={"driven": figures, "static head": figures}, metadata=SimpleNamespace(frames_per_second=30.0)
        )
        for name in ("phone.mp4", "own_motion.mp4", "puppet.mp4"):
            (folder / name).write_bytes(b"x")
        write_report(DemoReport(evaluation, {"capture": 1.0}, 40, 8, image, image, [text]), folder)
        page = (folder / "report.html").read_text(encoding="utf-8", errors="surrogateescape")
        return Outcome(WRONG, "a script in the page") if "<script>" in page else Outcome(ACCEPTED)

    return lambda folder: _judged(run, folder)


def _judged(run: Callable[[Path], Outcome], folder: Path) -> Outcome:
    outcomes: list[Outcome] = []
    found = judge(lambda: outcomes.append(run(folder)))
    return outcomes[0] if outcomes else found
