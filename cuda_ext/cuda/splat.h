// The splat pipeline of the CUDA half: what is passed in, what is kept between its passes, and the passes in order.
//
// A workspace holds a whole batch. Its size depends on numbers the host knows, and how many (splat, tile) pairs a frame
// really has stays on the device: nothing in a frame waits for it. A frame with more pairs than the workspace holds
// gives pictures of NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../math.h"
#include "stream.h"

namespace headsplat {
namespace cuda {

constexpr int kTile = 16;           // pixels; a tile is kTile x kTile
constexpr int kThreads = 256;       // of every block; one a pixel in the rasterizer
constexpr int kPartialStride = 12;  // floats from one pair's gradients to the next, 10 used: whole float4s
constexpr int kPartials = 10;
constexpr uint32_t kInvalidKey = 0xffffffffu;  // depth key of what is not drawn, tile key of unused capacity

struct SplatSize {
  int batch, count, width, height;
  uint32_t max_intersections;  // (splat, tile) pairs of the whole batch

  HEADSPLAT_FN int tiles_x() const { return (width + kTile - 1) / kTile; }
  HEADSPLAT_FN int tiles_y() const { return (height + kTile - 1) / kTile; }
  HEADSPLAT_FN int tiles() const { return tiles_x() * tiles_y(); }
  HEADSPLAT_FN int gaussians() const { return batch * count; }
};

// One projected splat, four float4s: alpha = exp2(log2_opacity - (a dx^2 + b dx dy + c dy^2)).
struct alignas(16) ProjectedGaussian {
  float x, y;     // pixels
  float a, b, c;  // conic times log2(e)/2, log2(e), log2(e)/2
  float log2_opacity;
  float red, green, blue, depth;
  float edge_x, edge_y;      // d(dx)/d(dy) of the ellipse's extreme along a row, d(dy)/d(dx) along a column
  float exponent_max;        // exponent at which alpha meets the cutoff
  float extent_x, extent_y;  // half the ellipse's bounding box at the cutoff, pixels
  float opacity;
};
static_assert(sizeof(ProjectedGaussian) == 64, "one record is half a cache line");

struct Range {
  uint32_t begin, end;
};

// Pointers into the workspace. "Slot": place of a pair when Gaussians stand front to back and the tiles of one follow
// one another. "Member": place of a pair when tiles follow one another and those of one stand front to back.
struct Workspace {
  unsigned long long* intersection_count;  // [1] of the frame, more than `max_intersections` on overflow
  ProjectedGaussian* projected;            // [gaussians]
  uint32_t *depth_keys, *gaussian_ids;     // [gaussians] to sort
  uint32_t *sorted_keys, *depth_order;  // [gaussians] front to back, images mixed; the keys then hold the tile counts
  uint32_t* tiles_per_gaussian;         // [gaussians]
  uint32_t* intersection_offsets;       // [gaussians]
  uint32_t *tile_keys, *intersection_ids;  // [capacity] to sort; then members' Gaussians, and blend weights by slot
  uint32_t *sorted_tiles, *sorted_ids;     // [capacity] by member
  uint32_t* intersection_gaussians;        // [capacity] Gaussian by slot
  Range* tile_ranges;                      // [batch * tiles] members of each tile
  void* temp;                              // of sorts and sums
  size_t temp_bytes;

  HEADSPLAT_FN uint32_t* tile_gaussians() const { return tile_keys; }
  HEADSPLAT_FN float* intersection_weights() const { return reinterpret_cast<float*>(intersection_ids); }
};

// Bytes of a workspace; any memory aligned to 16 bytes will do. place_workspace throws std::invalid_argument where
// `bytes` are too few or lie badly.
size_t workspace_bytes(const SplatSize& size);
Workspace place_workspace(void* memory, size_t bytes, const SplatSize& size);

struct Cameras {
  const float *intrinsics, *world_to_cam;  // [B,3,3] [B,4,4]
  float near_z, dilation;
  bool antialias, cutoff;
};

struct GaussianInputs {
  const float *means, *quats, *scales, *opacities;  // [B,N,3] [B,N,4] [B,N,3] [B,N]
  const float* colors;                              // [B,N,3], or coefficients [B,N,sh_terms,3]
  int sh_terms;                                     // 0 for plain colours, else 1, 4, 9 or 16
};

struct GaussianGradients {
  float *means, *quats, *scales, *opacities, *colors;
};

struct RenderOutputs {
  float *rgb, *alpha, *depth;  // [B,H,W,3] [B,H,W] [B,H,W]; alpha and depth may be null
  float* weights;              // [B,N] or null
};

struct RenderGradients {
  const float *rgb, *alpha, *depth;                 // outputs of the forward pass; depth may be null without grad_depth
  const float *grad_rgb, *grad_alpha, *grad_depth;  // any may be null
};

// --- the passes ---

// Records, depth keys, tile counts, and the number of pairs.
void project(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
             Stream stream);

// Members of every tile front to back, ties by index.
void assign_tiles(const SplatSize& size, const Workspace& work, Stream stream);

// `colors` [B,N,3] replace the records' where given; numbers that are not finite count as zero.
void rasterize(const SplatSize& size, bool cutoff, const Workspace& work, const float* colors, const RenderOutputs& out,
               Stream stream);

// Sums of each pair's gradients by slot into `partials` [moment_pairs,kMoments].
void rasterize_backward(const SplatSize& size, bool cutoff, const Workspace& work, const RenderGradients& in,
                        float* partials, size_t max_partials, Stream stream);

void project_backward(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
                      const float* partials, size_t max_partials, const GaussianGradients& out, Stream stream);

}  // namespace cuda
}  // namespace headsplat
