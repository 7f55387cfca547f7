// Normal equations of rigid motions from the difference of two pictures; avatar/reference/motion.py states the maths.
#include <cmath>

#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr Scalar kThin = 0.5f, kLeastAlpha = 1e-3f;

// Planes of [height] rows that lie `stride` apart, with kMotionMargin zeros before and after each row's pixels.
struct Planes {
  Scalar* memory;
  size_t stride, size;
  Scalar* row(int plane, int y) const { return memory + plane * size + y * stride + kMotionMargin; }
};

enum Plane { kRed, kGreen, kBlue, kRedTarget, kGreenTarget, kBlueTarget, kDepth, kFirst, kSecond, kAlpha, kSums };

void take_row(const MotionImage& image, const Planes& planes, int y) {
  const size_t pixel = static_cast<size_t>(y) * image.width;
  const Scalar *rgb = image.rgb + 3 * pixel, *target = image.target + 3 * pixel, *alpha = image.alpha + pixel;
  const Scalar* features = image.features + 3 * pixel;
  for (int channel = 0; channel < 3; ++channel) {
    Scalar *shown = planes.row(kRed + channel, y), *wanted = planes.row(kRedTarget + channel, y);
    Scalar* value = planes.row(kDepth + channel, y);
    for (int x = 0; x < image.width; ++x) {
      shown[x] = rgb[3 * x + channel] + (1.0f - alpha[x]);
      wanted[x] = target[3 * x + channel];
      value[x] = features[3 * x + channel];
    }
  }
  std::memcpy(planes.row(kAlpha, y), alpha, sizeof(Scalar) * image.width);
}

// Sums over 2 reach + 1 pixels of each row.
void sum_along(const Scalar* row, int width, int reach, Scalar* out) {
  double total = 0.0;
  for (int x = 0; x < reach && x < width; ++x) total += row[x];
  for (int x = 0; x < width; ++x) {
    if (x + reach < width) total += row[x + reach];
    if (x - reach - 1 >= 0) total -= row[x - reach - 1];
    out[x] = static_cast<Scalar>(total);
  }
}

// Turns premultiplied depth and shares into means; thin pixels take the mean around them.
void fill(const MotionImage& image, const Planes& planes, Scalar* column) {
  const int reach = image.height / 14 > 3 ? (image.height / 14 | 1) / 2 : 1, side = 2 * reach + 1;
  const Scalar least = kLeastAlpha * static_cast<Scalar>(side * side);
  for (int plane = 0; plane < 4; ++plane)
    for (int y = 0; y < image.height; ++y)
      sum_along(planes.row(kDepth + plane, y), image.width, reach, planes.row(kSums + plane, y));
  std::memset(column, 0, sizeof(Scalar) * 4 * planes.stride);
  const auto add = [&](int y, Scalar sign) {
    for (int plane = 0; plane < 4; ++plane) {
      const Scalar* row = planes.row(kSums + plane, y);
      Scalar* total = column + plane * planes.stride;
      for (int x = 0; x < image.width; ++x) total[x] += sign * row[x];
    }
  };
  for (int y = 0; y < reach && y < image.height; ++y) add(y, 1.0f);
  for (int y = 0; y < image.height; ++y) {
    if (y + reach < image.height) add(y + reach, 1.0f);
    if (y - reach - 1 >= 0) add(y - reach - 1, -1.0f);
    const Scalar *alpha = planes.row(kAlpha, y), *around = column + 3 * planes.stride;
    for (int plane = 0; plane < 3; ++plane) {
      Scalar* value = planes.row(kDepth + plane, y);
      const Scalar* total = column + plane * planes.stride;
      for (int x = 0; x < image.width; ++x) {
        const Scalar own = value[x] / (alpha[x] > kLeastAlpha ? alpha[x] : kLeastAlpha);
        const Scalar near = around[x] > least ? total[x] / around[x] : 0.0f;
        value[x] = alpha[x] >= kThin ? own : near;
      }
    }
  }
}

struct Sums {
  Vec matrix[kMotionUnknowns * (kMotionUnknowns + 1) / 2];
  Vec gradient[kMotionUnknowns];
  Vec cost;
};

// Flows of one group's turns and shifts, times its share, at the pixels of a vector.
void flows(const MotionImage& image, const Scalar* pivot, Vec along, Scalar down, Vec depth, Vec share, Vec* u,
           Vec* v) {
  const Vec near = keep(depth > Vec(kLeastAlpha), share / larger(depth, Vec(kLeastAlpha)));
  const Vec rx = fma(along, depth, Vec(-pivot[0])), ry = fma(Vec(down), depth, Vec(-pivot[1]));
  const Vec rz = depth - Vec(pivot[2]), a = near * Vec(image.fx), c = near * Vec(image.fy), zero(0.0f);
  const Vec b = zero - a * along, d = zero - c * Vec(down);
  u[0] = b * ry, u[1] = fnma(b, rx, a * rz), u[2] = zero - a * ry, u[3] = a, u[4] = zero, u[5] = b;
  v[0] = fnma(c, rz, d * ry), v[1] = zero - d * rx, v[2] = c * rx, v[3] = zero, v[4] = c, v[5] = d;
}

