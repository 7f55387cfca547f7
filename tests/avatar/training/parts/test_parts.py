"""The hooks of training parts: called in order, and every part continues from its state to the same bits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import avatar.training
from avatar.data.capture_folder import Capture
from avatar.data.recordings import recording_entries
from avatar.head import load_head
from avatar.model.parts.appearance import Appearances
from avatar.training import relocation
from avatar.training.adam import Group
from avatar.training.checkpoints import restore, state_of
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.parts import pose_blendshapes, registry
from avatar.training.parts.guidance import GuidanceTraining
from avatar.training.parts.part import PartTraining, Step, Training
from avatar.training.parts.registry import part_kinds, register
from avatar.training.prepared_frames import prepared_frames
from avatar.training.trainer import Trainer
from tests.support.tiny import tiny_capture

CONFIG = TrainConfig(size=64, gaussians=500, steps=100, relocate=0.1)
#: Hooks of one step, in order.
STEP = ["next_images", "offsets", "loss", "backward", "after_backward", "update"]
HOOKS = [
    "to", "groups", "color_hidden", "initialize", *STEP, "limit", "limit_motion", "after_step", "bake", "correct",
    "copy_rows", "after_relocation", "refine", "finish", "figures", "state", "restore",
]  # fmt: skip


def recording(name: str) -> Callable[..., Any]:
    """A hook that notes its call."""

    def hook(self: Any, *arguments: Any) -> Any:
        self.calls.append(name)
        return getattr(PartTraining, name)(self, *arguments)

    return hook


class Recorder(PartTraining):
    """Notes which hooks are called."""

    key = "recorder"

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.calls: list[str] = []


for _name in HOOKS:
    setattr(Recorder, _name, recording(_name))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Another recording of the person of `tiny`."""
    return tiny_capture(tmp_path_factory.mktemp("second") / "second", frames=12, seed=1)


def trainer_of(
    captures: Sequence[Capture],
    config: TrainConfig = CONFIG,
    further: Sequence[Callable[[Training], PartTraining]] = (),
) -> Trainer:
    """A training before its first step."""
    person, frames = prepared_frames(captures[0], load_head(), config, captures[1:])
    untrained = build_avatar(person, frames, config)
    if len(captures) > 1:
        untrained.add_part(Appearances(recording_entries(captures), len(untrained)))
    return Trainer(untrained, frames, config, further=further)


def bits(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.avatar.state_dict().items()}


def test_hooks_are_called_in_the_order_of_a_step(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "EVERY", 8)
    monkeypatch.setattr(relocation, "MIN_GROUP", 20)
    trainer = trainer_of([tiny], further=[Recorder])
    recorder = trainer.part(Recorder)
    assert recorder is not None and recorder.calls == ["to", "groups"]
    recorder.calls.clear()
    trainer.initialize()
    assert recorder.calls == ["color_hidden", "initialize"]
    for number in range(1, 9):
        recorder.calls.clear()
        trainer.step(0.5)
        expected = [*STEP, *(["limit"] if number % 4 == 0 else []), *(["limit_motion"] if number == 8 else [])]
        assert recorder.calls[: len(expected) + 1] == [*expected, "after_step"]
    # Both groups of Gaussians, those with blendshapes and the rest, were relocated after the eighth step.
    assert recorder.calls[len(expected) + 1 :] == ["bake", "correct", "copy_rows", "copy_rows", "after_relocation"]


def test_hooks_of_a_whole_training(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Recorder] = []

    class Registered(Recorder):
        key = "registered"

        @classmethod
        def of(cls, training: Training) -> Registered:
            made.append(cls(training))
            return made[-1]  # type: ignore[return-value]

    monkeypatch.setattr(registry, "_PARTS", list(part_kinds()))
    register(Registered)
    config = replace(CONFIG, steps=4, refine_at=0.5)
    fit(tiny, load_head(), replace(config, refine=replace(config.refine, size=64, iterations=1)))
    calls = made[0].calls
    refined = calls.index("refine")
    assert calls[refined - 1] == "bake" and Counter(calls[:refined])["after_step"] == 2
    assert calls[-3:] == ["bake", "figures", "finish"] and Counter(calls)["after_step"] == 4


def test_keys_are_unique() -> None:
    keys = [part.key for part in part_kinds()]
    assert len(keys) == len(set(keys))
    with pytest.raises(ValueError, match="part light: there is one with this key"):
        register(type("Another", (PartTraining,), {"key": "light"}))


