// One vector type per instruction-set level, of floats (portable: of Scalar): AVX-512 (v4), AVX2 (v3), SSE4.2 (v2),
// NEON of 64-bit ARM (neon), plain loops (portable).
//
// All have kWidth lanes, the arithmetic operators, and the functions below. Masks result from comparisons, combine with
// & and are used by select(); a comparison with NaN is false.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../math.h"

#if defined(HEADSPLAT_USE_AVX512) || defined(HEADSPLAT_USE_AVX2) || defined(HEADSPLAT_USE_SSE)
#include <immintrin.h>
#elif defined(HEADSPLAT_USE_NEON)
#include <arm_neon.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace headsplat {
namespace HEADSPLAT_LEVEL {

#if defined(HEADSPLAT_USE_AVX512)

constexpr int kWidth = 16;
struct Mask {
  __mmask16 m;
};
struct Vec {
  __m512 v;
  Vec() = default;
  Vec(__m512 value) : v(value) {}
  explicit Vec(float value) : v(_mm512_set1_ps(value)) {}
};
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec operator+(Vec a, Vec b) { return _mm512_add_ps(a.v, b.v); }
inline Vec operator-(Vec a, Vec b) { return _mm512_sub_ps(a.v, b.v); }
inline Vec operator*(Vec a, Vec b) { return _mm512_mul_ps(a.v, b.v); }
inline Vec operator/(Vec a, Vec b) { return _mm512_div_ps(a.v, b.v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
inline Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }
inline Vec smaller(Vec a, Vec b) { return _mm512_min_ps(a.v, b.v); }
inline Vec larger(Vec a, Vec b) { return _mm512_max_ps(a.v, b.v); }
inline Vec root(Vec a) { return _mm512_sqrt_ps(a.v); }
inline Mask operator>(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask operator>=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
inline Mask operator<=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
inline Mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.m & b.m)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return _mm512_mask_blend_ps(m.m, no.v, yes.v); }
inline Vec keep(Mask m, Vec a) { return _mm512_maskz_mov_ps(m.m, a.v); }
inline uint32_t bits(Mask m) { return m.m; }
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline Vec scale_by_power_of_two(Vec a, Vec whole) { return _mm512_scalef_ps(a.v, whole.v); }
inline Vec nearest(Vec a) { return _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline __m256 halves(Vec a) { return _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)); }

#elif defined(HEADSPLAT_USE_AVX2)

constexpr int kWidth = 8;
struct Mask {
  __m256 m;
};
struct Vec {
  __m256 v;
  Vec() = default;
  Vec(__m256 value) : v(value) {}
  explicit Vec(float value) : v(_mm256_set1_ps(value)) {}
};
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec operator+(Vec a, Vec b) { return _mm256_add_ps(a.v, b.v); }
inline Vec operator-(Vec a, Vec b) { return _mm256_sub_ps(a.v, b.v); }
inline Vec operator*(Vec a, Vec b) { return _mm256_mul_ps(a.v, b.v); }
inline Vec operator/(Vec a, Vec b) { return _mm256_div_ps(a.v, b.v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
inline Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
inline Vec smaller(Vec a, Vec b) { return _mm256_min_ps(a.v, b.v); }
inline Vec larger(Vec a, Vec b) { return _mm256_max_ps(a.v, b.v); }
inline Vec root(Vec a) { return _mm256_sqrt_ps(a.v); }
inline Mask operator>(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask operator>=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
inline Mask operator<=(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
inline Mask operator==(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask operator&(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return _mm256_blendv_ps(no.v, yes.v, m.m); }
inline Vec keep(Mask m, Vec a) { return _mm256_and_ps(m.m, a.v); }
inline uint32_t bits(Mask m) { return static_cast<uint32_t>(_mm256_movemask_ps(m.m)); }
inline float sum(Vec a) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}
// `shifted` is an integer plus 1.5 * 2^23.
inline Vec scale_by_power_of_two(Vec a, Vec shifted) {
  const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted.v), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), power));
}

inline __m256 halves(Vec a) { return a.v; }

#elif defined(HEADSPLAT_USE_SSE)

