"""Cases of expression files: a program, and variations of what it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.system.trust.attack.cases import Case, Outcome, judge, worst
from tests.system.trust.attack.cli import Ran, judge_command, run_command
from tests.system.trust.attack.foreign import flame, sheets, texts
from tests.system.trust.attack.foreign.truth import Truth, fault, generator, must_be_read
from tests.system.trust.attack.scene import SIZE, Scene

#: Writes a file into a folder, from a generator: its path, and what it shows.
Write = Callable[[Path, np.random.Generator], tuple[Path, Truth]]
#: Random pairs of variations of each program, and the share of the cases that run the commands too.
_PAIRS, _COMMANDS = 6, 0.05


def cases(scene: Scene) -> Iterator[Case]:
    """Each variation of each program alone, and random pairs."""
    for name, write, may_be_refused in (*_tables(scene), *_flame(scene)):
        yield Case(name, _run(scene, name, write, may_be_refused))


def _tables(scene: Scene) -> Iterator[tuple[str, Write, bool]]:
    """Tables and JSON: name, file, and whether it may be refused."""
    for program, make in sheets.PROGRAMS.items():
        random = generator(scene.random_name("foreign", program))
        plain = make(np.random.default_rng(0))
        values = [name for name, variation in sheets.VALUES.items() if variation.fits(plain)]
        encodings = list(texts.TEXTS[plain.form])
        chosen: list[tuple[Sequence[str], str]] = [((), text) for text in encodings]
        chosen += [((value,), encodings[0]) for value in values]
        chosen += [(_pair(values, random), str(random.choice(encodings))) for _ in range(_PAIRS)]
        for used, text in chosen:
            name = f"{program}: {', '.join((*used, text))}"
            yield name, _sheet(make, used, text), bool(sheets.REFUSABLE.intersection(used)) or text in texts.REFUSABLE


def _flame(scene: Scene) -> Iterator[tuple[str, Write, bool]]:
    """FLAME parameters: name, file, and whether it may be refused."""
    for program, make in flame.PROGRAMS.items():
        random = generator(scene.random_name("foreign", program))
        plain = make(np.random.default_rng(0))
        names = [name for name, variation in flame.VARIATIONS.items() if variation.fits(plain)]
        for used in [[name] for name in names] + [_pair(names, random) for _ in range(_PAIRS)]:
            may_be_refused = program not in flame.READ or bool(flame.REFUSABLE.intersection(used))
            yield f"{program}: {', '.join(used)}", _take(make, used), may_be_refused


def _pair(names: Sequence[str], random: np.random.Generator) -> list[str]:
    """Two of them, in their order: values are changed before their storage."""
    return [names[at] for at in sorted(random.choice(len(names), 2, replace=False))]


def _sheet(make: Callable[[np.random.Generator], sheets.Sheet], used: Iterable[str], text: str) -> Write:
    def write(folder: Path, random: np.random.Generator) -> tuple[Path, Truth]:
        sheet = make(random)
        for variation in map(sheets.VALUES.__getitem__, used):
            if variation.fits(sheet):
                variation.change(sheet, random)
                sheet.truth.admit(variation.admits)
        path = folder / ("take.csv" if sheet.form == "table" else "take.json")
        path.write_bytes(texts.TEXTS[sheet.form][text](sheet.text()))
        return path, sheet.truth

    return write


def _take(make: Callable[[np.random.Generator], flame.Take], used: Iterable[str]) -> Write:
    def write(folder: Path, random: np.random.Generator) -> tuple[Path, Truth]:
        take = make(random)
        take.truth.admit(flame.ADMITS)
        for variation in map(flame.VARIATIONS.__getitem__, used):
            if variation.fits(take):
                variation.change(take, random)
                take.truth.admit(variation.admits)
        return take.write(folder), take.truth

    return write


def _run(scene: Scene, name: str, write: Write, may_be_refused: bool) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        random = generator(scene.random_name("foreign", name))
        path, truth = write(folder, random)
        outcome = judge(lambda: file_fault(path, truth), (str(folder),))
        if random.random() < _COMMANDS:
            outcome = worst([outcome, *_of_commands(scene, path, truth)])
        return outcome if may_be_refused else must_be_read(outcome)

    return run


def file_fault(path: Path, truth: Truth) -> str | None:
    """Read a file as every command does; returns what is wrong and not named by a note."""
    from avatar.motion import read_motion

    motion = read_motion(path)
    return fault(motion, truth, motion.notes)


def _of_commands(scene: Scene, path: Path, truth: Truth) -> Iterator[Outcome]:
    """The same with the notes that `motion info` and `render` print."""
    hidden = (str(path.parent), str(scene.root))
    ran = run_command("motion", "info", path, "--json")
    yield _judged(ran, path, truth, hidden, lambda: list(json.loads(ran.out)["notes"]))
    film = path.with_name("film.mp4")
    rendered = run_command("render", scene.avatar, "--motion", path, "-o", film, "--size", SIZE, "--frames", "0:2")
    yield _judged(rendered, path, truth, hidden, lambda: re.split(r"\n(?=\S)", rendered.err))


def _judged(ran: Ran, path: Path, truth: Truth, hidden: tuple[str, ...], notes: Callable[[], list[str]]) -> Outcome:
    from avatar.motion import read_motion

    if ran.code:
        return judge_command(ran, hidden)
    return judge(lambda: fault(read_motion(path), truth, notes()), hidden)
