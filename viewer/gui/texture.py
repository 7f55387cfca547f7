"""Images in graphics memory, for imgui."""

from __future__ import annotations

import logging
from typing import Any

import moderngl
import numpy as np
from imgui_bundle import imgui, immvision

log = logging.getLogger(__name__)


class Texture:
    """An image that changes; created and used in the window's frames, where its OpenGL context is current."""

    def __init__(self) -> None:
        try:
            self._context: Any = moderngl.get_context()
        except Exception as error:  # any exception of the platform's loader; under Wayland there is no context
            log.info("moderngl: no context (%s); images are uploaded through imgui, which is slower", error)
            self._context = None
        self._fallback = immvision.GlTexture() if self._context is None else None
        self._texture: Any = None
        self.size = (0, 0)  # width and height, pixels

    def upload(self, image: np.ndarray) -> None:
        """Replace the image, uint8 [H,W,3]."""
        height, width = image.shape[:2]
        if self._fallback is not None:
            self._fallback.update_from_image(np.ascontiguousarray(image))
        elif self.size != (width, height):
            if self._texture is not None:
                self._texture.release()
            self._texture = self._context.texture((width, height), 3, image.tobytes(), alignment=1)
            self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        else:
            self._texture.write(np.ascontiguousarray(image), alignment=1)
        self.size = width, height

    def reference(self) -> imgui.ImTextureRef:
        """The reference for imgui."""
        return imgui.ImTextureRef(self._fallback.texture_id if self._fallback is not None else self._texture.glo)
