"""Errors of a track against the ground truth of a synthetic capture, in physical units; and baselines.

The coordinate frames of two head models never agree exactly: the forward direction and the origin differ between
identities, and a single camera does not determine the scale. So constants of the whole clip are removed first (one
rotation, one similarity transform of the shape, one scale of the scene where there is a single camera); they come from
training frames only. These numbers compare trackers; they are not the accuracy on people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from avatar.geometry.similarity import fit_similarity

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

_MILLIMETERS = 1e3
_WIDE_JAW = 0.4  # jawOpen above which the mouth counts as wide open
_OPEN_LID = 0.5  # of the median aperture: below it too little of the iris is visible to measure gaze
_STATIC = np.radians(4.0)  # rotation from the most frequent pose that counts as a static head
#: Points fixed to the skull, meters in the truth's skull frame: the corners of a box the size of a head.
_BOX = np.array([[x, y, z] for x in (-0.075, 0.075) for y in (-0.08, 0.10) for z in (-0.17, 0.0)])


@dataclass(frozen=True)
class HeadMotion:
    """Motion of a head over T time steps, of the truth or a track, at the same P points of the surface."""

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
        """Weights [T] of an expression; None if the head has no expression of that name."""
        return self.expression[:, self.names.index(name)] if name in self.names else None


@dataclass(frozen=True)
class TruthScore:
    """Errors of one track, means over its time steps unless stated otherwise; NaN where not known."""

    rotation: float  # degrees of the skull, after removal of one constant rotation
    rotation_p95: float  # degrees, 95th percentile of the same
    rotation_open: float  # degrees, the same where the mouth is wide open
    rotation_raw: float  # degrees, without removal of the constant
    position: float  # millimeters of the center of the face, after one scale of the scene if there is one camera
    neutral: float  # millimeters of the neutral face surface, after one similarity transform
    posed: float  # millimeters of the posed face surface, after the same similarity transform
    stability: float  # millimeters RMS motion of a point of the skull while only the expression changes
    expression: float  # root mean square over the names that both heads have, without gaze
    lids: float  # of eyeBlink, absolute
    jaw: float  # of jawOpen, absolute
    aperture: float  # millimeters between the lids, absolute
    gaze: float  # degrees, while the eyes are open
    scale: float  # size of the truth over size of the track
    matte_iou: float = float("nan")  # of the person's mattes
    focal_ratio: float = float("nan")  # focal length of the track over that of the truth


#: Column titles of a table of scores, in the order of TruthScore.
COLUMNS = (
    "rot °",
    "rot p95",
    "rot open",
    "rot raw",
    "pos mm",
    "neutral mm",
    "posed mm",
    "skull mm",
    "expr",
    "lids",
    "jaw",
    "aperture mm",
    "gaze °",
    "scale",
    "matte IoU",
    "focal",
)


def score(
    track: HeadMotion, truth: HeadMotion, train: Mask, rows: Mask | None = None, *, calibrated: bool
) -> TruthScore:
    """Compare a track with the truth.

    Args:
        track: motion of the track.
        truth: motion of the truth at the same T time steps.
        train: mask [T] of the time steps that determine the constants.
        rows: mask [T] of the time steps to score; None is all.
        calibrated: whether camera poses are known in meters, so that the scale of the scene is fixed.
    """
    rows = np.ones(len(truth), bool) if rows is None else rows
    aligned = _angles(track.rotation @ _mean_rotation(track, truth, train).T @ _transpose(truth.rotation))
    raw = _angles(track.rotation @ _transpose(truth.rotation))
    scene_scale = 1.0 if calibrated else _scene_scale(track, truth, train)
    distance = np.linalg.norm(scene_scale * _face_center(track) - _face_center(truth), axis=1)
    fitted, scale = _align(track, truth, train)
    jaw = truth.weight("jawOpen")
    wide = rows & (np.zeros(len(truth), bool) if jaw is None else jaw > _WIDE_JAW)
    return TruthScore(
        rotation=_mean(aligned[rows]),
        rotation_p95=float(np.percentile(aligned[rows], 95)),
        rotation_open=_mean(aligned[wide]),
        rotation_raw=_mean(raw[rows]),
        position=_MILLIMETERS * _mean(distance[rows]),
        neutral=_MILLIMETERS * _mean(np.linalg.norm(fitted.neutral - truth.neutral, axis=-1)),
        posed=_MILLIMETERS * _mean(np.linalg.norm(fitted.points - truth.points, axis=-1)[rows]),
        stability=_MILLIMETERS * _stability(track, truth, scene_scale, rows),
        expression=_expression_error(track, truth, rows),
        lids=_weight_error(track, truth, rows, ("eyeBlinkLeft", "eyeBlinkRight")),
        jaw=_weight_error(track, truth, rows, ("jawOpen",)),
        aperture=_MILLIMETERS * _mean(np.abs(scale * track.aperture - truth.aperture)[rows]),
        gaze=_gaze_error(track, truth, rows),
        scale=scale,
    )


def constant_pose(motion: HeadMotion, train: Mask) -> HeadMotion:
    """A baseline: the expressions of `motion` with the constant mean pose of its training steps."""
    count = len(motion)
    rotation = _nearest_rotation(motion.rotation[train].mean(0))
    translation = motion.translation[train].mean(0)
    return replace(motion, rotation=np.tile(rotation, (count, 1, 1)), translation=np.tile(translation, (count, 1)))


def shuffled_expressions(motion: HeadMotion, seed: int = 0) -> HeadMotion:
    """A baseline: the poses of `motion` with its expressions in random order."""
    order = np.random.default_rng(seed).permutation(len(motion))
    changing = ("expression", "points", "aperture", "gaze")
    return replace(motion, **{name: getattr(motion, name)[order] for name in changing})


def matte_iou(matte: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Soft intersection over union of two mattes [...,H,W], 0..255."""
    union = int(np.maximum(matte, truth).sum(dtype=np.int64))
    return float(np.minimum(matte, truth).sum(dtype=np.int64) / union) if union else 1.0


