"""`cuda_ext.reason("cuda")`: every cause of missing CUDA has a message with a remedy."""

from __future__ import annotations

import pytest

import cuda_ext
from cuda_ext._devices import DeviceState, problem, runs_on

DEFAULT = "80-real 90-real 90-virtual"


def test_a_build_without_cuda_code_says_how_to_get_it() -> None:
    assert problem("", None).startswith("This build has no CUDA kernels; install the CUDA toolkit (nvcc)")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (DeviceState(13000, 0, [], "insufficient driver"), "No NVIDIA driver is installed; install one"),
        (
            DeviceState(13000, 12040, [], "insufficient driver"),
            "supports CUDA up to 12.4 and the kernels require 13.0; update",
        ),
        (DeviceState(13000, 13000, [], "no device"), "finds no usable device (no device); check `nvidia-smi`"),
        (DeviceState(13000, 13000, [(7, 5)], ""), "No device (compute capability 7.5) can run the compiled"),
    ],
    ids=["no driver", "old driver", "no device", "old device"],
)
def test_a_missing_part_is_named_with_its_remedy(state: DeviceState, words: str) -> None:
    sentence = problem(DEFAULT, state)
    assert words in sentence
    assert sentence.endswith("or use the CPU.")


def test_one_device_that_fits_is_enough() -> None:
    assert problem(DEFAULT, DeviceState(13000, 13010, [(7, 5), (9, 0)], "")) == ""


@pytest.mark.parametrize(
    ("architectures", "capability", "fits"),
    [
        (DEFAULT, (8, 0), True),
        (DEFAULT, (8, 9), True),  # machine code runs on later minor versions of its major version
        (DEFAULT, (10, 0), True),  # through the PTX for 9.0
        (DEFAULT, (7, 5), False),
        ("80-real", (9, 0), False),
        ("86-real", (8, 0), False),
        ("75", (12, 0), True),  # without a suffix both kinds are compiled in
        ("native", (8, 6), True),
    ],
)
def test_compiled_code_runs_on_the_devices_that_cuda_documents(
    architectures: str, capability: tuple[int, int], fits: bool
) -> None:
    assert runs_on(architectures, capability) is fits


def test_available_and_reason_agree_on_this_machine() -> None:
    can_run = cuda_ext.available("cuda")
    assert cuda_ext.reason("cuda").startswith("CUDA kernels for") is can_run
    assert not can_run or cuda_ext.cuda_architectures()
