"""The landmark embedding of a FLAME head: kept from an earlier run, detected, or laid on from our own mean face."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.common.cache import user_cache
from avatar.common.files import atomic_path
from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel

from .align import aligned
from .bare import Anatomy
from .embedding import POINTS, Detector, detected, placed
from .lips import LipLine
from .openings import Opening
from .source import Marks
from .surface import Places

log = logging.getLogger(__name__)

#: changes when the procedure does, so that older results are found no more
_PROCEDURE = "1"
DETECTED, ALIGNED = "detected", "aligned"


@dataclass(frozen=True)
class Embedding:
    """Where the 478 landmarks lie and how that was found."""

    places: Places
    how: str  # DETECTED in pictures of the head, or ALIGNED: our own mean face laid onto it

    def sentence(self) -> str:
        """What to tell a person about it."""
        if self.how == DETECTED:
            return "landmarks found by the detector in pictures of this head"
        return "landmarks laid on from headsplat's own mean face (no detector); `headsplat capture` finds better ones"


def find_embedding(
    head: HeadModel,
    body: Anatomy,
    openings: tuple[Opening, Opening],
    lips: LipLine,
    detector: Detector | None,
) -> Embedding:
    """The embedding of a bare head; found once for each geometry and then read from the cache folder.

    Args:
        head: a bare, colored head.
        body: its anatomy.
        openings: of the left and the right eye.
        lips: where they meet.
        detector: finds landmarks in pictures; None: what an earlier run with one has found, else aligned.
    """
    path = _cached_path(body, head)
    kept = _read(path, len(body.faces))
    if kept is not None:
        return Embedding(kept, DETECTED)
    weights = head.lbs_weights.double().numpy()
    points = detected(head, body, detector) if detector is not None else None
    if points is not None:
        places = placed(body, weights, points, openings, lips)
        _write(path, places)
        return Embedding(places, DETECTED)
    points = aligned(body, weights, openings, lips)
    return Embedding(placed(body, weights, points, openings, lips), ALIGNED)


def difference(places: Places, marks: Marks, body: Anatomy) -> float:
    """Mean distance (meters) to the landmarks that the file itself marks."""
    own = places.points(body.vertices, body.faces)[marks.index]
    theirs = Places(marks.faces, marks.bary).points(body.vertices, body.faces)
    return float(np.linalg.norm(own - theirs, axis=1).mean())


def _cached_path(body: Anatomy, head: HeadModel) -> Path:
    digest = hashlib.sha256(_PROCEDURE.encode())
    for array in (body.vertices, body.faces, head.lbs_weights.numpy()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return user_cache("landmarks") / f"{digest.hexdigest()[:24]}.npz"


def _read(path: Path, face_count: int) -> Places | None:
    """A kept embedding, or None where there is none that fits."""
    if not path.is_file():
        return None
    try:
        stored = Npz(path)
        faces, bary = stored.array("faces"), stored.array("bary")
    except DamagedNpz as error:
        log.info("%s: not readable (%s), made anew", path, error)
        return None
    fits = faces.shape == (POINTS,) and bary.shape == (POINTS, 3) and faces.dtype == np.int64 and bary.dtype == float
    inside = fits and 0 <= faces.min() <= faces.max() < face_count and np.abs(bary).max() <= 2  # a NaN is not
    return Places(faces, bary) if inside else None


def _write(path: Path, places: Places) -> None:
    """Keep an embedding; a cache that cannot be written costs the next run some seconds and no more."""
    try:
        with atomic_path(path) as partial:
            np.savez_compressed(partial, faces=places.faces, bary=places.bary)
    except (OSError, HeadsplatError) as error:
        log.info("%s: not kept (%s)", path, error)