constexpr int kWidth = 4;
struct Mask {
  __m128 m;
};
struct Vec {
  __m128 v;
  Vec() = default;
  Vec(__m128 value) : v(value) {}
  explicit Vec(float value) : v(_mm_set1_ps(value)) {}
};
inline Vec load(const float* p) { return _mm_loadu_ps(p); }
inline void store(float* p, Vec a) { _mm_storeu_ps(p, a.v); }
inline Vec operator+(Vec a, Vec b) { return _mm_add_ps(a.v, b.v); }
inline Vec operator-(Vec a, Vec b) { return _mm_sub_ps(a.v, b.v); }
inline Vec operator*(Vec a, Vec b) { return _mm_mul_ps(a.v, b.v); }
inline Vec operator/(Vec a, Vec b) { return _mm_div_ps(a.v, b.v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm_add_ps(_mm_mul_ps(a.v, b.v), c.v); }
inline Vec fnma(Vec a, Vec b, Vec c) { return _mm_sub_ps(c.v, _mm_mul_ps(a.v, b.v)); }
inline Vec smaller(Vec a, Vec b) { return _mm_min_ps(a.v, b.v); }
inline Vec larger(Vec a, Vec b) { return _mm_max_ps(a.v, b.v); }
inline Vec root(Vec a) { return _mm_sqrt_ps(a.v); }
inline Mask operator>(Vec a, Vec b) { return {_mm_cmpgt_ps(a.v, b.v)}; }
inline Mask operator>=(Vec a, Vec b) { return {_mm_cmpge_ps(a.v, b.v)}; }
inline Mask operator<=(Vec a, Vec b) { return {_mm_cmple_ps(a.v, b.v)}; }
inline Mask operator==(Vec a, Vec b) { return {_mm_cmpeq_ps(a.v, b.v)}; }
inline Mask operator&(Mask a, Mask b) { return {_mm_and_ps(a.m, b.m)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return _mm_blendv_ps(no.v, yes.v, m.m); }
inline Vec keep(Mask m, Vec a) { return _mm_and_ps(m.m, a.v); }
inline uint32_t bits(Mask m) { return static_cast<uint32_t>(_mm_movemask_ps(m.m)); }
inline float sum(Vec a) {
  const __m128 half = _mm_add_ps(a.v, _mm_movehl_ps(a.v, a.v));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}
// `shifted` is an integer plus 1.5 * 2^23.
inline Vec scale_by_power_of_two(Vec a, Vec shifted) {
  const __m128i power = _mm_slli_epi32(_mm_castps_si128(shifted.v), 23);
  return _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(a.v), power));
}

#elif defined(HEADSPLAT_USE_NEON)

constexpr int kWidth = 4;
struct Mask {
  uint32x4_t m;
};
struct Vec {
  float32x4_t v;
  Vec() = default;
  Vec(float32x4_t value) : v(value) {}
  explicit Vec(float value) : v(vdupq_n_f32(value)) {}
};
inline Vec load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline Vec operator+(Vec a, Vec b) { return vaddq_f32(a.v, b.v); }
inline Vec operator-(Vec a, Vec b) { return vsubq_f32(a.v, b.v); }
inline Vec operator*(Vec a, Vec b) { return vmulq_f32(a.v, b.v); }
inline Vec operator/(Vec a, Vec b) { return vdivq_f32(a.v, b.v); }
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c.v, a.v, b.v); }
inline Vec fnma(Vec a, Vec b, Vec c) { return vfmsq_f32(c.v, a.v, b.v); }
// The second number where one is NaN, as on the other levels; vminq_f32 would return NaN.
inline Vec smaller(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v); }
inline Vec larger(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v); }
inline Vec root(Vec a) { return vsqrtq_f32(a.v); }
inline Mask operator>(Vec a, Vec b) { return {vcgtq_f32(a.v, b.v)}; }
inline Mask operator>=(Vec a, Vec b) { return {vcgeq_f32(a.v, b.v)}; }
inline Mask operator<=(Vec a, Vec b) { return {vcleq_f32(a.v, b.v)}; }
inline Mask operator==(Vec a, Vec b) { return {vceqq_f32(a.v, b.v)}; }
inline Mask operator&(Mask a, Mask b) { return {vandq_u32(a.m, b.m)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return vbslq_f32(m.m, yes.v, no.v); }
inline Vec keep(Mask m, Vec a) { return vreinterpretq_f32_u32(vandq_u32(m.m, vreinterpretq_u32_f32(a.v))); }
inline uint32_t bits(Mask m) {
  const uint32_t lanes[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(m.m, vld1q_u32(lanes)));
}
inline float sum(Vec a) {
  const float32x2_t half = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(half, 0) + vget_lane_f32(half, 1);
}
inline Vec nearest(Vec a) { return vrndnq_f32(a.v); }
inline Vec scale_by_power_of_two(Vec a, Vec whole) {
  const int32x4_t power = vshlq_n_s32(vcvtq_s32_f32(whole.v), 23);
  return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a.v), power));
}

#else

