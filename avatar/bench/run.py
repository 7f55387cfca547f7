"""The measurements, case by case."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from avatar import ops
from avatar.bench.gsplat_peer import beside_gsplat
from avatar.bench.report import Part, Report, Row, describe_machine
from avatar.bench.scene import Scene, avatar_scene, head_scene
from avatar.bench.stages import Drawing, TrainingStep
from avatar.bench.timing import CPU_EFFORT, CUDA_EFFORT, Effort, graphed, measure, split
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.ops.backend import native_for
from avatar.types import Camera

STEP_BATCHES = (1, 4)
USUAL_COUNT = 50_000
PARTS = {
    "prepare": "project, sort, tiles",
    "rasterize": "raster forward",
    "splat_backward": "raster and projection backward",
    "rest": "everything else (PyTorch, Python)",
    "all": "whole step under these clocks",
}
#: Called with the finished fraction 0..1 and a few words.
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Case:
    """One scene to measure."""

    count: int
    size: int
    batch: int
    sh: int
    bases: int


@dataclass(frozen=True)
class Grid:
    """The values each axis takes."""

    counts: tuple[int, ...] = (20_000, USUAL_COUNT, 100_000, 200_000)
    sizes: tuple[int, ...] = (512, 1024)
    batches: tuple[int, ...] = (1, 8, 64)
    sh: tuple[int, ...] = (0, 3)
    bases: tuple[int, ...] = (20, 50)

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            least = 0 if name == "sh" else 1
            if not values or min(values) < least:
                raise ValueError(f"{name}: expected whole numbers from {least} on, got {list(values)}")
        if set(self.sh) - {0, 1, 2, 3}:
            raise ValueError(f"sh: expected degrees 0 to 3, got {list(self.sh)}")

    def usual(self) -> Case:
        """The case the others vary: 50k Gaussians where the grid has them, and the first of everything else."""
        count = USUAL_COUNT if USUAL_COUNT in self.counts else self.counts[0]
        return Case(count, self.sizes[0], self.batches[0], self.sh[0], self.bases[0])

    def star(self) -> list[Case]:
        """The usual case, and those that differ from it along one axis."""
        usual = self.usual()
        axes = {"count": self.counts, "size": self.sizes, "batch": self.batches, "sh": self.sh, "bases": self.bases}
        varied = [replace(usual, **{axis: value}) for axis, values in axes.items() for value in values]
        return [usual, *(case for case in varied if case != usual)]

    def product(self) -> list[Case]:
        """Every combination."""
        return [Case(*values) for values in itertools.product(*vars(self).values())]


class _Bench:
    """Collects the rows of one run."""

    def __init__(self, device: torch.device, effort: Effort) -> None:
        self.device, self.effort = device, effort
        self.report = Report(describe_machine(device))
        self.title, self.case = "", Case(1, 1, 1, 0, 1)

    def look_at(self, title: str, case: Case) -> None:
        """What the following rows are about."""
        self.title, self.case = title, case

    def add(self, part: Part, name: str, call: Callable[[], object], batch: int) -> None:
        """Time `call` as it is and, on a GPU, as a CUDA graph."""
        self.report.rows.append(self._row(part, name, batch, measure(call, self.device, self.effort)))
        if self.device.type != "cuda" or part == "peer":
            return
        try:
            replay = graphed(call)
        except RuntimeError as error:
            self.report.notes.append(f"{self.title}, {self.case}: {name} as a CUDA graph failed: {error}")
            self.report.failed = True
            return
        self.report.rows.append(self._row(part, f"{name}, graph", batch, measure(replay, self.device, self.effort)))

    def _row(self, part: Part, name: str, batch: int, timing) -> Row:  # type: ignore[no-untyped-def]
        case = self.case
        return Row(part, name, self.title, case.count, case.size, case.sh, case.bases, batch, timing)

    def whole_path(self, scene: Scene) -> None:
        self.add("path", "eager", Drawing(scene), scene.batch)

    def step(self, scene: Scene, *, parts: bool) -> None:
        step = TrainingStep(scene)
        self.add("step", "eager", step, scene.batch)
        if parts:
            for name, timing in split(step, self.device, self.effort).items():
                self.report.rows.append(self._row("split", PARTS.get(name, name), scene.batch, timing))


def run_bench(
    grid: Grid,
    *,
    full: bool = False,
    device: torch.device | None = None,
    avatar: tuple[str, Avatar, Callable[[int], Camera]] | None = None,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure weights -> pixels and training steps on the synthetic head, and on an avatar where one is given.

    Args:
        grid: the values of each axis.
        full: every combination of them instead of one axis at a time.
        device: where; the CPU when left out. On a CUDA device CUDA graphs and, where installed, gsplat too.
        avatar: a name, the avatar and its camera [1] for a picture size.
        effort: how often everything is repeated.
        progress: told after every case.

    Raises:
        HeadsplatError: no native kernels for the device.
    """
    device = device or torch.device("cpu")
    if native_for(torch.empty(0, device=device)) is None:
        raise HeadsplatError(f"no native kernels for {device} here; `headsplat doctor` says why")
    bench = _Bench(device, effort or (CUDA_EFFORT if device.type == "cuda" else CPU_EFFORT))
    cases = grid.product() if full else grid.star()
    todo: list[tuple[str, Case, Callable[[], Scene]]] = [
        ("head shell", case, lambda case=case: head_scene(case.count, case.size, case.bases, case.sh))  # type: ignore[misc]
        for case in cases
    ]
    if avatar is not None:
        todo += _avatar_cases(grid, *avatar)
    ops.keep_memory()
    with ops.one_thread():
        for done, (title, case, make) in enumerate(todo):
            if progress:
                progress(done / len(todo), f"{title}, {case.count} Gaussians, {case.size} pixels, {case.batch} images")
            bench.look_at(title, case)
            _measure_case(bench, case, make().to(device), usual=case == todo[0][1] or title != "head shell")
    return bench.report


def _avatar_cases(
    grid: Grid, name: str, avatar: Avatar, camera: Callable[[int], Camera]
) -> list[tuple[str, Case, Callable[[], Scene]]]:
    bases = avatar.blendshapes.basis.shape[0]
    return [
        (name, Case(len(avatar), size, grid.batches[0], 0, bases), lambda size=size: avatar_scene(avatar, camera(size)))  # type: ignore[misc]
        for size in grid.sizes
    ]


def _measure_case(bench: _Bench, case: Case, scene: Scene, *, usual: bool) -> None:
    """The path at the case's batch; at one image also the step, at the usual case in all its parts and batches."""
    bench.whole_path(scene.repeated(case.batch))
    if case.batch != 1:
        return
    for batch in STEP_BATCHES if usual else STEP_BATCHES[:1]:
        bench.step(scene.repeated(batch), parts=usual and batch == 1)
    if bench.device.type == "cuda":
        beside_gsplat(scene, bench.report, bench.add)
