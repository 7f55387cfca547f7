// The layer: a textured mesh that is seen through Gaussians. The geometry is double, as in mesh.h.
#pragma once

#include <cstdint>
#include <vector>

#include "../texture.h"
#include "../triangle.h"

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
class LayerImage {
 public:
  LayerWindow window{};  // pixels of the image that the layer can cover

  // Rasterizes image `index`. Returns whether all indices of faces are in range.
  bool prepare(const LayerShape& shape, const LayerInputs& inputs, int index);
  // Returns whether all ids of texels are in range; a sample with another id is black.
  bool render(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& out);
  // Adds the gradient of the texels, given that of the color [height,width,3].
  void backward(const LayerShape& shape, const LayerInputs& inputs, int index, const LayerOutputs& size,
                const Scalar* grad_color, Scalar* grad_texels);

 private:
  // Triangles of a range of rows.
  struct Band {
    std::vector<int> faces, skin;
  };
  // A covered sample: its texels with their weights, and the product of the shade and the weight in its pixel.
  struct Sample {
    int64_t texels[3];
    Scalar weights[3], factor;
  };

  bool place(const LayerShape& shape, const LayerInputs& inputs, int index);
  void project(const LayerShape& shape, const Scalar* K, const Scalar* vertices);
  void set_region(const LayerShape& shape, const double low[2], const double high[2]);
  void mark_cells();
  bool find_skin(const LayerShape& shape, const LayerInputs& inputs, const Scalar* vertices);
  void sort_into_bands();
  void rasterize_band(int first, int last);
  void measure_columns(bool to_seen, std::vector<uint8_t>& out) const;
  Scalar distance_at(const std::vector<uint8_t>& columns, int x, int y) const;
  void fade_row(const LayerInputs& inputs, int y);
  bool sample_at(const LayerShape& shape, const LayerInputs& inputs, int index, size_t at, Sample& out) const;
  bool resolve_pixel(const LayerShape& shape, const LayerInputs& inputs, int index, int x, int y, Scalar fields[4]);
  void write_geometry(const LayerOutputs& out) const;
  // Blurs `pixels_`, of `channels` channels, in place.
  void blur(int channels);

  int samples_x() const { return region_.width * kSupersample; }
  int samples_y() const { return region_.height * kSupersample; }

  LayerWindow region_{};           // pixels that are rasterized; beyond the image by at most kLayerMargin
  double pixels_per_meter_ = 0.0;  // at the mean depth of the layer
  Scalar farthest_ = 0.0f;         // depth of the layer, meters
  int reach_ = 0;                  // samples within which distances are measured
  double inverse_near_ = 0.0;      // 1/meters
  std::vector<Scalar> weights_;    // of the blur
  Scalar intrinsics_[9] = {};      // of the samples of the region
  double inverse_[9] = {};         // of `intrinsics_`
  std::vector<ScreenTriangle> faces_, skin_;
  std::vector<Band> bands_;
  std::vector<float> projected_;      // [V,2] pixels, NaN unless in front of the camera
  std::vector<uint8_t> cells_;        // blocks of samples that the layer may cover
  std::vector<int32_t> face_;         // [samples] -1 where the layer is not
  std::vector<float> inverse_depth_;  // [samples]
  std::vector<uint8_t> seen_;         // [samples] whether the layer is in front of the skin
  // [samples] to the nearest sample of the column that is not seen, and to the nearest one that is.
  std::vector<uint8_t> to_hidden_, to_seen_;
  std::vector<Scalar> coverage_, stencil_;  // [samples]
  std::vector<Scalar> pixels_, scratch_;    // [pixels][channels]
};

}  // namespace headsplat
