"""How far a track is from the truth of a synthetic capture, in units a person can image; and tracks that must lose.

Two heads never share their frames exactly: what "straight ahead" is and where the origin lies differ from identity
to identity, and one camera alone does not know the scale. So constants of the whole clip are removed first (one
rotation, one similarity of the shape, one scale of the room where there is a single camera); training frames alone
decide them.
These figures compare trackers; they are not accuracy on people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from avatar.geometry.similarity import fit_similarity

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

_MILLIMETERS = 1e3
_WIDE_JAW = 0.4  # jawOpen from here on counts as a wide open mouth
_OPEN_LID = 0.5  # of the usual aperture: below it the iris is too hidden to judge the gaze
_QUIET = np.radians(4.0)  # turns from the usual pose that count as "only the expression changes"
#: Points fixed to the skull, meters in the truth's skull frame: the corners of a box the size of a head.
_BOX = np.array([[x, y, z] for x in (-0.075, 0.075) for y in (-0.08, 0.10) for z in (-0.17, 0.0)])


@dataclass(frozen=True)
class HeadMotion:
    """What a head did over T time steps, as the truth or a track has it; both at the same P points of the surface."""

    names: tuple[str, ...]
    expression: Array  # [T,E]
    rotation: Array  # [T,3,3] skull frame -> world
    translation: Array  # [T,3] meters
    neutral: Array  # [P,3] meters, skull frame: the face at rest
    points: Array  # [T,P,3] meters, skull frame
    aperture: Array  # [T,2] meters between the lids, left and right
    gaze: Array  # [T,2,3] unit vectors, skull frame, left and right

    def __len__(self) -> int:
        return len(self.expression)

    def weight(self, name: str) -> Array | None:
        """Weights [T] of an expression, None where this head has none of that name."""
        return self.expression[:, self.names.index(name)] if name in self.names else None


@dataclass(frozen=True)
class TruthScore:
    """Errors of one track, means over its time steps unless told otherwise; not a number where nothing is known."""

    rotation: float  # degrees of the skull, less one constant rotation
    rotation_p95: float  # degrees, 95th percentile of the same
    rotation_open: float  # degrees, the same where the mouth is wide open
    rotation_raw: float  # degrees, with the constant
    position: float  # millimeters of the face's middle, less one scale of the room where there is one camera
    neutral: float  # millimeters of the resting face's surface, less one similarity
    posed: float  # millimeters of the moving face's surface, less the same similarity
    stability: float  # millimeters a point of the skull strays while only the expression changes
    expression: float  # root mean square over the names both heads have, gaze apart
    lids: float  # of eyeBlink, absolute
    jaw: float  # of jawOpen, absolute
    aperture: float  # millimeters between the lids, absolute
    gaze: float  # degrees, while the eyes are open
    scale: float  # truth's size over the track's
    matte_iou: float = float("nan")  # of the person's outline
    focal_ratio: float = float("nan")  # the track's focal length over the truth's


#: Column heads of a table of scores, in the order of TruthScore.
COLUMNS = ("rot °", "rot p95", "rot open", "rot raw", "pos mm", "neutral mm", "posed mm", "skull mm", "expr",
           "lids", "jaw", "aperture mm", "gaze °", "scale", "matte IoU", "focal")  # fmt: skip


def score(
    found: HeadMotion, truth: HeadMotion, train: Mask, rows: Mask | None = None, *, calibrated: bool
) -> TruthScore:
    """Compare a track with the truth.

    Args:
        found: what the tracker says.
        truth: the same T time steps.
        train: [T] the time steps that decide the constants.
        rows: [T] the time steps to score; all where left out.
        calibrated: the cameras' places are known in meters, so that the room's scale is not free.
    """
    rows = np.ones(len(truth), bool) if rows is None else rows
    turned = _angles(found.rotation @ _mean_turn(found, truth, train).T @ _transposed(truth.rotation))
    raw = _angles(found.rotation @ _transposed(truth.rotation))
    room = 1.0 if calibrated else _room_scale(found, truth, train)
    off = np.linalg.norm(room * _middle(found) - _middle(truth), axis=1)
    fitted, scale = _on_truth(found, truth, train)
    jaw = truth.weight("jawOpen")
    wide = rows & (np.zeros(len(truth), bool) if jaw is None else jaw > _WIDE_JAW)
    return TruthScore(
        rotation=_mean(turned[rows]),
        rotation_p95=float(np.percentile(turned[rows], 95)),
        rotation_open=_mean(turned[wide]),
        rotation_raw=_mean(raw[rows]),
        position=_MILLIMETERS * _mean(off[rows]),
        neutral=_MILLIMETERS * _mean(np.linalg.norm(fitted.neutral - truth.neutral, axis=-1)),
        posed=_MILLIMETERS * _mean(np.linalg.norm(fitted.points - truth.points, axis=-1)[rows]),
        stability=_MILLIMETERS * _stability(found, truth, room, rows),
        expression=_expression_error(found, truth, rows),
        lids=_weight_error(found, truth, rows, ("eyeBlinkLeft", "eyeBlinkRight")),
        jaw=_weight_error(found, truth, rows, ("jawOpen",)),
        aperture=_MILLIMETERS * _mean(np.abs(scale * found.aperture - truth.aperture)[rows]),
        gaze=_gaze_error(found, truth, rows),
        scale=scale,
    )


def constant_pose(motion: HeadMotion, train: Mask) -> HeadMotion:
    """A baseline: the expressions of `motion` on a head that keeps the mean pose of its training steps."""
    count = len(motion)
    turn, place = _nearest_rotation(motion.rotation[train].mean(0)), motion.translation[train].mean(0)
    return replace(motion, rotation=np.tile(turn, (count, 1, 1)), translation=np.tile(place, (count, 1)))


def shuffled_expressions(motion: HeadMotion, seed: int = 0) -> HeadMotion:
    """A baseline: the poses of `motion` with its own expressions at the wrong times."""
    order = np.random.default_rng(seed).permutation(len(motion))
    changing = ("expression", "points", "aperture", "gaze")
    return replace(motion, **{name: getattr(motion, name)[order] for name in changing})


def matte_iou(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Soft intersection over union of two mattes [...,H,W], 0..255."""
    union = int(np.maximum(found, truth).sum(dtype=np.int64))
    return float(np.minimum(found, truth).sum(dtype=np.int64) / union) if union else 1.0


