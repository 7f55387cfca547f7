// Structural similarity of interleaved RGB images with an 11-tap separable Gaussian window, row by row (Wang et al.
// 2004). Horizontal taps are three floats apart, so the channels need not be separated.
#include "kernels.h"
#include "simd.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kRadius = 5;
constexpr int kChannels = 3;
constexpr int kMargin = kSsimMargin;  // zeros before and after each row buffer
constexpr Scalar kC1 = Scalar(0.01 * 0.01), kC2 = Scalar(0.03 * 0.03);
// exp(-d^2 / (2 1.5^2)) divided by the sum over the window, from the edge to the center.
constexpr Scalar kTap[kRadius + 1] = {Scalar(0.0010283800844791101), Scalar(0.007598758135239185),
                                      Scalar(0.036000772128430829),  Scalar(0.10936068950970002),
                                      Scalar(0.21300553771125369),   Scalar(0.26601172486179436)};

// The rows y-5..y+5 of an image, `zeros` for rows outside it.
void find_rows(const Scalar* image, const Scalar* zeros, int y, int height, size_t length, const Scalar** rows) {
  for (int k = 0; k <= 2 * kRadius; ++k) {
    const int at = y - kRadius + k;
    rows[k] = at >= 0 && at < height ? image + at * length : zeros;
  }
}

// Loads kWidth floats at `at` of a row of `length` floats; zeros beyond its end.
inline Vec load_part(const Scalar* row, size_t at, size_t length) {
  if (at + kWidth <= length) return load(row + at);
  Scalar lanes[kWidth] = {};
  std::memcpy(lanes, row + at, sizeof(Scalar) * (length - at));
  return load(lanes);
}

inline void store_part(Scalar* row, size_t at, size_t length, Vec value) {
  if (at + kWidth <= length) return store(row + at, value);
  Scalar lanes[kWidth];
  store(lanes, value);
  std::memcpy(row + at, lanes, sizeof(Scalar) * (length - at));
}

// Vertical blur of a, b, a^2, b^2 and ab.
inline void blur_moments(const Scalar* const* a, const Scalar* const* b, size_t at, size_t length, Vec out[5]) {
  const Vec x = load_part(a[kRadius], at, length), y = load_part(b[kRadius], at, length), center(kTap[kRadius]);
  out[0] = center * x;
  out[1] = center * y;
  out[2] = out[0] * x;
  out[3] = out[1] * y;
  out[4] = out[0] * y;
  for (int k = 0; k < kRadius; ++k) {
    const Vec tap(kTap[k]);
    const Vec p = load_part(a[k], at, length), q = load_part(a[2 * kRadius - k], at, length);
    const Vec s = load_part(b[k], at, length), t = load_part(b[2 * kRadius - k], at, length);
    out[0] = fma(tap, p + q, out[0]);
    out[1] = fma(tap, s + t, out[1]);
    out[2] = fma(tap, fma(p, p, q * q), out[2]);
    out[3] = fma(tap, fma(s, s, t * t), out[3]);
    out[4] = fma(tap, fma(p, s, q * t), out[4]);
  }
}

inline Vec blur_along(const Scalar* center) {
  Vec total = Vec(kTap[kRadius]) * load(center);
  for (int k = 0; k < kRadius; ++k) {
    const int offset = kChannels * (kRadius - k);
    total = fma(Vec(kTap[k]), load(center - offset) + load(center + offset), total);
  }
  return total;
}

// Whether kWidth floats are equal; NaN is not.
inline bool all_equal(const Scalar* a, const Scalar* b) { return bits(load(a) == load(b)) == (1u << kWidth) - 1u; }

struct SsimPart {
  Vec value, by_mean, by_square, by_product;
};

// SSIM of one window from its blurred moments, and its derivatives with respect to blurred a, a^2 and ab.
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

// Union of the spans of rows y-kRadius..y+kRadius, extended by the window radius.
RowSpan affected_span(const SsimImage& image, const RowSpan* spans, int y) {
  const int length = image.width * kChannels, first = y - kRadius, last = y + kRadius;
  RowSpan all{length, 0};
  for (int row = first < 0 ? 0 : first; row <= last && row < image.height; ++row) {
    if (spans[row].end <= spans[row].begin) continue;
    all.begin = spans[row].begin < all.begin ? spans[row].begin : all.begin;
    all.end = spans[row].end > all.end ? spans[row].end : all.end;
  }
  if (all.end <= all.begin) return {0, 0};
  const int halo = kRadius * kChannels;
  return {all.begin > halo ? all.begin - halo : 0, all.end + halo < length ? all.end + halo : length};
}

// Columns whose vertical blur the windows in `span` need.
RowSpan with_halo(RowSpan span, int length) {
  const int halo = kRadius * kChannels;
  return {span.begin > halo ? span.begin - halo : 0, span.end + halo < length ? span.end + halo : length};
}

// Clears three rows of derivatives outside `span`.
void clear_outside(RowSpan span, int length, Scalar* rows) {
  for (int part = 0; part < 3; ++part, rows += length) {
    std::memset(rows, 0, sizeof(Scalar) * span.begin);
    std::memset(rows + span.end, 0, sizeof(Scalar) * (length - span.end));
  }
}

}  // namespace

