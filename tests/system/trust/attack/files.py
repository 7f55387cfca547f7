"""Every other file that headsplat reads: head models, settings, checkpoints, tracks, reports, cameras, layouts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.system.trust.attack import file_checks as checks
from tests.system.trust.attack.avatars import header_of
from tests.system.trust.attack.captures import IMAGES
from tests.system.trust.attack.cases import Case, Outcome
from tests.system.trust.attack.damage import (
    HOSTILE_TEXTS,
    JSON_VALUES,
    Variants,
    chosen,
    damaged_arrays,
    damaged_bytes,
    damaged_json,
    deep_json,
    listed,
)
from tests.system.trust.attack.forked import call_forked
from tests.system.trust.attack.scene import Scene

Damages = Variants[bytes]
_TOML_VALUES = (
    "1e999", "-1", "nan", "inf", "0", "10000000000000000000000", '"text"', "[]", "{}", "true", "[[1]]", "1979-05-27",
    '"""\n"""', "0x10", "",
)  # fmt: skip
_JSON_VALUES = ("nan", "escape", "list", "null", "minus", "beyond", "text")
_CAMERA = {"K": [[90, 0, 24], [0, 90, 24], [0, 0, 1]], "width": 48, "height": 48, "world_to_cam": np.eye(4).tolist()}
_PRESET = {"name": "grin", "weights": {"jawOpen": 0.4}, "head": [10, 0, 0], "jaw": [2, 0], "key": 1, "source": "x"}
_PRESETS = {"headsplat": "presets", "version": 1, "presets": [_PRESET]}
_ORBIT = {"orbit": {"yaw": 0.1, "pitch": 0.1, "distance": 0.6, "pan": [0.0, 0.0], "lens": 1.0}}
_POSE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.6], [0, 0, 0, 1]]
_PATH = {"w": 48, "h": 48, "fl_x": 90, "frames": [{"time": t, "transform_matrix": _POSE} for t in (0, 1)]}
_TOML_LINES = (
    "[rates]\nposition = nan",
    "[refine]\niterations = -1",
    "rates = 1",
    "[[rates]]",
    "[refine.a.b]",
    "x = 1",
)


@dataclass(frozen=True)
class Kind:
    """A kind of file: its undamaged content, its damages, and the check of a damaged one in an empty folder."""

    name: str
    content: Callable[[Scene], bytes]
    damages: Callable[[Scene, bytes], Damages]
    check: Callable[[Scene, Path, bytes], Outcome]


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for kind in KINDS:
        content = kind.content(scene)
        found += [_case(scene, kind, content, name) for name, _ in _all_damages(scene, kind, content)]
    return found


def _all_damages(scene: Scene, kind: Kind, content: bytes) -> Damages:
    yield "undamaged", lambda: content
    yield from kind.damages(scene, content)
    yield from damaged_bytes(content, scene.random_name("files", kind.name), 12)


def _case(scene: Scene, kind: Kind, content: bytes, damage: str) -> Case:
    def run(folder: Path) -> Outcome:
        return kind.check(scene, folder, chosen(_all_damages(scene, kind, content), damage))

    return Case(f"{kind.name}: {damage}", run)


def _json(scene: Scene, content: bytes) -> Damages:
    for name, text in damaged_json(json.loads(content), {name: JSON_VALUES[name] for name in _JSON_VALUES}, most=1):
        yield name, lambda text=text: text().encode("utf-8", "surrogatepass")
    yield "whole file deep", lambda: deep_json().encode()


def _arrays(scene: Scene, content: bytes) -> Damages:
    arrays = checks.arrays_of(content)
    for name, array in arrays.items():
        others = {key: value for key, value in arrays.items() if key != name}
        yield f"{name} removed", partial(checks.archive, others)
        for damage, changed in damaged_arrays(array):
            yield f"{name} {damage}", partial(_with_array, others, name, changed)


def _with_array(others: dict[str, np.ndarray], name: str, array: Callable[[], np.ndarray]) -> bytes:
    return checks.archive(others | {name: array()})


def _toml(scene: Scene, content: bytes) -> Damages:
    lines = content.decode().splitlines()
    for number, line in enumerate(lines):
        key = line.partition(" =")[0]
        for value in _TOML_VALUES:
            changed = [*lines[:number], f"{key} = {value}", *lines[number + 1 :]]
            yield f"{key} {value[:12]!r}", "\n".join(changed).encode
    for text in _TOML_LINES:
        yield text.replace("\n", " "), "\n".join([*lines, text]).encode
    yield "deep", lambda: ("steps = " + deep_json()).encode()
    yield "deep tables", lambda: ("a = " + "{a = " * 50_000).encode()
    yield "Latin-1", lambda: "# é\nsteps = 2".encode("latin-1")


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield path
    for key, entry in entries:
        yield from _leaves(entry, (*path, key))


def _checkpoint(scene: Scene, content: bytes) -> Damages:
    """Each entry replaced by values of other types, shapes and ranges."""
    import torch

    others: dict[str, Any] = {
        "none": None, "minus": -5, "list": [], "nan tensor": torch.full((3, 3), float("nan")),
    }  # fmt: skip
    stored = checks.tensors_of(content)
    for path in list(_leaves(stored))[1:]:
        where = ".".join(map(str, path))
        for name, value in others.items():
            yield f"{where} {name}", partial(_with_entry, stored, path, value)
        old = checks.at(stored, path)
        if isinstance(old, torch.Tensor) and old.is_floating_point():
            for name, number in (("all nan", float("nan")), ("all huge", 1e30)):
                yield f"{where} {name}", partial(_with_entry, stored, path, torch.full_like(old, number))


def _with_entry(stored: Any, path: tuple[Any, ...], value: Any) -> bytes:
    return checks.checkpoint(checks.replaced(stored, path, value))


def _texts(scene: Scene, content: bytes) -> Damages:
    return listed({f"text {text[:12]!r}": text.encode("utf-8", "surrogatepass") for text in HOSTILE_TEXTS})


def _images(scene: Scene, content: bytes) -> Damages:
    return listed({f"image {name}": data for name, data in IMAGES.items() if data is not None})


def _file(*parts: str) -> Callable[[Scene], bytes]:
    return lambda scene: scene.inputs.joinpath(*parts).read_bytes()


def _as_json(content: Any) -> Callable[[Scene], bytes]:
    return lambda scene: json.dumps(content).encode()


def _made(function: Callable[[Scene], bytes]) -> Callable[[Scene], bytes]:
    """Content that is made by a training: in a child, and once."""
    known: dict[Path, bytes] = {}

    def content(scene: Scene) -> bytes:
        if scene.root not in known:
            known[scene.root] = call_forked(function, scene)
        return known[scene.root]

    return content


def _settings(scene: Scene) -> bytes:
    return ("\n".join(f"{name} = {value!r}".replace("'", '"') for name, value in _plain(scene).items())).encode()


def _plain(scene: Scene) -> dict[str, Any]:
    return {name: value for name, value in header_of(scene.avatar)["settings"].items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


KINDS = (
    Kind("FLAME pickle", _file("heads", "small.pkl"), _texts, checks.check_flame(".pkl")),
    Kind("FLAME npz", _file("heads", "small.npz"), _arrays, checks.check_flame(".npz")),
    Kind("ICT mesh", _made(checks.ict_mesh), _texts, checks.check_ict),
    Kind("bridge", _made(checks.bridge), _arrays, checks.check_bridge),
    Kind("learned bridge", _file("rig.bridge.npz"), _arrays, checks.check_learned_bridge("rig.bridge.npz")),
    Kind("coefficients", _file("rig.npz"), _arrays, checks.check_learned_bridge("rig.npz")),
    Kind("settings", _settings, _toml, checks.check_settings),
    Kind("checkpoint", _made(checks.make_checkpoint), _checkpoint, checks.check_checkpoint),
    Kind("refined track", _made(checks.refined_track), _arrays, checks.check_refined),
    Kind("report", _made(checks.report), _json, checks.check_report),
    Kind("camera", _as_json(_CAMERA), _json, checks.check_camera),
    Kind("camera path", _as_json(_PATH), _json, checks.check_camera),
    Kind("saved view", _as_json(_CAMERA | _ORBIT), _json, checks.check_view),
    Kind("presets", _as_json(_PRESETS), _json, checks.check_presets),
    Kind("layout", _file("layout", "transforms.json"), _json, checks.check_layout),
    Kind("unfinished capture", _as_json({"max_size": 768, "head": "embedded"}), _json, checks.check_workspace),
    Kind("matte", _file("me.capture", "mattes", "00000.png"), _images, checks.check_matte),
    Kind("background", _file("me.capture", "frames", "00000.png"), _images, checks.check_background),
    Kind("ground truth", _made(checks.truth), _arrays, checks.check_truth),
    Kind("face model", _as_json({}), _texts, checks.check_model),
    Kind("segment", _file("segments", "0.mp4"), _texts, checks.check_segment),
)
