// Sort and prefix sum in device memory. The caller provides the temporary memory; nothing synchronizes with the device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stream.h"

namespace headsplat {
namespace cuda {

// Bytes of temporary memory for `count` pairs or values; at least 1, does not access the device.
size_t sort_pairs_bytes(int count);
size_t exclusive_sum_bytes(int count);

// Stable sort of key-value pairs by the lowest `end_bit` bits of their keys. Inputs and outputs must not overlap.
void sort_pairs(void* temp, size_t temp_bytes, const uint32_t* keys_in, uint32_t* keys_out, const uint32_t* values_in,
                uint32_t* values_out, int count, int end_bit, Stream stream);

// out[i] = sum of in[0..i-1], modulo 2^32; in and out may be the same array.
void exclusive_sum(void* temp, size_t temp_bytes, const uint32_t* in, uint32_t* out, int count, Stream stream);

}  // namespace cuda
}  // namespace headsplat
