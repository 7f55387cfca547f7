"""An avatar with every part that the web player has, and the pages that show it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from avatar.export.web import web_container
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.pose_blendshapes import TERMS, WIDTH, PoseBlendshapes
from tests.support.browser import Page, chromium, find_chromium
from tests.support.parts import required
from viewer.web.page import build_page

HEADER = {"consent": "a synthetic person", "capture": {"name": "tiny", "fingerprint": "0"}}


@pytest.fixture(scope="session")
def layered(tiny_avatar: Avatar) -> Avatar:
    """An avatar with a mesh layer, reflections, a torso that moves, and offsets by expression and pose of the head."""
    avatar = deepcopy(tiny_avatar)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        avatar.add_part(MeshLayer(avatar.head))
        required(avatar, MeshLayer).eye_light.reflections.fill_(0.3)
        avatar.blendshapes.basis += 0.03 * torch.randn(avatar.blendshapes.basis.shape, generator=noise)
        avatar.rig.torso.weight += 0.05 * torch.randn(6, 7, generator=noise)
        avatar.rig.torso.limit.fill_(0.3)
        basis = 0.1 * torch.randn(TERMS, len(avatar), WIDTH, generator=noise)
        basis[:, : avatar.blendshapes.count, :3] = 0
        avatar.add_part(PoseBlendshapes(basis))
    return avatar.requires_grad_(False)


@pytest.fixture(scope="session")
def container(layered: Avatar) -> bytes:
    return web_container(layered, HEADER, "tiny")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An empty page of a browser."""
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def shown(page: Page, container: bytes, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of `layered`, loaded."""
    path = tmp_path_factory.mktemp("page") / "tiny.html"
    path.write_text(build_page(container, "tiny"), encoding="utf-8")
    page.open(path)
    return page


@pytest.fixture
def downloads(shown: Page, tmp_path: Path) -> Path:
    """The folder where the page saves files."""
    shown.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    return tmp_path
