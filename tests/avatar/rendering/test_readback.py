"""Images from a device to the host: no copy on the CPU; on the pretended GPU complete, though overwritten meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.rendering.readback import Readback
from tests.support.pretended import GPU, HOST, Device, EarlyCopy


def test_images_of_the_cpu_are_not_copied() -> None:
    image = torch.zeros(4, 3, dtype=torch.uint8)
    read = Readback(HOST).start({"rgb": image})
    image += 5
    assert read()["rgb"].ctypes.data == image.data_ptr()


def test_an_image_of_a_device_may_be_overwritten_before_it_is_read(gpu: Device) -> None:
    image, readback = torch.zeros(4, 3, dtype=torch.uint8, device=GPU), Readback(GPU)
    reads = []
    for level in (1, 2):
        image.fill_(level)
        reads.append(readback.start({"rgb": image, "depth": image[:, 0].float()}))
    image.fill_(3)
    assert not gpu.waits
    for level, read in enumerate(reads, 1):
        found = read()
        assert found["rgb"].dtype == np.uint8 and (found["rgb"] == level).all()
        assert found["depth"].dtype == np.float32 and (found["depth"] == level).all()
    assert dict(gpu.waits) == {"synchronize": 2}


def test_the_pretended_gpu_refuses_a_copy_before_its_source_is_computed(gpu: Device) -> None:
    with torch.cuda.stream(torch.cuda.Stream(GPU)), pytest.raises(EarlyCopy, match="call wait_stream first"):
        torch.zeros(3, device=GPU).to("cpu", non_blocking=True)


def test_the_pretended_gpu_refuses_a_copy_from_memory_that_may_be_reused(gpu: Device) -> None:
    stream, source = torch.cuda.Stream(GPU), torch.ones(3, device=GPU)
    stream.wait_stream(torch.cuda.current_stream(GPU))
    with torch.cuda.stream(stream):
        copy = source.to("cpu", non_blocking=True)
    assert (copy != 1).all()
    with pytest.raises(EarlyCopy, match="call record_stream"):
        stream.record_event().synchronize()
