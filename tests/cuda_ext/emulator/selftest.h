// What tests/cuda_ext/test_emulator.py starts.
#pragma once

#include <cstdint>

namespace emulator {

void start_see_warp(int* out, int threads);
void start_pass_around(int rounds, int* out, int* votes, int threads);
void start_wrong(int which);
void start_sort(const uint32_t* keys, const uint32_t* values, uint32_t* keys_out, uint32_t* values_out, uint32_t* sums,
                int count, int end_bit);

}  // namespace emulator
