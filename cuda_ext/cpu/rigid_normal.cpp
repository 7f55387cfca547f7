// Normal equations of the rigid motions that align a rendered image with a target image, see avatar.ops.rigid_normal.
#include <cmath>

#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr Scalar kAlphaSolid = 0.5f, kAlphaFloor = 1e-3f;

// Planes of [height] rows, `stride` floats apart, with kRigidMargin zeros before and after the pixels of each row.
struct Planes {
  Scalar* memory;
  size_t stride, size;
  Scalar* row(int plane, int y) const { return memory + plane * size + y * stride + kRigidMargin; }
};

enum Plane { kRed, kGreen, kBlue, kRedTarget, kGreenTarget, kBlueTarget, kDepth, kWeight1, kWeight2, kAlpha, kSums };

void load_row(const RigidNormalImage& image, const Planes& planes, int y) {
  const size_t pixel = static_cast<size_t>(y) * image.width;
  const Scalar *rgb = image.rgb + 3 * pixel, *target = image.target + 3 * pixel, *alpha = image.alpha + pixel;
  const Scalar* features = image.features + 3 * pixel;
  for (int channel = 0; channel < 3; ++channel) {
    Scalar *rendered = planes.row(kRed + channel, y), *target_row = planes.row(kRedTarget + channel, y);
    Scalar* value = planes.row(kDepth + channel, y);
    for (int x = 0; x < image.width; ++x) {
      rendered[x] = rgb[3 * x + channel] + (1.0f - alpha[x]);
      target_row[x] = target[3 * x + channel];
      value[x] = features[3 * x + channel];
    }
  }
  std::memcpy(planes.row(kAlpha, y), alpha, sizeof(Scalar) * image.width);
}

// Sums over 2 radius + 1 pixels of each row.
void box_sum_row(const Scalar* row, int width, int radius, Scalar* out) {
  double total = 0.0;
  for (int x = 0; x < radius && x < width; ++x) total += row[x];
  for (int x = 0; x < width; ++x) {
    if (x + radius < width) total += row[x + radius];
    if (x - radius - 1 >= 0) total -= row[x - radius - 1];
    out[x] = static_cast<Scalar>(total);
  }
}

// Divides premultiplied depth and group weights by alpha; pixels of low alpha get the mean of their neighborhood.
void fill_thin_pixels(const RigidNormalImage& image, const Planes& planes, Scalar* column) {
  const int radius = image.height / 14 > 3 ? (image.height / 14 | 1) / 2 : 1, side = 2 * radius + 1;
  const Scalar alpha_sum_min = kAlphaFloor * static_cast<Scalar>(side * side);
  for (int plane = 0; plane < 4; ++plane)
    for (int y = 0; y < image.height; ++y)
      box_sum_row(planes.row(kDepth + plane, y), image.width, radius, planes.row(kSums + plane, y));
  std::memset(column, 0, sizeof(Scalar) * 4 * planes.stride);
  const auto add = [&](int y, Scalar sign) {
    for (int plane = 0; plane < 4; ++plane) {
      const Scalar* row = planes.row(kSums + plane, y);
      Scalar* total = column + plane * planes.stride;
      for (int x = 0; x < image.width; ++x) total[x] += sign * row[x];
    }
  };
  for (int y = 0; y < radius && y < image.height; ++y) add(y, 1.0f);
  for (int y = 0; y < image.height; ++y) {
    if (y + radius < image.height) add(y + radius, 1.0f);
    if (y - radius - 1 >= 0) add(y - radius - 1, -1.0f);
    const Scalar *alpha = planes.row(kAlpha, y), *around = column + 3 * planes.stride;
    for (int plane = 0; plane < 3; ++plane) {
      Scalar* value = planes.row(kDepth + plane, y);
      const Scalar* total = column + plane * planes.stride;
      for (int x = 0; x < image.width; ++x) {
        const Scalar pixel_mean = value[x] / (alpha[x] > kAlphaFloor ? alpha[x] : kAlphaFloor);
        const Scalar local_mean = around[x] > alpha_sum_min ? total[x] / around[x] : 0.0f;
        value[x] = alpha[x] >= kAlphaSolid ? pixel_mean : local_mean;
      }
    }
  }
}

struct Sums {
  Vec matrix[kRigidUnknowns * (kRigidUnknowns + 1) / 2];
  Vec gradient[kRigidUnknowns];
  Vec cost;
};