constexpr int kWidth = 4;
struct Mask {
  bool m[kWidth];
};
struct Vec {
  Scalar v[kWidth];
  Vec() = default;
  explicit Vec(Scalar value) {
    for (Scalar& lane : v) lane = value;
  }
};
#define HEADSPLAT_LANES for (int i = 0; i < kWidth; ++i)
inline Vec load(const Scalar* p) {
  Vec r;
  HEADSPLAT_LANES r.v[i] = p[i];
  return r;
}
inline void store(Scalar* p, Vec a) { HEADSPLAT_LANES p[i] = a.v[i]; }
#define HEADSPLAT_LANEWISE(signature, Result, expression) \
  inline Result signature {                               \
    Result r;                                             \
    HEADSPLAT_LANES expression;                           \
    return r;                                             \
  }
HEADSPLAT_LANEWISE(operator+(Vec a, Vec b), Vec, r.v[i] = a.v[i] + b.v[i])
HEADSPLAT_LANEWISE(operator-(Vec a, Vec b), Vec, r.v[i] = a.v[i] - b.v[i])
HEADSPLAT_LANEWISE(operator*(Vec a, Vec b), Vec, r.v[i] = a.v[i] * b.v[i])
HEADSPLAT_LANEWISE(operator/(Vec a, Vec b), Vec, r.v[i] = a.v[i] / b.v[i])
HEADSPLAT_LANEWISE(fma(Vec a, Vec b, Vec c), Vec, r.v[i] = a.v[i] * b.v[i] + c.v[i])
HEADSPLAT_LANEWISE(fnma(Vec a, Vec b, Vec c), Vec, r.v[i] = c.v[i] - a.v[i] * b.v[i])
HEADSPLAT_LANEWISE(smaller(Vec a, Vec b), Vec, r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i])
HEADSPLAT_LANEWISE(larger(Vec a, Vec b), Vec, r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i])
HEADSPLAT_LANEWISE(root(Vec a), Vec, r.v[i] = std::sqrt(a.v[i]))
HEADSPLAT_LANEWISE(nearest(Vec a), Vec, r.v[i] = std::nearbyint(a.v[i]))
HEADSPLAT_LANEWISE(operator>(Vec a, Vec b), Mask, r.m[i] = a.v[i] > b.v[i])
HEADSPLAT_LANEWISE(operator>=(Vec a, Vec b), Mask, r.m[i] = a.v[i] >= b.v[i])
HEADSPLAT_LANEWISE(operator<=(Vec a, Vec b), Mask, r.m[i] = a.v[i] <= b.v[i])
HEADSPLAT_LANEWISE(operator==(Vec a, Vec b), Mask, r.m[i] = a.v[i] == b.v[i])
HEADSPLAT_LANEWISE(operator&(Mask a, Mask b), Mask, r.m[i] = a.m[i] && b.m[i])
HEADSPLAT_LANEWISE(select(Mask m, Vec yes, Vec no), Vec, r.v[i] = m.m[i] ? yes.v[i] : no.v[i])
HEADSPLAT_LANEWISE(keep(Mask m, Vec a), Vec, r.v[i] = m.m[i] ? a.v[i] : 0.0f)
inline uint32_t bits(Mask m) {
  uint32_t r = 0;
  HEADSPLAT_LANES r |= static_cast<uint32_t>(m.m[i]) << i;
  return r;
}
inline Scalar sum(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
#if defined(HEADSPLAT_DOUBLE)
HEADSPLAT_LANEWISE(exp2(Vec x), Vec, r.v[i] = std::exp2(x.v[i]))
#else
inline Vec scale_by_power_of_two(Vec a, Vec whole) {
  Vec r;
  HEADSPLAT_LANES {
    int32_t word;
    std::memcpy(&word, &a.v[i], 4);
    word += static_cast<int32_t>(whole.v[i]) * (1 << 23);
    std::memcpy(&r.v[i], &word, 4);
  }
  return r;
}
#endif
#undef HEADSPLAT_LANEWISE
#undef HEADSPLAT_LANES

#endif

// out[k] = sum of the lanes of a[k], k in 0..7.
#if defined(HEADSPLAT_USE_AVX512) || defined(HEADSPLAT_USE_AVX2)
inline void store_sums(Scalar* out, const Vec* a) {
  const __m256 pair0 = _mm256_hadd_ps(halves(a[0]), halves(a[1])), pair1 = _mm256_hadd_ps(halves(a[2]), halves(a[3]));
  const __m256 pair2 = _mm256_hadd_ps(halves(a[4]), halves(a[5])), pair3 = _mm256_hadd_ps(halves(a[6]), halves(a[7]));
  const __m256 low = _mm256_hadd_ps(pair0, pair1), high = _mm256_hadd_ps(pair2, pair3);
  _mm256_storeu_ps(out,
                   _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)));
}
#else
inline void store_sums(Scalar* out, const Vec* a) {
  for (int k = 0; k < 8; ++k) out[k] = sum(a[k]);
}
#endif

