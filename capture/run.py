"""What captures of a video and of several cameras share: timing, notes, warnings, and the metadata of capture.json."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import avatar
from avatar.data.capture_folder import MAGIC, VERSION
from avatar.head import stored_source
from avatar.head.model import HeadModel
from capture.options import CaptureOptions, FaceModels, Progress
from capture.workspace import Workspace

log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def open_workspace(out: Path, sha256: str, options: CaptureOptions) -> Workspace:
    """The folder of a capture, to be filled; an unfinished capture of the same source and options is continued.

    Args:
        out: the folder.
        sha256: digest of the source.
        options: of the capture.

    Raises:
        HeadsplatError: see Workspace.open.
    """
    workspace = Workspace(out)
    key = {"source": sha256, "version": VERSION, "headsplat": avatar.__version__, **options.key()}
    workspace.open(key, options.overwrite)
    return workspace


@dataclass
class CaptureRun:
    """A capture under way."""

    source_metadata: dict[str, Any]  # at least name and sha256
    workspace: Workspace
    options: CaptureOptions
    progress: Progress | None
    models: FaceModels
    seconds: dict[str, float] = field(default_factory=dict, init=False)  # by stage
    warnings: list[str] = field(default_factory=list, init=False)
    head_notes: list[str] = field(default_factory=list, init=False)

    @property
    def name(self) -> str:
        """The name of the source."""
        return str(self.source_metadata["name"])

    def _add_head_note(self, sentence: str) -> None:
        """A remark from reading a head file; stored with the capture."""
        log.info("%s", sentence)
        self.head_notes.append(sentence)

    def _time(self, stage: str, work: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        result = work()
        self.seconds[stage] = round(time.perf_counter() - start, 3)
        log.debug("%s: %.1f s", stage, self.seconds[stage])
        return result

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(stage, done, total)

    def _metadata(
        self, head: HeadModel, is_test: np.ndarray, split: Mapping[str, Any], own: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of capture.json.

        Args:
            head: the head model of the track.
            is_test: [T] bool, whether each frame of the track is held out.
            split: mode and value of the split.
            own: entries that depend on the kind of source, among them `source`, `width`, `height` and `cameras`.
        """
        held_out = int(np.count_nonzero(is_test))
        return {
            "magic": MAGIC,
            "version": VERSION,
            "headsplat": avatar.__version__,
            **own,
            "units": {"length": "metres", "angle": "radians", "time": "seconds", "image": "pixels of stored frames"},
            "head": {
                "name": head.name,
                "model_id": head.model_id,
                "licence": head.license,
                "source": stored_source(self.options.head),
                "notes": self.head_notes,
                "expression_names": list(head.expression_names),
            },
            "split": {**split, "train": len(is_test) - held_out, "test": held_out},
            "warnings": self.warnings,
            "seconds": {**self.seconds, "total": round(sum(self.seconds.values()), 3)},
            "options": self.options.key(),
            "consent": self.options.consent,
            **({} if self.options.interocular is None else {"interocular": self.options.interocular}),
        }
