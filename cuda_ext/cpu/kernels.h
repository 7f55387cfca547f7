// The kernels that every instruction-set level provides, as a table of functions over plain pointers.
//
// Files compiled once per level must not use inline functions of the standard library that could be shared between
// levels; code that allocates memory is in files compiled once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../rig.h"
#include "layer_kernels.h"

namespace headsplat {

constexpr int kTile = 16;           // pixels; a tile is kTile x kTile
constexpr int kPartialStride = 16;  // floats per tile intersection in the buffer of gradient partials
constexpr int kPartials = 10;
constexpr uint32_t kEarlyStopInterval = 8;             // Gaussians between two tests for opaque strips
constexpr int kMaxChunks = 64;                         // ranges of Gaussians assigned to tiles in parallel
constexpr size_t kMaxIntersections = size_t(1) << 25;  // tile intersections of one image
constexpr uint32_t kInvalidKey = 0xffffffffu;

// One projected Gaussian, a cache line: alpha = exp2(log2_opacity - (a dx^2 + b dx dy + c dy^2)). Its ellipse is the
// region where alpha reaches the cutoff: on row dy its center is row_center_slope * dy and its half width is
// row_half_width * sqrt(1 - (dy inverse_extent_y)^2); its rightmost point lies on row rightmost_y.
struct alignas(64) ProjectedGaussian {
  Scalar x, y;     // mean, pixels
  Scalar a, b, c;  // conic times log2(e)/2, log2(e), log2(e)/2
  Scalar log2_opacity;
  Scalar red, green, blue, depth;
  Scalar row_center_slope, row_half_width, rightmost_y, inverse_extent_y;  // 1, pixels, pixels, 1/pixels
  Scalar extent_x, extent_y;                                               // half the ellipse's bounding box, pixels
};

// Grow-only memory aligned for any vector type.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();
  // Returns memory for at least `bytes`; growing keeps the contents only with `keep`. Throws std::bad_alloc.
  void* reserve(size_t bytes, bool keep = false);
  template <class T>
  T* get(size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }
  template <class T>
  T* data() const {
    return static_cast<T*>(memory_);
  }
  size_t capacity() const { return capacity_; }

 private:
  void* memory_ = nullptr;
  size_t capacity_ = 0;
};

// State of one image, kept between projection, rasterization and their backward passes.
struct ImageState {
  Camera camera;
  int count = 0;    // Gaussians
  int visible = 0;  // Gaussians that are not culled
  int tiles_x = 0, tiles_y = 0;
  size_t intersections = 0;     // Gaussian-tile intersections
  Buffer projected;             // ProjectedGaussian [count]
  Buffer depth_keys;            // uint32 [count], bits of the depth, kInvalidKey where culled
  Buffer depth_order;           // uint32 [visible], Gaussians front to back
  Buffer tile_offsets;          // uint32 [tiles + 1], first intersection of each tile
  Buffer tile_blend_ends;       // uint32 [tiles], one past the last intersection that the forward pass blended
  Buffer tile_gaussians;        // uint32 [intersections], Gaussians by tile, front to back
  Buffer strip_masks;           // uint32 [intersections], strips of the tile that the forward pass visited
  Buffer intersection_offsets;  // uint32 [count], first entry of each Gaussian in `sorted_positions`
  Buffer tiles_per_gaussian;    // uint32 [count]
  Buffer sorted_positions;      // uint32 [intersections], by Gaussian: positions in `tile_gaussians`
};

// Temporary memory of one call.
struct Scratch {
  Buffer sort[4];                  // uint32 [count]
  Buffer histogram;                // uint32 [chunks][tiles]
  Buffer chunk_tiles[kMaxChunks];  // uint32, tile of each intersection in the order of discovery
  int chunks = 0;
  Buffer partials;  // Scalar [intersections][kPartialStride], gradient partials
  Buffer weights;   // Scalar [intersections], blend weights
};

struct GaussianInputs {
  const Scalar *means, *quats, *scales, *opacities;  // [count,3] [count,4] [count,3] [count]
  const Scalar* colors;                              // [count,3], or coefficients [count,sh_terms,3]
  int sh_terms;                                      // 0 for plain colors, else 1, 4, 9 or 16
  // Floats per Gaussian in `colors`.
  size_t color_size() const { return 3 * static_cast<size_t>(sh_terms ? sh_terms : 1); }
};

struct GaussianGradients {
  Scalar *means, *quats, *scales, *opacities, *colors;  // shapes as in GaussianInputs
};

