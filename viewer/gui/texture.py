"""Pictures on the graphics card, for imgui to draw."""

from __future__ import annotations

import logging
from typing import Any

import moderngl
import numpy as np
from imgui_bundle import imgui, immvision

log = logging.getLogger(__name__)


class Texture:
    """One picture that changes; made and used inside the window's frames, where its OpenGL context is current."""

    def __init__(self) -> None:
        try:
            self._context: Any = moderngl.get_context()
        except Exception as error:  # whatever the loader of the platform throws; under Wayland it finds none
            log.info("moderngl: no context (%s); pictures are uploaded through imgui, which takes longer", error)
            self._context = None
        self._slow = immvision.GlTexture() if self._context is None else None
        self._texture: Any = None
        self.size = (0, 0)  # width and height, pixels

    def show(self, picture: np.ndarray) -> None:
        """Take a picture, uint8 [H,W,3]."""
        height, width = picture.shape[:2]
        if self._slow is not None:
            self._slow.update_from_image(np.ascontiguousarray(picture))
        elif self.size != (width, height):
            if self._texture is not None:
                self._texture.release()
            self._texture = self._context.texture((width, height), 3, picture.tobytes(), alignment=1)
            self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        else:
            self._texture.write(np.ascontiguousarray(picture), alignment=1)
        self.size = width, height

    def reference(self) -> imgui.ImTextureRef:
        """What imgui draws it by."""
        return imgui.ImTextureRef(self._slow.texture_id if self._slow is not None else self._texture.glo)
