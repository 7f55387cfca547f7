// The layer: a textured mesh that is seen through Gaussians. One image of it in memory that is reused.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../texture.h"
#include "kernels.h"

namespace headsplat {

struct LayerShape {
  int batch, vertices, faces, skin_faces, texels, width, height;
  Scalar near_z, blur;  // meters
};

// Arrays of the whole batch as in avatar.ops.layer.
struct LayerInputs {
  const Scalar *vertices, *shade, *texels;  // [B,V,3] [B,V] [T,3]
  const int64_t *faces, *texel_ids, *skin;  // [F,3] [F,15] [S,3]
  const Scalar *fades, *intrinsics;         // [F,2] meters, [B,3,3]
};

// Pixels of an image; empty when width is 0.
struct LayerWindow {
  int x, y, width, height;
};

// Images of one window, whose first pixel is that of the prepared window.
struct LayerOutputs {
  int width, height;
  Scalar *color, *coverage, *depth, *stencil;  // [height,width,3], then [height,width]
};

// The faces of one image and the samples they cover.
//
// The skin is drawn first, then the faces of the layer that it does not hide; the others only near the samples that are
// seen, where the layer fades out behind the skin.
class LayerImage {
 public:
  LayerWindow window{};  // pixels of the image that the layer covers

  // Rasterizes image `index`. Returns whether all indices of faces are in range.
  bool prepare(const LayerShape& shape, const LayerInputs& inputs, int index);
  // Returns whether all ids of texels are in range; a sample with another id is black.
  bool render(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& out);
  // Adds the gradient of the texels, given that of the color [height,width,3].
  void backward(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& size,
                const Scalar* grad_color, Scalar* grad_texels);

 private:
  // The first `count` are in use, those of the layer from near to far.
  struct Entries {
    std::vector<LayerEntry> memory;
    int count = 0;
  };
  // The faces in a range of rows of cells.
  struct Band {
    std::vector<int> faces, skin;  // entries
    std::vector<int> rest;         // of the layer, that are not drawn yet
    Buffer paints;                 // LayerPaint of those that are drawn
    int rest_count = 0, painted = 0;
  };

  bool place(const LayerShape& shape, const LayerInputs& inputs, int index);
  bool measure_layer(const LayerShape& shape, const LayerInputs& inputs, double focal, double low[2], double high[2]);
  bool set_region(const LayerShape& shape, const double low[2], const double high[2]);
  void set_grid(const Scalar* K);
  bool find_faces(const LayerShape& shape, const LayerInputs& inputs);
  bool find_entries(const int64_t* faces, int count, const uint8_t* cells, Entries& out);
  void sort_by_depth();
  void sort_into_bands();
  void draw_band(const LayerInputs& inputs, const Scalar* shade, int index);
  bool find_needed();
  void set_window(const LayerShape& shape);
  bool resolve_band(const LayerInputs& inputs, const LayerTexture& texture, const Scalar* shade, int index);
  void blur(int channels);
  void write(const LayerOutputs& out) const;

  LayerSamples samples() const;
  const LayerGrid& grid() const { return geometry_.grid; }
  bool is_needed(int cell_x, int cell_y) const {
    return needed_[static_cast<size_t>(cell_y) * grid().cells_x + cell_x] != 0;
  }
  int bands() const { return (grid().cells_y + kLayerBandCells - 1) / kLayerBandCells; }

  LayerWindow region_{};           // pixels that are rasterized; beyond the image by at most kLayerMargin
  double pixels_per_meter_ = 0.0;  // at the mean depth of the layer
  Scalar farthest_ = 0.0f;         // depth of the layer, meters
  int reach_ = 0;                  // samples within which distances are measured
  std::vector<Scalar> weights_;    // of the blur
  LayerGeometry geometry_{};
  std::vector<LayerVertex> projected_;
  std::vector<uint8_t> sides_;
  Entries faces_, skin_, sorted_;
  std::vector<std::unique_ptr<Band>> bands_;
  std::vector<uint8_t> cells_, needed_;   // that faces of the layer may cover; that are within reach of a seen sample
  std::vector<Scalar> hidden_below_;      // [cells] inverse depth
  std::vector<LayerExtent> extents_;      // [cells]
  Buffer memory_;                         // planes of LayerSamples, in the same order
  std::vector<Scalar> pixels_, scratch_;  // [pixels][channels] of the region
  std::vector<Scalar> nearest_, pixel_stencil_;  // [pixels] of the region
};

// A LayerImage from a pool, so that its memory is reused.
class LayerHandle {
 public:
  LayerHandle();
  ~LayerHandle();
  LayerHandle(LayerHandle&&) = default;
  LayerHandle(const LayerHandle&) = delete;
  LayerImage* operator->() { return image_.get(); }

 private:
  std::unique_ptr<LayerImage> image_;
};

}  // namespace headsplat
