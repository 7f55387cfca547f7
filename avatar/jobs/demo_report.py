"""The report of the demo: a Markdown file, and an HTML page with all images and videos embedded."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar import __version__
from avatar.common.files import write_text
from avatar.evaluation.report import Report
from avatar.jobs.images import data_uri, write_image

COMPARISON = "comparison.png"
PUPPET = "puppet.png"
COLUMNS = ("psnr", "psnr_head", "ssim", "psnr_mouth", "psnr_eyes", "psnr_hair")
HEADINGS = {
    "psnr": "whole image, dB",
    "psnr_head": "head, dB",
    "ssim": "SSIM",
    "psnr_mouth": "mouth, dB",
    "psnr_eyes": "eyes, dB",
    "psnr_hair": "hair, dB",
}
ROWS = {
    "driven": "the avatar",
    "blendshapes off": "without blendshapes",
    "static head": "a static face",
    "textured mesh": "the tracked mesh with a mean texture",
    "train": "the avatar on training frames",
}
CAVEAT = (
    "The person in this demo is synthetic, rendered by a procedural renderer that training does not use. "
    "The figures show that the whole pipeline works on this machine; they do not measure accuracy on people."
)
NEXT = "headsplat train selfie.mp4 -o me.avatar --test-fraction 0.2"
STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.55 system-ui,sans-serif;max-width:62rem;margin:2.5rem auto;padding:0 1.2rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .6rem}h2{margin:2.2rem 0 .5rem}
.lead{font-size:1.15rem}figure{margin:1rem 0}figcaption,.note{opacity:.75;font-size:.92rem}
img,video{max-width:100%;border-radius:8px;background:#fff}.videos{display:flex;flex-wrap:wrap;gap:1.2rem}
.videos figure{flex:1 1 14rem;max-width:22rem;margin:0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.4rem .6rem;border-bottom:1px solid #8884;text-align:right}
td:first-child,th:first-child{text-align:left}tr:nth-child(2) td{font-weight:600}
code{background:#8882;padding:.1rem .35rem;border-radius:4px}
.bar{display:flex;height:1.5rem;border-radius:6px;overflow:hidden;margin:.6rem 0}
.bar span{font-size:.8rem;color:#fff;padding:.15rem .4rem;white-space:nowrap;overflow:hidden}
"""
BAR_COLORS = ("#5b7db1", "#6a9a78", "#b0703f", "#8a6bab", "#a8555c")


@dataclass(frozen=True)
class DemoReport:
    """The results of a demo."""

    evaluation: Report
    seconds: Mapping[str, float]  # by stage
    frames: int
    held_out: int
    comparison: np.ndarray  # uint8 [H,W,3]
    puppet: np.ndarray  # uint8 [H,W,3]
    files: Sequence[str]

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        driven, static = (self.evaluation.rows[row]["psnr_head"] for row in ("driven", "static head"))
        return (
            f"From a {self.frames}-frame video to an avatar in {sum(self.seconds.values()):.0f} s: "
            f"{driven:.1f} dB on the head in {self.held_out} held-out frames "
            f"({driven - static:+.1f} dB relative to a static face), "
            f"rendered at {self.evaluation.metadata.frames_per_second:.0f} fps on this machine."
        )

    @property
    def timing(self) -> str:
        """The seconds of each stage."""
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows of the main figures."""
        rows = self.evaluation.rows
        columns = [name for name in COLUMNS if name in rows["driven"]]
        body = [
            [label, *(_figure(name, rows[row].get(name)) for name in columns)]
            for row, label in ROWS.items()
            if row in rows
        ]
        return ["", *(HEADINGS[name] for name in columns)], body


def write_report(report: DemoReport, folder: Path) -> None:
    """Write comparison.png, puppet.png, report.md and report.html (images and videos embedded) to `folder`."""
    write_image(folder / COMPARISON, report.comparison)
    write_image(folder / PUPPET, report.puppet)
    write_text(folder / "report.md", as_markdown(report))
    write_text(folder / "report.html", as_html(report, folder))


def as_markdown(report: DemoReport) -> str:
    """The report as Markdown, with links to the images."""
    headings, body = report.table()
    lines = ["# headsplat demo", "", report.headline, "", f"![video, avatar, blendshapes off]({COMPARISON})", ""]
    lines += ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    lines += ["", f"![unrecorded poses]({PUPPET})", "", "Seconds by stage: " + report.timing + ".", ""]
    lines += ["Files: " + ", ".join(f"`{name}`" for name in report.files) + ".", "", CAVEAT, ""]
    lines += ["Next, with a video of your own face:", "", f"    {NEXT}", ""]
    return "\n".join(lines)


def as_html(report: DemoReport, folder: Path) -> str:
    """The report as one page, with the images and videos of `folder` embedded."""
    headings, body = report.table()
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    comparison = _image(folder / COMPARISON, "From the top: the video, the avatar, the avatar without blendshapes.")
    puppet = _image(folder / PUPPET, "Expressions and head rotations set by hand; none of them is in the video.")
    videos = _video(folder / "phone.mp4", "The training video (synthetic)")
    videos += _video(folder / "own_motion.mp4", "The avatar with the motion of the video")
    videos += _video(folder / "puppet.mp4", "The avatar with expressions set by hand")
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>headsplat demo</title><style>{STYLE}</style>
<h1>headsplat demo</h1><p class="lead">{html.escape(report.headline)}</p>
<div class="videos">{videos}</div>
<h2>Held-out frames</h2>{comparison}
<table><tr>{head}</tr>{rows}</table>
<p class="note">Mean over {report.held_out} held-out frames over white, in the tracker's poses; higher is better.</p>
<h2>Unrecorded poses</h2>{puppet}
<h2>Time by stage</h2><div class="bar">{_bar(report)}</div><p class="note">{report.timing}.</p>
<h2>Next</h2><p>Train on half a minute of video of your own face, turning and talking:</p><p><code>{NEXT}</code></p>
<p class="note">{CAVEAT} headsplat {__version__}; train only on someone who has agreed.</p></html>
"""


def _figure(name: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.3f}" if name == "ssim" else f"{value:.1f}"


def _bar(report: DemoReport) -> str:
    return "".join(
        f'<span style="flex:{seconds:.2f};background:{BAR_COLORS[index % len(BAR_COLORS)]}" title="{seconds:.1f} s">'
        f"{html.escape(name)}</span>"
        for index, (name, seconds) in enumerate(report.seconds.items())
    )


def _image(path: Path, caption: str) -> str:
    return (
        f'<figure><img src="{data_uri(path.read_bytes())}" alt="{html.escape(caption)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _video(path: Path, caption: str) -> str:
    source = data_uri(path.read_bytes(), "video/mp4")
    return (
        f'<figure><video src="{source}" autoplay muted loop playsinline controls></video>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
