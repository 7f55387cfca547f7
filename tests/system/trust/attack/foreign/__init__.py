"""Files, packets and media as other programs write them, from a known motion: read right, with a note, or refused."""

from __future__ import annotations

from tests.system.trust.attack.cases import Case
from tests.system.trust.attack.foreign import media, motions, packets
from tests.system.trust.attack.scene import Scene


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    return [*motions.cases(scene), *packets.cases(scene), *media.cases(scene)]