#if !defined(HEADSPLAT_DOUBLE)
// 2^x for x in [-126, 126], relative error below 3e-6, exact at integers; for any other x, NaN included, the result is
// unspecified. Degree-4 minimax polynomial.
inline Vec exp2(Vec x) {
#if defined(HEADSPLAT_USE_AVX2) || defined(HEADSPLAT_USE_SSE)
  // Adding 1.5 * 2^23 puts the nearest integer into the lowest bits.
  const Vec shifted = x + Vec(12582912.0f);
  const Vec part = x - (shifted - Vec(12582912.0f));
#else
  x = larger(x, Vec(-126.0f));
  const Vec shifted = nearest(x), part = x - shifted;
#endif
  Vec p = fma(Vec(0.00958283f), part, Vec(0.05590637f));
  p = fma(p, part, Vec(0.24024099f));
  p = fma(p, part, Vec(0.6931242f));
  p = fma(p, part, Vec(1.0f));
  return scale_by_power_of_two(p, shifted);
}
#endif  // HEADSPLAT_DOUBLE

constexpr Scalar kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Conversion from half precision (IEEE 754 binary16).
inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, exponent = half >> 10 & 31u, part = half & 1023u;
  if (exponent == 0) {
    const float small = static_cast<float>(part) * 5.9604644775390625e-8f;  // 2^-24
    return sign ? -small : small;
  }
  const uint32_t word = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23) | part << 13;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

// Loads kWidth half-precision numbers.
inline Vec load_halves(const uint16_t* p) {
#if defined(HEADSPLAT_USE_AVX512)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(HEADSPLAT_USE_AVX2)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(HEADSPLAT_USE_NEON)
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
  Scalar lanes[kWidth];
  for (int lane = 0; lane < kWidth; ++lane) lanes[lane] = half_to_float(p[lane]);
  return load(lanes);
#endif
}

// kWidth bfloat16 numbers, the upper 16 bits of floats; stores round to nearest even.
#if defined(HEADSPLAT_USE_AVX512)
inline Vec load_bf16(const uint16_t* p) {
  const __m256i bf16 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}
inline void store_bf16(uint16_t* p, Vec a) {
  const __m512i word = _mm512_castps_si512(a.v),
                odd = _mm512_and_si512(_mm512_srli_epi32(word, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(word, odd), _mm512_set1_epi32(0x7fff));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}
#elif defined(HEADSPLAT_USE_AVX2)
inline Vec load_bf16(const uint16_t* p) {
  const __m128i bf16 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
}
inline void store_bf16(uint16_t* p, Vec a) {
  const __m256i word = _mm256_castps_si256(a.v),
                odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(word, odd), _mm256_set1_epi32(0x7fff));
  const __m256i upper = _mm256_srli_epi32(rounded, 16), packed = _mm256_packus_epi32(upper, upper);
  const __m128i bf16 = _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bf16);
}
#elif defined(HEADSPLAT_USE_NEON)
inline Vec load_bf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
inline void store_bf16(uint16_t* p, Vec a) {
  const uint32x4_t word = vreinterpretq_u32_f32(a.v), odd = vandq_u32(vshrq_n_u32(word, 16), vdupq_n_u32(1));
  vst1_u16(p, vshrn_n_u32(vaddq_u32(vaddq_u32(word, odd), vdupq_n_u32(0x7fff)), 16));
}
#else
inline Vec load_bf16(const uint16_t* p) {
  Scalar lanes[kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    const uint32_t word = static_cast<uint32_t>(p[lane]) << 16;
    float value;
    std::memcpy(&value, &word, sizeof value);
    lanes[lane] = value;
  }
  return load(lanes);
}
inline void store_bf16(uint16_t* p, Vec a) {
  Scalar lanes[kWidth];
  store(lanes, a);
  for (int lane = 0; lane < kWidth; ++lane) {
    const float value = static_cast<float>(lanes[lane]);
    uint32_t word;
    std::memcpy(&word, &value, sizeof word);
    p[lane] = static_cast<uint16_t>((word + (word >> 16 & 1u) + 0x7fffu) >> 16);
  }
}
#endif

// Index of the lowest set bit of a nonzero number.
inline int lowest_bit(uint32_t value) {
#if defined(_MSC_VER)
  unsigned long index;
  _BitScanForward(&index, value);
  return static_cast<int>(index);
#else
  return __builtin_ctz(value);
#endif
}

inline void prefetch(const void* address) {
#if defined(_MSC_VER)
  (void)address;
#else
  __builtin_prefetch(address);
#endif
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
