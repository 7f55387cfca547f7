"""Hooks of mkdocs: files from outside docs/ become part of the site, and nothing external is loaded by a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ".github/pictures"
#: Page of the site -> file of the repository whose text it shows.
INCLUDED = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
#: What a browser would load from another host; for a diagram in mermaid the theme's script fetches mermaid itself.
_EXTERNAL = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=\"(?:https?:)?//|<link[^>]*rel=\"stylesheet\"[^>]*//|class=\"mermaid\"", re.I
)


def on_files(files: Files, config: Any) -> Files:
    """Add the repository's images, which the README shows too, as images/NAME."""
    for path in sorted((ROOT / IMAGES).iterdir()):
        files.append(File.generated(config, f"images/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The text of an included file in place of the page's, links adapted to where the page is in the site."""
    source = INCLUDED.get(page.file.src_uri)
    if source is not None:
        markdown = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(rf"\]\((?:\.\./)*{re.escape(IMAGES)}/", f"]({'../' * page.file.src_uri.count('/')}images/", markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse a page that would load something from another host."""
    if found := _EXTERNAL.search(output):
        raise PluginError(f"{page.file.src_uri}: loads from another host: {found.group()}")
    return output
