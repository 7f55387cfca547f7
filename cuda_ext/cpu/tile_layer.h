// The pixels of one tile that see the layer, in the order of the rasterizer's strips.
//
// Include after the definition of the strips: their size depends on the instruction set.

// The window of the layer in the pixels of a tile; empty unless x0 < x1 and y0 < y1.
struct TileWindow {
  int x0, y0, x1, y1;
};

TileWindow tile_window(const LayerView& layer, const TileSpan& span) {
  const int left = layer.x - span.x, top = layer.y - span.y;
  const auto clamped = [](int value, int high) { return value < 0 ? 0 : (value < high ? value : high); };
  return {clamped(left, span.width), clamped(top, span.height), clamped(left + layer.width, span.width),
          clamped(top + layer.height, span.height)};
}

inline size_t layer_index(const LayerView& layer, const TileSpan& span, int x, int y) {
  return static_cast<size_t>(span.y + y - layer.y) * layer.width + (span.x + x - layer.x);
}

struct alignas(64) LayerStrip {
  Scalar farthest[kStrip], stencil[kStrip];  // Gaussians beyond `farthest` are skipped
};

struct TileLayer {
  LayerStrip strips[kStrips];
  uint32_t changed;  // strips in which it changes what a Gaussian adds to any pixel, one bit each
};

// Returns whether the layer covers any pixel of the tile; only then is `out` written.
bool read_layer(const LayerView& layer, const TileSpan& span, TileLayer& out) {
  const TileWindow window = tile_window(layer, span);
  Scalar largest = 0.0f;
  for (int y = window.y0; y < window.y1; ++y)
    for (int x = window.x0; x < window.x1; ++x) {
      const size_t at = layer_index(layer, span, x, y);
      largest = larger(largest, larger(layer.depth[at], larger(layer.coverage[at], layer.stencil[at])));
    }
  if (!(largest > 0.0f)) return false;
  for (LayerStrip& strip : out.strips)
    for (int lane = 0; lane < kStrip; ++lane) {
      strip.farthest[lane] = kNoLayerDepth;
      strip.stencil[lane] = 0.0f;
    }
  out.changed = 0;
  for (int y = window.y0; y < window.y1; ++y)
    for (int x = window.x0; x < window.x1; ++x) {
      const size_t at = layer_index(layer, span, x, y);
      const int index = strip_of(x, y);
      LayerStrip& strip = out.strips[index];
      const Scalar depth = layer.depth[at];
      const bool solid = depth > 0.0f && layer.coverage[at] >= kLayerSolid;
      if (solid) strip.farthest[lane_of(x, y)] = depth + kLayerDepthMargin;
      strip.stencil[lane_of(x, y)] = layer.stencil[at];
      if (solid || layer.stencil[at] != 0.0f) out.changed |= 1u << index;
    }
  return true;
}

// Blends the layer behind the Gaussians of the tile, whose images have sums in place of the depth.
void add_layer(const LayerView& layer, const ImageState& image, const TileSpan& span, const RenderOutputs& out) {
  const TileWindow window = tile_window(layer, span);
  for (int y = 0; y < span.height; ++y)
    for (int x = 0; x < span.width; ++x) {
      const size_t pixel = static_cast<size_t>(span.y + y) * image.camera.width + span.x + x;
      if (x >= window.x0 && x < window.x1 && y >= window.y0 && y < window.y1) {
        const size_t at = layer_index(layer, span, x, y);
        const Scalar transmittance = 1.0f - out.alpha[pixel], weight = transmittance * layer.coverage[at];
        if (layer.color)
          for (int c = 0; c < 3; ++c) out.rgb[3 * pixel + c] += transmittance * layer.color[3 * at + c];
        out.alpha[pixel] += weight;
        if (out.depth) out.depth[pixel] += weight * layer.depth[at];
      }
      if (out.depth)
        out.depth[pixel] = out.alpha[pixel] > kDepthAlphaMin ? out.depth[pixel] / out.alpha[pixel] : Scalar(0);
    }
}

// Gradient of the layer's color: that of the image times the transmittance of the Gaussians.
template <class Gradient>
void write_layer_gradient(const LayerView& layer, const TileSpan& span, const Gradient& state, Scalar* grad_color) {
  const TileWindow window = tile_window(layer, span);
  for (int y = window.y0; y < window.y1; ++y)
    for (int x = window.x0; x < window.x1; ++x) {
      const auto& strip = state.strips[strip_of(x, y)];
      const int lane = lane_of(x, y);
      Scalar* out = grad_color + 3 * layer_index(layer, span, x, y);
      out[0] = strip.transmittance[lane] * strip.red[lane];
      out[1] = strip.transmittance[lane] * strip.green[lane];
      out[2] = strip.transmittance[lane] * strip.blue[lane];
    }
}
