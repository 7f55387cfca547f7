"""The page: template, style, scripts and the container of the avatar in one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import re

from .bundle import bundle, source
from .camera_pack import CameraPack

#: Nothing is loaded and nothing is sent, except by the page of a live source to its own server; scripts and styles are
#: those of this file only. Workers, images and videos are made in the page.
_POLICY = (
    "default-src 'none'; script-src {script} blob:; worker-src blob:; style-src '{style}'; img-src data: blob:; "
    "media-src blob:; connect-src {connect}; base-uri 'none'; form-action 'none'"
)
#: The camera compiles WebAssembly, and its worker reads that from the memory of the page.
_CAMERA_SCRIPT = "'wasm-unsafe-eval'"
_CAMERA_CONNECT = "blob:"


def build_page(container: bytes, title: str, *, live: bool = False, camera: CameraPack | None = None) -> str:
    """The HTML file of an avatar.

    Args:
        container: from `avatar.export.web_container`.
        title: name of the avatar.
        live: the page receives poses from the server that it comes from, `viewer.web.bridge`.
        camera: the page can follow a camera; None: it has no button for that.
    """
    script = bundle("page/app.js")
    style = source("page/page.css")
    allowed = [f"'{_digest(script)}'"]
    connect = ["'self'"] if live else []
    if camera is not None:
        allowed.append(_CAMERA_SCRIPT)
        connect.append(_CAMERA_CONNECT)
    values = {
        "title": html.escape(title),
        "policy": _POLICY.format(script=" ".join(allowed), style=_digest(style), connect=" ".join(connect) or "'none'"),
        "live": "data-live" if live else "",
        "style": style,
        "script": script,
        "worker": _inline(bundle("page/worker.js")),
        "container": base64.b64encode(container).decode("ascii"),
        "camera": "" if camera is None else _camera_scripts(camera),
        "notice": "" if camera is None else f"<p>{html.escape(camera.notice)}</p>",
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], source("page/page.html"))


def _camera_scripts(camera: CameraPack) -> str:
    """The elements with the worker of the camera and its pack."""
    content = base64.b64encode(camera.content).decode("ascii")
    return (
        f'<script type="text/plain" id="camera-worker">{_inline(bundle("face/camera_worker.js"))}</script>\n'
        f'<script type="application/octet-stream" id="camera-pack">{content}</script>\n'
        f'<script type="text/plain" id="camera-license">{html.escape(camera.license)}</script>\n'
    )


def _inline(script: str) -> str:
    """A script as the content of an element."""
    return script.replace("</script", "<\\/script")


def _digest(text: str) -> str:
    """The source expression of an inline script or style in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