// Optical flow per unit of one group's rotation and translation, times the group's weight, at the pixels of a vector.
void flows(const RigidNormalImage& image, const Scalar* pivot, Vec ray_x, Scalar ray_y, Vec depth, Vec group_weight,
           Vec* u, Vec* v) {
  const Vec weight_over_depth = keep(depth > Vec(kAlphaFloor), group_weight / larger(depth, Vec(kAlphaFloor)));
  const Vec rx = fma(ray_x, depth, Vec(-pivot[0])), ry = fma(Vec(ray_y), depth, Vec(-pivot[1]));
  const Vec rz = depth - Vec(pivot[2]), a = weight_over_depth * Vec(image.fx), c = weight_over_depth * Vec(image.fy),
            zero(0.0f);
  const Vec b = zero - a * ray_x, d = zero - c * Vec(ray_y);
  u[0] = b * ry, u[1] = fnma(b, rx, a * rz), u[2] = zero - a * ry, u[3] = a, u[4] = zero, u[5] = b;
  v[0] = fnma(c, rz, d * ry), v[1] = zero - d * rx, v[2] = c * rx, v[3] = zero, v[4] = c, v[5] = d;
}

void add_pixels(const RigidNormalImage& image, const Planes& planes, int y, int x, Vec interior, Sums& sums) {
  const Vec square_sigma(image.sigma * image.sigma), one(1.0f), half(0.5f), zero(0.0f);
  Vec residual[3], square = zero;
  for (int k = 0; k < 3; ++k) {
    residual[k] = load(planes.row(kRed + k, y) + x) - load(planes.row(kRedTarget + k, y) + x);
    square = fma(residual[k], residual[k], square);
  }
  const Vec robust = square_sigma / (square_sigma + square);
  sums.cost = sums.cost + (one - robust);
  if (y == 0 || y == image.height - 1) return;
  const Vec weight = robust * robust / square_sigma * interior;
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
  Scalar ray_x[kWidth];
  for (int lane = 0; lane < kWidth; ++lane) ray_x[lane] = (static_cast<Scalar>(x + lane) + 0.5f - image.cx) / image.fx;
  const Scalar ray_y = (static_cast<Scalar>(y) + 0.5f - image.cy) / image.fy;
  const Vec depth = load(planes.row(kDepth, y) + x), first = load(planes.row(kWeight1, y) + x);
  const Vec second = load(planes.row(kWeight2, y) + x);
  const Vec group_weights[3] = {one - first - second, first, second};
  Vec u[kRigidUnknowns], v[kRigidUnknowns];
  for (int group = 0; group < image.groups; ++group)
    flows(image, image.pivots + 3 * group, load(ray_x), ray_y, depth, group_weights[group], u + 6 * group,
          v + 6 * group);
  const int unknowns = 6 * image.groups;
  Vec* out = sums.matrix;
  for (int a = 0; a < unknowns; ++a) {
    // The image changes by minus its slope times the flow.
    sums.gradient[a] = fnma(u[a], rx, fnma(v[a], ry, sums.gradient[a]));
    const Vec p = fma(xx, u[a], xy * v[a]), q = fma(xy, u[a], yy * v[a]);
    for (int b = a; b < unknowns; ++b, ++out) *out = fma(p, u[b], fma(q, v[b], *out));
  }
}

}  // namespace

void rigid_normal_image(const RigidNormalImage& image, Scalar* buffer, Scalar* matrix, Scalar* gradient, Scalar* cost) {
  const size_t stride = rigid_row_stride(image.width);
  const Planes planes{buffer, stride, stride * image.height};
  std::memset(buffer, 0, sizeof(Scalar) * rigid_buffer_size(image.height, image.width));
  for (int y = 0; y < image.height; ++y) load_row(image, planes, y);
  fill_thin_pixels(image, planes, buffer + kRigidPlanes * planes.size);
  Scalar* interior = buffer + kRigidPlanes * planes.size + 4 * stride;
  for (int x = 1; x < image.width - 1; ++x) interior[x] = 1.0f;
  Sums sums;
  const int unknowns = 6 * image.groups, entries = unknowns * (unknowns + 1) / 2;
  for (int k = 0; k < entries; ++k) sums.matrix[k] = Vec(0.0f);
  for (int k = 0; k < unknowns; ++k) sums.gradient[k] = Vec(0.0f);
  sums.cost = Vec(0.0f);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; x += kWidth) add_pixels(image, planes, y, x, load(interior + x), sums);
  const Vec* entry = sums.matrix;
  for (int a = 0; a < unknowns; ++a) {
    gradient[a] = sum(sums.gradient[a]);
    for (int b = a; b < unknowns; ++b, ++entry) matrix[a * unknowns + b] = matrix[b * unknowns + a] = sum(*entry);
  }
  *cost = sum(sums.cost);
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
