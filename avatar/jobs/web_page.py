"""The exported page of an avatar; its camera: the models of the capture, and MediaPipe's library for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from pathlib import Path

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


def write_split_page(path: Path, folder: Path, container: bytes, name: str, camera: CameraPack | None = None) -> int:
    """Write the page of `web_page` as separate files with nothing inline.

    Args:
        path: the page, or the folder that gets it.
        folder: the folder of its other files, beside the page; `path` itself where that is a folder. An existing one is
            replaced.
        container: as for `web_page`.
        name: as for `web_page`.
        camera: as for `web_page`.

    Returns:
        Bytes written.
    """
    from avatar.common.files import atomic_folder, atomic_path
    from viewer.web.page import PAGE, build_split_page

    beside = path != folder
    files = dict(build_split_page(container, name, camera=camera, folder=folder.name if beside else ""))
    total = sum(map(len, files.values()))
    page = files.pop(PAGE) if beside else b""
    with atomic_folder(folder) as temporary:
        for file, content in files.items():
            (temporary / file).write_bytes(content)
    if beside:
        with atomic_path(path) as part:
            part.write_bytes(page)
    return total
