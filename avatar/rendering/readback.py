"""Images on their way from the device that renders them to the host: to an encoder, or to the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor


class Readback:
    """Reads images back from a device, in a stream of its own: meanwhile the device can render the next frame.

    Images of the CPU are not copied. Copies from a GPU arrive in page-locked memory, which PyTorch allocates and
    reuses: a caller that starts a frame before it has read the last one alternates between two buffers. Tested with a
    pretended GPU (tests/support/pretended.py) whose copies end as late as allowed; it has not run on a real one.
    """

    def __init__(self, device: torch.device) -> None:
        """Args: where the images are."""
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, images: Mapping[str, Tensor]) -> Callable[[], dict[str, np.ndarray]]:
        """Start to copy the images of one frame.

        Args:
            images: of any shape and dtype, on the device. On a GPU they may be overwritten from now on, on the CPU once
                the arrays are not used any more: those share their memory.

        Returns:
            A function that waits for the copies and returns arrays of the same names, shapes and dtypes.
        """
        stream = self._stream
        if stream is None:
            return lambda: {name: image.numpy() for name, image in images.items()}
        staged = {name: image.clone() for name, image in images.items()}  # the next frame overwrites `images`
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        with torch.cuda.stream(stream):
            on_host = {name: image.to("cpu", non_blocking=True) for name, image in staged.items()}
            copied = stream.record_event()
        for image in staged.values():
            image.record_stream(stream)  # the allocator must not reuse it before it is copied

        def read() -> dict[str, np.ndarray]:
            copied.synchronize()
            return {name: image.numpy() for name, image in on_host.items()}

        return read