void add_pixels(const MotionImage& image, const Planes& planes, int y, int x, Vec inside, Sums& sums) {
  const Vec square_sigma(image.sigma * image.sigma), one(1.0f), half(0.5f), zero(0.0f);
  Vec residual[3], square = zero;
  for (int k = 0; k < 3; ++k) {
    residual[k] = load(planes.row(kRed + k, y) + x) - load(planes.row(kRedTarget + k, y) + x);
    square = fma(residual[k], residual[k], square);
  }
  const Vec shape = square_sigma / (square_sigma + square);
  sums.cost = sums.cost + (one - shape);
  if (y == 0 || y == image.height - 1) return;
  const Vec weight = shape * shape / square_sigma * inside;
  Vec xx = zero, xy = zero, yy = zero, rx = zero, ry = zero;
  for (int k = 0; k < 3; ++k) {
    const Scalar* row = planes.row(kRed + k, y) + x;
    const Vec gx = half * (load(row + 1) - load(row - 1));
    const Vec gy = half * (load(planes.row(kRed + k, y + 1) + x) - load(planes.row(kRed + k, y - 1) + x));
    xx = fma(gx, gx, xx), xy = fma(gx, gy, xy), yy = fma(gy, gy, yy);
    rx = fma(gx, residual[k], rx), ry = fma(gy, residual[k], ry);
  }
  if (bits((xx + yy) * weight > zero) == 0) return;
  xx = xx * weight, xy = xy * weight, yy = yy * weight, rx = rx * weight, ry = ry * weight;
  Scalar ramp[kWidth];
  for (int lane = 0; lane < kWidth; ++lane) ramp[lane] = (static_cast<Scalar>(x + lane) + 0.5f - image.cx) / image.fx;
  const Scalar down = (static_cast<Scalar>(y) + 0.5f - image.cy) / image.fy;
  const Vec depth = load(planes.row(kDepth, y) + x), first = load(planes.row(kFirst, y) + x);
  const Vec second = load(planes.row(kSecond, y) + x);
  const Vec shares[3] = {one - first - second, first, second};
  Vec u[kMotionUnknowns], v[kMotionUnknowns];
  for (int group = 0; group < image.groups; ++group)
    flows(image, image.pivots + 3 * group, load(ramp), down, depth, shares[group], u + 6 * group, v + 6 * group);
  const int unknowns = 6 * image.groups;
  Vec* out = sums.matrix;
  for (int a = 0; a < unknowns; ++a) {
    // The picture changes by minus slope times flow.
    sums.gradient[a] = fnma(u[a], rx, fnma(v[a], ry, sums.gradient[a]));
    const Vec p = fma(xx, u[a], xy * v[a]), q = fma(xy, u[a], yy * v[a]);
    for (int b = a; b < unknowns; ++b, ++out) *out = fma(p, u[b], fma(q, v[b], *out));
  }
}

}  // namespace

void motion_image(const MotionImage& image, Scalar* buffer, Scalar* matrix, Scalar* gradient, Scalar* cost) {
  const size_t stride = motion_stride(image.width);
  const Planes planes{buffer, stride, stride * image.height};
  std::memset(buffer, 0, sizeof(Scalar) * motion_room(image.height, image.width));
  for (int y = 0; y < image.height; ++y) take_row(image, planes, y);
  fill(image, planes, buffer + kMotionPlanes * planes.size);
  Scalar* inside = buffer + kMotionPlanes * planes.size + 4 * stride;
  for (int x = 1; x < image.width - 1; ++x) inside[x] = 1.0f;
  Sums sums;
  const int unknowns = 6 * image.groups, pairs = unknowns * (unknowns + 1) / 2;
  for (int k = 0; k < pairs; ++k) sums.matrix[k] = Vec(0.0f);
  for (int k = 0; k < unknowns; ++k) sums.gradient[k] = Vec(0.0f);
  sums.cost = Vec(0.0f);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; x += kWidth) add_pixels(image, planes, y, x, load(inside + x), sums);
  const Vec* entry = sums.matrix;
  for (int a = 0; a < unknowns; ++a) {
    gradient[a] = sum(sums.gradient[a]);
    for (int b = a; b < unknowns; ++b, ++entry) matrix[a * unknowns + b] = matrix[b * unknowns + a] = sum(*entry);
  }
  *cost = sum(sums.cost);
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
