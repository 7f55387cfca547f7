// Normal equations of a rigid motion and of controls at sampled points, see avatar.ops.sampled_normal.
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr Scalar kNearest = 1e-3f;  // meters, smallest depth to divide by

// kWidth numbers of the points from `at` on; zeros beyond the last.
Vec load_points(const Scalar* row, int at, int count) {
  if (at + kWidth <= count) return load(row + at);
  Scalar lanes[kWidth] = {};
  for (int lane = 0; at + lane < count; ++lane) lanes[lane] = row[at + lane];
  return load(lanes);
}

// Derivatives [6 + controls] of one color at kWidth points by all unknowns.
void derivatives(const SampledPoints& in, int at, int color, const Vec* place, Vec* out) {
  const size_t count = in.count;
  const Vec inverse = Vec(1.0f) / larger(place[2], Vec(kNearest)), zero(0.0f);
  const Vec x = place[0] * inverse, y = place[1] * inverse;
  // The image changes by minus its slope times the flow of a shift along each axis of the camera.
  const Vec along = load_points(in.slopes + color * count, at, in.count) * inverse * Vec(-in.fx);
  const Vec down = load_points(in.slopes + (3 + color) * count, at, in.count) * inverse * Vec(-in.fy);
  const Vec shift[3] = {along, down, zero - fma(along, x, down * y)};
  const Vec arm[3] = {place[0] - Vec(in.pivot[0]), place[1] - Vec(in.pivot[1]), place[2] - Vec(in.pivot[2])};
  out[0] = fnma(arm[2], shift[1], arm[1] * shift[2]);
  out[1] = fnma(arm[0], shift[2], arm[2] * shift[0]);
  out[2] = fnma(arm[1], shift[0], arm[0] * shift[1]);
  for (int k = 0; k < 3; ++k) out[3 + k] = shift[k];
  Vec turned[3];  // by a shift along each axis of the frame of `motion`
  for (int k = 0; k < 3; ++k)
    turned[k] = fma(Vec(in.turn[k]), shift[0], fma(Vec(in.turn[3 + k]), shift[1], Vec(in.turn[6 + k]) * shift[2]));
  for (int control = 0; control < in.controls; ++control) {
    const Scalar* motion = in.motion + 3 * control * count;
    Vec sum = load_points(in.tint + (3 * control + color) * count, at, in.count);
    for (int k = 0; k < 3; ++k) sum = fma(turned[k], load_points(motion + k * count, at, in.count), sum);
    out[6 + control] = sum;
  }
}

}  // namespace

// `buffer` [D (D + 3) / 2, kWidth], D unknowns.
void sampled_normal_image(const SampledPoints& in, Scalar* buffer, Scalar* matrix, Scalar* gradient) {
  const int unknowns = 6 + in.controls;
  const size_t count = in.count, entries = static_cast<size_t>(unknowns) * (unknowns + 1) / 2;
  Scalar* sums = buffer + kWidth * entries;  // of the gradient; before it those of the matrix
  for (size_t k = 0; k < entries + unknowns; ++k) store(buffer + k * kWidth, Vec(0.0f));
  Vec J[3][kSampledUnknowns];
  for (int at = 0; at < in.count; at += kWidth) {
    const Vec weight = load_points(in.weight, at, in.count);
    if (bits(weight > Vec(0.0f)) == 0) continue;
    const Vec place[3] = {load_points(in.places, at, in.count), load_points(in.places + count, at, in.count),
                          load_points(in.places + 2 * count, at, in.count)};
    Vec residual[3];
    for (int color = 0; color < 3; ++color) {
      derivatives(in, at, color, place, J[color]);
      residual[color] = load_points(in.residual + color * count, at, in.count);
    }
    Scalar* out = buffer;
    for (int a = 0; a < unknowns; ++a) {
      const Vec red = weight * J[0][a], green = weight * J[1][a], blue = weight * J[2][a];
      const Vec slope = fma(red, residual[0], fma(green, residual[1], blue * residual[2]));
      store(sums + a * kWidth, load(sums + a * kWidth) + slope);
      for (int b = a; b < unknowns; ++b, out += kWidth)
        store(out, fma(red, J[0][b], fma(green, J[1][b], fma(blue, J[2][b], load(out)))));
    }
  }
  const Scalar* entry = buffer;
  for (int a = 0; a < unknowns; ++a) {
    gradient[a] = sum(load(sums + a * kWidth));
    for (int b = a; b < unknowns; ++b, entry += kWidth)
      matrix[a * unknowns + b] = matrix[b * unknowns + a] = sum(load(entry));
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