struct RenderOutputs {
  Scalar *rgb, *alpha, *depth;  // [H,W,3] [H,W] [H,W]; depth may be null
  Scalar* weights;              // [intersections] blend weights summed over a tile's pixels, or null
};

// A window of the images of a layer that is seen through the Gaussians of one image, see avatar.ops.splat.
struct LayerView {
  const Scalar *color, *coverage, *depth, *stencil;  // [height,width,3], then [height,width]; color may be null
  const Scalar* fades;                               // [count] factor of the stencil for each Gaussian
  int x, y, width, height;                           // pixels of the image
};

struct RenderGradients {
  const Scalar *rgb, *alpha, *depth;                 // outputs of the forward pass; depth only with grad_depth
  const Scalar *grad_rgb, *grad_alpha, *grad_depth;  // any may be null
};

constexpr int kSsimMargin = 32;  // zeros before and after each row buffer, floats
constexpr int kSsimPlanes = 5;   // row buffers per thread

// Floats begin..end of a row; empty when end <= begin.
struct RowSpan {
  int begin, end;
};

// Rows on which windows are centered: `first`, first + stride, ...; 0 <= first < stride.
struct WindowRows {
  int stride, first;
};

// One image pair, [height][3 width] floats each. Windows in which the images are equal have SSIM 1 and no gradient; per
// row, `differing` is the span where the images differ and `spans` the span of windows affected by it.
struct SsimImage {
  const Scalar *a, *b;
  const Scalar* zeros;  // [3 width]
  int height, width;
  WindowRows rows;
  RowSpan *differing, *spans;  // [height]
  Scalar* row_sums;            // [height], 0 for rows without windows
  Scalar* partials;            // [height][3][3 width] derivatives by blurred a, a^2 and ab, or null
  Scalar* grad;                // [height][3 width], of the mean SSIM by a
  Scalar scale;                // stride of the rows / number of values
};

constexpr int kBindChunk = 1024;   // Gaussians whose contributions to the bones' gradient are summed together
constexpr int kBoneGradSize = 32;  // floats: for each bone rotation 9, translation 3, quaternion 4

// Gaussians of one image on their triangles; arrays as in avatar.ops.bind.
struct BindInputs {
  const Scalar* vertices;                       // [V,3]
  const int64_t* triangles;                     // [N,3]
  const Scalar *bary, *offsets, *quats, *skin;  // [N,3] [N,3] [N,4] [N]
  int vertex_count;                             // V
  bool* out_of_range;  // [ceil(N / kBindChunk)] set where a triangle has an index not in 0..V-1; its corners are NaN
  // Null unless the Gaussians stretch:
  const Scalar *scales, *tensors;  // [N,3] [M,kTensorSize]
  const int64_t* rows;             // [V] row of each vertex in `tensors`, -1 where it does not stretch
  int row_count;                   // M
};

struct BindResults {
  Scalar *means, *quats, *scales;  // [N,3] [N,4] [N,3]; scales null unless the Gaussians stretch
};

struct BindGradients {
  const Scalar *means, *world_quats, *world_scales;  // [N,3] [N,4] [N,3] gradients of the outputs; any may be null
  Scalar *offsets, *quats;                           // [N,3] [N,4]
  Scalar* corners;                                   // [N,3,3] or null
  Scalar *scales, *tensors;                          // [N,3] [N,kTensorSize] of the tensor at the Gaussian; or null
  Scalar* bones;                                     // [ceil(N / kBindChunk), kBoneGradSize]
};

constexpr int kStretchChunk = 512;  // faces, rows or vertices

// Triangles around the M vertices that stretch; arrays as in avatar.reference.StretchMesh.
struct StretchMesh {
  const int64_t* faces;                               // [F,3]
  const Scalar *inverse, *weights;                    // [F,3] [F,3]
  const int64_t *starts, *corners, *rows, *vertices;  // [V+1] [3F] [V] [M]
  int vertex_count, face_count, row_count;            // V, F, M
  bool* out_of_range;  // [ceil(F / kStretchChunk)] set where a face has an index not in 0..V-1
};

// Coefficients [count,terms,3] and rotations [count,4] of Gaussians.
struct ShRotation {
  int terms;
  const Scalar *sh, *quats;
  Scalar* out;         // forward: rotated coefficients
  const Scalar* grad;  // backward: gradient of `out`
  Scalar *grad_sh, *grad_quats;
};

