#include "lights.h"

#include <algorithm>
#include <cmath>

namespace headsplat {
namespace {

constexpr Scalar kMillimeters = Scalar(1000), kPi = Scalar(3.14159265358979323846);

// Point in mm from its triangle. Returns whether the indices are in range.
bool landmark(const int64_t* corners, const Scalar* bary, const Scalar* vertices, int size, Scalar* out) {
  for (int c = 0; c < 3; ++c) out[c] = Scalar(0);
  for (int k = 0; k < 3; ++k) {
    if (corners[k] < 0 || corners[k] >= size) return false;
    for (int c = 0; c < 3; ++c) out[c] += kMillimeters * bary[k] * vertices[3 * corners[k] + c];
  }
  return true;
}

Scalar distance(const Scalar* a, const Scalar* b) {
  Scalar sum = 0;
  for (int c = 0; c < 3; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
  return std::sqrt(sum);
}

// Calls body(pixel, texel, weight) for the four texels of each sample of the texture of `eye`.
template <class Body>
void for_samples(const ReflectionWindow& window, int eye, Body body) {
  const Scalar radius = window.radius[eye], half = Scalar(0.5);
  if (!(radius > 0) || !std::isfinite(window.x[eye]) || !std::isfinite(window.y[eye]) || !std::isfinite(radius)) return;
  const auto bound = [](Scalar value, int size) {
    return static_cast<int>(std::min(std::max(value, Scalar(0)), static_cast<Scalar>(size)));
  };
  // A texel reaches half of one beyond the sides of the texture.
  const Scalar reach = radius * (1 + Scalar(1) / window.side);
  const int x0 = bound(std::floor(window.x[eye] - reach), window.width);
  const int x1 = bound(std::ceil(window.x[eye] + reach), window.width);
  const int y0 = bound(std::floor(window.y[eye] - reach), window.height);
  const int y1 = bound(std::ceil(window.y[eye] + reach), window.height);
  const auto texel_of = [&](int pixel, Scalar center) {
    return ((pixel + half - center) / radius + 1) * (half * window.side) - half;
  };
  for (int y = y0; y < y1; ++y)
    for (int x = x0; x < x1; ++x) {
      const Scalar u = texel_of(x, window.x[eye]), v = texel_of(y, window.y[eye]);
      if (!(u > -1 && v > -1 && u < window.side && v < window.side)) continue;
      const int left = static_cast<int>(std::floor(u)), top = static_cast<int>(std::floor(v));
      for (int row = top; row <= top + 1; ++row)
        for (int column = left; column <= left + 1; ++column) {
          if (row < 0 || column < 0 || row >= window.side || column >= window.side) continue;
          const Scalar weight = (1 - std::fabs(u - column)) * (1 - std::fabs(v - row));
          const int pixel = y * window.width + x;
          body(pixel, (eye * window.side + row) * window.side + column, weight * window.coverage[pixel]);
        }
    }
}

}  // namespace

bool light_mouth(const MouthLight& light, const Scalar* vertices, int size, Scalar* shade) {
  Scalar lips[4][3];
  for (int k = 0; k < 4; ++k)
    if (!landmark(light.corners + 3 * k, light.bary + 3 * k, vertices, size, lips[k])) return false;
  const Scalar height = distance(lips[0], lips[1]), width = distance(lips[2], lips[3]);
  const Scalar area = (height + light.closed) * width;
  Scalar center[3], core[3] = {width * light.core / 2, height * light.core / 2, 0};
  for (int c = 0; c < 2; ++c) center[c] = (lips[0][c] + lips[1][c] + lips[2][c] + lips[3][c]) / 4;
  center[2] = std::max(lips[0][2], lips[1][2]);
  const Scalar indirect = light.indirect * area / (area + light.indirect_area);
  for (int m = 0; m < light.count; ++m) {
    const int64_t vertex = light.vertices[m];
    if (vertex < 0 || vertex >= size) return false;
    Scalar away[3], squared = 0, facing = 0;
    for (int c = 0; c < 3; ++c) {
      const Scalar far = center[c] - kMillimeters * vertices[3 * vertex + c];
      away[c] = far - std::max(std::min(far, core[c]), -core[c]);
      squared += away[c] * away[c];
      facing += away[c] * light.normals[3 * m + c];
    }
    const Scalar apart = std::sqrt(squared), inverse = 1 / std::max(apart, Scalar(1e-6));
    const Scalar deep = std::max(apart - light.near_distance, Scalar(0));
    const Scalar cosine = std::max((facing * inverse + light.wrap) / (1 + light.wrap), Scalar(0));
    const Scalar direct = area / (area + kPi * deep * deep) * cosine * std::max(away[2] * inverse, light.sideways);
    shade[vertex] = std::sqrt(indirect + (1 - indirect) * direct);
  }
  return true;
}

bool shade_eyes(const LidShadow& lids, const Scalar* vertices, int size, Scalar* shade) {
  for (int eye = 0; eye < 2; ++eye) {
    Scalar low = INFINITY, high = -INFINITY, coefficients[2][kMaxEdgeCoefficients] = {};
    for (int lid = 0; lid < 2; ++lid)
      for (int k = 0; k < lids.landmarks; ++k) {
        const int at = (2 * eye + lid) * lids.landmarks + k;
        Scalar point[3];
        if (!landmark(lids.corners + 3 * at, lids.bary + 3 * at, vertices, size, point)) return false;
        low = std::min(low, point[0]);
        high = std::max(high, point[0]);
        for (int d = 0; d < lids.coefficients; ++d)
          coefficients[lid][d] += lids.fit[((2 * eye + lid) * lids.coefficients + d) * lids.landmarks + k] * point[1];
      }
    const Scalar middle = (low + high) / 2, half = std::max((high - low) / 2, Scalar(1));
    for (int m = 0; m < lids.count; ++m) {
      const int64_t vertex = lids.vertices[eye * lids.count + m];
      if (vertex < 0 || vertex >= size) return false;
      const Scalar x = kMillimeters * vertices[3 * vertex], y = kMillimeters * vertices[3 * vertex + 1];
      const Scalar t = std::max(std::min((x - middle) / half, Scalar(1)), Scalar(-1));
      for (int lid = 0; lid < 2; ++lid) {
        Scalar edge = 0;
        for (int d = lids.coefficients - 1; d >= 0; --d) edge = edge * t + coefficients[lid][d];
        const Scalar inside = (lid ? y - edge : edge - y) / (kMillimeters * lids.reach[lid]);
        shade[vertex] *= 1 - lids.shadow[lid] * std::exp(-std::max(inside, Scalar(0)));
      }
    }
  }
  return true;
}

void add_reflections(const ReflectionWindow& window, const Scalar* textures, Scalar* color) {
  for (int eye = 0; eye < 2; ++eye)
    for_samples(window, eye, [&](int pixel, int texel, Scalar weight) {
      for (int c = 0; c < 3; ++c) color[3 * pixel + c] += weight * textures[texel];
    });
}

void add_reflections_backward(const ReflectionWindow& window, const Scalar* grad, Scalar* out) {
  for (int eye = 0; eye < 2; ++eye)
    for_samples(window, eye, [&](int pixel, int texel, Scalar weight) {
      out[texel] += weight * (grad[3 * pixel] + grad[3 * pixel + 1] + grad[3 * pixel + 2]);
    });
}

}  // namespace headsplat
