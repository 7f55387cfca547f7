"""headsplat by its own name: the public names of `avatar`, its jobs, and the widget of notebooks.

Everything loads on first use, so that `import headsplat` is quick and needs no optional package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import avatar
from avatar import __version__ as __version__

if TYPE_CHECKING:
    from avatar import *  # noqa: F403
    from avatar import jobs as jobs
    from avatar.jobs.notebook import widget as widget

__all__ = sorted([*avatar.__all__, "jobs", "widget"])


def __getattr__(name: str) -> Any:
    if name in avatar.__all__:
        return getattr(avatar, name)
    if name == "jobs":
        import avatar.jobs as jobs

        return jobs
    if name == "widget":
        from avatar.jobs.notebook import widget

        return widget
    raise AttributeError(f"module 'headsplat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