struct AdamRule {
  Scalar beta1, beta2, eps;
  Scalar inverse_bias1, inverse_bias2;  // 1 / (1 - beta^step)
};

// Adam step of parameters in rows [size / columns][columns], with optional learning rates and a mask per row.
struct AdamStep {
  AdamRule rule;
  Scalar *param, *m, *v;
  const Scalar* grad;
  const Scalar* row_rates;  // [size / columns], or null for `rate`
  const uint8_t* touched;   // [size / columns], 0 for rows to skip; or null for all
  size_t size, columns;
  Scalar rate;
};

constexpr int kWeightGradImages = 8;  // images per step for which the gradient of the weights is available

// A basis [bases][size] whose gradient is sum_b weights[b][k] grad[b][i], with weights [batch][bases], grad
// [batch][size].
struct AdamOuter {
  AdamRule rule;
  Scalar* param;
  void *m, *v;  // Scalar, or bfloat16 when `bf16`
  const Scalar *weights, *grad;
  const uint8_t* touched;       // [size / columns], 0 for rows to skip; or null for all
  const Scalar* anchor_weight;  // [size / columns], L2 weight toward zero: adds weight * param to the gradient; or null
  int batch, bases;
  size_t size, columns;
  Scalar rate;
  bool bf16;
};

// out [batch][size] = base + weights [batch][bases] basis [bases][size], with a basis of floats or half floats.
struct BlendInputs {
  const Scalar* base;  // [size], or null for zero
  const void* basis;
  const Scalar* weights;
  int batch, bases;
  size_t size;
  bool half;
};

constexpr int kDeformChannels = 11;  // position 3, rotation 4, color 3, opacity logit 1

// The first `deformed` of the `count` Gaussians have blendshape offsets, each channel in units of `units`.
struct DeformShape {
  int batch, count, deformed;
  Scalar units[kDeformChannels];
};

struct DeformInputs {
  const Scalar *offsets, *quats, *log_scales, *logit_opacities, *colors;  // [N,3] [N,4] [N,3] [N] [N,3]
  const Scalar* blended;  // [B,deformed,kDeformChannels] blended offsets
};

struct DeformOutputs {
  Scalar *offsets, *quats, *scales, *opacities, *sh;  // [B,N,3] [B,N,4] [B,N,3] [B,N] [B,N,3]
};

struct DeformForwardOutputs {
  const Scalar *scales, *opacities;  // outputs of the forward pass
};

struct DeformOutputGradients {
  const Scalar *offsets, *quats, *scales, *opacities, *sh;  // shapes as in DeformOutputs
};

struct DeformInputGradients {
  Scalar *offsets, *quats, *log_scales, *logit_opacities, *colors, *blended;  // shapes as in DeformInputs
};

// One image of the photometric loss; RGB is interleaved, [height][3 width].
struct LossImage {
  const Scalar *rgb, *alpha;
  const uint8_t *truth, *matte;
  const Scalar* background;  // [3]
  int height, width;
  Scalar ssim_weight, mask_weight;
  Scalar *composite, *target;  // [height][3 width] over the background, written by the forward pass
  Scalar* row_sums;            // [height][3]: |composite - target|, its square, |alpha - matte|
  Scalar *grad_rgb, *grad_alpha;
};

// One image composited over a background and converted to bytes; NaN gives 0.
struct BytesImage {
  const Scalar *rgb, *alpha;  // [height][3 width] premultiplied, [height][width]
  const Scalar* background;   // [3]
  int height, width;
  uint8_t* out;  // [height][3 width]
};

// Inputs of the normal equations of rigid motions of `groups` groups of Gaussians, see avatar.ops.rigid_normal.
struct RigidNormalImage {
  const Scalar *rgb, *alpha, *target, *features;  // [height][3 width] [height][width], then [height][3 width] twice
  int height, width, groups;
  Scalar fx, fy, cx, cy;  // pixels
  const Scalar* pivots;   // [groups][3] meters, camera axes
  Scalar sigma;
};

constexpr int kRigidUnknowns = 18;  // for three groups
constexpr int kRigidPlanes = 14;
constexpr size_t kRigidMargin = 16;  // zeros before and after each row, floats

// Floats between rows of a plane.
static inline size_t rigid_row_stride(int width) {
  return (static_cast<size_t>(width) + kRigidMargin - 1) / kRigidMargin * kRigidMargin + 2 * kRigidMargin;
}

// Floats of temporary memory per thread.
static inline size_t rigid_buffer_size(int height, int width) {
  return (static_cast<size_t>(kRigidPlanes) * height + 5) * rigid_row_stride(width);
}

