"""Every option of every command at hostile values, in process; inputs must stay as they are."""

from __future__ import annotations

import dataclasses
import shutil
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tyro

from tests.system.trust.attack import guard
from tests.system.trust.attack.cases import LOST, WRONG, Case, Outcome
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.scene import Scene, changed, hashes

#: Values for any option. {in}: the command's own input, {folder}: a folder of it.
VALUES = {
    "empty": "", "nan": "nan", "inf": "inf", "1e9": "1e9", "-1": "-1", "0": "0", "dot": ".", "root": "/",
    "Latin-1": "\udce9", "long": "x" * 10_000, "a folder": "{folder}", "null device": "/dev/null", "the input": "{in}",
    "colon": ":", "lines": "a\nb", "digits": "9" * 400, "missing": "missing/file.mp4", "hidden": "--help-me",
}  # fmt: skip
#: The shortest successful use of each command; options and positional arguments of it are replaced.
BASES: dict[str, tuple[str, ...]] = {
    "capture": ("in/videos/clip.mp4", "--out", "new.capture"),
    "train": ("in/me.capture", "--out", "new.avatar", "--config", "in/tiny.toml"),
    "film": ("--webcam", "in/videos/clip.mp4", "--out", "new.avatar", "--config", "in/tiny.toml", "--no-window"),
    "eval": ("in/me.avatar", "in/me.capture", "--no-refine", "--size", "48"),
    "render": ("in/me.avatar", "--motion", "in/two.motion.npz", "--out", "new.mp4"),
    "motion info": ("in/two.motion.npz",),
    "motion report": ("in/two.motion.npz",),
    "motion mix": ("in/two.motion.npz", "--out", "new.motion.npz"),
    "motion convert": ("in/two.motion.npz", "--out", "new.csv"),
    "motion bridge": ("in/rig.npz", "in/rig.motion.npz", "--out", "new.bridge.npz"),
    "motion speak": ("in/videos/sound.wav", "--out", "new.csv"),
    "preset add": ("new.presets.json", "grin", "--weights", "jawOpen=.4"),
    "preset list": ("in/me.presets.json",),
    "join": ("in/segments/0.mp4", "in/segments/6.mp4", "--out", "new.mp4"),
    "export": ("in/me.avatar", "--out", "new.ply"),
    "blend": ("in/me.avatar", "in/me.avatar", "--out", "new.avatar"),
    "edit": ("in/me.avatar", "--out", "new.avatar", "--hair", "red"),
    "info": ("in/me.avatar",),
    "head info": ("embedded",),
    "head bridge": ("embedded", "embedded-half"),
    "synth": ("--out", "new", "--frames", "2", "--size", "64x64"),
    "bench": ("--counts", "100", "--sizes", "64", "--batches", "1", "--sh", "0", "--bases", "2", "--seconds", "0"),
    "convert": ("in/me.capture", "--out", "new"),
    "demo": ("--out", "new"),
    "fleet train": ("in/fleet.csv", "--out", "new"),
    "fleet render": ("in/fleet.csv", "--out", "new"),
    "fleet eval": ("in/fleet.csv", "--out", "new"),
    "fleet sweep": ("in/fleet.csv", "--out", "new", "--set", "steps=1,2"),
    "live": ("in/me.avatar", "--listen", "vmc:39547"),
    "view": ("in/me.avatar",),
    "serve": ("in/me.avatar", "--port", "0", "--seconds", ".1"),
    "track": ("--listen", "vmc:39548", "--send", "vmc:39549", "--seconds", "0.2"),
}  # fmt: skip
#: The shortest scene: two avatars, of which one has a motion of its own.
_SCENE = ("in/me.avatar=in/two.motion.npz", "in/me.avatar", "--out", "new.mp4", "--size", "48")
#: Values at which an option asks for hours of work, which is no failure.
_WORK = {("bench", "seconds", "1e9"), ("synth", "frames", "1e9"), ("train", "config", "null device")}
#: Commands whose shortest use is refused here: the clip is too short, and `without_windows` stops the demo and fleets.
_REFUSED = ("capture", "film", "demo", "fleet train", "fleet render", "fleet eval", "fleet sweep")


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = [Case(f"{command}: as it is", _run(scene, command, base, ())) for command, base in BASES.items()]
    for command, base in BASES.items():
        for option, changes in _options(command, base):
            for name, value in VALUES.items():
                if (command, option, name) in _WORK:
                    continue
                found.append(Case(f"{command}: {option} {name}", _run(scene, command, base, changes, value)))
        for name, arguments in _combinations(command):
            found.append(Case(f"{command}: {name}", _run(scene, command, base, (), None, arguments)))
    found.append(Case("render: a scene", _run(scene, "render", _SCENE, ())))
    for name, value in VALUES.items():
        found.append(Case(f"render: AVATAR= {name}", _run(scene, "render", _SCENE, (0,), f"in/me.avatar={value}")))
    found.append(Case("no arguments", lambda folder: judge_command(run_command())))
    found += [Case(f"command {name}", _alone(value)) for name, value in VALUES.items()]
    return found


