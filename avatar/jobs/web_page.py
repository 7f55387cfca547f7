"""The exported page of an avatar; its camera: the models of the capture, and MediaPipe's library for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.head.model import HeadModel
    from viewer.web.camera_pack import CameraPack


def page_camera(head: HeadModel) -> CameraPack:
    """The camera of a page that shows an avatar with the head model `head`.

    Raises:
        HeadsplatError: the head does not have the expressions that the page tracks, or the models or the library
            cannot be fetched.
    """
    from avatar.head import load_head
    from capture.live.web_model import landmark_model_pack
    from capture.networks.face_task import face_task
    from capture.networks.models import license_text
    from capture.networks.vision_library import NOTICE, vision_library
    from viewer.web.camera_pack import CameraPack

    if "arkit" not in head.capabilities:
        raise HeadsplatError(
            f"--with-camera: the page tracks ARKit's expressions, which {head.name} does not have; leave it out and "
            "drive the avatar with `headsplat live --web`"
        )
    library = vision_library()
    parts = {
        "library": library.library,
        "loader": library.loader,
        "wasm": library.wasm,
        "task": face_task(),
        "landmarks": landmark_model_pack(load_head()),
    }
    return CameraPack.of(parts, NOTICE, license_text())


def web_page(container: bytes, name: str, camera: CameraPack | None = None) -> str:
    """The page of an avatar for a browser.

    Args:
        container: the avatar, from `avatar.export.web.web_container`.
        name: title of the page.
        camera: from `page_camera`; None: a page without one.
    """
    from viewer.web.page import build_page

    return build_page(container, name, camera=camera)
