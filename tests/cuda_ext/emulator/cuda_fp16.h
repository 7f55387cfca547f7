// Half precision for the emulator: storage and conversion to float, which is all that the kernels use.
#pragma once

#include <cstdint>
#include <cstring>

struct __half {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};

inline float __half2float(__half half) {
  const uint32_t sign = static_cast<uint32_t>(half.bits & 0x8000u) << 16;
  const uint32_t exponent = (half.bits >> 10) & 31u, fraction = half.bits & 1023u;
  uint32_t bits;
  if (exponent == 0) {
    const float small = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
    std::memcpy(&bits, &small, sizeof bits);
    bits |= sign;
  } else {
    bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
  }
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