def table(rows: dict[str, TruthScore]) -> str:
    """A Markdown table, one row per track."""
    lines = [f"| track | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, each in rows.items():
        cells = (_cell(getattr(each, field.name)) for field in fields(TruthScore))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3g}"


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")


def _transpose(matrices: Array) -> Array:
    return np.swapaxes(matrices, -1, -2)


def _angles(rotations: Array) -> Array:
    """Angles [T] in degrees of rotations [T,3,3]; also precise for small angles, unlike the trace."""
    sine = np.stack([rotations[:, i, j] - rotations[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], 1) / 2
    cosine = (np.trace(rotations, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arctan2(np.linalg.norm(sine, axis=1), cosine))


def _nearest_rotation(matrix: Array) -> Array:
    left, _, right = np.linalg.svd(matrix)
    return (left * [1, 1, np.sign(np.linalg.det(left @ right))]) @ right


def _mean_rotation(track: HeadMotion, truth: HeadMotion, train: Mask) -> Array:
    """The constant rotation [3,3] from the track's skull frame to the truth's, of the training steps."""
    return _nearest_rotation((_transpose(truth.rotation[train]) @ track.rotation[train]).mean(0))


def _face_center(motion: HeadMotion) -> Array:
    """Center of the neutral face in the world [T,3]; the same point of the surface for every head."""
    return motion.rotation @ motion.neutral.mean(0) + motion.translation


def _scene_scale(track: HeadMotion, truth: HeadMotion, train: Mask) -> float:
    """The scale about the single camera, at the world origin, that best aligns the positions at training steps."""
    a = _face_center(track)[train]
    b = _face_center(truth)[train]
    return float((a * b).sum() / (a * a).sum())


def _align(track: HeadMotion, truth: HeadMotion, train: Mask) -> tuple[HeadMotion, float]:
    """The surface of the track aligned to the truth by one similarity transform, and its scale.

    The transform aligns the mean shapes of the training steps: the definition of neutral differs between trackers.
    """
    source = track.points[train].mean(0)
    target = truth.points[train].mean(0)
    rotation, scale = fit_similarity(source.astype(np.float64), target.astype(np.float64))
    shift = target.mean(0) - scale * rotation @ source.mean(0)
    moved = {name: scale * getattr(track, name) @ rotation.T + shift for name in ("neutral", "points")}
    return replace(track, **moved), scale


def _stability(track: HeadMotion, truth: HeadMotion, scene_scale: float, rows: Mask) -> float:
    """RMS motion, meters, of points of the true skull in the track's skull frame while the head is static."""
    static = rows & _frequent_pose(truth.rotation, rows)
    world = _BOX @ _transpose(truth.rotation[static]) + truth.translation[static, None]
    points = (world / scene_scale - track.translation[static, None]) @ track.rotation[static] * scene_scale
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean()))


def _frequent_pose(rotations: Array, rows: Mask) -> Mask:
    """Mask [T] of time steps near the pose that most time steps of `rows` are near."""
    flat = rotations.reshape(len(rotations), 9)
    near: Mask = flat @ flat.T > 1 + 2 * np.cos(_STATIC)  # the trace of the rotation between the two
    result: Mask = near[np.argmax((near & rows).sum(1) * rows)]
    return result


def _expression_error(track: HeadMotion, truth: HeadMotion, rows: Mask) -> float:
    shared = [name for name in truth.names if name in track.names and not name.startswith("eyeLook")]
    if not shared:
        return float("nan")
    a, b = (motion.expression[rows][:, [motion.names.index(name) for name in shared]] for motion in (track, truth))
    return float(np.sqrt(((a - b) ** 2).mean()))


def _weight_error(track: HeadMotion, truth: HeadMotion, rows: Mask, names: tuple[str, ...]) -> float:
    pairs = [(track.weight(name), truth.weight(name)) for name in names]
    known = [np.abs(a - b)[rows] for a, b in pairs if a is not None and b is not None]
    return _mean(np.stack(known)) if known else float("nan")


def _gaze_error(track: HeadMotion, truth: HeadMotion, rows: Mask) -> float:
    visible = truth.aperture > _OPEN_LID * np.median(truth.aperture[rows], axis=0)
    a, b = (motion.gaze @ _transpose(motion.rotation) for motion in (track, truth))
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))
    return _mean(angle[visible & rows[:, None]])
