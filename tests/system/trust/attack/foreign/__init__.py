"""Files, packets and media as other programs write them, from a known motion: read right, with a note, or refused."""

from __future__ import annotations

import re

from tests.system.trust.attack.cases import Case
from tests.system.trust.attack.foreign import media, motions, packets
from tests.system.trust.attack.scene import Scene

#: Names of cases that fail: known defects, left out until they are mended.
OPEN = ("^packets: (Live Link Face, degrees|iFacialMocap, weights to 1)$",)


def cases(scene: Scene) -> list[Case]:
    """All cases of the class but the open ones."""
    found = [*motions.cases(scene), *packets.cases(scene), *media.cases(scene)]
    return [case for case in found if not any(re.search(pattern, case.name) for pattern in OPEN)]
