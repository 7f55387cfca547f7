// Linear blendshapes over a flat range of values, and the gradient of their weights.
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

struct Single {
  using Number = Scalar;
  static Vec read(const Scalar* p) { return load(p); }
  static Scalar one(Scalar value) { return value; }
};

struct Half {
  using Number = uint16_t;
  static Vec read(const uint16_t* p) { return load_halves(p); }
  static float one(uint16_t value) { return half_to_float(value); }
};

template <class Format>
void add_scaled(const typename Format::Number* source, Scalar weight, size_t count, Scalar* out) {
  const Vec factor(weight);
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(out + i, fma(factor, Format::read(source + i), load(out + i)));
  for (; i < count; ++i) out[i] += weight * Format::one(source[i]);
}

template <class Format>
Scalar dot(const typename Format::Number* basis, const Scalar* grad, size_t count) {
  Vec sums[4] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
  size_t i = 0;
  for (; i + 4 * kWidth <= count; i += 4 * kWidth)
    for (int part = 0; part < 4; ++part) {
      const size_t at = i + part * kWidth;
      sums[part] = fma(Format::read(basis + at), load(grad + at), sums[part]);
    }
  Scalar total = sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < count; ++i) total += Format::one(basis[i]) * grad[i];
  return total;
}

template <class Format>
void blend_as(const BlendInputs& in, size_t begin, size_t end, Scalar* out) {
  const auto* basis = static_cast<const typename Format::Number*>(in.basis);
  for (int b = 0; b < in.batch; ++b) {
    Scalar* target = out + b * in.size + begin;
    if (in.base) {
      std::memcpy(target, in.base + begin, sizeof(Scalar) * (end - begin));
    } else {
      std::memset(target, 0, sizeof(Scalar) * (end - begin));
    }
  }
  for (int k = 0; k < in.bases; ++k)
    for (int b = 0; b < in.batch; ++b) {
      const Scalar weight = in.weights[b * in.bases + k];
      if (weight != 0.0f)
        add_scaled<Format>(basis + k * in.size + begin, weight, end - begin, out + b * in.size + begin);
    }
}

template <class Format>
void dots_as(const BlendInputs& in, const Scalar* grad, size_t begin, size_t end, Scalar* sums) {
  const auto* basis = static_cast<const typename Format::Number*>(in.basis);
  for (int k = 0; k < in.bases; ++k)
    for (int b = 0; b < in.batch; ++b)
      sums[b * in.bases + k] = dot<Format>(basis + k * in.size + begin, grad + b * in.size + begin, end - begin);
}

}  // namespace

void blend_range(const BlendInputs& in, size_t begin, size_t end, Scalar* out) {
  in.half ? blend_as<Half>(in, begin, end, out) : blend_as<Single>(in, begin, end, out);
}

void blend_dots(const BlendInputs& in, const Scalar* grad, size_t begin, size_t end, Scalar* sums) {
  in.half ? dots_as<Half>(in, grad, begin, end, sums) : dots_as<Single>(in, grad, begin, end, sums);
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
