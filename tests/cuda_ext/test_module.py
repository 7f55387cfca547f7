"""The native package: it always imports, reports what is available, and follows its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import cuda_ext
from avatar import ops
from tests.avatar.ops.splat_scenes import camera, scene

ROOT = Path(__file__).parents[2]
needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_import_succeeds_without_the_compiled_module_and_reports_why() -> None:
    code = (
        "import sys; sys.modules['cuda_ext._C'] = None\n"
        "import cuda_ext; print(cuda_ext.available('cpu'), cuda_ext.simd_level(), cuda_ext.reason('cpu'))"
    )
    out = run(code)
    assert out.startswith("False none The native module is not built (")


def test_devices_that_have_no_kernels_are_not_available_and_the_reason_is_a_sentence() -> None:
    assert not cuda_ext.available("tpu")
    assert cuda_ext.reason("tpu").endswith(".")
    assert cuda_ext.reason("cuda").endswith(".")


@needs_native
def test_reason_of_the_cpu_names_level_and_threads() -> None:
    assert cuda_ext.reason("cpu") == f"CPU kernels at level {cuda_ext.simd_level()} on {cuda_ext.threads()} threads."


@needs_native
@pytest.mark.parametrize(("selected", "found"), [("portable", "portable"), ("v2", "v2")])
def test_environment_selects_a_level(selected: str, found: str) -> None:
    try:
        before = cuda_ext.simd_level()
        cuda_ext.set_simd_level(selected)
        cuda_ext.set_simd_level(before)
    except ValueError:
        pytest.skip(f"this processor has no {selected}")
    assert run("import cuda_ext; print(cuda_ext.simd_level())", HEADSPLAT_SIMD=selected) == found


@needs_native
def test_environment_with_an_unknown_level_is_ignored() -> None:
    out = run("import cuda_ext; print(cuda_ext.simd_level())", HEADSPLAT_SIMD="v9")
    assert out in ("v4", "v3", "v2", "neon", "portable")


@needs_native
def test_an_unknown_level_and_zero_threads_are_rejected() -> None:
    with pytest.raises(ValueError, match="name: expected v4, v3, v2, neon or portable"):
        cuda_ext.set_simd_level("avx9")
    with pytest.raises(ValueError, match="count: expected 1 or more, got 0"):
        cuda_ext.set_threads(0)


@needs_native
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity mask")
def test_threads_follow_the_affinity_mask() -> None:
    one = min(os.sched_getaffinity(0))
    assert run(f"import os; os.sched_setaffinity(0, {{{one}}}); import cuda_ext; print(cuda_ext.threads())") == "1"


@needs_native
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_every_task_of_a_call_runs_once(threads: int) -> None:
    before = cuda_ext.threads()
    grad = torch.ones(16384 * 40)  # 16384 parameters are a task
    param, m, v = (torch.zeros_like(grad) for _ in range(3))
    try:
        cuda_ext.set_threads(threads)
        for tasks in [1, 2, 3, 7, 8, 9, 17, 40] * 20:
            part = slice(0, 16384 * tasks)
            for values in (param, m, v):
                values.zero_()
            # In place, so that a task that ran twice, or not at all, leaves another value.
            ops.adam_step(param[part], grad[part], m[part], v[part], 1.0, 0.0, 0.0, 0.0, 1)
            ops.adam_step(param[part], grad[part], m[part], v[part], 1.0, 0.0, 0.0, 0.0, 2)
            assert torch.equal(param[part], torch.full_like(param[part], -2.0))
            assert not param[part.stop :].any()
    finally:
        cuda_ext.set_threads(before)


@needs_native
def test_calls_from_several_python_threads_give_the_same_images() -> None:
    inputs, view = scene(1, 300), camera()
    expected = ops.splat(*inputs, view).rgb
    with ThreadPoolExecutor(4) as workers:
        images = list(workers.map(lambda _: ops.splat(*inputs, view).rgb, range(40)))
    assert all(torch.equal(image, expected) for image in images)


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_can_use_the_kernels() -> None:
    code = (
        "import os, torch\n"
        "torch.set_num_threads(1)\n"
        "from avatar import ops\n"
        "from tests.avatar.ops.splat_scenes import camera, scene\n"
        "inputs, view = scene(1, 300), camera()\n"
        "expected = ops.splat(*inputs, view).rgb\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if torch.equal(ops.splat(*inputs, view).rgb, expected) else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert run(code) == "0"


@needs_native
def test_native_calls_reject_arrays_of_the_wrong_size() -> None:
    with pytest.raises(ValueError, match="an array has the wrong number of elements"):
        cuda_ext.native().ssim(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4, 2), torch.zeros(1), None)
