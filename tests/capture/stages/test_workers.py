"""Worker threads of the stages."""

from __future__ import annotations

import cv2

from capture.stages.workers import Pool


def test_opencv_starts_no_threads_beside_those_of_a_pool() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with Pool() as pool:
            assert pool.submit(cv2.getNumThreads).result() == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
