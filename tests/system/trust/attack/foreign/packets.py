"""Packets as phones and programs send them, and the judge of the samples and of the sentence of the console."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT
from tests.support import face_sender
from tests.support.face_sender import MotionFile, bone, bundle, osc, vmc_name
from tests.system.trust.attack.cases import Case, Outcome, judge
from tests.system.trust.attack.foreign.truth import Truth, arkit_truth, fault, generator
from tests.system.trust.attack.scene import Scene

Send = Callable[[MotionFile, int], list[bytes]]
_RATE, _SECONDS = 30, 5
#: Frames by which a sample may be late, and the share of frames that must be used.
_LAG, _USED = 2, 0.9
_UNREAD, _NAMES = "packets arrive that cannot be read", "has a name that headsplat knows"
_VAL, _APPLY = "/VMC/Ext/Blend/Val", osc("/VMC/Ext/Blend/Apply")
_FACES = ("Head", "LeftEye", "RightEye")


@dataclass(frozen=True)
class Sender:
    """How a program sends a frame."""

    protocol: str
    send: Send
    admits: str = ""  # pattern of the sentence where the frames are not used; empty: they must be
    weights: Callable[[Truth], dict[str, np.ndarray]] = lambda truth: truth.weights  # that are to be seen
    turns: bool = True  # whether the packets have the head's rotation


def _bones(motion: MotionFile, frame: int, names: tuple[str, ...] = _FACES) -> list[bytes]:
    joints = dict(zip(_FACES, (ROOT, LEFT_EYE, RIGHT_EYE), strict=True))
    return [bone(name, motion.joint_rot[frame, joints[name]]) for name in names]


def _vals(motion: MotionFile, frame: int, name: Callable[[str], str] = vmc_name, scale: float = 1.0) -> list[bytes]:
    pairs = zip(motion.names, motion.weights[frame], strict=True)
    return [osc(_VAL, name(each), scale * float(weight)) for each, weight in pairs]


def _vmc(name: Callable[[str], str] = vmc_name, scale: float = 1.0) -> Send:
    return lambda motion, frame: [bundle(*_bones(motion, frame), *_vals(motion, frame, name, scale), _APPLY)]


def _presets(vowel: str, blink: str) -> Send:
    """A model without ARKit's shapes: its vowel is jawOpen of the truth, its blink eyeBlinkLeft."""

    def send(motion: MotionFile, frame: int) -> list[bytes]:
        jaw, lid = (float(motion.weights[frame, ARKIT_52.index(name)]) for name in ("jawOpen", "eyeBlinkLeft"))
        clock = osc("/VMC/Ext/T", frame / _RATE)
        return [bundle(clock, *_bones(motion, frame), osc(_VAL, vowel, jaw), osc(_VAL, blink, lid), _APPLY)]

    return send


def _of_presets(truth: Truth) -> dict[str, np.ndarray]:
    lid = truth.weights["eyeBlinkLeft"]
    return {"jawOpen": 0.7 * truth.weights["jawOpen"], "eyeBlinkLeft": lid, "eyeBlinkRight": lid}


def _single(motion: MotionFile, frame: int) -> list[bytes]:
    return [osc("/VMC/Ext/T", frame / _RATE), *_bones(motion, frame), *_vals(motion, frame)]


def _live_link(change: Callable[[bytes], bytes] = lambda packet: packet, scale: float = 1.0, turn: float = 1.0) -> Send:
    def send(motion: MotionFile, frame: int) -> list[bytes]:
        packet = face_sender.live_link(motion, frame)
        values = np.frombuffer(packet[-244:], ">f4") * np.repeat([scale, turn], [52, 9])
        return [change(packet[:-244] + values.astype(">f4").tobytes())]

    return send


def _two_subjects(motion: MotionFile, frame: int) -> list[bytes]:
    return [face_sender.live_link(motion, frame), face_sender.live_link(motion, len(motion.time) - 1 - frame, "other")]


def _lost_face(motion: MotionFile, frame: int) -> list[bytes]:
    return [face_sender.live_link(motion, frame, face=False)]


def _newer(packet: bytes) -> bytes:
    return struct.pack("<HH", 1, 6) + b"iPhone" + packet[-244:]


