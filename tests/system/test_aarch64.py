"""The kernels for 64-bit ARM, compiled by a cross compiler and run by an emulator of that processor.

On Debian and Ubuntu: `apt-get install g++-aarch64-linux-gnu qemu-user-static`.
"""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
#: As in cuda_ext/CMakeLists.txt, with less optimization, which is done in a fraction of the time.
FLAGS = ["-std=c++17", "-O1", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-static", "-pthread"]
SOURCES = (
    "tests/cuda_ext/level_values.cpp",
    *(f"cuda_ext/cpu/{name}.cpp" for name in ("project", "tiles", "raster", "splat_batch", "memory", "threads")),
)
LEVELS = {"portable": [], "neon": ["-DHEADSPLAT_USE_NEON"]}
#: Of the largest value: what a fused multiplication and addition rounds otherwise. Everything else has the same bits.
ROUNDED = {
    **dict.fromkeys(("fma", "fnma"), 3e-7),
    "exp2": 3e-6,
    **dict.fromkeys(("image_rgb", "image_alpha"), 1e-6),
    "image_depth": 1e-4,  # where the Gaussians are almost transparent, depth is a quotient of small numbers
    **dict.fromkeys(("grad_means", "grad_quats", "grad_scales", "grad_opacities", "grad_colors"), 1e-5),
}


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """By level and name, the numbers that each level computes."""
    if lacking := [name for name in (COMPILER, EMULATOR) if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(lacking)} (g++-aarch64-linux-gnu and qemu-user-static)")
    folder = tmp_path_factory.mktemp("aarch64")

    def run(level: str) -> dict[str, np.ndarray]:
        program = folder / level
        command = [COMPILER, *FLAGS, *LEVELS[level], f"-DHEADSPLAT_LEVEL={level}", "-Icuda_ext", "-o", str(program)]
        done = subprocess.run([*command, *SOURCES], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        text = subprocess.run([EMULATOR, str(program)], capture_output=True, text=True, check=True).stdout
        rows = (line.split() for line in text.splitlines())
        return {name: np.array([int(word, 16) for word in words], np.uint32).view(np.float32) for name, *words in rows}

    with ThreadPoolExecutor(2) as workers:
        return dict(zip(LEVELS, workers.map(run, LEVELS), strict=True))


def test_neon_computes_what_plain_loops_do(values: dict[str, dict[str, np.ndarray]]) -> None:
    portable, neon = values["portable"], values["neon"]
    assert list(neon) == list(portable) and set(ROUNDED) < set(portable)
    other = [name for name in portable if neon[name].tobytes() != portable[name].tobytes()]
    assert set(other) <= set(ROUNDED)
    for name in other:
        finite = np.isfinite(portable[name])
        np.testing.assert_array_equal(np.isfinite(neon[name]), finite, err_msg=name)
        expected, found = portable[name][finite].astype(np.float64), neon[name][finite].astype(np.float64)
        # Images and gradients by the largest, single operations by each value's own size.
        size = np.abs(expected).max() if "_" in name else np.maximum(np.abs(expected), 1)
        assert (np.abs(found - expected) / size).max() < ROUNDED[name], name


def test_the_image_shows_the_gaussians(values: dict[str, dict[str, np.ndarray]]) -> None:
    alpha = values["neon"]["image_alpha"]
    assert alpha.max() > 0.9 and 0.1 < np.mean(alpha > 0.1) < 0.9
    assert all(np.abs(values["neon"][f"grad_{name}"]).max() > 1e-3 for name in ("means", "scales", "colors"))
