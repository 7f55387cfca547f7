"""What a mix is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from avatar.performance.mixing.closures import ClosureReport
from avatar.performance.mixing.layer import Layer


@dataclass(frozen=True)
class LayerReport:
    """One layer."""

    label: str
    kind: str
    mode: str
    regions: str
    strength: float
    start: float  # seconds
    end: float  # seconds; infinite: until the stack ends

    @staticmethod
    def of(layer: Layer) -> LayerReport:
        """Of a layer."""
        chosen = layer.spec.regions
        if chosen is None:
            chosen = "mouth" if layer.source.kind == "speech" else "all"
        if isinstance(chosen, Mapping):
            chosen = [f"{selector} {weight:g}" for selector, weight in chosen.items()]
        text = chosen if isinstance(chosen, str) else ", ".join(chosen)
        kind = f"frame {layer.spec.frame}" if layer.spec.frame is not None else layer.source.kind
        spec = layer.spec
        return LayerReport(spec.label, kind, layer.mode, text, spec.strength, spec.start, layer.end)

    def to_text(self) -> str:
        """One line."""
        end = "the end" if math.isinf(self.end) else f"{self.end:.2f} s"
        strength = "" if self.strength == 1 else f" at {self.strength:g}"
        return f"{self.label} ({self.kind}): {self.mode} {self.regions}{strength}, {self.start:.2f} s to {end}"


@dataclass(frozen=True)
class MixReport:
    """A whole mix."""

    layers: tuple[LayerReport, ...]  # from the bottom to the top
    frames: int
    fps: float
    closures: ClosureReport | None  # None: no layer's closures are kept
    notes: tuple[str, ...]  # of the sources

    def to_text(self) -> str:
        """Lines for a terminal."""
        rows = [f"layer {number}: {layer.to_text()}" for number, layer in enumerate(self.layers, 1)]
        if self.closures is not None:
            rows.append(self.closures.to_text())
        return "\n".join(rows)