def _text(version: int, change: Callable[[str], str] = lambda text: text) -> Send:
    """iFacialMocap's text, changed."""
    return lambda motion, frame: [change(face_sender.ifacialmocap(motion, frame, version).decode()).encode()]


def _ones(motion: MotionFile, frame: int) -> list[bytes]:
    """Weights 0..1 in the place of percent."""
    small = MotionFile(motion.names, motion.time, motion.weights / 100, motion.joint_rot, motion.translation)
    return [face_sender.ifacialmocap(small, frame, 2)]


def _as_json(motion: MotionFile, frame: int) -> list[bytes]:
    values = {name: round(float(value), 3) for name, value in zip(motion.names, motion.weights[frame], strict=True)}
    return [json.dumps({"blendShapes": values}).encode()]


def _avatar_parameters(motion: MotionFile, frame: int) -> list[bytes]:
    pairs = zip(motion.names, motion.weights[frame], strict=True)
    return [bundle(*[osc(f"/avatar/parameters/v2/{vmc_name(name)}", float(value)) for name, value in pairs])]


SENDERS: dict[str, Sender] = {
    "Live Link Face": Sender("livelink", _live_link()),
    "Live Link Face, newer format": Sender("livelink", _live_link(_newer), f"{_UNREAD}.*newer format.*ARKit mode"),
    "Live Link Face, version 5": Sender("livelink", _live_link(lambda data: b"\5" + data[1:]), f"{_UNREAD}.*version 5"),
    "Live Link Face, two subjects": Sender("livelink", _two_subjects),
    "Live Link Face without a face": Sender("livelink", _lost_face, "tracks no face"),
    "Live Link Face, percent": Sender("livelink", _live_link(scale=100), f"{_UNREAD}.*(range|percent)"),
    "Live Link Face, degrees": Sender("livelink", _live_link(turn=57.29578), "degrees"),
    "Live Link Face, 51 values": Sender(
        "livelink", _live_link(lambda data: data[:-245] + b"\x33" + data[-244:-40]), _UNREAD
    ),
    "Live Link Face, little-endian": Sender(
        "livelink",
        _live_link(lambda data: data[:-244] + np.frombuffer(data[-244:], ">f4").astype("<f4").tobytes()),
        _UNREAD,
    ),
    "Live Link Face, clock that stands": Sender(
        "livelink", _live_link(lambda data: data[:-261] + struct.pack(">ifii", 5, 0, 60, 1) + data[-245:])
    ),
    "iFacialMocap 1": Sender("ifacialmocap", _text(1)),
    "iFacialMocap 2": Sender("ifacialmocap", _text(2)),
    "iFacialMocap, lost face": Sender(
        "ifacialmocap", _text(2, lambda text: f"trackingStatus-0|{text}"), "tracks no face"
    ),
    "iFacialMocap, weights to 1": Sender("ifacialmocap", _ones, "percent|0 to 100"),
    "iFacialMocap, capital names": Sender(
        "ifacialmocap", _text(2, lambda text: text.replace("eye", "Eye").replace("jaw", "Jaw"))
    ),
    "iFacialMocap, decimal commas": Sender("ifacialmocap", _text(2, lambda text: text.replace(".", ",")), _UNREAD),
    "iFacialMocap, other names": Sender(
        "ifacialmocap",
        _text(2, lambda text: "|".join(f"Fcl_{each}" for each in text.split("|") if each and "#" not in each)),
        f"{_UNREAD}.*no ARKit",
    ),
    "JSON to iFacialMocap": Sender("ifacialmocap", _as_json, _UNREAD),
    "iFacialMocap to Live Link": Sender("livelink", _text(1), f"{_UNREAD}.*version"),
    "Live Link to VMC": Sender("vmc", _live_link(), _UNREAD),
    "VMC": Sender("vmc", _vmc()),
    "VMC, ARKit's names": Sender("vmc", _vmc(lambda name: name)),
    "VMC, percent": Sender("vmc", _vmc(scale=100), f"{_UNREAD}.*not a valid weight"),
    "VMC, names of a mesh": Sender("vmc", _vmc(lambda name: f"Face.M_F00_{name}"), _NAMES),
    "VMC of VRM 0": Sender("vmc", _presets("A", "Blink"), weights=_of_presets),
    "VMC of VRM 1": Sender("vmc", _presets("aa", "blink"), weights=_of_presets),
    "VMC, custom expressions": Sender("vmc", _presets("Mouth_Open", "Wink"), _NAMES),
    "VMC without Apply": Sender("vmc", lambda motion, frame: [bundle(*_bones(motion, frame), *_vals(motion, frame))]),
    "VMC, a message a packet": Sender(
        "vmc", lambda motion, frame: [*_bones(motion, frame), *_vals(motion, frame), _APPLY]
    ),
    "VMC, a message a packet, without Apply": Sender("vmc", _single),
    "VMC, bones alone": Sender(
        "vmc", lambda motion, frame: [bundle(*_bones(motion, frame), _APPLY)], "without expressions"
    ),
    "VMC without a head": Sender("vmc", lambda motion, frame: [bundle(*_vals(motion, frame), _APPLY)], turns=False),
    "VMC, not tracking": Sender(
        "vmc",
        lambda motion, frame: [bundle(osc("/VMC/Ext/OK", 1, 3, 0, 0), *_vals(motion, frame), _APPLY)],
        "tracks no face",
    ),
    "parameters of an avatar": Sender("vmc", _avatar_parameters, "OSC, but not of VMC"),
}