def fields_of(command: str) -> Iterator[tuple[str, Any, bool, bool]]:
    """(option, default, whether positional, whether a flag) of every option of a command."""
    from avatar.cli.commands import COMMANDS

    parts = command.split()
    kind: Any = COMMANDS[parts[0]]
    if len(parts) > 1:
        choices = typing.get_args(typing.get_args(typing.get_type_hints(kind, include_extras=True)["action"])[0])
        kind = next(typing.get_args(each)[0] for each in choices if parts[1] in str(typing.get_args(each)[1:]))
    yield from _fields(kind)


def _fields(kind: Any) -> Iterator[tuple[str, Any, bool, bool]]:
    hints, bare = typing.get_type_hints(kind, include_extras=True), typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if dataclasses.is_dataclass(bare[item.name]):
            yield from _fields(bare[item.name])
            continue
        positional = tyro.conf.Positional[int].__metadata__[0] in getattr(hints[item.name], "__metadata__", ())
        yield item.name, item.default, positional, bare[item.name] is bool


#: Places in the arguments that a value replaces: an index, or the name of an option to add.
Changes = tuple[int | str, ...]


def _options(command: str, base: tuple[str, ...]) -> Iterator[tuple[str, Changes]]:
    positions = 0
    for name, _, positional, flag in fields_of(command):
        option = f"--{name.replace('_', '-')}"
        if flag:
            continue
        if positional and positions < len(base):
            yield name, (positions,)
            positions += 1
        elif option in base:
            yield name, (base.index(option) + 1,)
        else:
            yield name, (option,)


def _combinations(command: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    flags = [name for name, _, _, flag in fields_of(command) if flag]
    for name in flags:
        yield f"flag {name}", (f"--{name.replace('_', '-')}",)
        yield f"flag {name} with a value", (f"--{name.replace('_', '-')}", "maybe")
    if command == "render":
        onto = "--background", "in/film.mp4"
        yield "a film", onto
        yield "the mouth in frames of a film", (*onto, "--dub", "mouth", "--frames", "3:400")
        yield "a film of another size", (*onto, "--size", "48")
        yield "a film without a face", ("--background", "in/videos/clip.mkv")
        yield "a sound as the film", ("--background", "in/videos/sound.wav")
    yield "unknown option", ("--nothing-like-this",)
    yield "many arguments", ("x",) * 2000


def _run(
    scene: Scene, command: str, base: tuple[str, ...], changes: Changes, value: str | None = None,
    more: tuple[str, ...] = (),
) -> Callable[[Path], Outcome]:  # fmt: skip
    def run(folder: Path) -> Outcome:
        scene.copy_inputs(folder)
        before = hashes(folder / "in")
        used = _filled(value, base, changes, folder) if value is not None else ""
        if used == "/" and not guard.protected():
            return Outcome("skipped", "this user may write to /")
        arguments = [*base, *more]
        for change in changes:
            if isinstance(change, int):
                arguments[change] = used
            else:
                arguments += [change, used]
        outcome = judge_command(run_command(*command.split(), *arguments), (str(folder), used))
        lost = changed(folder / "in", before)
        if lost is not None:
            return Outcome(LOST, f"in/{lost}")
        plain = value is None and not more
        return Outcome(WRONG, "refused") if plain and outcome.kind == "refused" and command not in _REFUSED else outcome

    return run


def _filled(value: str, base: tuple[str, ...], changes: Changes, folder: Path) -> str:
    """The value with the paths of the case; the input is the first path that is not replaced itself."""
    inputs = [each for number, each in enumerate(base) if each.startswith("in/") and number not in changes]
    source = folder / (inputs[0] if inputs else "in/me.avatar")
    shutil.copytree(folder / "in" / "me.capture" / "mattes", folder / "in" / "folder")
    return value.replace("{in}", str(source)).replace("{folder}", str(folder / "in" / "folder"))


def _alone(value: str) -> Callable[[Path], Outcome]:
    return lambda folder: judge_command(run_command(value.format(**{"in": "x", "folder": "y"})), (value,))


def without_windows() -> None:
    """In a worker: the window, the demo's stages and Ray do nothing: only what is checked before them is tested."""
    import avatar.cli.fleet as fleet
    import avatar.jobs.live_window as live_window
    import viewer.gui.display as display
    from avatar.errors import HeadsplatError
    from avatar.jobs import demo

    def refuse(self: object) -> object:
        raise HeadsplatError("the attack runs neither the demo nor Ray; their parts have tests of their own")

    display.check_display = lambda: None
    live_window._run_window = lambda *arguments: True
    demo.Demo.report = refuse
    fleet.run_rows = lambda *arguments: refuse(arguments)
