"""`headsplat head`: what a head model is, pictures of it, and how its expressions reach another head."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from avatar.cli.arguments import Out
from avatar.cli.info import as_text
from avatar.cli.progress import say
from avatar.common.files import atomic_folder, check_output, check_replaceable_folder

if TYPE_CHECKING:
    from avatar.head import HeadModel
    from avatar.motion import ExpressionTransfer, RoundTripError

HeadSource = Annotated[Positional[str], arg(metavar="HEAD")]
#: a shape of which less than this is expressed is listed as lost
LOST_BELOW = 0.5


@dataclass(frozen=True)
class HeadInfo:
    """Say what a head model is: license, sizes, expressions, joints, regions."""

    head: HeadSource = "embedded"
    """embedded, embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the facts; returns the exit code."""
        facts = {"source": self.head, **describe_head(marked_head(self.head))}
        print(json.dumps(facts, indent=2) if self.json else as_text(facts))
        return 0


@dataclass(frozen=True)
class HeadSheets:
    """Draw contact sheets of a head model: neutral, every expression, poses, random people."""

    output: Out
    """folder for the pictures"""
    head: HeadSource = "embedded"
    """embedded, embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    overwrite: bool = False
    """replace what is there"""

    def run(self) -> int:
        """Write the pictures; returns the exit code."""
        from avatar.head.sheets import write_sheets

        head = marked_head(self.head)
        folder = check_output(self.output, self.overwrite, folder=True)
        if folder.exists():
            check_replaceable_folder(folder, ("*.png",))
        with atomic_folder(folder) as temporary:
            names = [path.name for path in write_sheets(head, temporary)]
        print("\n".join(str(folder / name) for name in names))
        return 0


@dataclass(frozen=True)
class HeadBridge:
    """Carry the expressions of head A to head B: what B can show of each, what is lost, what comes back."""

    a: Annotated[Positional[str], arg(metavar="A")]
    """the head whose expressions are given: embedded, or a head file"""
    b: Annotated[Positional[str], arg(metavar="B")]
    """the head to drive"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Fit the bridges, or read them from the cache, and print the tables; returns the exit code."""
        from avatar.motion import load_bridge, round_trip

        a, b = marked_head(self.a), marked_head(self.b)
        there = load_bridge(a, b)
        facts = bridge_facts(there.report(), round_trip(there, load_bridge(b, a), a))
        print(json.dumps({"from": self.a, "to": self.b, **facts}, indent=2) if self.json else bridge_text(facts))
        return 0


@dataclass(frozen=True)
class HeadCommand:
    """Look at a head model, draw it, or carry its expressions to another."""

    action: OmitArgPrefixes[
        Annotated[HeadInfo, subcommand("info", prefix_name=False)]
        | Annotated[HeadSheets, subcommand("sheets", prefix_name=False)]
        | Annotated[HeadBridge, subcommand("bridge", prefix_name=False)]
    ]

    def run(self) -> int:
        """Do it; returns the exit code."""
        return self.action.run()


def marked_head(source: str) -> HeadModel:
    """The head that `source` names, landmarks found by the network where it is at hand; notes go to stderr."""
    from avatar.head import load_head
    from capture.faces.head_detector import HeadDetector

    return load_head(source, HeadDetector(), say)


def describe_head(head: HeadModel) -> dict[str, Any]:
    """Facts about a head model; JSON types, meters."""
    from avatar.types import JOINT_NAMES

    corner, other = head.v_template.amin(0), head.v_template.amax(0)
    joints = head.joint_locations(head.neutral_params().identity)
    eyes = head.landmarks(head.v_template[None])[0, [468, 473]] if len(head.landmark_faces) == 478 else None
    return {
        "name": head.name,
        "licence": head.license,
        "model_id": head.model_id,
        "vertices": len(head.v_template),
        "faces": len(head.faces),
        "identity_coefficients": head.shapedirs.shape[2],
        "expressions": len(head.expression_names),
        "expression_names": list(head.expression_names),
        "capabilities": sorted(head.capabilities),
        "landmarks": len(head.landmark_faces),
        "size_metres": dict(zip(("width", "height", "depth"), _rounded(other - corner), strict=True)),
        "between_pupils_metres": None if eyes is None else round(float((eyes[0] - eyes[1]).norm()), 4),
        "joints_metres": {name: _rounded(place) for name, place in zip(JOINT_NAMES, joints, strict=True)},
        "regions_vertices": {name: int(mask.sum()) for name, mask in head.regions.items()},
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) + 0.0 for value in values]


def bridge_facts(shares: list[ExpressionTransfer], returns: list[RoundTripError]) -> dict[str, Any]:
    """The tables of a bridge; JSON types."""
    lost = [row.name for row in shares if row.size > 0 and row.expressed < LOST_BELOW]
    return {
        "lost": lost,
        "expressions": [
            {**dataclasses.asdict(share), **dataclasses.asdict(back)}
            for share, back in zip(shares, returns, strict=True)
        ],
    }


def bridge_text(facts: dict[str, Any]) -> str:
    """The tables of a bridge for a person."""
    rows = facts["expressions"]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'expression'.ljust(width)}  expressed  back  strayed  error"]
    for row in rows:
        lines.append(
            f"{row['name'].ljust(width)}  {row['expressed']:8.0%}  {row['weight']:5.2f}  {row['stray']:6.2f}"
            f"  {row['error']:5.0%}"
        )
    lines.append("")
    lines.append("expressed: share of its motion that the other head can show; back: its weight after the way")
    lines.append(
        "there and back; strayed: the largest weight of any other; error: of the face, in shares of its motion"
    )
    lines.append(f"lost: {', '.join(facts['lost']) or 'nothing'}")
    return "\n".join(lines)
