// Images of the layer from its samples, and the gradient of the texels.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels.h"
#include "layer.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kPixelRows = 16;  // of a task
constexpr int kCellPixels = kLayerCell / kSupersample, kCellRows = kLayerCellRows / kSupersample;

}  // namespace

// Draws the other faces near the seen samples; coverage and stencil of the samples, and the pixels before the blur.
// Returns whether all indices are in range.
bool LayerImage::resolve_band(const LayerInputs& inputs, const LayerTexture& texture, const Scalar* shade, int index) {
  Band& band = *bands_[index];
  const LayerKernels& kernel = kernels().layer;
  const LayerSamples samples = this->samples();
  const int first = index * kLayerBandCells, last = std::min(first + kLayerBandCells, grid().cells_y);
  const LayerDraw rest{inputs.faces,         shade,         faces_.memory.data(), band.rest.data(), band.rest_count,
                       hidden_below_.data(), needed_.data()};
  band.painted = kernel.draw_faces(geometry_, rest, first, last, samples, band.paints.data<LayerPaint>(), band.painted,
                                   band.rest.data(), &band.rest_count);
  const LayerFades fades{inputs.fades, static_cast<Scalar>(pixels_per_meter_ * kSupersample), reach_};
  std::vector<Scalar> squares(2 * (static_cast<size_t>(grid().stride) + 2 * kLayerMaxReach));
  const int width = region_.width;
  bool inside = true;
  for (int row = first * kCellRows; row < std::min(last * kCellRows, region_.height); ++row) {
    const size_t begin = static_cast<size_t>(width) * row;
    std::fill_n(pixels_.data() + 4 * begin, 4 * static_cast<size_t>(width), Scalar(0));
    std::fill_n(nearest_.data() + begin, width, Scalar(0));
    std::fill_n(pixel_stencil_.data() + begin, width, Scalar(0));
    for (int part = 0; part < kSupersample; ++part)
      kernel.fade_row(grid(), needed_.data(), fades, band.paints.data<LayerPaint>(), kSupersample * row + part, samples,
                      squares.data());
    for (int cell_x = 0; cell_x < grid().cells_x; ++cell_x) {
      if (!is_needed(cell_x, row / kCellRows)) continue;
      LayerPixel found[kCellPixels];
      inside = kernel.resolve_cell(grid(), texture, band.paints.data<LayerPaint>(), samples, cell_x, kSupersample * row,
                                   found) &&
               inside;
      const int x = cell_x * kCellPixels, count = std::min(kCellPixels, width - x);
      for (int k = 0; k < count; ++k) {
        std::copy_n(found[k].color, 4, pixels_.data() + 4 * (begin + x + k));
        nearest_[begin + x + k] = found[k].nearest;
        pixel_stencil_[begin + x + k] = found[k].stencil;
      }
    }
  }
  return inside;
}

void LayerImage::blur(int channels) {
  const int radius = static_cast<int>(weights_.size() / 2);
  if (!radius) return;
  scratch_.resize(pixels_.size());
  for (const bool along_columns : {false, true}) {
    const LayerBlur pass{region_.width, region_.height, channels, weights_.data(), radius, along_columns};
    const Scalar* from = (along_columns ? scratch_ : pixels_).data();
    Scalar* to = (along_columns ? pixels_ : scratch_).data();
    parallel_ranges(region_.height, kPixelRows, [&](int first, int last) {
      for (int y = first; y < last; ++y) kernels().layer.blur_row(pass, from, y, to);
    });
  }
}

void LayerImage::write(const LayerOutputs& out) const {
  for (int row = 0; row < out.height; ++row) {
    const size_t to = static_cast<size_t>(out.width) * row;
    const int count = row < window.height ? window.width : 0, rest = out.width - count;
    const size_t from = static_cast<size_t>(region_.width) * (window.y + row - region_.y) + (window.x - region_.x);
    for (int k = 0; k < count; ++k) {
      const Scalar* pixel = pixels_.data() + 4 * (from + k);
      for (int c = 0; c < 3; ++c) out.color[3 * (to + k) + c] = pixel[c];
      out.coverage[to + k] = pixel[3];
      const Scalar nearest = nearest_[from + k];
      out.depth[to + k] = nearest > 0.0f ? 1.0f / nearest : Scalar(0);
      out.stencil[to + k] = pixel_stencil_[from + k];
    }
    std::fill_n(out.color + 3 * (to + count), 3 * rest, Scalar(0));
    for (Scalar* plane : {out.coverage, out.depth, out.stencil}) std::fill_n(plane + to + count, rest, Scalar(0));
  }
}

bool LayerImage::render(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& out) {
  std::atomic<bool> inside{true};
  const size_t pixels = static_cast<size_t>(region_.width) * region_.height;
  if (pixels) {
    pixels_.resize(4 * pixels);
    nearest_.resize(pixels);
    pixel_stencil_.resize(pixels);
    const LayerTexture texture{inputs.texels, inputs.texel_ids, shape.texels};
    const Scalar* shade = inputs.shade + static_cast<size_t>(index) * shape.vertices;
    parallel(bands(), [&](int band) {
      if (!resolve_band(inputs, texture, shade, band)) inside = false;
    });
    blur(4);
  }
  write(out);
  return inside;
}

void LayerImage::backward(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& size,
                          const Scalar* grad_color, Scalar* grad_texels) {
  if (!window.width) return;
  const int width = region_.width;
  pixels_.assign(3 * static_cast<size_t>(width) * region_.height, Scalar(0));
  for (int row = 0; row < window.height; ++row)
    std::memcpy(pixels_.data() + 3 * (static_cast<size_t>(width) * (window.y + row - region_.y) + window.x - region_.x),
                grad_color + 3 * static_cast<size_t>(size.width) * row, sizeof(Scalar) * 3 * window.width);
  blur(3);
  const LayerTexture texture{inputs.texels, inputs.texel_ids, shape.texels};
  const LayerSamples samples = this->samples();
  LayerTexelRun run;
  for (int y = 0; y < grid().height; ++y)
    for (int cell_x = 0; cell_x < grid().cells_x; ++cell_x) {
      if (!is_needed(cell_x, y / kLayerCellRows)) continue;
      const LayerPaint* paints = bands_[y / (kLayerBandCells * kLayerCellRows)]->paints.data<LayerPaint>();
      kernels().layer.find_texels(grid(), texture, paints, samples, cell_x * kLayerCell, y, run);
      for (int k = 0; k < run.count; ++k) {
        const int x = (cell_x * kLayerCell + run.lane[k]) / kSupersample;
        const Scalar* grad = pixels_.data() + 3 * (static_cast<size_t>(width) * (y / kSupersample) + x);
        for (int t = 0; t < 3; ++t)
          for (int c = 0; c < 3; ++c)
            grad_texels[3 * run.texels[k][t] + c] += run.weights[k][t] * run.factor[k] * grad[c];
      }
    }
}

}  // namespace headsplat
