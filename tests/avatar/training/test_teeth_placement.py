"""The teeth of a person are found at the heights at which frames with an open mouth show them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar.data.training_frames import HeadStates
from avatar.head.load import load_head
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.model.avatar import bake_identity
from avatar.training.teeth_placement import HEIGHTS, MIN_FRAMES, height_errors, with_placed_teeth
from avatar.types import HeadParams
from tests.support.layer_film import FRAMES, filmed


@pytest.fixture(scope="module")
def head() -> HeadModel:
    built_in = load_head()
    return bake_identity(built_in, torch.zeros(built_in.shapedirs.shape[2]))


def raised(head: HeadModel, height: float, region: Region = "teeth_upper") -> HeadModel:
    template = head.v_template.clone()
    template[head.mask(region), 1] += height
    return replace(head, v_template=template)


def laughs(head: HeadModel, jaw: float = 0.5, region: Region = "teeth_upper") -> HeadParams:
    """Laughs of different strength [FRAMES], half a meter before the camera, that show the teeth of `region`."""
    lips = "mouthUpperUp" if region == "teeth_upper" else "mouthLowerDown"
    both = (f"{lips}Left", f"{lips}Right")
    params = head.neutral_params(FRAMES)
    expression = params.expression.clone()
    strength = torch.linspace(0.6, 1, FRAMES)
    expression[:, head.expression_index("jawOpen")] = jaw * strength
    for name in ("mouthSmileLeft", "mouthSmileRight", *both):
        expression[:, head.expression_index(name)] = (strength - 0.2) * (jaw > 0)
    return replace(params, expression=expression, translation=torch.tensor([[0.0, 0.0, -0.5]]).repeat(FRAMES, 1))


@pytest.mark.parametrize(
    ("region", "height"), [("teeth_upper", -0.001), ("teeth_upper", 0.0015), ("teeth_lower", 0.003)]
)
def test_teeth_are_moved_to_where_the_frames_show_them(head: HeadModel, region: Region, height: float) -> None:
    params = laughs(head, region=region)
    expected = raised(head, height, region)
    frames = filmed(head, expected, params)
    errors = height_errors(head, frames, region)
    assert errors is not None and HEIGHTS[region][int(errors.argmin())] == pytest.approx(height)
    placed, moved = with_placed_teeth(head, frames)
    torch.testing.assert_close(placed.v_template, expected.v_template, atol=1e-7, rtol=0)
    torch.testing.assert_close(moved.states.vertices, HeadStates.of(params, expected).vertices, atol=1e-6, rtol=0)


def test_teeth_at_their_place_stay_there(head: HeadModel) -> None:
    frames = filmed(head, head, laughs(head))
    placed, same = with_placed_teeth(head, frames)
    assert placed is head and same is frames


def test_a_height_beyond_those_compared_is_not_taken(head: HeadModel) -> None:
    frames = filmed(head, raised(head, HEIGHTS["teeth_upper"][-1] + 0.002), laughs(head))
    assert with_placed_teeth(head, frames)[0] is head


def test_closed_mouths_and_few_frames_say_nothing(head: HeadModel) -> None:
    closed = filmed(head, raised(head, 0.0015), laughs(head, jaw=0.0))
    assert height_errors(head, closed, "teeth_upper") is None and with_placed_teeth(head, closed)[0] is head
    frames = filmed(head, raised(head, 0.0015), laughs(head))
    few = replace(frames, rgb=frames.rgb[: MIN_FRAMES - 1], step=frames.step[: MIN_FRAMES - 1])
    assert height_errors(head, few, "teeth_upper") is None


def test_a_head_without_teeth_is_left_as_it_is(head: HeadModel) -> None:
    regions = {name: mask for name, mask in head.regions.items() if not name.startswith("teeth")}
    bare = replace(head, regions=regions)
    frames = filmed(head, head, laughs(head))
    assert with_placed_teeth(bare, frames) == (bare, frames)
