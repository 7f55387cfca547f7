"""The page: template, style, the two scripts and the container of the avatar in one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import re

from .bundle import bundle, source

#: Nothing is loaded and nothing is sent, except by the page of a live source to its own server; scripts and styles are
#: those of this file only. Workers, images and videos are made in the page.
_POLICY = (
    "default-src 'none'; script-src '{script}' blob:; worker-src blob:; style-src '{style}'; img-src data: blob:; "
    "media-src blob:; connect-src {connect}; base-uri 'none'; form-action 'none'"
)


def build_page(container: bytes, title: str, *, live: bool = False) -> str:
    """The HTML file of an avatar.

    Args:
        container: from `avatar.export.web_container`.
        title: name of the avatar.
        live: the page receives poses from the server that it comes from, `viewer.web.bridge`.
    """
    script, style = bundle("app.js"), source("page.css")
    values = {
        "title": html.escape(title),
        "policy": _POLICY.format(script=_digest(script), style=_digest(style), connect="'self'" if live else "'none'"),
        "live": "data-live" if live else "",
        "style": style,
        "script": script,
        "worker": bundle("worker.js").replace("</script", "<\\/script"),
        "container": base64.b64encode(container).decode("ascii"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], source("page.html"))


def _digest(text: str) -> str:
    """The source expression of an inline script or style in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
