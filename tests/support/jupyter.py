"""JupyterLab on 127.0.0.1, with settings and a home of its own, and its page in a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.browser import Page

ROOT = Path(__file__).parents[2]
_ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/lab\?(token=\w+)")


@contextmanager
def jupyter_lab(folder: Path, home: Path) -> Iterator[str]:
    """The address of JupyterLab in `folder`, with its token in `{}` after the path, while the block runs.

    Args:
        folder: with the notebooks.
        home: an empty folder for what Jupyter writes.
    """
    homes = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **homes, "IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root",
        "--expose-app-in-browser", "--LabApp.news_url=", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    log = home / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=stream)
    try:
        Page.wait_for(lambda: bool(_ADDRESS.search(log.read_text())), "the address of JupyterLab")
        found = _ADDRESS.search(log.read_text())
        assert found
        yield f"{found[1]}/lab/tree/{{}}?{found[2]}"
    finally:
        process.terminate()
        process.wait(30)


def open_notebook(page: Page, address: str) -> None:
    """Show a notebook, `panel` in the page, and wait until its kernel is idle."""
    name = urlsplit(address).path.rpartition("/")[2]  # JupyterLab also shows what was open before
    page.call("Emulation.setFocusEmulationEnabled", enabled=True)
    page.call("Page.navigate", url=address)
    page.wait(f"location.pathname === {urlsplit(address).path!r} && globalThis.jupyterapp")
    page.wait(
        f"(globalThis.panel = [...jupyterapp.shell.widgets('main')].find((each) => each.context?.path === {name!r}))"
        " && panel.sessionContext.session?.kernel?.status === 'idle'"
    )
    page.run("jupyterapp.shell.activateById(panel.id)")
    page.wait("jupyterapp.shell.currentWidget === panel")


def values(page: Page, *expressions: str) -> list[Any]:
    """What Python expressions in the notebook are worth, once its kernel is free; they must be plain values."""
    code = json.dumps({"code": "import json", "user_expressions": {"it": f"json.dumps([{', '.join(expressions)}])"}})
    reply = page.run(f"panel.sessionContext.session.kernel.requestExecute({code}).done.then((reply) => reply.content)")
    found = reply["user_expressions"]["it"]
    assert found["status"] == "ok", found
    return list(json.loads(found["data"]["text/plain"][1:-1].encode().decode("unicode_escape")))