def cases(scene: Scene) -> Iterator[Case]:
    """Every sender."""
    for name, sender in SENDERS.items():
        yield Case(f"packets: {name}", _run(scene, name, sender))


def _run(scene: Scene, name: str, sender: Sender) -> Callable[[Path], Outcome]:
    return lambda folder: judge(lambda: sender_fault(sender, generator(scene.random_name("foreign", name))))


def sender_fault(sender: Sender, random: np.random.Generator) -> str | None:
    """Receive what a program sends for some seconds; returns what is wrong and not named by the console's sentence."""
    from capture.live.protocols.packet_order import PacketReceiver
    from capture.live.protocols.registry import PROTOCOLS

    truth = arkit_truth(random, np.arange(_RATE * _SECONDS) / _RATE)
    joints = np.zeros((len(truth.time), 5, 3))
    joints[:, ROOT] = truth.joints[ROOT]
    weights = np.stack([truth.weights[name] for name in ARKIT_52], 1)
    motion = MotionFile(list(ARKIT_52), truth.time, weights, joints, np.zeros((len(weights), 3)))
    receiver, samples, sentences = PacketReceiver(PROTOCOLS[sender.protocol].make_decoder), {}, set()
    for frame, now in enumerate(truth.time):
        for packet in sender.send(motion, frame):
            sample = receiver.receive(packet, ("127.0.0.1", 1), float(now))
            if sample is not None and sample.confidence > 0:
                samples[frame] = sample
        sentences.add(receiver.stats(float(now))["unused"])
    notes = sorted(sentences - {""})
    truth.admits = dict.fromkeys(("rows", "expressions", "head"), sender.admits) if sender.admits else {}
    truth.weights = sender.weights(truth)
    truth.joints = truth.joints if sender.turns else {}
    frames = [frame for frame in samples if frame >= _LAG]
    if len(frames) < _USED * len(truth.time):
        nothing = MotionArrays(truth.time[:1], (), weights[:1, :0], "arkit52", joints[:1], np.zeros((1, 3)))
        return fault(nothing, truth, notes)
    found = MotionArrays(
        truth.time[frames], ARKIT_52, np.stack([samples[frame].weights for frame in frames]), "arkit52",
        np.stack([samples[frame].joint_rot for frame in frames]), np.zeros((len(frames), 3)),
    )  # fmt: skip
    return _first_fault(found, truth, np.array(frames), notes)


def _first_fault(found: MotionArrays, truth: Truth, frames: np.ndarray, notes: list[str]) -> str | None:
    """What is wrong in samples, of which weights and joints may each be some frames late."""
    for part in (replace(truth, joints={}), replace(truth, weights={})):
        faults = [fault(found, part.rows(frames - lag), notes) for lag in range(_LAG + 1)]
        if None not in faults:
            return faults[0]
    return None
