// Structural similarity of interleaved RGB images with an 11-tap separable Gaussian, a row at a time (Wang et al.
// 2004). A tap to the side is three floats away, so the channels never need to be taken apart.
#include "kernels.h"
#include "simd.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kReach = 5;
constexpr int kChannels = 3;
constexpr int kMargin = kSsimMargin;  // zeros on both sides of a row buffer
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;
// exp(-d^2 / (2 1.5^2)) over its sum, from the edge to the centre.
constexpr float kTap[kReach + 1] = {0.00102838008f, 0.00759875814f, 0.0360007721f,
                                    0.10936069f,    0.213005538f,   0.266011725f};

// The rows y-5..y+5 of an image, `zeros` where there are none.
void find_rows(const float* image, const float* zeros, int y, int height, size_t length, const float** rows) {
  for (int k = 0; k <= 2 * kReach; ++k) {
    const int at = y - kReach + k;
    rows[k] = at >= 0 && at < height ? image + at * length : zeros;
  }
}

// Loads kWidth floats at `at` of a row of `length`, zeros beyond its end.
inline Vec load_part(const float* row, size_t at, size_t length) {
  if (at + kWidth <= length) return load(row + at);
  float lanes[kWidth] = {};
  std::memcpy(lanes, row + at, sizeof(float) * (length - at));
  return load(lanes);
}

inline void store_part(float* row, size_t at, size_t length, Vec value) {
  if (at + kWidth <= length) return store(row + at, value);
  float lanes[kWidth];
  store(lanes, value);
  std::memcpy(row + at, lanes, sizeof(float) * (length - at));
}

// Blurred down the column: a, b, a^2, b^2, ab.
inline void blur_moments(const float* const* a, const float* const* b, size_t at, size_t length, Vec out[5]) {
  const Vec x = load_part(a[kReach], at, length), y = load_part(b[kReach], at, length), centre(kTap[kReach]);
  out[0] = centre * x;
  out[1] = centre * y;
  out[2] = out[0] * x;
  out[3] = out[1] * y;
  out[4] = out[0] * y;
  for (int k = 0; k < kReach; ++k) {
    const Vec tap(kTap[k]);
    const Vec p = load_part(a[k], at, length), q = load_part(a[2 * kReach - k], at, length);
    const Vec s = load_part(b[k], at, length), t = load_part(b[2 * kReach - k], at, length);
    out[0] = fma(tap, p + q, out[0]);
    out[1] = fma(tap, s + t, out[1]);
    out[2] = fma(tap, fma(p, p, q * q), out[2]);
    out[3] = fma(tap, fma(s, s, t * t), out[3]);
    out[4] = fma(tap, fma(p, s, q * t), out[4]);
  }
}

inline Vec blur_along(const float* centre) {
  Vec total = Vec(kTap[kReach]) * load(centre);
  for (int k = 0; k < kReach; ++k) {
    const int away = kChannels * (kReach - k);
    total = fma(Vec(kTap[k]), load(centre - away) + load(centre + away), total);
  }
  return total;
}

struct SsimPart {
  Vec value, by_mean, by_square, by_product;
};

// SSIM of one window from its blurred moments, and its derivatives by blurred a, a^2 and ab.
inline SsimPart ssim_of(const Vec m[5]) {
  const Vec two(2.0f);
  const Vec squares = fma(m[0], m[0], m[1] * m[1]), product = m[0] * m[1];
  const Vec top1 = fma(two, product, Vec(kC1)), top2 = fma(two, m[4] - product, Vec(kC2));
  const Vec low1 = squares + Vec(kC1), low2 = m[2] + m[3] - squares + Vec(kC2);
  const Vec inverse = Vec(1.0f) / (low1 * low2);
  SsimPart part;
  part.value = top1 * top2 * inverse;
  part.by_square = Vec(0.0f) - part.value * low1 * inverse;
  part.by_product = two * top1 * inverse;
  part.by_mean = two * (m[1] * (top2 - top1) * inverse - m[0] * part.value * (low2 - low1) * inverse);
  return part;
}

}  // namespace

void ssim_rows(const SsimImage& image, int begin, int end, float* buffer) {
  const size_t length = static_cast<size_t>(image.width) * kChannels, padded = length + 2 * kMargin;
  const float* zeros = image.zeros;
  for (int y = begin; y < end; ++y) {
    const float *a[2 * kReach + 1], *b[2 * kReach + 1];
    find_rows(image.a, zeros, y, image.height, length, a);
    find_rows(image.b, zeros, y, image.height, length, b);
    for (size_t at = 0; at < length; at += kWidth) {
      Vec moment[5];
      blur_moments(a, b, at, length, moment);
      for (int k = 0; k < 5; ++k) store(buffer + k * padded + kMargin + at, moment[k]);
    }
    Vec total(0.0f);
    float* out = image.partials ? image.partials + 3 * static_cast<size_t>(y) * length : nullptr;
    for (size_t at = 0; at < length; at += kWidth) {
      Vec moment[5];
      for (int k = 0; k < 5; ++k) moment[k] = blur_along(buffer + k * padded + kMargin + at);
      const SsimPart part = ssim_of(moment);
      total = total + keep(Vec(static_cast<float>(length - at)) > load(kLane), part.value);
      if (!out) continue;
      store_part(out, at, length, part.by_mean);
      store_part(out + length, at, length, part.by_square);
      store_part(out + 2 * length, at, length, part.by_product);
    }
    image.row_sums[y] = sum(total);
  }
}

void ssim_rows_backward(const SsimImage& image, int begin, int end, float* buffer) {
  const size_t length = static_cast<size_t>(image.width) * kChannels, padded = length + 2 * kMargin;
  for (int y = begin; y < end; ++y) {
    for (int part = 0; part < 3; ++part) {
      const float* rows[2 * kReach + 1];
      for (int k = 0; k <= 2 * kReach; ++k) {
        const int at = y - kReach + k;
        rows[k] =
            at >= 0 && at < image.height ? image.partials + (3 * static_cast<size_t>(at) + part) * length : image.zeros;
      }
      for (size_t at = 0; at < length; at += kWidth) {
        Vec total = Vec(kTap[kReach]) * load_part(rows[kReach], at, length);
        for (int k = 0; k < kReach; ++k) {
          const Vec pair = load_part(rows[k], at, length) + load_part(rows[2 * kReach - k], at, length);
          total = fma(Vec(kTap[k]), pair, total);
        }
        store(buffer + part * padded + kMargin + at, total);
      }
    }
    const size_t row = static_cast<size_t>(y) * length;
    for (size_t at = 0; at < length; at += kWidth) {
      const float* centre = buffer + kMargin + at;
      const Vec a = load_part(image.a + row, at, length), b = load_part(image.b + row, at, length);
      Vec grad = fma(b, blur_along(centre + 2 * padded), blur_along(centre));
      grad = fma(a + a, blur_along(centre + padded), grad);
      store_part(image.grad + row, at, length, grad * Vec(image.scale));
    }
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
