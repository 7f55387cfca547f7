// Limits of a training: shapes of Gaussians, how far blendshapes move some channels of them, and round eyes.
#include <cmath>
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

namespace {

// The ring before a texel, and the fraction of the way to the next one.
struct RingPlace {
  int ring;
  double part;
};

RingPlace place_of(const RingTexels& in, int i) {
  const double place = in.places[i], last = in.rings - 2;
  const double ring = place > 0 ? (place < last ? std::floor(place) : last) : 0.0;
  return {static_cast<int>(ring), place - ring};
}

}  // namespace

void round_rings(const RingTexels& in, double* weights, double* rows) {
  double total = 0;
  for (int i = 0; i < in.count; ++i) {
    double weight = 0;
    for (int c = 0; c < 3; ++c) weight += std::sqrt(static_cast<double>(in.squares[3 * in.texels[i] + c]));
    weights[i] = weight / 3;
    total += weights[i];
  }
  if (!(total > 0)) return;
  // Normal equations of the values of the rings: a symmetric tridiagonal matrix, [ring][diagonal, next, values 3].
  constexpr int kColumns = 5;
  for (int ring = 0; ring < in.rings; ++ring) {
    double* row = rows + kColumns * ring;
    const int neighbors = (ring > 0) + (ring + 1 < in.rings);
    row[0] = in.smoothness * neighbors + 1e-6;
    row[1] = ring + 1 < in.rings ? -static_cast<double>(in.smoothness) : 0.0;
    row[2] = row[3] = row[4] = 0;
  }
  for (int i = 0; i < in.count; ++i) {
    const auto [ring, part] = place_of(in, i);
    const double weight = weights[i] * in.rings / total, before = weight * (1 - part), after = weight * part;
    double *row = rows + kColumns * ring, *next = row + kColumns;
    row[0] += before * (1 - part);
    row[1] += before * part;
    next[0] += after * part;
    for (int c = 0; c < 3; ++c) {
      const double value = in.values[3 * in.texels[i] + c];
      row[2 + c] += before * value;
      next[2 + c] += after * value;
    }
  }
  for (int ring = 1; ring < in.rings; ++ring) {
    double *row = rows + kColumns * ring, *previous = row - kColumns;
    const double factor = previous[1] / previous[0];
    row[0] -= factor * previous[1];
    for (int c = 0; c < 3; ++c) row[2 + c] -= factor * previous[2 + c];
  }
  for (int ring = in.rings - 1; ring >= 0; --ring) {
    double* row = rows + kColumns * ring;
    for (int c = 0; c < 3; ++c)
      row[2 + c] = (row[2 + c] - (ring + 1 < in.rings ? row[1] * row[kColumns + 2 + c] : 0.0)) / row[0];
  }
  for (int i = 0; i < in.count; ++i) {
    const auto [ring, part] = place_of(in, i);
    const double *row = rows + kColumns * ring, *next = row + kColumns;
    for (int c = 0; c < 3; ++c) {
      Scalar& value = in.values[3 * in.texels[i] + c];
      const double mean = (1 - part) * row[2 + c] + part * next[2 + c];
      value = static_cast<Scalar>(value + in.share * (mean - value));
    }
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
