// Loads and stores of four numbers at a time where the alignment of the arrays allows it, otherwise of one.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "launch.h"

namespace headsplat {
namespace cuda {

// Whether arrays of `size` values at these addresses can be accessed as vectors of four.
template <class... Pointers>
bool can_vectorize(size_t size, const Pointers*... pointers) {
  return size % 4 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % (4 * sizeof(Pointers)) == 0) && ...);
}

template <int width>
__device__ inline void load_vector(const float* at, float* out) {
  if constexpr (width == 4) {
    const float4 packed = *reinterpret_cast<const float4*>(at);
    out[0] = packed.x;
    out[1] = packed.y;
    out[2] = packed.z;
    out[3] = packed.w;
  } else {
    out[0] = *at;
  }
}

template <int width>
__device__ inline void load_vector(const __half* at, float* out) {
  if constexpr (width == 4) {
    struct alignas(8) Packed {
      __half x, y, z, w;
    };
    const Packed packed = *reinterpret_cast<const Packed*>(at);
    out[0] = __half2float(packed.x);
    out[1] = __half2float(packed.y);
    out[2] = __half2float(packed.z);
    out[3] = __half2float(packed.w);
  } else {
    out[0] = __half2float(*at);
  }
}

template <int width>
__device__ inline void store_vector(float* at, const float* values) {
  if constexpr (width == 4)
    *reinterpret_cast<float4*>(at) = make_float4(values[0], values[1], values[2], values[3]);
  else
    *at = values[0];
}

}  // namespace cuda
}  // namespace headsplat
