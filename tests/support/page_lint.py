"""Types and style of the JavaScript of the page by tsc and ESLint: `python -m tests.support.page_lint`, in `make lint`.

npm installs both once, into `.ci/web/node_modules`, in the versions and with the hashes of `.ci/web/package-lock.json`.
Without Node.js, and where npm cannot reach its registry, one line says that nothing is checked.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / ".ci" / "web"
LEAST_NODE = (20, 19)  # of ESLint 10
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")  # neither scripts of packages nor reports
_ONCE = "--fetch-retries=0"  # a machine without a network is found out in seconds
_CHECKS = (
    ("typescript/bin/tsc", "--project", str(CONFIG / "tsconfig.json")),
    ("eslint/bin/eslint.js", "--config", str(CONFIG / "eslint.config.js"), "viewer/web/src"),
)


def main() -> int:
    """Check everything; 0 where nothing is found, or nothing can be checked here."""
    node, npm = shutil.which("node"), shutil.which("npm")
    reason = _missing(node, npm) if node is None or npm is None else _outdated(node) or _install(npm)
    if reason or node is None:
        print(f"the JavaScript of the page is not checked: {reason}")
        return 0
    running = [
        subprocess.Popen([node, str(CONFIG / "node_modules" / tool), *rest], cwd=ROOT) for tool, *rest in _CHECKS
    ]
    return max([process.wait() for process in running])


def _missing(node: str | None, npm: str | None) -> str:
    return "Node.js is not installed" if node is None else "npm is not installed"


def _outdated(node: str) -> str:
    """Why this Node.js cannot run the tools; empty where it can."""
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    least = ".".join(map(str, LEAST_NODE))
    found = tuple(int(part) for part in version.removeprefix("v").split(".")[:2])
    return "" if found >= LEAST_NODE else f"Node.js {version} is older than {least}"


def _install(npm: str) -> str:
    """Install the locked tools where that has not been done; why the registry cannot be reached, empty where it can.

    Raises:
        SystemExit: npm fails although it reaches the registry.
    """
    stamp = CONFIG / "node_modules" / ".installed"
    lock = hashlib.sha256((CONFIG / "package-lock.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == lock:
        return ""
    if _run(npm, *_INSTALL, _ONCE).returncode:
        if _run(npm, "ping", _ONCE).returncode:
            return "npm cannot reach its registry"
        done = _run(npm, *_INSTALL)
        if done.returncode:
            sys.exit(f"npm {_INSTALL[0]} in {CONFIG.relative_to(ROOT)} failed:\n{done.stderr}")
    stamp.write_text(lock, encoding="utf-8")
    return ""


def _run(npm: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([npm, *arguments], cwd=CONFIG, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
