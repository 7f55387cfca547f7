"""The landmark model of a head as a container for the live fit in a page.

`viewer/web/src/face/landmark_model.js` reads it; docs/formats/web.md has the layout. The bases are quantized to int16,
an error of less than a micrometer, far below that of the landmarks. The few other numbers are stored as they are.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar import __version__
from avatar.export.web_blocks import Blocks
from avatar.head.model import HeadModel
from avatar.types import NECK
from capture.live.identity import LearnOptions
from capture.tracker import indices
from capture.tracker.landmark_model import LandmarkModel

FORMAT = "headsplat-landmarks"


def landmark_model_pack(head: HeadModel) -> bytes:
    """The container of the landmark model of `head` (not baked), with the options of the native live fit."""
    model = LandmarkModel.from_head(head)
    learn = LearnOptions()
    blocks = Blocks()
    _add_bases(blocks, model)
    _add_anchors(blocks, model, head)
    _add_expressions(blocks, model)
    blocks.add("landmark_weights", indices.point_weights().astype(np.float32))
    return blocks.container(
        {
            "format": FORMAT,
            "generator": f"headsplat {__version__}",
            "head": {"name": head.name, "license": head.license},
            "names": list(head.expression_names),
            "landmarks": _landmarks(),
            "fit": asdict(learn.tracker.fit),
            "identity": asdict(learn.tracker.identity),
            "learn": {"seconds": learn.seconds, "min_frames": learn.min_frames, "key_frames": learn.key_frames},
        }
    )


def _landmarks() -> dict[str, list[int]]:
    """The groups of landmarks that the fit treats differently."""
    return {
        "stable": indices.STABLE_LANDMARKS.tolist(),
        "eye_corners": [indices.RIGHT_CORNER, indices.LEFT_CORNER],
        "lip_gap": list(indices.LIP_GAP),
        "mouth_corners": list(indices.MOUTH_CORNERS),
        "right_lids": list(indices.RIGHT_LIDS),
        "left_lids": list(indices.LEFT_LIDS),
        "irises": [indices.LEFT_IRIS, indices.RIGHT_IRIS],
        **{f"hideable_{region}": places.tolist() for region, places in indices.HIDEABLE_LANDMARKS.items()},
        "changing": indices.CHANGING.tolist(),
    }


def _add_bases(blocks: Blocks, model: LandmarkModel) -> None:
    """Offsets of the 468 landmarks, xyz by landmark, one row for each unknown."""
    blocks.add("base", _floats(model.base))
    blocks.add_quantized("identity_basis", model.identity_basis.T)
    blocks.add_quantized("expression_basis", model.expression_basis.T)
    blocks.add_quantized("jaw.curves", model.jaw.curves.T)
    blocks.add_quantized("jaw.correctives", model.jaw.correctives.T)
    blocks.add("jaw.skinning_weights", _floats(model.jaw.skinning_weights))


def _add_anchors(blocks: Blocks, model: LandmarkModel, head: HeadModel) -> None:
    """Points that depend on identity alone: hinge of the jaw, neck, centers of the eyes and of their irises."""
    neck = head.J_regressor[NECK].numpy().astype(np.float64)
    neck_basis = np.einsum("v,vcs->cs", neck, head.shapedirs.numpy().astype(np.float64))
    places = [model.jaw.center, neck @ head.v_template.numpy().astype(np.float64), model.eye_centers, model.iris]
    bases = [model.jaw.center_basis, neck_basis, model.eye_basis, model.iris_basis]
    blocks.add("anchors", _floats(np.concatenate([place.reshape(-1, 3) for place in places])))
    blocks.add("anchor_basis", _floats(np.concatenate(bases).T.reshape(model.identity_size, -1, 3)))


def _add_expressions(blocks: Blocks, model: LandmarkModel) -> None:
    """What else belongs to each tracked expression."""
    blocks.add_indices("columns", model.columns)
    blocks.add("limits", _floats(model.limits))
    blocks.add("cost", _floats(model.cost))
    blocks.add_indices("exclusive", model.exclusive)
    blocks.add_indices("jaw.nonlinear", model.jaw.nonlinear)
    blocks.add("jaw.directions", _floats(model.jaw.directions.T))


def _floats(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32)
