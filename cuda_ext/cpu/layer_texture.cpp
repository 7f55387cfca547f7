// Texture of the layer: color of its samples, mean over the samples of a pixel, blur, and the gradient of the texels.
#include "../texture.h"
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kCellPixels = kLayerCell / kSupersample;
constexpr Scalar kSampleWeight = Scalar(1) / (kSupersample * kSupersample);

// `texel_sample` of vectors: places and weights of three texels of each sample, one array of kLayerCell each.
struct TexelSamples {
  Scalar nodes[3][kLayerCell], weights[3][kLayerCell];
};

inline Vec unit_clamped(Vec value) { return smaller(larger(value, Vec(0.0f)), Vec(1.0f)); }

// The whole part of 0..kTexelSteps, at most kTexelSteps - 1.
inline Vec sub_triangle(Vec value) {
  Vec whole(0.0f);
  for (int step = 1; step < kTexelSteps; ++step)
    whole = whole + keep(value >= Vec(static_cast<Scalar>(step)), Vec(1.0f));
  return whole;
}

inline void find_samples(Vec first, Vec second, int at, TexelSamples& out) {
  const Vec one(1.0f), steps(static_cast<Scalar>(kTexelSteps)), last(static_cast<Scalar>(kTexelNodes - 1));
  const Vec x = unit_clamped(first) * steps, y = unit_clamped(second) * steps;
  const Vec i = sub_triangle(x), j = smaller(sub_triangle(y), steps - one - i);
  const Vec u = x - i, v = y - j;
  const Mask low = u + v <= one;
  const Vec below = steps + one - i;  // nodes from (i, j) to (i + 1, j)
  const Vec node = i * (below + below + i + one) * Vec(0.5f) + j;
  store(out.nodes[0] + at, smaller(select(low, node, node + below + one), last));
  store(out.nodes[1] + at, smaller(select(low, node + below, node + one), last));
  store(out.nodes[2] + at, smaller(select(low, node + one, node + below), last));
  store(out.weights[0] + at, unit_clamped(select(low, one - u - v, u + v - one)));
  store(out.weights[1] + at, unit_clamped(select(low, u, one - u)));
  store(out.weights[2] + at, unit_clamped(select(low, v, one - v)));
}

}  // namespace

bool layer_find_texels(const LayerGrid& grid, const LayerTexture& texture, const LayerPaint* paints,
                       const LayerSamples& samples, int x, int y, LayerTexelRun& out) {
  const size_t row = grid.row(y) + x;
  uint32_t covered = 0;
  out.count = 0;
  for (int part = 0; part < kLayerCell; part += kWidth)
    covered |= bits(load(samples.coverage + row + part) > Vec(0.0f)) << part;
  if (!covered) return true;
  TexelSamples found;
  Scalar first[kLayerCell] = {}, second[kLayerCell] = {}, shade[kLayerCell] = {};
  int faces[kLayerCell];
  for (uint32_t rest = covered; rest; rest &= rest - 1u) {
    const int k = lowest_bit(rest);
    const LayerPaint& paint = paints[static_cast<int>(samples.paint[row + k])];
    const Scalar across = static_cast<Scalar>(x + k) - paint.x, down = static_cast<Scalar>(y) - paint.y;
    first[k] = paint.first[0] * across + (paint.first[1] * down + paint.first[2]);
    second[k] = paint.second[0] * across + (paint.second[1] * down + paint.second[2]);
    shade[k] = paint.shade[0] * across + (paint.shade[1] * down + paint.shade[2]);
    faces[k] = paint.face;
  }
  for (int part = 0; part < kLayerCell; part += kWidth) {
    const Vec depth = Vec(1.0f) / load(samples.inverse_depth + row + part);
    find_samples(load(first + part) * depth, load(second + part) * depth, part, found);
    store(shade + part, load(shade + part) * depth * load(samples.coverage + row + part) * Vec(kSampleWeight));
  }
  bool inside = true;
  for (; covered; covered &= covered - 1u) {
    const int k = lowest_bit(covered);
    const int64_t* ids = texture.texel_ids + static_cast<size_t>(kTexelNodes) * faces[k];
    const int at = out.count;
    bool known = true;
    for (int t = 0; t < 3; ++t) {
      out.texels[at][t] = ids[static_cast<int>(found.nodes[t][k])];
      out.weights[at][t] = found.weights[t][k];
      known = known && static_cast<uint64_t>(out.texels[at][t]) < static_cast<uint64_t>(texture.texel_count);
    }
    out.lane[at] = k;
    out.factor[at] = shade[k];
    out.count += known;
    inside = inside && known;
  }
  return inside;
}

bool layer_resolve_cell(const LayerGrid& grid, const LayerTexture& texture, const LayerPaint* paints,
                        const LayerSamples& samples, int cell_x, int y, LayerPixel* pixels) {
  bool inside = true;
  const int x = cell_x * kLayerCell;
  for (int k = 0; k < kCellPixels; ++k) pixels[k] = {{0.0f, 0.0f, 0.0f, 0.0f}, 0.0f, 0.0f};
  for (int part = 0; part < kSupersample; ++part) {
    const size_t row = grid.row(y + part) + x;
    for (int lane = 0; lane < kLayerCell; ++lane) {
      const Scalar coverage = samples.coverage[row + lane];
      LayerPixel& pixel = pixels[lane / kSupersample];
      pixel.color[3] += coverage * kSampleWeight;
      pixel.stencil += samples.stencil[row + lane] * kSampleWeight;
      pixel.nearest = larger(pixel.nearest, coverage > 0.0f ? samples.inverse_depth[row + lane] : Scalar(0));
    }
    LayerTexelRun run;
    inside = layer_find_texels(grid, texture, paints, samples, x, y + part, run) && inside;
    for (int k = 0; k < run.count; ++k) {
      LayerPixel& pixel = pixels[run.lane[k] / kSupersample];
      for (int t = 0; t < 3; ++t) {
        const Scalar weight = run.weights[k][t] * run.factor[k];
        const Scalar* texel = texture.texels + 3 * run.texels[k][t];
        for (int c = 0; c < 3; ++c) pixel.color[c] += weight * texel[c];
      }
    }
  }
  return inside;
}

void layer_blur_row(const LayerBlur& blur, const Scalar* from, int y, Scalar* to) {
  const int width = blur.width * blur.channels;
  Scalar* out = to + static_cast<size_t>(width) * y;
  for (int x = 0; x < width; ++x) out[x] = 0.0f;
  for (int k = -blur.radius; k <= blur.radius; ++k) {
    const Scalar weight = blur.weights[k + blur.radius];
    const int shift = blur.along_columns ? 0 : k * blur.channels, row = blur.along_columns ? y + k : y;
    if (row < 0 || row >= blur.height) continue;
    const Scalar* in = from + static_cast<size_t>(width) * row + shift;
    const int begin = shift < 0 ? -shift : 0, end = shift > 0 ? width - shift : width;
    for (int x = begin; x < end; ++x) out[x] += weight * in[x];
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
