"""The orientation of a clip: a face that lies on its side or stands on its head is found, so that frames can be turned.

The detector finds upside-down faces too, with a lower score, and the landmark network fits an upright face to them with
full presence: only the comparison with the turned image shows the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from capture.stages.landmarks import FaceFollower
from capture.video.decoding import wanted_frames
from capture.video.turns import TURNS
from capture.workspace import Workspace

PARTIAL = "orientation.npz"
#: Frames that are examined at most, among the first so many, until this number of them has shown a face.
_EXAMINED, _FIRST, _ENOUGH = 24, 600, 4
#: An upright face with this score needs no comparison: upside-down faces reach 0.8, upright ones are rarely below 0.9.
_CERTAIN = 0.9
#: The mean score of a turned image must be better than that of the image itself by this.
_BETTER = 0.1


def find_turn(video: Any, numbers: np.ndarray, follower: FaceFollower, workspace: Workspace) -> int:
    """Degrees counter-clockwise (one of TURNS) by which the frames must be turned for the face to be upright.

    Args:
        video: a VideoSource, or an iterable of SourceFrames that starts anew each time.
        numbers: training frames, increasing; some of the first are examined.
        follower: finds faces.
        workspace: stores the result for a later run.
    """
    stored = workspace.load_partial(PARTIAL)
    if stored is not None and int(stored["turn"]) in TURNS:
        return int(stored["turn"])
    chosen = numbers[np.unique(np.linspace(0, min(len(numbers), _FIRST) - 1, _EXAMINED).round().astype(int))]
    scores, first = [], None
    for frame in wanted_frames(video, chosen):
        first = frame.rgb if first is None else first
        score = _scores(frame.rgb, follower, thorough=False)
        scores += [score] if any(score) else []
        if len(scores) == _ENOUGH:
            break
    if not scores and first is not None:
        scores = [_scores(first, follower, thorough=True)]
    mean = np.mean(scores, axis=0) if scores else np.zeros(len(TURNS))
    best = int(np.argmax(mean))
    turn = TURNS[best] if mean[best] > mean[0] + _BETTER else 0
    workspace.save_partial(PARTIAL, {"turn": np.array(turn)})
    return turn


def _scores(rgb: np.ndarray, follower: FaceFollower, thorough: bool) -> list[float]:
    """Scores of an upright face in the image turned by each of TURNS."""
    scores = [follower.upright_score(rgb, thorough)]
    for quarters in range(1, len(TURNS)):
        certain = scores[0] >= _CERTAIN
        turned = None if certain else np.ascontiguousarray(np.rot90(rgb, quarters))
        scores.append(0.0 if turned is None else follower.upright_score(turned, thorough))
    return scores