constexpr int kControls = 64;  // of sampled_normal, at most
constexpr int kSampledUnknowns = 6 + kControls;

// Points of one image, coordinates first, see avatar.ops.sampled_normal.
struct SampledPoints {
  const Scalar *slopes, *residual, *weight, *places;  // [2,3,count] [3,count] [count] [3,count]
  const Scalar *motion, *tint;                        // [controls,3,count] twice
  int count, controls;
  Scalar fx, fy;        // pixels
  const Scalar* pivot;  // [3] meters, camera axes
  const Scalar* turn;   // [3,3] frame of `motion` -> camera axes
};

// What blendshapes add to some channels of the Gaussians `rows` in some frames, see avatar.ops.blend_extent.
struct BlendExtent {
  const Scalar* base;             // [row_count,channels], or null for zero
  const Scalar *basis, *weights;  // [bases,count,basis_channels] [frames,bases]
  const int64_t* rows;            // [row_count]; one not in 0..count-1 gives NaN
  const Scalar* units;            // [channels]
  int frames, bases, count, row_count;
  int basis_channels, first_channel, channels;  // `channels` up to kDeformChannels
};

struct BlendExtentOutputs {
  Scalar *low, *high, *square;  // [row_count,channels] twice, [row_count]
};

// Limits of the axes of Gaussians in place, see avatar.ops.limit_scales.
struct ScaleLimits {
  Scalar* log_scales;     // [N,3]
  const Scalar* largest;  // [N]
  Scalar log_ratio, log_thinness;
};

// Texels that become alike in rings, see avatar.ops.round_rings; indices are in range.
struct RingTexels {
  Scalar* values;         // [T,3]
  const Scalar* squares;  // [T,3]
  const int64_t* texels;  // [count]
  const Scalar* places;   // [count] 0..rings-1
  int count, rings;
  Scalar smoothness, share;
};

constexpr int kLossRows = 7;  // padded rows of 3 width floats per thread

struct Kernels {
  const char* name;
  LayerKernels layer;
  void (*project)(ImageState&, const GaussianInputs&);
  void (*project_backward)(const ImageState&, const GaussianInputs&, const Scalar* partials, const GaussianGradients&);
  void (*assign_tiles)(ImageState&, Scratch&);
  // `layer` may be null; `grad_layer` receives the gradient of its color, and may be null.
  void (*rasterize)(ImageState&, const LayerView* layer, const RenderOutputs&);
  void (*rasterize_backward)(const ImageState&, const LayerView* layer, const RenderGradients&, Scalar* partials,
                             Scalar* grad_layer);
  void (*bind_image)(const Bones&, const BindInputs&, int count, const BindResults&);
  void (*bind_image_backward)(const Bones&, const BindInputs&, int count, const BindGradients&);
  void (*stretch_faces)(const StretchMesh&, const Scalar* vertices, int begin, int end, Scalar* tensors);
  void (*stretch_means)(const StretchMesh&, const Scalar* tensors, int begin, int end, Scalar* means);
  void (*stretch_faces_backward)(const StretchMesh&, const Scalar* vertices, const Scalar* grad_means, int begin,
                                 int end, Scalar* corners);
  void (*stretch_vertices_backward)(const StretchMesh&, const Scalar* corners, int begin, int end, Scalar* vertices);
  void (*rotate_sh)(const ShRotation&, int begin, int end);
  void (*rotate_sh_backward)(const ShRotation&, int begin, int end);
  void (*ssim_find_differences)(const SsimImage&, int begin, int end);
  void (*ssim_rows)(const SsimImage&, int begin, int end, Scalar* buffer);
  void (*ssim_rows_backward)(const SsimImage&, int begin, int end, Scalar* buffer);
  void (*adam)(const AdamStep&, size_t begin, size_t end);
  // `sums` [batch][bases] receives the gradient of the weights from this range, unless null.
  void (*adam_outer)(const AdamOuter&, size_t begin, size_t end, Scalar* buffer, Scalar* sums);
  void (*blend_range)(const BlendInputs&, size_t begin, size_t end, Scalar* out);
  void (*blend_dots)(const BlendInputs&, const Scalar* grad, size_t begin, size_t end, Scalar* sums);
  void (*deform_range)(const DeformShape&, const DeformInputs&, int begin, int end, const DeformOutputs&);
  void (*deform_range_backward)(const DeformShape&, const DeformForwardOutputs&, const DeformOutputGradients&,
                                int begin, int end, const DeformInputGradients&);
  void (*compose_rows)(const LossImage&, int begin, int end, Scalar* buffer);
  void (*loss_rows_backward)(const LossImage&, int begin, int end);
  void (*bytes_rows)(const BytesImage&, int begin, int end, Scalar* buffer);
  void (*rigid_normal_image)(const RigidNormalImage&, Scalar* buffer, Scalar* matrix, Scalar* gradient, Scalar* cost);
  void (*sampled_normal_image)(const SampledPoints&, Scalar* buffer, Scalar* matrix, Scalar* gradient);
  // `buffer` [bases,channels,16].
  void (*blend_extent)(const BlendExtent&, int begin, int end, Scalar* buffer, const BlendExtentOutputs&);
  void (*limit_scales)(const ScaleLimits&, int begin, int end);
  // `weights` [count] and `rows` [rings,5] are temporary memory.
  void (*round_rings)(const RingTexels&, double* weights, double* rows);
};