void ssim_find_differences(const SsimImage& image, int begin, int end) {
  const size_t length = static_cast<size_t>(image.width) * kChannels;
  for (int y = begin; y < end; ++y) {
    const Scalar *a = image.a + y * length, *b = image.b + y * length;
    size_t first = 0, last = length;
    while (first + kWidth <= length && all_equal(a + first, b + first)) first += kWidth;
    while (first < length && a[first] == b[first]) ++first;
    while (last >= first + kWidth && all_equal(a + last - kWidth, b + last - kWidth)) last -= kWidth;
    while (last > first && a[last - 1] == b[last - 1]) --last;
    image.differing[y] = {static_cast<int>(first), static_cast<int>(last)};
  }
}

void ssim_rows(const SsimImage& image, int begin, int end, Scalar* buffer) {
  const int length = image.width * kChannels;
  const size_t padded = static_cast<size_t>(length) + 2 * kMargin, row = length;
  for (int y = begin; y < end; ++y) {
    image.spans[y] = {0, 0};
    image.row_sums[y] = 0.0f;
    if (y % image.rows.stride != image.rows.first) continue;
    const RowSpan span = image.spans[y] = affected_span(image, image.differing, y), halo = with_halo(span, length);
    Scalar* out = image.partials ? image.partials + 3 * y * row : nullptr;
    image.row_sums[y] = static_cast<Scalar>(length - (span.end - span.begin));
    if (span.end <= span.begin) continue;
    const Scalar *a[2 * kRadius + 1], *b[2 * kRadius + 1];
    find_rows(image.a, image.zeros, y, image.height, row, a);
    find_rows(image.b, image.zeros, y, image.height, row, b);
    for (int k = 0; k < 5; ++k) {
      std::memset(buffer + k * padded + halo.begin, 0, sizeof(Scalar) * kMargin);
      std::memset(buffer + k * padded + kMargin + halo.end, 0, sizeof(Scalar) * kMargin);
    }
    for (int at = halo.begin; at < halo.end; at += kWidth) {
      Vec moment[5];
      blur_moments(a, b, at, row, moment);
      for (int k = 0; k < 5; ++k) store(buffer + k * padded + kMargin + at, moment[k]);
    }
    Vec total(0.0f);
    for (int at = span.begin; at < span.end; at += kWidth) {
      Vec moment[5];
      for (int k = 0; k < 5; ++k) moment[k] = blur_along(buffer + k * padded + kMargin + at);
      const SsimPart part = ssim_of(moment);
      total = total + keep(Vec(static_cast<Scalar>(span.end - at)) > load(kLane), part.value);
      if (!out) continue;
      store_part(out, at, span.end, part.by_mean);
      store_part(out + row, at, span.end, part.by_square);
      store_part(out + 2 * row, at, span.end, part.by_product);
    }
    if (out) clear_outside(span, length, out);
    image.row_sums[y] += sum(total);
  }
}

namespace {

// Vertical blur of one of the derivatives over the columns of `span`.
void blur_partials(const SsimImage& image, int part, int y, RowSpan span, Scalar* out) {
  const size_t length = static_cast<size_t>(image.width) * kChannels;
  // Rows at equal distances above and below that have derivatives.
  const Scalar *above[kRadius + 1], *below[kRadius + 1];
  Scalar taps[kRadius + 1];
  int pairs = 0;
  const auto row_of = [&](int at) {
    const bool any = at >= 0 && at < image.height && image.spans[at].end > image.spans[at].begin;
    return any ? image.partials + (3 * static_cast<size_t>(at) + part) * length : image.zeros;
  };
  const Scalar* center = row_of(y);
  for (int k = 0; k < kRadius; ++k) {
    above[pairs] = row_of(y - kRadius + k);
    below[pairs] = row_of(y + kRadius - k);
    taps[pairs] = kTap[k];
    pairs += above[pairs] != image.zeros || below[pairs] != image.zeros;
  }
  std::memset(out + span.begin - kMargin, 0, sizeof(Scalar) * kMargin);
  std::memset(out + span.end, 0, sizeof(Scalar) * kMargin);
  for (size_t at = span.begin; at < static_cast<size_t>(span.end); at += kWidth) {
    Vec total = Vec(kTap[kRadius]) * load_part(center, at, length);
    for (int k = 0; k < pairs; ++k) {
      total = fma(Vec(taps[k]), load_part(above[k], at, length) + load_part(below[k], at, length), total);
    }
    store(out + at, total);
  }
}

}  // namespace

void ssim_rows_backward(const SsimImage& image, int begin, int end, Scalar* buffer) {
  const int length = image.width * kChannels;
  const size_t padded = static_cast<size_t>(length) + 2 * kMargin, row = length;
  for (int y = begin; y < end; ++y) {
    const RowSpan span = affected_span(image, image.spans, y);
    const Scalar *a = image.a + y * row, *b = image.b + y * row;
    Scalar* grad = image.grad + y * row;
    std::memset(grad, 0, sizeof(Scalar) * span.begin);
    std::memset(grad + span.end, 0, sizeof(Scalar) * (length - span.end));
    if (span.end <= span.begin) continue;
    for (int part = 0; part < 3; ++part) blur_partials(image, part, y, span, buffer + part * padded + kMargin);
    for (int at = span.begin; at < span.end; at += kWidth) {
      const Scalar* center = buffer + kMargin + at;
      const Vec p = load_part(a, at, row), q = load_part(b, at, row);
      Vec sum = fma(q, blur_along(center + 2 * padded), blur_along(center));
      sum = fma(p + p, blur_along(center + padded), sum);
      store_part(grad, at, span.end, sum * Vec(image.scale));
    }
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
