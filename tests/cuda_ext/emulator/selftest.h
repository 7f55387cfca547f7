// Launchers of the kernels in selftest.cu, for tests/cuda_ext/test_emulator.py.
#pragma once

#include <cstdint>

namespace emulator {

void launch_warp_intrinsics(int* out, int threads);
void launch_ring_shift(int rounds, int* out, int* votes, int threads);
void launch_invalid(int which);
void run_sort_and_sum(const uint32_t* keys, const uint32_t* values, uint32_t* keys_out, uint32_t* values_out,
                      uint32_t* sums, int count, int end_bit);

}  // namespace emulator
