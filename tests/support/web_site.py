"""A folder served on 127.0.0.1, for pages that load modules and avatars."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.browser import Page


class _Quiet(SimpleHTTPRequestHandler):
    def __init__(
        self, *args: Any, policies: Mapping[str, str], policy: str | None, permissions: str | None, **kwargs: Any
    ) -> None:
        self._policies = policies
        self._policy = policy
        self._permissions = permissions
        super().__init__(*args, **kwargs)

    def end_headers(self) -> None:
        if policy := self._policies.get(self.path, self._policy):
            self.send_header("Content-Security-Policy", policy)
        if self._permissions:
            self.send_header("Permissions-Policy", self._permissions)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def serve(
    folder: Path, policies: Mapping[str, str] | None = None, policy: str | None = None, permissions: str | None = None
) -> Iterator[str]:
    """The address of a folder while it is served, without a slash at its end.

    Args:
        folder: its files.
        policies: content security policies by path, which begins with a slash.
        policy: content security policy of all other paths.
        permissions: Permissions-Policy of all paths.
    """
    handler = partial(_Quiet, directory=str(folder), policies=policies or {}, policy=policy, permissions=permissions)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def visit(page: Page, address: str) -> None:
    """Load a page that is none of `headsplat export`."""
    page.events.clear()
    page.call("Page.navigate", url=address)
    page.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")