namespace HEADSPLAT_LEVEL {
void project_image(ImageState&, const GaussianInputs&);
void project_image_backward(const ImageState&, const GaussianInputs&, const Scalar* partials, const GaussianGradients&);
void assign_tiles(ImageState&, Scratch&);
void rasterize(ImageState&, const LayerView* layer, const RenderOutputs&);
void rasterize_backward(const ImageState&, const LayerView* layer, const RenderGradients&, Scalar* partials,
                        Scalar* grad_layer);
void bind_image(const Bones&, const BindInputs&, int count, const BindResults&);
void bind_image_backward(const Bones&, const BindInputs&, int count, const BindGradients&);
void stretch_faces(const StretchMesh&, const Scalar* vertices, int begin, int end, Scalar* tensors);
void stretch_means(const StretchMesh&, const Scalar* tensors, int begin, int end, Scalar* means);
void stretch_faces_backward(const StretchMesh&, const Scalar* vertices, const Scalar* grad_means, int begin, int end,
                            Scalar* corners);
void stretch_vertices_backward(const StretchMesh&, const Scalar* corners, int begin, int end, Scalar* vertices);
void rotate_sh(const ShRotation&, int begin, int end);
void rotate_sh_backward(const ShRotation&, int begin, int end);
void ssim_find_differences(const SsimImage&, int begin, int end);
void ssim_rows(const SsimImage&, int begin, int end, Scalar* buffer);
void ssim_rows_backward(const SsimImage&, int begin, int end, Scalar* buffer);
void adam(const AdamStep&, size_t begin, size_t end);
void adam_outer(const AdamOuter&, size_t begin, size_t end, Scalar* buffer, Scalar* sums);
void blend_range(const BlendInputs&, size_t begin, size_t end, Scalar* out);
void blend_dots(const BlendInputs&, const Scalar* grad, size_t begin, size_t end, Scalar* sums);
void deform_range(const DeformShape&, const DeformInputs&, int begin, int end, const DeformOutputs&);
void deform_range_backward(const DeformShape&, const DeformForwardOutputs&, const DeformOutputGradients&, int begin,
                           int end, const DeformInputGradients&);
void compose_rows(const LossImage&, int begin, int end, Scalar* buffer);
void loss_rows_backward(const LossImage&, int begin, int end);
void bytes_rows(const BytesImage&, int begin, int end, Scalar* buffer);
void rigid_normal_image(const RigidNormalImage&, Scalar* buffer, Scalar* matrix, Scalar* gradient, Scalar* cost);
void sampled_normal_image(const SampledPoints&, Scalar* buffer, Scalar* matrix, Scalar* gradient);
void blend_extent(const BlendExtent&, int begin, int end, Scalar* buffer, const BlendExtentOutputs&);
void limit_scales(const ScaleLimits&, int begin, int end);
void round_rings(const RingTexels&, double* weights, double* rows);
}  // namespace HEADSPLAT_LEVEL

// Makes the C library reuse freed memory instead of returning it to the system: the kernel clears fresh pages, which
// takes longer than the computation in them. What is free already is returned first. Has an effect with glibc only.
void keep_freed_memory();

// Allocates the buffers for `image.intersections` tile intersections; their contents are lost.
void reserve_intersections(ImageState& image);

// The table in use: the best level of this processor, or the one named by HEADSPLAT_SIMD or set_level.
const Kernels& kernels();

// Returns false when the name is unknown or the processor lacks the level.
bool set_level(const char* name);

}  // namespace headsplat
