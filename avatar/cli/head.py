"""`headsplat head`: properties of a head model, contact sheets, and bridges to other heads."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg, subcommand

from avatar.cli.info import as_text
from avatar.cli.progress import SENTENCES, show
from avatar.common.files import atomic_folder
from avatar.common.printable import single_line
from avatar.jobs.inspection import load_located_head
from avatar.jobs.option_types import Out
from avatar.jobs.outputs import Output, reserved

if TYPE_CHECKING:
    from avatar.head import HeadModel
    from avatar.motion import ExpressionTransfer, RoundTripError

HeadSource = Annotated[Positional[str], arg(metavar="HEAD")]
#: a shape that is expressed less than this is listed as lost
LOST_BELOW = 0.5


@dataclass(frozen=True)
class HeadInfo:
    """Print the properties of a head model: license, sizes, expressions, joints, regions."""

    head: HeadSource = "embedded"
    """embedded, embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Print the properties; returns the exit code."""
        properties = {"source": self.head, **describe_head(load_with_landmarks(self.head))}
        show(json.dumps(properties, indent=2) if self.json else as_text(properties))
        return 0


@dataclass(frozen=True)
class HeadSheets:
    """Render contact sheets of a head model: neutral, every expression, poses, random identities."""

    output: Out
    """folder for the images"""
    head: HeadSource = "embedded"
    """embedded, embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    overwrite: bool = False
    """replace an existing folder"""

    def run(self) -> int:
        """Write the images; returns the exit code."""
        from avatar.head.sheets import write_sheets

        with reserved([Output(self.output, folder=True)], [self.head], overwrite=self.overwrite):
            head = load_with_landmarks(self.head)
            with atomic_folder(self.output) as temporary:
                names = [path.name for path in write_sheets(head, temporary)]
        print("\n".join(str(self.output / name) for name in names))
        return 0


@dataclass(frozen=True)
class HeadBridge:
    """Convert the expressions of head A to head B: how well B expresses each, what is lost, the round-trip error."""

    a: Annotated[Positional[str], arg(metavar="A")]
    """the source head: embedded, or a head file"""
    b: Annotated[Positional[str], arg(metavar="B")]
    """the target head"""
    json: bool = False
    """as JSON, for programs"""

    def run(self) -> int:
        """Fit the bridges or read them from the cache and print the tables; returns the exit code."""
        from avatar.motion import load_bridge, round_trip

        a = load_with_landmarks(self.a)
        b = load_with_landmarks(self.b)
        there = load_bridge(a, b)
        tables = bridge_tables(there.report(), round_trip(there, load_bridge(b, a), a))
        show(json.dumps({"from": self.a, "to": self.b, **tables}, indent=2) if self.json else bridge_text(tables))
        return 0


@dataclass(frozen=True)
class HeadCommand:
    """Inspect a head model, render it, or convert its expressions to another head's."""

    action: OmitArgPrefixes[
        Annotated[HeadInfo, subcommand("info", prefix_name=False)]
        | Annotated[HeadSheets, subcommand("sheets", prefix_name=False)]
        | Annotated[HeadBridge, subcommand("bridge", prefix_name=False)]
    ]

    def run(self) -> int:
        """Run the action; returns the exit code."""
        return self.action.run()


def load_with_landmarks(source: str) -> HeadModel:
    """Load the head `source`, with landmarks from the network where it is available; messages go to stderr."""
    return load_located_head(source, SENTENCES)


def describe_head(head: HeadModel) -> dict[str, Any]:
    """Properties of a head model in JSON types; lengths in meters."""
    from avatar.types import JOINT_NAMES

    corner = head.v_template.amin(0)
    other = head.v_template.amax(0)
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
        "joints_metres": {name: _rounded(joint) for name, joint in zip(JOINT_NAMES, joints, strict=True)},
        "regions_vertices": {name: int(mask.sum()) for name, mask in head.regions.items()},
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) + 0.0 for value in values]


def bridge_tables(transfers: list[ExpressionTransfer], errors: list[RoundTripError]) -> dict[str, Any]:
    """The tables of a bridge in JSON types."""
    lost = [row.name for row in transfers if row.size > 0 and row.expressed < LOST_BELOW]
    return {
        "lost": lost,
        "expressions": [
            {**dataclasses.asdict(transfer), **dataclasses.asdict(error)}
            for transfer, error in zip(transfers, errors, strict=True)
        ],
    }


def bridge_text(tables: dict[str, Any]) -> str:
    """The tables of a bridge as text."""
    rows = tables["expressions"]
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'expression'.ljust(width)}  expressed  back  stray   error"]
    for row in rows:
        lines.append(
            f"{row['name'].ljust(width)}  {row['expressed']:8.0%}  {row['weight']:5.2f}  {row['stray']:6.2f}"
            f"  {row['error']:5.0%}"
        )
    lines.append("")
    lines.append("expressed: fraction of its motion that B expresses; back: its weight after conversion to B and back;")
    lines.append("stray: largest weight of another expression; error: landmark error relative to its motion")
    lines.append(f"lost: {', '.join(tables['lost']) or 'nothing'}")
    return "\n".join(single_line(line) for line in lines)
