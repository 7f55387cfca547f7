// The CUDA rasterizer: its inputs, the state kept between its passes, and the passes in order.
//
// A workspace holds a whole batch. Its size depends only on numbers known to the host; the number of tile intersections
// stays on the device, so that nothing synchronizes. When there are more intersections than the workspace holds, the
// images are NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../math.h"
#include "stream.h"

namespace headsplat {
namespace cuda {

constexpr int kTile = 16;           // pixels; a tile is kTile x kTile
constexpr int kThreads = 256;       // per block; one per pixel in the rasterizer
constexpr int kPartialStride = 12;  // floats per tile intersection in the buffer of gradient partials, padded to float4
constexpr int kPartials = 10;
constexpr uint32_t kInvalidKey = 0xffffffffu;  // depth key of culled Gaussians, tile key of unused capacity

struct SplatSize {
  int batch, count, width, height;  // images, Gaussians per image, pixels
  uint32_t max_intersections;       // capacity for tile intersections of the whole batch

  HEADSPLAT_FN int tiles_x() const { return (width + kTile - 1) / kTile; }
  HEADSPLAT_FN int tiles_y() const { return (height + kTile - 1) / kTile; }
  HEADSPLAT_FN int tiles() const { return tiles_x() * tiles_y(); }
  HEADSPLAT_FN int gaussians() const { return batch * count; }
};

// One projected Gaussian, four float4s: alpha = exp2(log2_opacity - (a dx^2 + b dx dy + c dy^2)).
struct alignas(16) ProjectedGaussian {
  float x, y;     // mean, pixels
  float a, b, c;  // conic times log2(e)/2, log2(e), log2(e)/2
  float log2_opacity;
  float red, green, blue, depth;
  float edge_x, edge_y;      // d(dx)/d(dy) of the quadratic form's minimum along a row, d(dy)/d(dx) along a column
  float exponent_max;        // value of the quadratic form at which alpha reaches the cutoff
  float extent_x, extent_y;  // half the bounding box of the ellipse at the cutoff, pixels
  float opacity;
};
static_assert(sizeof(ProjectedGaussian) == 64, "half a cache line");

struct Range {
  uint32_t begin, end;
};

// Pointers into the workspace. An intersection's id is its index with Gaussians front to back and the tiles of each
// Gaussian consecutive; its sorted position is its index with tiles consecutive and the Gaussians of each tile front to
// back.
struct Workspace {
  unsigned long long* intersection_count;  // [1] more than `max_intersections` on overflow
  ProjectedGaussian* projected;            // [gaussians]
  uint32_t *depth_keys, *gaussian_ids;     // [gaussians] input of the depth sort
  uint32_t *sorted_keys, *depth_order;  // [gaussians] front to back, images mixed; the keys are reused for tile counts
  uint32_t* tiles_per_gaussian;         // [gaussians]
  uint32_t* intersection_offsets;       // [gaussians] first id of each Gaussian
  uint32_t *tile_keys, *intersection_ids;  // [max_intersections] input of the tile sort; see accessors below
  uint32_t *sorted_tiles, *sorted_ids;     // [max_intersections] by sorted position: tile, id
  uint32_t* intersection_gaussians;        // [max_intersections] by id
  Range* tile_ranges;                      // [batch * tiles] sorted positions of each tile
  void* temp;                              // of sorts and prefix sums
  size_t temp_bytes;

  // [max_intersections] by sorted position, front to back; reuses the tile keys after the sort.
  HEADSPLAT_FN uint32_t* tile_gaussians() const { return tile_keys; }
  // [max_intersections] blend weights by id; reuses the ids after the sort.
  HEADSPLAT_FN float* intersection_weights() const { return reinterpret_cast<float*>(intersection_ids); }
};

// Size of a workspace in bytes. place_workspace throws std::invalid_argument when `bytes` are too few or `memory` is
// not aligned to 16 bytes.
size_t workspace_bytes(const SplatSize& size);
Workspace place_workspace(void* memory, size_t bytes, const SplatSize& size);

struct Cameras {
  const float *intrinsics, *world_to_cam;  // [B,3,3] [B,4,4]
  float near_z, dilation;                  // meters, pixels^2
  bool antialias, cutoff;
};

struct GaussianInputs {
  const float *means, *quats, *scales, *opacities;  // [B,N,3] [B,N,4] [B,N,3] [B,N]
  const float* colors;                              // [B,N,3], or coefficients [B,N,sh_terms,3]
  int sh_terms;                                     // 0 for plain colors, else 1, 4, 9 or 16
};

struct GaussianGradients {
  float *means, *quats, *scales, *opacities, *colors;  // shapes as in GaussianInputs
};

struct RenderOutputs {
  float *rgb, *alpha, *depth;  // [B,H,W,3] [B,H,W] [B,H,W]; alpha and depth may be null
  float* weights;              // [B,N] blend weights summed over pixels, or null
};

// Windows of the images of a layer that is seen through the Gaussians, see avatar.ops.splat; none if `coverage` is
// null.
struct LayerView {
  const float *color, *coverage, *depth, *stencil;  // [B,height,width,3], then [B,height,width]; color may be null
  const int32_t* origins;                           // [B,2] x and y of the first pixel of each window
  const float* fades;                               // [B,N] factor of the stencil for each Gaussian
  int width, height;                                // pixels of a window

  // Index of pixel (x, y) of an image in the windows, or -1 outside of its window.
  HEADSPLAT_FN long long index(int image, int x, int y) const {
    const int column = x - origins[2 * image], row = y - origins[2 * image + 1];
    if (column < 0 || row < 0 || column >= width || row >= height) return -1;
    return (static_cast<long long>(image) * height + row) * width + column;
  }
};

struct RenderGradients {
  const float *rgb, *alpha, *depth;                 // outputs of the forward pass; depth may be null without grad_depth
  const float *grad_rgb, *grad_alpha, *grad_depth;  // any may be null
};

// --- the passes ---

// Projected Gaussians, depth keys, tile counts, and the number of intersections.
void project(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
             Stream stream);

// Intersections sorted by tile, front to back, ties by Gaussian index.
void assign_tiles(const SplatSize& size, const Workspace& work, Stream stream);

// `colors` [B,N,3] replace the projected colors unless null; numbers that are not finite count as zero.
void rasterize(const SplatSize& size, bool cutoff, const Workspace& work, const LayerView& layer, const float* colors,
               const RenderOutputs& out, Stream stream);

// Gradient partials of each intersection, by id, into `partials` [max_partials,kPartialStride]; the gradient of the
// color of the layer into `grad_layer`, which may be null.
void rasterize_backward(const SplatSize& size, bool cutoff, const Workspace& work, const LayerView& layer,
                        const RenderGradients& in, float* partials, size_t max_partials, float* grad_layer,
                        Stream stream);

void project_backward(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
                      const float* partials, size_t max_partials, const GaussianGradients& out, Stream stream);

}  // namespace cuda
}  // namespace headsplat
