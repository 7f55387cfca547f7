"""The report of an evaluation: rows of metrics, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from avatar.evaluation.orbit import OrbitAlpha
from avatar.evaluation.response import Response

#: Row -> its name in the Markdown table, and what it measures.
ROWS = {
    "driven": (
        "held-out frames, driven by the tracker",
        "frames that training did not use; nothing was fitted to their pixels",
    ),
    "raw": (
        "held-out frames, landmarks alone",
        "the same without the pose corrector, which is for this capture only: what films of another day get",
    ),
    "live": (
        "held-out frames, live",
        "landmarks of one pass a frame, causally, nothing corrected: where `headsplat live` starts from",
    ),
    "stepped": (
        "held-out frames, one step a frame",
        "corrected by the avatar's own render, causally: it uses each frame's own pixels, and none of later frames",
    ),
    "refined": (
        "held-out frames, fitted poses",
        "poses and expressions fitted to their own pixels, the avatar frozen: what it can show, no score of driving",
    ),
    "train": ("training frames", "a sample, in the poses of the training: how well it shows what it was trained on"),
    "blendshapes off": ("baseline: no blendshapes", "held-out frames of the avatar without its learned blendshapes"),
    "static head": ("baseline: static face", "held-out frames of the avatar with the mean expression"),
    "textured mesh": ("baseline: textured mesh", "held-out frames of the tracked mesh with a mean texture"),
}
#: Columns of the Markdown table without the baselines, beside LPIPS, and their headings.
HEADINGS = {
    "psnr": "PSNR dB",
    "psnr_head": "head dB",
    "psnr_mouth": "mouth dB",
    "psnr_eyes": "eyes dB",
    "psnr_hair": "hair dB",
    "psnr_front": "front dB",
    "psnr_side": "side dB",
    "psnr_back": "back dB",
    "ssim": "SSIM",
    "landmarks": "landmarks %",
}
LPIPS_REMEDY = (
    "put an ONNX network, lpips_NAME.onnx, into the folder of the face models (`headsplat doctor` prints it), or "
    "`pip install 'headsplat[lpips]'` and give --lpips alex once"
)


@dataclass(frozen=True)
class LipSyncRow:
    """Lip sync of one mouth."""

    frames: int  # with speech
    offset_ms: float  # positive: the lips move later than the sound
    correlation: float  # with the phones' opening, at the offset
    correlation_in_place: float  # the same without a shift
    correlation_loudness: float  # with the loudness, at its own best offset
    closures: int  # m, b and p in the sound
    closed: float  # fraction of these in which the mouth is shut within a frame; nan without any

    def to_text(self) -> str:
        """One sentence."""
        shut = "" if not self.closures else f"; shut in {100 * self.closed:.0f} % of {self.closures} m, b, p"
        return (
            f"{self.offset_ms:+.0f} ms, correlation {self.correlation:.2f} with the phones "
            f"({self.correlation_in_place:.2f} without a shift) and {self.correlation_loudness:.2f} with the "
            f"loudness{shut}"
        )


@dataclass(frozen=True)
class LipSync:
    """Lip sync of the film and of the avatar; a row is None where its mouth does not show enough speech."""

    sound: str  # name of the file
    phones: str  # where the phones come from
    film: LipSyncRow | None  # the true frames
    avatar: LipSyncRow | None  # the frames rendered in the tracked poses and expressions

    def to_text(self) -> str:
        """One line for each mouth."""
        rows = {"film": self.film, "avatar": self.avatar}
        lines = [f"Lip sync to {self.sound} ({self.phones}):"]
        for name, row in rows.items():
            lines.append(f"- {name}: {row.to_text() if row else 'not measured, too few frames with speech'}.")
        return "\n".join(lines)


@dataclass(frozen=True)
class EvaluationMetadata:
    """What was evaluated, and how; the fields are the keys of the JSON report."""

    test_frames: int
    width: int  # of the compared images, pixels
    height: int
    background: str
    rasterizer: str
    poses: Mapping[str, str]  # row -> source of its poses
    refinement: Mapping[str, Any] | None  # figures of the refinement of held-out frames
    split: Mapping[str, Any]  # of the capture
    gaussians: int
    frames_per_second: float  # from expression weights to pixels
    reprojection: float  # median over held-out frames, fraction of the inter-ocular distance
    seconds: Mapping[str, Any]  # of capture, training and evaluation
    peak_memory_mb: float  # nan where the platform does not report it
    lpips_network: str | None
    landmarks: str  # how many frames of a row the distances of landmarks are from, or why there are none
    response: Response | None  # openings of eyes and mouth driven from the front
    orbit: OrbitAlpha  # how much of the head is seen through from its sides
    trained_size: int  # longer side on which the avatar was trained, pixels; the columns `_2x` are at twice that
    bytes: int = 0  # of the avatar file, where it was read from one
    lip_sync: LipSync | None = None  # with the sound of the video, where there is one


@dataclass(frozen=True)
class Report:
    """The result of `headsplat eval`."""

    rows: dict[str, dict[str, float]]  # by the names in ROWS
    metadata: EvaluationMetadata

    def to_json(self) -> str:
        """All rows and metadata as one JSON object; numbers that are not finite are null."""
        return json.dumps(finite({**self.rows, **asdict(self.metadata)}), indent=2, allow_nan=False)

    def to_markdown(self) -> str:
        """The table, an explanation of its rows, and the metadata in one line.

        Without the baselines it has the columns that a reader needs first; the JSON report has all.
        """
        full = "static head" in self.rows
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        columns = names if full else [name for name in names if name in HEADINGS or name.startswith("lpips_")]
        lines = ["| row | " + " | ".join(map(heading, columns)) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in self.rows.items():
            cells = [_cell(row.get(column)) for column in columns]
            lines.append(f"| {ROWS.get(name, (name, ''))[0]} | " + " | ".join(cells) + " |")
        lines.append("")
        lines += [f"- {ROWS[name][0]} (`{name}`): {ROWS[name][1]}." for name in self.rows if name in ROWS]
        return "\n".join([*lines, "", *self._notes(names, full)])

    def _notes(self, names: list[str], full: bool) -> Iterator[str]:
        """Lines below the table about its columns and what was evaluated."""
        about = self.metadata
        yield "PSNR, SSIM: more is better. LPIPS, distances of landmarks (% of that between the eyes): less is better."
        if full:
            yield f"Columns _2x: at twice the trained size, {2 * about.trained_size} pixels."
        else:
            yield "`--full` adds three baselines that the avatar must beat, and all columns."
        if "raw" in self.rows:
            gain = self.rows["driven"]["psnr_head"] - self.rows["raw"]["psnr_head"]
            yield f"Of the head's PSNR in `driven`, {gain:+.2f} dB are the pose corrector's."
        if about.lpips_network is None:
            yield f"LPIPS: not measured; {LPIPS_REMEDY}."
        if "landmarks" not in names:
            yield f"Distances of landmarks: {about.landmarks}."
        if about.response:
            yield about.response.to_text()
        yield about.orbit.to_text()
        if about.lip_sync:
            yield about.lip_sync.to_text()
        yield (
            f"{about.test_frames} held-out frames, {about.width}x{about.height}, matted over white; "
            f"{about.gaussians} Gaussians, {about.bytes / 1e6:.1f} MB, {about.frames_per_second:.0f} fps "
            f"from expression weights to pixels, tracker reprojection {100 * about.reprojection:.2f} % of the "
            f"inter-ocular distance, peak memory {about.peak_memory_mb:.0f} MB."
        )


def heading(column: str) -> str:
    """The heading of a column in the Markdown table."""
    if column.startswith("lpips_"):
        region, network = ("face ", column[11:]) if column.startswith("lpips_face_") else ("", column[6:])
        return f"LPIPS {region}({network})"
    return HEADINGS.get(column, column)


def finite(value: Any) -> Any:
    """`value` with None in place of every number that is not finite."""
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"
