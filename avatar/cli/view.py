"""`headsplat view`: an avatar in a window, by hand or along a motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import OptionalPath
from avatar.cli.exit_codes import DONE


@dataclass(frozen=True)
class ViewCommand:
    """Look at an avatar in a window: sliders, a motion file, camera, all kinds of pictures."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """the avatar"""
    motion: OptionalPath = None
    """play this motion: anything that `headsplat render --motion` takes as a file"""

    def run(self) -> int:
        """Open the window; returns the exit code once it is closed."""
        from avatar.asset import load_avatar
        from viewer.opening import open_any
        from viewer.session import Session
        from viewer.window import Window, WindowOptions, check_display

        check_display()
        avatar = load_avatar(self.avatar)
        session = Session(avatar, self.avatar.name)
        if self.motion is not None:
            open_any(self.motion, avatar)(session)
        Window(session, WindowOptions(title=f"{self.avatar.name} - headsplat")).run()
        return DONE