def table(rows: dict[str, TruthScore]) -> str:
    """A Markdown table, one row a track."""
    lines = [f"| track | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, each in rows.items():
        cells = (_cell(getattr(each, field.name)) for field in fields(TruthScore))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}"


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")


def _transposed(matrices: Array) -> Array:
    return np.swapaxes(matrices, -1, -2)


def _angles(rotations: Array) -> Array:
    """Degrees [T] of rotations [T,3,3]; exact for small ones, where the trace is not."""
    sine = np.stack([rotations[:, i, j] - rotations[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], 1) / 2
    cosine = (np.trace(rotations, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arctan2(np.linalg.norm(sine, axis=1), cosine))


def _nearest_rotation(matrix: Array) -> Array:
    left, _, right = np.linalg.svd(matrix)
    return (left * [1, 1, np.sign(np.linalg.det(left @ right))]) @ right


def _mean_turn(found: HeadMotion, truth: HeadMotion, train: Mask) -> Array:
    """The constant rotation [3,3] from the track's skull frame to the truth's, of the training steps."""
    return _nearest_rotation((_transposed(truth.rotation[train]) @ found.rotation[train]).mean(0))


def _middle(motion: HeadMotion) -> Array:
    """The middle of the resting face in the world [T,3]; the same spot of the surface in every head."""
    return motion.rotation @ motion.neutral.mean(0) + motion.translation


def _room_scale(found: HeadMotion, truth: HeadMotion, train: Mask) -> float:
    """The scale about the one camera, at the world's origin, that brings the training steps' places together."""
    a, b = _middle(found)[train], _middle(truth)[train]
    return float((a * b).sum() / (a * a).sum())


def _on_truth(found: HeadMotion, truth: HeadMotion, train: Mask) -> tuple[HeadMotion, float]:
    """The track's surface brought to the truth's by one similarity, and its scale.

    The mean shapes of the training steps decide it: what counts as neutral is a matter of opinion.
    """
    source, target = found.points[train].mean(0), truth.points[train].mean(0)
    turn, scale = fit_similarity(source.astype(np.float64), target.astype(np.float64))
    shift = target.mean(0) - scale * turn @ source.mean(0)
    moved = {name: scale * getattr(found, name) @ turn.T + shift for name in ("neutral", "points")}
    return replace(found, **moved), scale


def _stability(found: HeadMotion, truth: HeadMotion, room: float, rows: Mask) -> float:
    """How far points of the true skull stray in the track's while the head is still, meters, root mean square."""
    quiet = rows & _usual_pose(truth.rotation, rows)
    world = _BOX @ _transposed(truth.rotation[quiet]) + truth.translation[quiet, None]
    held = (world / room - found.translation[quiet, None]) @ found.rotation[quiet] * room
    return float(np.sqrt(((held - held.mean(0)) ** 2).sum(-1).mean()))


def _usual_pose(rotations: Array, rows: Mask) -> Mask:
    """Time steps [T] whose pose is near the one that most of `rows` are near."""
    flat = rotations.reshape(len(rotations), 9)
    near = flat @ flat.T > 1 + 2 * np.cos(_QUIET)  # the trace of the rotation between the two
    return near[np.argmax((near & rows).sum(1) * rows)]  # type: ignore[no-any-return]


def _expression_error(found: HeadMotion, truth: HeadMotion, rows: Mask) -> float:
    shared = [name for name in truth.names if name in found.names and not name.startswith("eyeLook")]
    if not shared:
        return float("nan")
    a, b = (motion.expression[rows][:, [motion.names.index(name) for name in shared]] for motion in (found, truth))
    return float(np.sqrt(((a - b) ** 2).mean()))


def _weight_error(found: HeadMotion, truth: HeadMotion, rows: Mask, names: tuple[str, ...]) -> float:
    pairs = [(found.weight(name), truth.weight(name)) for name in names]
    known = [np.abs(a - b)[rows] for a, b in pairs if a is not None and b is not None]
    return _mean(np.stack(known)) if known else float("nan")


def _gaze_error(found: HeadMotion, truth: HeadMotion, rows: Mask) -> float:
    seen = truth.aperture > _OPEN_LID * np.median(truth.aperture[rows], axis=0)
    a, b = (motion.gaze @ _transposed(motion.rotation) for motion in (found, truth))
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))
    return _mean(angle[seen & rows[:, None]])
