"""Contents of the files that `files` damages, and the checks of damaged ones."""

from __future__ import annotations

import copy
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.system.trust.attack.avatars import film_fault
from tests.system.trust.attack.cases import Outcome, judge, worst
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.scene import SIZE, Scene, copied_capture

Check = Callable[[Scene, Path, bytes], Outcome]


def arrays_of(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz file."""
    with np.load(io.BytesIO(content)) as stored:
        return {name: stored[name] for name in stored.files}


def archive(arrays: dict[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def tensors_of(content: bytes) -> Any:
    """The content of a checkpoint."""
    import torch

    return torch.load(io.BytesIO(content), weights_only=True)


def checkpoint(content: Any) -> bytes:
    """The bytes of a checkpoint."""
    import torch

    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def at(content: Any, path: tuple[Any, ...]) -> Any:
    """The entry at `path`."""
    for key in path:
        content = content[key]
    return content


def replaced(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another entry at `path`."""
    changed = copy.deepcopy(content)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def check_flame(suffix: str) -> Check:
    """Load the file as a head; a made-up one is readable, but not a head."""

    def check(scene: Scene, folder: Path, data: bytes) -> Outcome:
        from avatar.head import load_head

        path = folder / f"head{suffix}"
        path.write_bytes(data)
        return judge(lambda: str(load_head(path)), (str(folder),))

    return check


def ict_mesh(scene: Scene) -> bytes:
    """The neutral mesh of a folder like ICT-FaceKit's."""
    from tests.avatar.head.made_up_ict import write_folder

    folder = write_folder(scene.root / "ict", identities=1)
    return (folder / "generic_neutral_mesh.obj").read_bytes()


def check_ict(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Load the folder with a damaged mesh."""
    from avatar.head import load_head

    place = folder / "ict"
    place.mkdir()
    for path in (scene.root / "ict").iterdir():
        os.symlink(path, place / path.name)
    (place / "generic_neutral_mesh.obj").unlink()
    (place / "generic_neutral_mesh.obj").write_bytes(data)

    def action() -> str | None:
        head = load_head(place)
        return None if bool(head.v_template.isfinite().all()) else "a head with numbers that are not finite"

    return judge(action, (str(folder),))


def bridge(scene: Scene) -> bytes:
    """A cached bridge between the two embedded heads."""
    from avatar.head import load_head
    from avatar.motion import load_bridge

    folder = scene.root / "bridges"
    folder.mkdir(exist_ok=True)
    load_bridge(load_head("embedded"), load_head("embedded-half"), folder)
    return next(folder.iterdir()).read_bytes()


def check_bridge(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """A damaged cache is fitted again."""
    import torch

    from avatar.head import load_head
    from avatar.motion import load_bridge

    a, b = load_head("embedded"), load_head("embedded-half")
    (folder / next((scene.root / "bridges").iterdir()).name).write_bytes(data)

    def action() -> str | None:
        found = load_bridge(a, b, folder)
        weights, joint_rot = found(torch.full((1, len(a.expression_names)), 0.5), torch.zeros(1, 5, 3))
        finite = bool(weights.isfinite().all() and joint_rot.isfinite().all())
        return None if finite else "weights that are not finite"

    return judge(action, (str(folder),))


def check_settings(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Read settings of a training, and write them again."""
    from avatar.common.toml_config import load_config, save_config
    from avatar.training.config import TrainConfig

    path = folder / "settings.toml"
    path.write_bytes(data)

    def action() -> str | None:
        save_config(folder / "again.toml", load_config(path, TrainConfig()))
        return None

    return judge(action, (str(folder),))


def make_checkpoint(scene: Scene) -> bytes:
    """The checkpoint of a training that was stopped after one step."""
    import threading

    from avatar.common.toml_config import load_config
    from avatar.data.capture_folder import Capture
    from avatar.head import load_head
    from avatar.training.config import TrainConfig
    from avatar.training.fit import fit

    stop, path = threading.Event(), scene.root / "stopped.checkpoint"
    steps: list[Any] = []

    def snapshot(avatar: Any) -> None:
        steps.append(avatar)
        if len(steps) == 2:  # the first one is offered before the first step
            stop.set()

    settings = load_config(scene.config, TrainConfig())
    fit(Capture.load(scene.capture), load_head(), settings, checkpoint=path, stop=stop, snapshot=snapshot)
    return path.read_bytes()


def check_checkpoint(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Resume the training."""
    from avatar.model.avatar_file import load_avatar

    capture, out = copied_capture(scene, folder), folder / "new.avatar"
    (folder / "new.checkpoint").write_bytes(data)
    ran = run_command("train", capture, "-o", out, "--config", scene.config, "--resume")
    if ran.code:
        return judge_command(ran, (str(folder),))

    def action() -> str | None:
        tensors = load_avatar(out).state_dict().items()
        bad = [name for name, value in tensors if not bool(value.isfinite().all())]
        return f"an avatar with numbers that are not finite ({bad[0]})" if bad else None

    return judge(action, (str(folder),))


def refined_track(scene: Scene) -> bytes:
    """A refined track that equals the tracker's."""
    from avatar.data.capture_folder import Capture

    capture = Capture.load(scene.capture)
    count, track = len(capture), capture.track
    arrays = {name: track[name].astype(np.float64) for name in ("expression", "joint_rot", "translation")}
    marks = {"refined": np.zeros(count, bool), "flagged": np.zeros(count, bool)}
    torso = {name: np.full((count, 3), np.nan) for name in ("torso_rot", "torso_translation")}
    texts = {"capture": np.asarray(capture.fingerprint), "version": np.asarray(1)}
    return archive({**texts, **marks, **arrays, **torso})


def check_learned_bridge(damaged: str) -> Check:
    """Convert coefficients by a bridge, one of the two files damaged."""

    def check(scene: Scene, folder: Path, data: bytes) -> Outcome:
        for name in ("rig.npz", "rig.bridge.npz"):
            shutil.copy(scene.inputs / name, folder / name)
        (folder / damaged).write_bytes(data)
        paths = folder / "rig.npz", "--bridge", folder / "rig.bridge.npz", "--out", folder / "new.csv"
        return judge_command(run_command("motion", "convert", *paths), (str(folder),))

    return check


def check_refined(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Report on the capture with its refined track, and read the track as `eval` does."""
    from avatar.data.capture_folder import Capture
    from avatar.head import load_head
    from avatar.model.avatar import bake_identity
    from avatar.refine.track import RefinedTrack

    capture = copied_capture(scene, folder)
    (capture / "refined.npz").write_bytes(data)

    def action() -> str | None:
        read = Capture.load(capture)
        track = RefinedTrack.load(read)
        params = read.params([0])
        if track is None:
            return None
        states = track.states(read, np.arange(len(read)), bake_identity(load_head(), params.identity))
        return None if bool(states.vertices.isfinite().all()) else "vertices that are not finite"

    commands: tuple[tuple[object, ...], ...] = (("info", capture, "--report"), ("info", capture))
    outcomes = [judge_command(run_command(*command), (str(folder),), plain=True) for command in commands]
    return worst([judge(action, (str(folder),)), *outcomes])


def report(scene: Scene) -> bytes:
    """The report of the capture."""
    place = scene.root / "reported"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    capture = copied_capture(scene, place)
    run_command("info", capture, "--report")
    return (capture / "report.json").read_bytes()


def check_report(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Print the capture with its report."""
    capture = copied_capture(scene, folder)
    (capture / "report.json").write_bytes(data)
    commands: tuple[tuple[object, ...], ...] = (("info", capture), ("info", capture, "--json"))
    return worst([judge_command(run_command(*command), (str(folder),), plain=True) for command in commands])


def check_camera(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Render from the camera."""
    path, film = folder / "camera.json", folder / "film.mp4"
    path.write_bytes(data)
    ran = run_command("render", scene.avatar, "--motion", scene.motion, "-o", film, "--size", SIZE, "--camera", path)
    return judge_command(ran, (str(folder),))


def check_view(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Read the view as the window does, and render from it."""
    from viewer.session.view_file import read_view

    path = folder / "camera.json"
    path.write_bytes(data)

    def action() -> str | None:
        view = read_view(path)
        values = () if view is None else (view.yaw, view.pitch, view.distance, view.lens, *view.pan)
        return None if np.isfinite(values).all() else "a view with numbers that are not finite"

    return worst([judge(action, (str(folder),)), check_camera(scene, folder, data)])


def check_presets(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Read the presets as the window does, and list them."""
    from avatar.motion.presets import own_presets

    path = folder / "me.presets.json"
    path.write_bytes(data)

    def action() -> str | None:
        values = [value for one in own_presets(path) for value in (*one.weights.values(), *one.head, *one.jaw)]
        return None if np.isfinite(np.array(values, float)).all() else "a preset with numbers that are not finite"

    return worst([judge(action, (str(folder),)), judge_command(run_command("preset", "list", path), (str(folder),))])


def check_layout(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Read the folder of another tool."""
    from capture.layouts import read_layout

    place = shutil.copytree(scene.inputs / "layout", folder / "layout")
    for part in ("train", "val", "test"):
        (place / f"transforms_{part}.json").unlink(missing_ok=True)
    (place / "transforms.json").write_bytes(data)

    def action() -> str | None:
        views = read_layout(place).views
        numbers = [each for view in views for each in (view.K, view.world_to_cam) if each is not None]
        return None if all(np.isfinite(each).all() for each in numbers) else "numbers that are not finite"

    return judge(action, (str(folder),))


def check_workspace(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Continue an unfinished capture whose key is damaged."""
    from capture.workspace import Workspace

    partial = folder / "new.capture" / "partial"
    partial.mkdir(parents=True)
    (partial / "key.json").write_bytes(data)
    (partial / "landmarks.npz").write_bytes(data)

    def action() -> str | None:
        workspace = Workspace(folder / "new.capture")
        workspace.open({"max_size": 768, "head": "embedded"}, False)
        workspace.load_partial("landmarks.npz")
        return None

    return judge(action, (str(folder),))


def check_matte(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Read a user's matte."""
    from capture.matting.user_matte import open_mattes

    (folder / "mattes").mkdir()
    (folder / "mattes" / "00000.png").write_bytes(data)

    def action() -> str | None:
        matte = open_mattes(folder / "mattes").matte(0, (SIZE, SIZE))
        return None if matte.shape == (SIZE, SIZE) and matte.dtype == np.uint8 else "a matte of another size"

    return judge(action, (str(folder),))


def check_background(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Render over the image."""
    path, film = folder / "back.png", folder / "film.mp4"
    path.write_bytes(data)
    arguments = ("--size", SIZE, "--background", path)
    ran = run_command("render", scene.avatar, "--motion", scene.motion, "-o", film, *arguments)
    outcomes = [judge_command(ran, (str(folder),))]
    return worst(outcomes + ([judge(lambda: film_fault(film))] if ran.code == 0 else []))


def truth(scene: Scene) -> bytes:
    """The ground truth of a synthetic clip."""
    place = scene.root / "synthetic"
    run_command("synth", "-o", place, "--frames", 2, "--size", "64x64", "--overwrite")
    return (place / "truth.npz").read_bytes()


def check_truth(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Read ground truth."""
    from capture.synthetic.truth import SyntheticTruth

    path = folder / "truth.npz"
    path.write_bytes(data)
    return judge(lambda: SyntheticTruth.load(path) and None, (str(folder),))


def check_model(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Load a user's network."""
    from capture.networks.litert import graph_of, load_network

    path = folder / "face_detection_short_range.tflite"
    path.write_bytes(data)
    outcomes = [judge(lambda: load_network(path) and None, (str(folder),))]
    return worst([*outcomes, judge(lambda: graph_of(path) and None, (str(folder),))])


def check_segment(scene: Scene, folder: Path, data: bytes) -> Outcome:
    """Join a damaged segment and a whole one."""
    first, second, out = folder / "0.mp4", scene.inputs / "segments" / "6.mp4", folder / "joined.mp4"
    first.write_bytes(data)
    ran = run_command("join", first, second, "-o", out, "--partial")
    return judge_command(ran, (str(folder),))