def test_the_trainer_names_no_part() -> None:
    names = {part.key.rstrip("s") for part in part_kinds()} - {"blendshape", "weight", "local", "mouth"}
    words = re.compile("|".join([*names, "guidance", "hash"]), re.IGNORECASE)
    folder = Path(next(iter(avatar.training.__path__)))
    for name in ("trainer.py", "relocation.py", "anchors.py"):
        text = (folder / name).read_text(encoding="utf-8")
        assert not words.findall(text), name


def guided(training: Training) -> PartTraining:
    return GuidanceTraining(training, lambda view: view.rgb.mean())


#: Settings that together have all parts but those of the perceptual loss, and further parts of the training.
PARTS: dict[str, tuple[dict[str, Any], list[Callable[[Training], PartTraining]]]] = {
    "layer": ({"bases": 2}, []),
    "skin": ({"skin": True, "hidden": 0}, []),
    "light": ({"light": True, "layer": False}, []),
    "wrinkles": ({"wrinkles": True, "layer": False}, []),
    "local": ({"mode": "local", "layer": False}, []),
    "expression": ({"mode": "expression", "prior": False, "layer": False}, []),
    "hash": ({"offsets": "hash", "layer": False}, []),
    "uv compiled": ({"offsets": "uv", "compile_at": 0.15, "layer": False}, []),
    "guidance": ({"layer": False}, [guided]),
}


def same_bits_after_a_stop(captures: Sequence[Capture], config: TrainConfig, further: Any = ()) -> Trainer:
    """Assert that a training which continues from a state in its middle has the bits of an unbroken one."""
    whole, half, rest = (trainer_of(captures, config, further) for _ in range(3))
    for trainer in (whole, half):
        trainer.initialize()
    for number in range(12):  # of `relocation.EVERY` 5: one before the stop, one after
        if number == 6:
            restore(rest, state_of(half))
        for trainer in (whole, half if number < 6 else rest):
            trainer.step(0.105 + number * 0.02)
    for name, value in bits(whole).items():
        assert torch.equal(value, bits(rest)[name]), name
    return whole


@pytest.mark.parametrize("name", PARTS)
def test_every_part_continues_to_the_same_bits(tiny: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(relocation, "EVERY", 5)
    monkeypatch.setattr(relocation, "MIN_GROUP", 20)
    monkeypatch.setattr(pose_blendshapes, "MIN_POSES", 2)
    settings, further = PARTS[name]
    same_bits_after_a_stop([tiny], replace(CONFIG, **settings), further)


def test_appearances_continue_to_the_same_bits(tiny: Capture, second: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "EVERY", 5)
    monkeypatch.setattr(relocation, "MIN_GROUP", 20)
    trainer = same_bits_after_a_stop([tiny, second], replace(CONFIG, layer=False))
    assert trainer.part(part_kinds()[0]) is not None  # AppearanceTraining


class Sharpness(PartTraining):
    """A made-up term of the loss with a parameter of its own for each Gaussian."""

    key = "sharpness"

    def __init__(self, training: Training, target: float) -> None:
        super().__init__(training)
        self.values = torch.zeros(len(training.avatar), requires_grad=True)
        self._target = target

    def groups(self) -> list[Group]:
        return [Group(self.key, self.values, 0.05, axis=0)]

    def loss(self, step: Step) -> torch.Tensor:
        """Values go to the target."""
        return (self.values - self._target).abs().mean()

    @torch.no_grad()
    def copy_rows(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Values follow their Gaussians."""
        self.values[targets] = self.values[sources]

    def figures(self) -> dict[str, Any]:
        """Their mean."""
        return {self.key: round(float(self.values.detach().mean()), 3)}

    def state(self) -> torch.Tensor:
        """All values."""
        return self.values.detach()

    @torch.no_grad()
    def restore(self, state: torch.Tensor) -> None:
        """Take them again."""
        self.values.copy_(state)


def test_a_made_up_term_has_a_parameter_of_its_own(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "EVERY", 5)
    monkeypatch.setattr(relocation, "MIN_GROUP", 20)
    trainer = same_bits_after_a_stop([tiny], CONFIG, [partial(Sharpness, target=0.5)])
    part = trainer.part(Sharpness)
    assert part is not None and part.figures()["sharpness"] > 0.05
    without = trainer_of([tiny])
    without.initialize()
    for number in range(12):
        without.step(0.105 + number * 0.02)
    assert torch.equal(without.avatar.colors, trainer.avatar.colors)
