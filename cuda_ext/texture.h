// Texels of a face of the layer and the fade of its stencil, for host and device; the specification is
// avatar/reference/layer.py.
#pragma once

#include "math.h"

namespace headsplat {

constexpr int kTexelSteps = 4;    // sub-triangles along an edge of a face
constexpr int kTexelNodes = 15;   // texels of a face
constexpr int kSupersample = 2;   // samples of a pixel along each axis
constexpr int kLayerMargin = 32;  // pixels rasterized beyond the image
constexpr int kHiddenReach = 3;   // the layer ends behind the skin at this many times the second fade of its face

// Three texels of a face, by their place in its row of texel ids, and their weights.
struct TexelSample {
  int nodes[3];
  Scalar weights[3];
};

namespace HEADSPLAT_LEVEL {

// Place of node (i, j); nodes outside the grid, which only rounding reaches, have weight 0 there.
HEADSPLAT_FN int texel_node(int i, int j) {
  const int node = i * (kTexelSteps + 1) - i * (i - 1) / 2 + j;
  return node < kTexelNodes ? node : kTexelNodes - 1;
}

HEADSPLAT_FN Scalar unit_clamped(Scalar value) { return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f; }

// Linear interpolation within the sub-triangle at barycentrics (first, second, 1 - first - second).
HEADSPLAT_FN TexelSample texel_sample(Scalar first, Scalar second) {
  const Scalar x = unit_clamped(first) * kTexelSteps, y = unit_clamped(second) * kTexelSteps;
  int i = static_cast<int>(x), j = static_cast<int>(y);
  if (i > kTexelSteps - 1) i = kTexelSteps - 1;
  if (j > kTexelSteps - 1 - i) j = kTexelSteps - 1 - i;
  const Scalar u = x - static_cast<Scalar>(i), v = y - static_cast<Scalar>(j);
  if (u + v <= 1.0f)
    return {{texel_node(i, j), texel_node(i + 1, j), texel_node(i, j + 1)},
            {unit_clamped(1.0f - u - v), unit_clamped(u), unit_clamped(v)}};
  return {{texel_node(i + 1, j + 1), texel_node(i, j + 1), texel_node(i + 1, j)},
          {unit_clamped(u + v - 1.0f), unit_clamped(1.0f - u), unit_clamped(1.0f - v)}};
}

HEADSPLAT_FN Scalar smooth_step(Scalar value) {
  const Scalar t = unit_clamped(value);
  return t * t * (3.0f - 2.0f * t);
}

// Whether a face of the layer is skin with a texture: it hides the others, and Gaussians do not fade before it.
HEADSPLAT_FN bool is_skin(const Scalar fades[2]) { return !(fades[1] > 0.0f); }

// The stencil of a sample that is seen, `distance` samples from the nearest one that is not.
HEADSPLAT_FN Scalar stencil_at(Scalar distance, Scalar samples_per_meter, const Scalar fades[2]) {
  const Scalar meters = (distance - 0.5f) / samples_per_meter;
  const Scalar kept = 1.0f - smooth_step((meters - fades[0]) / (fades[1] - fades[0]));
  return 1.0f - kept * kept;
}

// The coverage of a sample behind the skin, `distance` samples from the nearest one that is seen.
HEADSPLAT_FN Scalar hidden_coverage(Scalar distance, Scalar samples_per_meter, const Scalar fades[2]) {
  const Scalar meters = (distance - 0.5f) / samples_per_meter;
  return 1.0f - smooth_step((meters - fades[1]) / ((kHiddenReach - 1) * fades[1]));
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
