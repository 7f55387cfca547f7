"""The page: template, style, scripts and the container of the avatar, in one HTML file or in separate files."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Mapping
from urllib.parse import quote

from avatar.common.made_note import NOTE

from .bundle import bundle, source
from .camera_pack import CameraPack

#: Of the camera, which compiles WebAssembly, and whose worker reads that from the memory of the page.
_WASM = "'wasm-unsafe-eval'"
#: What the policy of the page allows beside what a header of the server has to allow.
_REST = "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
#: The page whose parts are separate files, and the file of each part.
PAGE = "index.html"
FILES = {
    "style": "page.css",
    "script": "page.js",
    "worker": "worker.js",
    "container": "avatar.hsa",
    "camera-worker": "camera.js",
    "loader": "camera_loader.js",
    "wasm": "camera.wasm",
    "task": "camera_networks.task",
    "landmarks": "camera_landmarks.bin",
    "license": "camera_license.txt",
}


def build_page(
    container: bytes, title: str, *, live: bool = False, speech: bool = False, camera: CameraPack | None = None
) -> str:
    """The HTML file of an avatar.

    Nothing is loaded and nothing is sent, except by the page of a live source to its own server; scripts and styles are
    those of this file only. Workers, images and videos are made in the page.

    Args:
        container: from `avatar.export.web_container`.
        title: name of the avatar.
        live: the page receives poses from the server that it comes from, `viewer.web.server`.
        speech: with `live`: that is `viewer.web.speech_server`, which sends sound, too.
        camera: the page can follow a camera; None: it has no button for that.
    """
    script = bundle("page/app.js")
    style = source("page/page.css")
    policy = inline_policy(f"'{_digest(script)}'", f"'{_digest(style)}'", live=live, camera=camera is not None)
    data = [
        _element("worker", bundle("page/worker.js")),
        _element("container", base64.b64encode(container).decode("ascii"), "application/octet-stream"),
    ]
    if camera is not None:
        data += [
            _element("camera-worker", _camera_worker(camera)),
            _element("camera-pack", base64.b64encode(camera.content).decode("ascii"), "application/octet-stream"),
            _element("camera-license", html.escape(camera.license)),
        ]
    return _page(
        title,
        policy=policy,
        needs=f'the header "Content-Security-Policy: {policy}"{"" if live else " (or an export with --split)"}',
        style=f'<style id="style">{style}</style>',
        script=f"<script>{script}</script>",
        data="\n".join(data),
        live=f'data-live="{"speech" if speech else "poses"}"' if live else "",
        notice=_notice(camera),
    )


def build_split_page(
    container: bytes, title: str, *, camera: CameraPack | None = None, folder: str = ""
) -> Mapping[str, bytes]:
    """The same page with nothing inline: PAGE and its files by name.

    Args:
        container: as for `build_page`.
        title: as for `build_page`.
        camera: as for `build_page`.
        folder: name of the folder beside the page that its other files are in; empty: they are beside the page.
    """
    place = quote(os.fsencode(f"{folder}/")) if folder else ""
    address = {part: html.escape(place + name) for part, name in FILES.items()}
    files = {
        "style": source("page/page.css").encode(),
        "script": bundle("page/app.js").encode(),
        "worker": bundle("page/worker.js").encode(),
        "container": container,
    }
    data = [
        f'<script type="text/plain" id="{part}" data-file="{address[part]}"></script>'
        for part in ("worker", "container")
    ]
    if camera is not None:
        parts = camera.parts()
        files |= {**parts, "camera-worker": _camera_worker(camera).encode(), "license": camera.license.encode()}
        named = " ".join(f'data-{part}="{address[part]}"' for part in parts)
        data += [
            f'<script type="text/plain" id="camera-worker" data-file="{address["camera-worker"]}"></script>',
            f'<script type="text/plain" id="camera-pack" {named}></script>',
        ]
    wasm = f" {_WASM}" if camera is not None else ""
    page = _page(
        title,
        policy=f"default-src 'none'; script-src 'self'{wasm}; style-src 'self'; worker-src 'self'; connect-src 'self'",
        needs=f'the header "Content-Security-Policy: {split_policy(camera=camera is not None)}"',
        parts="JavaScript, all of its files with their MIME types",
        style=f'<link id="style" rel="stylesheet" href="{address["style"]}">',
        script=f'<script src="{address["script"]}"></script>',
        data="\n".join(data),
        notice=_notice(camera),
    )
    return {PAGE: page.encode()} | {FILES[part]: content for part, content in files.items()}


def build_film_page() -> str:
    """The page of `headsplat film --web`: it sends images of the browser's camera to the server that it comes from."""
    script = bundle("film/page.js")
    style = source("film/page.css")
    policy = inline_policy(f"'{_digest(script)}'", f"'{_digest(style)}'", live=True)
    values = {
        "policy": f"{policy}; {_REST}",
        "style": f"<style>{style}</style>",
        "worker": _element("encoder", bundle("film/encoder.js")),
        "script": f"<script>{script}</script>",
    }
    return _filled(source("film/page.html"), values)


def inline_policy(script: str, style: str, *, live: bool = False, camera: bool = False) -> str:
    """The least Content-Security-Policy of a server with which the page of `build_page` works.

    Args:
        script: source expression of its script.
        style: of its style.
        live: as for `build_page`.
        camera: whether it can follow a camera.
    """
    # Workers follow script-src where there is no worker-src.
    scripts = f"script-src {script} {_WASM} blob:" if camera else f"script-src {script}; worker-src blob:"
    connect = [*(["'self'"] if live else []), *(["blob:"] if camera else [])]
    policy = f"default-src 'none'; style-src {style}; {scripts}"
    return f"{policy}; connect-src {' '.join(connect)}" if connect else policy


def split_policy(*, camera: bool = False) -> str:
    """The least Content-Security-Policy of a server with which the page of `build_split_page` works."""
    return f"default-src 'self'; script-src 'self' {_WASM}" if camera else "default-src 'self'"


def _page(title: str, *, policy: str, needs: str, parts: str = "JavaScript", **elements: str) -> str:
    """The template, filled in.

    Args:
        title: name of the avatar.
        policy: of the page itself.
        needs: what a server that restricts pages has to send for it.
        parts: what it needs otherwise.
        elements: HTML by the other names in the template.
    """
    blocked = f"This page needs {parts} and, where its web server restricts scripts and styles, {needs}."
    values = {
        "title": html.escape(title),
        "made": html.escape(NOTE),
        "policy": f"{policy}; {_REST}",
        "needs": html.escape(needs),
        "blocked": html.escape(blocked),
        "live": "",
        **elements,
    }
    return _filled(source("page/page.html"), values)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A template with `{{name}}` replaced."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _notice(camera: CameraPack | None) -> str:
    return "" if camera is None else f"<p>{html.escape(camera.notice)}</p>"


def _element(name: str, text: str, kind: str = "text/plain") -> str:
    """An element with text for the script."""
    content = text.replace("</script", "<\\/script")
    return f'<script type="{kind}" id="{name}">{content}</script>'


def _camera_worker(camera: CameraPack) -> str:
    """The script of the worker of the camera, after MediaPipe's library as `tasksVision`."""
    return (
        "const tasksVision = (() => {\nconst module = { exports: {} };\n((module, exports) => {\n"
        f"{camera.library}\n}})(module, module.exports);\nreturn module.exports;\n}})();\n"
        f"{bundle('face/camera_worker.js')}"
    )


def _digest(text: str) -> str:
    """The source expression of an inline script or style in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
