"""Images in graphics memory, for imgui."""

from __future__ import annotations

import logging
from typing import Any

import moderngl
import numpy as np
import torch
from imgui_bundle import imgui, immvision
from torch import Tensor

from avatar.ops.shared_buffer import SharedBuffer

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
        self._buffer: Any = None  # of OpenGL, through which images of a GPU come
        self._shared: SharedBuffer | None = None  # the same, for CUDA
        self.size = (0, 0)  # width and height, pixels

    @property
    def drawn_by(self) -> str:
        """Vendor, renderer and version of OpenGL; empty where it is not known."""
        if self._context is None:
            return ""
        return ", ".join(str(self._context.info[name]) for name in ("GL_VENDOR", "GL_RENDERER", "GL_VERSION"))

    def upload(self, image: np.ndarray) -> None:
        """Replace the image, uint8 [H,W,3]."""
        height, width = image.shape[:2]
        if self._fallback is not None:
            self._fallback.update_from_image(np.ascontiguousarray(image))
        elif self.size != (width, height):
            self._create(width, height, image.tobytes())
        else:
            self._texture.write(np.ascontiguousarray(image), alignment=1)
        self.size = width, height

    def take(self, image: Tensor, device: torch.device) -> None:
        """Replace the image by one of a GPU, without a copy on the host.

        Args:
            image: uint8 [H,W,3] on the device, contiguous.
            device: it must draw the window, too.

        Raises:
            SharingError: CUDA and OpenGL do not share memory; the texture shows what it did, or nothing useful.
        """
        height, width = image.shape[:2]
        if self._shared is None or self._shared.size != image.nbytes:
            self.release_shared()
            self._buffer = self._context.buffer(reserve=image.nbytes, dynamic=True)
            self._shared = SharedBuffer(self._buffer.glo, image.nbytes, device)
        self._shared.fill(image)
        if self.size != (width, height):
            self._create(width, height, None)
        self._texture.write(self._buffer, alignment=1)
        self.size = width, height

    def release_shared(self) -> None:
        """Give the memory back that is shared with CUDA; while the context exists. Raises SharingError."""
        shared, self._shared = self._shared, None
        buffer, self._buffer = self._buffer, None
        try:
            if shared is not None:
                shared.release()
        finally:
            if buffer is not None:
                buffer.release()

    def pixels(self) -> np.ndarray:
        """A copy of what the texture holds, uint8 [H,W,3]."""
        width, height = self.size
        return np.frombuffer(self._texture.read(alignment=1), np.uint8).reshape(height, width, 3)

    def reference(self) -> imgui.ImTextureRef:
        """The reference for imgui."""
        return imgui.ImTextureRef(self._fallback.texture_id if self._fallback is not None else self._texture.glo)

    def _create(self, width: int, height: int, values: bytes | None) -> None:
        if self._texture is not None:
            self._texture.release()
        self._texture = self._context.texture((width, height), 3, values, alignment=1)
        self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
