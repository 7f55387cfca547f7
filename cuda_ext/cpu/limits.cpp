// Limits of a training: shapes of Gaussians, and how far blendshapes move some channels of them.
#include <limits>

#include "kernels.h"
#include "rows.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// The channels [channel_count] of each basis for kWidth of the rows from `first` on: out [bases][channels][kWidth].
void load_bases(const BlendExtent& in, int first, Scalar* out) {
  for (int lane = 0; lane < kWidth; ++lane) {
    const int at = first + lane < in.row_count ? first + lane : in.row_count - 1;
    const int64_t row = in.rows[at];
    const bool inside = static_cast<uint64_t>(row) < static_cast<uint64_t>(in.count);
    const Scalar* source = in.basis + (inside ? row : 0) * in.basis_channels + in.first_channel;
    for (int k = 0; k < in.bases; ++k, source += static_cast<size_t>(in.count) * in.basis_channels)
      for (int c = 0; c < in.channels; ++c)
        out[(k * in.channels + c) * kWidth + lane] = inside ? source[c] : std::numeric_limits<Scalar>::quiet_NaN();
  }
}

void store_column(Scalar* target, int column, const BlendExtent& in, int first, Vec values) {
  Scalar lanes[kWidth];
  store(lanes, values);
  for (int lane = 0; lane < kWidth && first + lane < in.row_count; ++lane)
    target[static_cast<size_t>(first + lane) * in.channels + column] = lanes[lane];
}

// All frames of kWidth rows; `bases` is that of load_bases.
void extent_of_rows(const BlendExtent& in, int first, const Scalar* bases, const BlendExtentOutputs& out) {
  constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();
  Vec square(0.0f), low[kDeformChannels], high[kDeformChannels];
  for (int c = 0; c < in.channels; ++c) {
    low[c] = Vec(infinity);
    high[c] = Vec(-infinity);
  }
  Vec base[kDeformChannels];
  for (int c = 0; c < in.channels; ++c) {
    Scalar lanes[kWidth] = {};
    for (int lane = 0; in.base && lane < kWidth && first + lane < in.row_count; ++lane)
      lanes[lane] = in.base[static_cast<size_t>(first + lane) * in.channels + c];
    base[c] = load(lanes);
  }
  for (int t = 0; t < in.frames; ++t) {
    Vec length(0.0f);
    for (int c = 0; c < in.channels; ++c) {
      Vec sum(0.0f);
      for (int k = 0; k < in.bases; ++k)
        sum = fma(Vec(in.weights[t * in.bases + k]), load(bases + (k * in.channels + c) * kWidth), sum);
      const Vec value = sum * Vec(in.units[c]) + base[c];
      low[c] = smaller(value, low[c]);
      high[c] = larger(value, high[c]);
      length = fma(value, value, length);
    }
    square = larger(length, square);
  }
  for (int c = 0; c < in.channels; ++c) {
    store_column(out.low, c, in, first, low[c]);
    store_column(out.high, c, in, first, high[c]);
  }
  store_rows<1>(out.square, first, in.row_count, &square);
}

}  // namespace

void blend_extent(const BlendExtent& in, int begin, int end, Scalar* buffer, const BlendExtentOutputs& out) {
  for (int first = begin; first < end; first += kWidth) {
    load_bases(in, first, buffer);
    extent_of_rows(in, first, buffer, out);
  }
}

void limit_scales(const ScaleLimits& limits, int begin, int end) {
  const Vec ratio(limits.log_ratio), thinness(limits.log_thinness);
  for (int first = begin; first < end; first += kWidth) {
    Vec axes[3], largest;
    load_rows<3>(limits.log_scales, first, end, axes);
    load_rows<1>(limits.largest, first, end, &largest);
    const Vec middle = larger(smaller(axes[0], axes[1]), smaller(larger(axes[0], axes[1]), axes[2]));
    const Vec limit = smaller(middle + ratio, largest);
    Vec limited[3];
    for (int k = 0; k < 3; ++k) limited[k] = smaller(axes[k], limit);
    const Vec least = larger(larger(limited[0], limited[1]), limited[2]) - thinness;
    const Mask numbers = (axes[0] == axes[0]) & (axes[1] == axes[1]) & (axes[2] == axes[2]);
    for (int k = 0; k < 3; ++k) axes[k] = select(numbers, larger(limited[k], least), axes[k]);
    store_rows<3>(limits.log_scales, first, end, axes);
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
