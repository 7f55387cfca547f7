"""What a take shows, in plain words: what is seen, what goes together, and what follows from it. Rules only."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from avatar.common.jsonable import counted
from avatar.performance.readout.events import Event
from avatar.performance.readout.take import Take

_LISTED = 40  # moments of the timeline
_TOGETHER = 0.25  # seconds between the onsets of units of one moment
_FOLLOWS = 2.0  # seconds from one emotion to the next
_SPEAKS = 0.5
_MARKED = 0.3  # smallest weight of a moment that is listed
LIMITS = (
    "This describes visible movement of a face. It cannot tell what a person feels, thinks or intends, whether they "
    "are truthful, or anything about health, character or identity.",
    "The labels are conventions of the literature for posed faces; people show the same face for different reasons, "
    "and the same feeling with different faces (Barrett et al. 2019).",
)
_ONCE = {1: "once", 2: "twice"}


def times(count: int) -> str:
    """How often: once, twice, 3 times."""
    return _ONCE.get(count, f"{count} times")


def moments(take: Take) -> list[list[Event]]:
    """Units and emotions that begin together, by their onset; lids and gestures are left out."""
    groups: list[list[Event]] = []
    for event in take.events:
        if event.kind in ("unit", "emotion"):
            if groups and event.onset - groups[-1][0].onset <= _TOGETHER:
                groups[-1].append(event)
            else:
                groups.append([event])
    return groups


def unit_words(take: Take, event: Event) -> str:
    """A unit of an event: `AU12D lip corner puller`, with its side."""
    side = f" {event.side}" if event.side else ""
    return f"{event.name}{take.table.letter(event.peak)} {take.table.unit(event.name).name}{side}"


def observation(take: Take) -> list[str]:
    """What is seen: the face, the resting face, lids, gaze, head, speech, and the moments of the face in order."""
    seen = int(take.face.sum())
    count = len(take)
    lines = [f"A face is seen in {seen} of {counted(count, 'frame')} ({_percent(seen / count)}), {take.seconds:.1f} s."]
    if not seen:
        return lines
    lines += [_lids(take), _head(take), _gaze(take), _speech(take)]
    groups = [group for group in moments(take) if max(_weight(take, event) for event in group) >= _MARKED]
    strongest = sorted(groups, key=lambda group: -max(_weight(take, event) for event in group))[:_LISTED]
    chosen = sorted(strongest, key=lambda group: group[0].onset)
    lines += [_moment(take, group) for group in chosen]
    if len(groups) > len(chosen):
        lines.append(f"{len(groups) - len(chosen)} weaker moments are not listed.")
    if not groups:
        lines.append("No movement of the face stands out from the resting face.")
    return lines


def interaction(take: Take) -> list[str]:
    """What goes together or follows one another."""
    lines = []
    events = take.events
    pairs = Counter(pair for group in moments(take) for pair in _pairs(take, group))
    alone = Counter(event.name for event in events if event.kind == "unit")
    for (first, second), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:5]:
        if count >= 2:
            names = [f"{key} ({take.table.unit(key).name})" for key in (first, second)]
            total = min(alone[first], alone[second])
            lines.append(f"{names[0]} and {names[1]} begin together {times(count)}, of {total} possible.")
    emotions = [event for event in events if event.kind == "emotion"]
    steps = Counter(
        (before.name, after.name)
        for before, after in itertools.pairwise(emotions)
        if before.name != after.name and -0.5 <= after.onset - before.offset <= _FOLLOWS
    )
    for (first, second), count in sorted(steps.items(), key=lambda item: (-item[1], item[0]))[:5]:
        lines.append(f"A face of {first} is followed by one of {second} {times(count)}.")
    for kind in ("nod", "shake", "tilt"):
        gestures = [event for event in events if event.kind == kind]
        spoken = sum(float(take.speech[event.frame]) >= _SPEAKS for event in gestures)
        if gestures and spoken:
            lines.append(f"{counted(spoken, kind)} of {len(gestures)} while speaking.")
    return [*lines, *_smiles(take), *_blink_rates(take)] or ["Nothing recurs together or in sequence."]


def conclusion(take: Take) -> list[str]:
    """What follows, with its confidence."""
    if not take.face.any():
        return ["Unknown: no face is seen. Confidence: none."]
    labels = take.labels()[take.face]
    table = take.table
    shares = np.bincount(labels, minlength=len(table.labels)) / len(labels)
    order = np.argsort(-shares, kind="stable")
    main = int(order[0])
    lines = [
        f"Most of the time the face reads as {table.labels[main]} ({_percent(shares[main])} of the frames with a "
        f"face). Confidence: {confidence(take, main)}."
    ]
    for label, name in enumerate(table.labels[:-2]):
        found = [event for event in take.events if event.kind == "emotion" and event.name == name]
        if found:
            best = max(found, key=lambda event: event.peak)
            micro = sum(event.micro for event in found)
            which = "" if micro == len(found) else f"{micro} of them "
            short = f", {which}shorter than half a second" if micro else ""
            lines.append(
                f"A face of {name} is shown {times(len(found))}{short}; clearest at {best.apex - take.time[0]:.1f} s "
                f"({_because(take, best)}). Confidence: {confidence(take, label)}."
            )
    unknown = float(shares[-1])
    if unknown >= 0.05 and main != len(shares) - 1:
        lines.append(f"In {_percent(unknown)} of the frames the face moves in a way that fits no label: unknown.")
    missing = 1 - float(take.face.mean())
    if missing >= 0.02:
        lines.append(f"{_percent(missing)} of the frames have no face and are unknown, not neutral.")
    return lines


def confidence(take: Take, label: int) -> str:
    """High, medium or low: the mean probability of a label where it is the most probable one; lower for hard takes."""
    rows = take.face & (take.labels() == label)
    probability = float(take.distribution[rows, label].mean()) if rows.any() else 0.0
    level = (probability >= 0.6) + (probability >= 0.8)
    spoken = float(take.speech[rows].mean()) if rows.any() else 0.0
    level -= int(take.face.mean() < 0.9 or not take.rest.any() or spoken > _SPEAKS)
    return ("low", "medium", "high")[max(level, 0)]


def _weight(take: Take, event: Event) -> float:
    """How much a moment is worth to be listed: emotions first, then units that are evidence of some."""
    if event.kind == "emotion":
        return 1 + event.peak
    unit = take.table.unit(event.name)
    spoken = 1 - unit.speech * float(take.speech[event.frame])
    return event.peak * (0.25 + 0.75 * unit.evidence) * spoken


def _moment(take: Take, group: Sequence[Event]) -> str:
    start = group[0].onset - take.time[0]
    end = max(event.offset for event in group) - take.time[0]
    strongest = {event.name: event for event in sorted(group, key=lambda event: event.peak) if event.kind == "unit"}
    units = sorted(strongest.values(), key=lambda event: -event.peak)
    shown = ", ".join(unit_words(take, event) for event in units[:6])
    emotions = sorted((event for event in group if event.kind == "emotion"), key=lambda event: -event.peak)
    parts = [shown] if shown else []
    if emotions:
        short = ", shorter than half a second" if emotions[0].micro else ""
        parts.append(f"reads as {emotions[0].name} (probability {emotions[0].peak:.2f}{short})")
    return f"{start:.1f} to {end:.1f} s: {'; '.join(parts)}."


def _because(take: Take, event: Event) -> str:
    """The units that add most to the label of an emotion at its apex."""
    strongest = take.sides[event.frame].max(1)
    face = take.table.emotion(event.name).faces
    listed = [k for k in np.argsort(-strongest, kind="stable") if any(shape[k].any() for shape in face)]
    named = [
        f"{take.table.keys[k]}{take.table.letter(float(strongest[k]))}"
        for k in listed
        if strongest[k] >= take.table.threshold
    ]
    return f"probability {event.peak:.2f}, {', '.join(named[:5])}"


def _lids(take: Take) -> str:
    counts = Counter(event.kind for event in take.events)
    parts = [f"{counted(counts['blink'], 'blink')}"]
    parts += [
        f"{counted(counts[kind], noun)}"
        for kind, noun in (("wink", "wink"), ("closure", "longer closure"))
        if counts[kind]
    ]
    minutes = max(take.seconds, 1e-6) / 60
    rate = f" ({counts['blink'] / minutes:.0f} blinks a minute)" if take.seconds >= 10 else ""
    return f"Lids: {', '.join(parts)}{rate}."


def _head(take: Take) -> str:
    spread = np.ptp(take.head[take.face], axis=0)
    ranges = ", ".join(f"{axis} {value:.0f}" for axis, value in zip(("yaw", "pitch", "roll"), spread, strict=True))
    counts = Counter(event.kind for event in take.events)
    found = ", ".join(counted(counts[kind], kind) for kind in ("nod", "shake", "tilt") if counts[kind])
    return f"Head: range {ranges} degrees; {found or 'no nod, shake or tilt'}."


def _gaze(take: Take) -> str:
    away = np.abs(take.gaze[take.face]).max(1) > 8.0
    return f"Gaze: within 8 degrees of straight ahead of the head in {_percent(1 - float(away.mean()))} of the frames."


def _speech(take: Take) -> str:
    share = float((take.speech[take.face] >= _SPEAKS).mean())
    way = (
        "the sound and the lips"
        if take.speech_source != "lips"
        else "the lips without sound (fast grimaces count as speech)"
    )
    return f"Speech: {_percent(share)} of the frames, read from {way}."


def _pairs(take: Take, group: Sequence[Event]) -> list[tuple[str, str]]:
    """The pairs of units of a moment of which neither causes the other nor is the shape of a spoken sound."""
    names = {event.name for event in group if event.kind == "unit" and _weight(take, event) >= 0.5 * _MARKED}
    ordered = [unit for unit in take.table.units if unit.key in names]
    return [
        (first.key, second.key)
        for k, first in enumerate(ordered)
        for second in ordered[k + 1 :]
        if second.key not in first.implies and first.key not in second.implies
    ]


def _smiles(take: Take) -> list[str]:
    if not {"AU6", "AU12"} <= set(take.table.keys):
        return []
    smiles = [event for event in take.events if event.kind == "unit" and event.name == "AU12" and event.peak >= 0.35]
    cheek = take.table.keys.index("AU6")
    raised = sum(float(take.sides[event.frame, cheek].max()) >= take.table.letters[1] for event in smiles)
    return [f"{raised} of {counted(len(smiles), 'marked smile')} with raised cheeks (AU6)."] if smiles else []


def _blink_rates(take: Take) -> list[str]:
    speaking = take.face & (take.speech >= _SPEAKS)
    silent = take.face & ~speaking
    minutes = speaking.sum() / take.rate / 60, silent.sum() / take.rate / 60
    if min(minutes) < 5 / 60:
        return []
    blinks = [event for event in take.events if event.kind == "blink"]
    while_speaking = sum(
        bool(speaking[min(int(np.searchsorted(take.time, event.apex)), len(take) - 1)]) for event in blinks
    )
    rates = while_speaking / minutes[0], (len(blinks) - while_speaking) / minutes[1]
    return [f"Blinks a minute: {rates[0]:.0f} while speaking, {rates[1]:.0f} otherwise."]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"
