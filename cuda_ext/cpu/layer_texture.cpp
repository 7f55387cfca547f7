// Texture of the layer: color and coverage of its pixels, their blur, and the gradient of the texels.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "../indices.h"
#include "layer.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kPixelRows = 16;  // of a task

}  // namespace

bool LayerImage::sample_at(const LayerShape& shape, const LayerInputs& inputs, int index, size_t at,
                           Sample& out) const {
  const int face = face_[at], x = static_cast<int>(at % samples_x()), y = static_cast<int>(at / samples_x());
  double edges[3];
  const double total = shared::edges_at(faces_[face], x, y, edges);
  int64_t corners[3];
  if (!shared::read_triangle(inputs.faces + 3 * static_cast<size_t>(face), shape.vertices, corners)) return false;
  const Scalar* shade = inputs.shade + static_cast<size_t>(index) * shape.vertices;
  double factor = 0.0;
  for (int k = 0; k < 3; ++k) factor += edges[k] / total * shade[corners[k]];
  out.factor = static_cast<Scalar>(factor) * coverage_[at] / (kSupersample * kSupersample);
  const TexelSample found =
      shared::texel_sample(static_cast<Scalar>(edges[0] / total), static_cast<Scalar>(edges[1] / total));
  for (int k = 0; k < 3; ++k) {
    out.texels[k] = inputs.texel_ids[static_cast<size_t>(kTexelNodes) * face + found.nodes[k]];
    if (static_cast<uint64_t>(out.texels[k]) >= static_cast<uint64_t>(shape.texels)) return false;
    out.weights[k] = found.weights[k];
  }
  return true;
}

// Color and coverage of a pixel of the region. Returns whether all indices are in range.
bool LayerImage::resolve_pixel(const LayerShape& shape, const LayerInputs& inputs, int index, int x, int y,
                               Scalar fields[4]) {
  bool inside = true;
  for (int k = 0; k < 4; ++k) fields[k] = 0.0f;
  for (int k = 0; k < kSupersample * kSupersample; ++k) {
    const size_t at =
        static_cast<size_t>(samples_x()) * (kSupersample * y + k / kSupersample) + kSupersample * x + k % kSupersample;
    if (face_[at] < 0) continue;
    fields[3] += coverage_[at] / (kSupersample * kSupersample);
    Sample sample;
    if (!sample_at(shape, inputs, index, at, sample)) {
      inside = false;
      continue;
    }
    for (int c = 0; c < 3; ++c) {
      Scalar value = 0.0f;
      for (int t = 0; t < 3; ++t) value += sample.weights[t] * inputs.texels[3 * sample.texels[t] + c];
      fields[c] += sample.factor * value;
    }
  }
  return inside;
}

void LayerImage::write_geometry(const LayerOutputs& out) const {
  parallel_ranges(out.height, kPixelRows, [&](int first, int last) {
    for (int row = first; row < last; ++row)
      for (int column = 0; column < out.width; ++column) {
        const int x = window.x + column - region_.x, y = window.y + row - region_.y;
        const size_t at = static_cast<size_t>(out.width) * row + column;
        out.depth[at] = out.stencil[at] = 0.0f;
        if (column >= window.width || row >= window.height) continue;
        float nearest = 0.0f;
        for (int k = 0; k < kSupersample * kSupersample; ++k) {
          const size_t sample = static_cast<size_t>(samples_x()) * (kSupersample * y + k / kSupersample) +
                                kSupersample * x + k % kSupersample;
          nearest = std::max(nearest, inverse_depth_[sample]);
          out.stencil[at] += stencil_[sample] / (kSupersample * kSupersample);
        }
        if (nearest > 0.0f) out.depth[at] = static_cast<Scalar>(1.0 / nearest);
      }
  });
}

void LayerImage::blur(int channels) {
  const int radius = static_cast<int>(weights_.size() / 2);
  if (!radius) return;
  scratch_.resize(pixels_.size());
  const int width = region_.width * channels, height = region_.height;
  for (int pass = 0; pass < 2; ++pass) {
    const Scalar* from = (pass ? scratch_ : pixels_).data();
    Scalar* to = (pass ? pixels_ : scratch_).data();
    parallel_ranges(height, kPixelRows, [&](int first, int last) {
      for (int y = first; y < last; ++y) {
        Scalar* out = to + static_cast<size_t>(width) * y;
        std::fill_n(out, width, Scalar(0));
        for (int k = -radius; k <= radius; ++k) {
          const Scalar weight = weights_[k + radius];
          const int shift = pass ? 0 : k * channels, row = pass ? y + k : y;
          if (row < 0 || row >= height) continue;
          const Scalar* in = from + static_cast<size_t>(width) * row + shift;
          const int begin = std::max(0, -shift), end = std::min(width, width - shift);
          for (int x = begin; x < end; ++x) out[x] += weight * in[x];
        }
      }
    });
  }
}

bool LayerImage::render(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& out) {
  std::atomic<bool> inside{true};
  const int width = region_.width;
  pixels_.resize(4 * static_cast<size_t>(width) * region_.height);
  parallel_ranges(region_.height, kPixelRows, [&](int first, int last) {
    for (int y = first; y < last; ++y)
      for (int x = 0; x < width; ++x)
        if (!resolve_pixel(shape, inputs, index, x, y, pixels_.data() + 4 * (static_cast<size_t>(width) * y + x)))
          inside = false;
  });
  blur(4);
  for (int row = 0; row < out.height; ++row)
    for (int column = 0; column < out.width; ++column) {
      const size_t at = static_cast<size_t>(out.width) * row + column;
      const bool covered = column < window.width && row < window.height;
      const Scalar* from = covered ? pixels_.data() + 4 * (static_cast<size_t>(width) * (window.y + row - region_.y) +
                                                           window.x + column - region_.x)
                                   : nullptr;
      for (int c = 0; c < 3; ++c) out.color[3 * at + c] = covered ? from[c] : Scalar(0);
      out.coverage[at] = covered ? from[3] : Scalar(0);
    }
  write_geometry(out);
  return inside;
}

void LayerImage::backward(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& size,
                          const Scalar* grad_color, Scalar* grad_texels) {
  const int width = region_.width;
  pixels_.assign(3 * static_cast<size_t>(width) * region_.height, Scalar(0));
  for (int row = 0; row < window.height; ++row)
    std::memcpy(pixels_.data() + 3 * (static_cast<size_t>(width) * (window.y + row - region_.y) + window.x - region_.x),
                grad_color + 3 * static_cast<size_t>(size.width) * row, sizeof(Scalar) * 3 * window.width);
  blur(3);
  for (size_t at = 0; at < face_.size() && window.width; ++at) {
    if (face_[at] < 0) continue;
    Sample sample;
    if (!sample_at(shape, inputs, index, at, sample)) continue;
    const size_t x = at % samples_x() / kSupersample, y = at / samples_x() / kSupersample;
    const Scalar* grad = pixels_.data() + 3 * (static_cast<size_t>(width) * y + x);
    for (int t = 0; t < 3; ++t)
      for (int c = 0; c < 3; ++c) grad_texels[3 * sample.texels[t] + c] += sample.weights[t] * sample.factor * grad[c];
  }
}

}  // namespace headsplat
