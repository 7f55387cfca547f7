"""What a layer's source is, and reading it: motion, stack, preset, emotion, keyframes, photo or speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from avatar.common.photo_files import FILM_SUFFIXES, PHOTO_SUFFIXES, are_photos
from avatar.common.toml_config import read_toml
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import matrix_to_axis_angle, mean_rotation
from avatar.model.resting import resting_expression
from avatar.motion.edit import head_rotation
from avatar.motion.presets import FacePreset
from avatar.performance.mixing.keyframes import is_keyframes, keyframed_motion, read_keyframes
from avatar.performance.mixing.mouth import CLOSER, mouth_model
from avatar.performance.mixing.presets import known_names, preset_named
from avatar.performance.mixing.regions import NAMES
from avatar.performance.mixing.stack_file import MAX_BYTES, Kind, LayerSpec
from avatar.types import JOINT_NAMES, NECK, ROOT, Motion

SOUND_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif", ".wma")
#: Suffixes of files that are never words.
_FILE_SUFFIXES = (
    *PHOTO_SUFFIXES, *SOUND_SUFFIXES, *FILM_SUFFIXES, ".toml", ".csv", ".json", ".npz", ".npy", ".frame", ".capture",
)  # fmt: skip
#: Millimeters by which the lips of a recorded motion may be pressed.
PRESSED_MM = 1.0
#: Fewer frames do not determine a resting face, as in `driving.driver`.
MIN_RESTING_FRAMES = 30
#: Sources that stay as they are: a face, not a movement.
STATIC: tuple[Kind, ...] = ("preset", "emotion", "photo")


@dataclass(frozen=True, eq=False)
class Source:
    """What a layer shows."""

    kind: Kind
    motion: Motion  # with ARKit's names; of one frame for a face that stays
    has_pose: bool  # whether its joints and translation mean anything

    @property
    def is_static(self) -> bool:
        """Whether it has no movement and no end."""
        return len(self.motion) == 1


@dataclass(frozen=True)
class Loaders:
    """How sources are read that need other parts of headsplat; each raises HeadsplatError."""

    #: file or capture, head model's name or None, fps or None -> motion in ARKit's expressions
    motion: Callable[[Path, str | None, float | None], Motion]
    #: photo -> ARKit weights
    photo: Callable[[Path], Mapping[str, float]]
    #: sound, text or None, seed -> motion in ARKit's expressions
    speech: Callable[[Path, str | None, int], Motion]
    #: words -> ARKit weights
    emotion: Callable[[str], Mapping[str, float]]


def kind_of(layer: LayerSpec, path: Path, own: Sequence[FacePreset] = ()) -> Kind:
    """What the source of a layer is.

    Args:
        layer: the layer.
        path: its source as a path.
        own: presets of the stack, beside the built-in ones.

    Raises:
        HeadsplatError: a file that is missing or is a film.
    """
    if layer.kind != "auto":
        return layer.kind
    suffix = path.suffix.lower()
    if not path.exists():
        if suffix in _FILE_SUFFIXES or "/" in layer.source:
            raise HeadsplatError(f"{path}: no such file; check the layer's source")
        return "preset" if preset_named(layer.source, own) is not None else "emotion"
    if are_photos([path]):
        return "photo"
    if suffix in SOUND_SUFFIXES:
        return "speech"
    if suffix in FILM_SUFFIXES:
        raise HeadsplatError(
            f'{path}: a film; track it with `headsplat capture` and give the folder, or set kind = "speech" to use its '
            "sound"
        )
    if suffix == ".toml":
        content = read_toml(path, "stack file", "check its path", MAX_BYTES)
        return "keyframes" if is_keyframes(path, content) else "stack"
    return "keyframes" if path.is_file() and is_keyframes(path) else "motion"


def load_source(
    layer: LayerSpec, kind: Kind, path: Path, loaders: Loaders, seed: int, own: Sequence[FacePreset] = ()
) -> Source:
    """Read the source of a layer of any kind but a stack.

    Args:
        layer: the layer.
        kind: of `kind_of`.
        path: the source as a path.
        loaders: for what needs other parts.
        seed: of random numbers in speech.
        own: presets of the stack, beside the built-in ones.

    Raises:
        HeadsplatError: it cannot be read, is empty, or has no face.
    """
    if kind == "preset":
        return Source(kind, _preset_motion(layer, own), False)
    if kind == "emotion":
        return Source(kind, face_motion(loaders.emotion(layer.source)), False)
    if kind == "photo":
        return Source(kind, face_motion(loaders.photo(path)), False)
    if kind == "keyframes":
        return framed(layer, Source(kind, keyframed_motion(read_keyframes(path)), False))
    if kind == "speech":
        return framed(layer, Source(kind, loaders.speech(path, layer.text, seed), True))
    return framed(layer, Source(kind, _from_rest(loaders.motion(path, layer.head, layer.fps), layer), True))


def _preset_motion(layer: LayerSpec, own: Sequence[FacePreset]) -> Motion:
    """The face of a preset. Like all faces that stay, it turns neither head nor jaw."""
    preset = preset_named(layer.source, own)
    if preset is None:
        raise HeadsplatError(f"no preset {layer.source!r:.60}; presets are {known_names(own)}")
    if not isinstance(preset, FacePreset):
        return face_motion(preset.weights)
    left_out = " and ".join(preset.left_out)
    notes = (f"a mix leaves out {left_out} of this preset",) if left_out else ()
    return replace(face_motion(preset.arkit_weights), notes=notes)


def _from_rest(motion: Motion, layer: LayerSpec) -> Motion:
    """The motion with the recorded person's resting face and mean head pose at zero, full expressions at 1.

    The driver does the same when it calibrates. Gaze has no resting face. What has too few frames, or rests at zero
    already, stays as it is.
    """
    known = motion if motion.confidence is None else motion[motion.confidence > 0]
    if layer.neutral == "as-is" or motion.resting == "zero" or len(known) < MIN_RESTING_FRAMES:
        return motion
    if not all(bool(value.isfinite().all()) for value in (motion.weights, motion.joint_rot, motion.translation)):
        return motion  # `framed` refuses it
    neutral = resting_expression(known.weights).clamp(0, 0.9)
    neutral[[name.startswith("eyeLook") for name in motion.names]] = 0
    mean = mean_rotation(head_rotation(known.joint_rot.double()))
    joint_rot = motion.joint_rot.clone()
    joint_rot[:, ROOT] = matrix_to_axis_angle(head_rotation(motion.joint_rot.double()) @ mean.T).to(joint_rot)
    joint_rot[:, NECK] = 0
    weights = ((motion.weights - neutral) / (1 - neutral)).clamp_min(0)
    return replace(
        motion,
        weights=_not_overclosed(weights, motion.names),
        joint_rot=joint_rot,
        translation=motion.translation - known.translation.mean(0),
        resting="zero",
    )


def _not_overclosed(weights: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor:
    """Weights [T,E] with less mouthClose where it presses the lips into each other: it no longer meets an open jaw."""
    if CLOSER not in names:
        return weights
    model = mouth_model()
    close = names.index(CLOSER)
    effect = torch.tensor([model.opening[NAMES.index(name)] if name in NAMES else 0.0 for name in names])
    excess = (-PRESSED_MM - model.at_rest - weights.double() @ effect.double()).clamp_min(0)
    result = weights.clone()
    result[:, close] = (weights[:, close] + excess / effect[close]).clamp_min(0)
    return result


def framed(layer: LayerSpec, source: Source) -> Source:
    """The source, or the one frame of it that the layer shows; checked.

    Raises:
        HeadsplatError: no frames, no such frame, no face, numbers that are not finite, or another expression space.
    """
    motion = source.motion
    label = layer.label
    if motion.space != "arkit52":
        raise HeadsplatError(
            f"{label}: its expressions are of {motion.space}, and layers are mixed in ARKit's; give the head model "
            "that they were made for with head = ..., or convert it with `headsplat motion convert --to-head embedded`"
        )
    if not len(motion):
        raise HeadsplatError(f"{label}: the motion has no frames; give another source")
    if not all(bool(value.isfinite().all()) for value in (motion.weights, motion.joint_rot, motion.translation)):
        raise HeadsplatError(f"{label}: the motion has entries that are not numbers; write it again")
    if len(motion) > 1 and not bool((motion.time.diff() > 0).all()):
        raise HeadsplatError(f"{label}: the motion's times do not increase; sort its frames by time")
    if motion.confidence is not None and not bool((motion.confidence > 0).any()):
        raise HeadsplatError(f"{label}: no face in any frame; give another source")
    if layer.frame is None:
        return replace(source, motion=motion)
    if layer.frame >= len(motion):
        raise HeadsplatError(f"{label}: no frame {layer.frame}; frames are 0 to {len(motion) - 1}")
    if motion.confidence is not None and float(motion.confidence[layer.frame]) <= 0:
        raise HeadsplatError(f"{label}: frame {layer.frame} shows no face; give another one")
    return Source(source.kind, motion[layer.frame : layer.frame + 1], False)


def face_motion(weights: Mapping[str, float]) -> Motion:
    """A motion of one frame with all of ARKit's names, those not in `weights` at 0.

    Raises:
        HeadsplatError: a name that is not ARKit's.
    """
    if unknown := [name for name in weights if name not in NAMES]:
        raise HeadsplatError(f"no expression {unknown[0]!r:.60} among ARKit's; correct the face")
    names = NAMES[:52]
    row = torch.tensor([[float(weights.get(name, 0.0)) for name in names]])
    joints = torch.zeros(1, len(JOINT_NAMES), 3)
    return Motion(torch.zeros(1, dtype=torch.float64), names, row, "arkit52", joints, torch.zeros(1, 3), resting="zero")
