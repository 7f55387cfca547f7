// The kernels every instruction-set level provides, as a table of functions over plain pointers.
//
// Files that include this and are compiled once a level must not use inline functions of the standard library that
// could end up shared between levels; what allocates lives in files compiled once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../rig.h"

namespace headsplat {

constexpr int kTile = 16;           // pixels; a tile is kTile x kTile
constexpr int kPartialStride = 16;  // floats from one (splat, tile) pair's gradients to the next
constexpr int kPartials = 10;
constexpr uint32_t kEarlyStopInterval = 8;             // splats between two looks at whether a strip is opaque
constexpr int kMaxChunks = 64;                         // runs of splats that are tiled side by side
constexpr size_t kMaxIntersections = size_t(1) << 25;  // (splat, tile) pairs of one image
constexpr uint32_t kInvalidKey = 0xffffffffu;

// One projected splat, a cache line: alpha = exp2(log2_opacity - (a dx^2 + b dx dy + c dy^2)). The ellipse is where
// alpha meets the cutoff; on the row dy its middle is lean * dy and its half width
// half_row * sqrt(1 - (dy inverse_extent_y)^2), and its rightmost point lies on the row turn_y.
struct alignas(64) ProjectedGaussian {
  Scalar x, y;     // pixels
  Scalar a, b, c;  // conic times log2(e)/2, log2(e), log2(e)/2
  Scalar log2_opacity;
  Scalar red, green, blue, depth;
  Scalar row_center_slope, row_half_width, rightmost_y, inverse_extent_y;  // 1, pixels, pixels, 1/pixels
  Scalar extent_x, extent_y;                                               // half the ellipse's bounding box, pixels
};

// Grow-only memory aligned for any vector; contents are not kept when it grows.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();
  // Memory for at least `bytes`; with `keep`, what was there stays. Throws std::bad_alloc.
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

// Everything kept of one image between projection, rasterization and their backward passes.
struct ImageState {
  Camera camera;
  int count = 0;    // Gaussians
  int visible = 0;  // of them on screen
  int tiles_x = 0, tiles_y = 0;
  size_t intersections = 0;     // (splat, tile) pairs
  Buffer projected;             // Splat [count]
  Buffer depth_keys;            // uint32 [count], depth as bits, kHidden where not drawn
  Buffer depth_order;           // uint32 [visible], Gaussians front to back
  Buffer tile_offsets;          // uint32 [tiles + 1], into `tile_gaussians`
  Buffer tile_blend_ends;       // uint32 [tiles], one past the last member the forward pass blended
  Buffer tile_gaussians;        // uint32 [instances], Gaussians of each tile front to back
  Buffer strip_masks;           // uint32 [instances], strips of the tile the forward pass visited
  Buffer intersection_offsets;  // uint32 [count], into `sorted_positions`
  Buffer tiles_per_gaussian;    // uint32 [count]
  Buffer sorted_positions;      // uint32 [instances], where each Gaussian stands in `tile_gaussians`
};

// Memory a call needs only while it runs.
struct Scratch {
  Buffer sort[4];                  // uint32 [count]
  Buffer histogram;                // uint32 [chunks][tiles]
  Buffer chunk_tiles[kMaxChunks];  // tile numbers in the order they are found
  int chunks = 0;
  Buffer partials;  // Scalar [instances][kMoments]
  Buffer weights;   // Scalar [instances]
};

struct GaussianInputs {
  const Scalar *means, *quats, *scales, *opacities;  // [count,3] [count,4] [count,3] [count]
  const Scalar* colors;                              // [count,3], or coefficients [count,sh_terms,3]
  int sh_terms;                                      // 0 for plain colours, else 1, 4, 9 or 16
  // Numbers of one Gaussian in `colors`.
  size_t color_size() const { return 3 * static_cast<size_t>(sh_terms ? sh_terms : 1); }
};

struct GaussianGradients {
  Scalar *means, *quats, *scales, *opacities, *colors;
};

struct RenderOutputs {
  Scalar *rgb, *alpha, *depth;  // [H,W,3] [H,W] [H,W]; depth may be null
  Scalar* weights;              // [instances] or null
};

struct RenderGradients {
  const Scalar *rgb, *alpha, *depth;                 // outputs of the forward pass; depth only beside grad_depth
  const Scalar *grad_rgb, *grad_alpha, *grad_depth;  // any may be null
};

constexpr int kSsimMargin = 32;  // floats of zeros on both sides of a row buffer
constexpr int kSsimPlanes = 5;   // row buffers a thread needs

// Floats begin..end of a row; none when end <= begin.
struct RowSpan {
  int begin, end;
};

// One image pair, [height][3 width] floats each. Windows in which the images are the same have an SSIM of one and no
// gradient; `spans` says of each row what may differ, first of the images, then of the windows.
struct SsimImage {
  const Scalar *a, *b;
  const Scalar* zeros;  // [3 width]
  int height, width;
  RowSpan *differing, *spans;  // [height]
  Scalar* row_sums;            // [height]
  Scalar* partials;            // [height][3][3 width] derivatives by blurred a, a^2 and ab, or null
  Scalar* grad;                // [height][3 width] of the mean by a
  Scalar scale;                // one over the number of values
};

constexpr int kBindChunk = 1024;   // Gaussians whose part in the bones' gradient is summed together
constexpr int kBoneGradSize = 32;  // floats of it: for each bone rotation 9, translation 3, quaternion 4

// One image's Gaussians on their triangles; arrays as in avatar.ops.bind.
struct BindInputs {
  const Scalar* vertices;                       // [V,3]
  const int64_t* triangles;                     // [N,3]
  const Scalar *bary, *offsets, *quats, *skin;  // [N,3] [N,3] [N,4] [N]
};

struct BindGradients {
  const Scalar *means, *world_quats;  // [N,3] [N,4] given, either may be null
  Scalar *offsets, *quats;            // [N,3] [N,4]
  Scalar* corners;                    // [N,3,3] or null
  Scalar* bones;                      // [ceil(N / kBindChunk), kBoneGrad]
};

// Coefficients [count,terms,3] and the rotations [count,4] that carry them along.
struct ShRotation {
  int terms;
  const Scalar *sh, *quats;
  Scalar* out;         // forward
  const Scalar* grad;  // backward: given, by `out`
  Scalar *grad_sh, *grad_quats;
};

struct AdamRule {
  Scalar beta1, beta2, eps;
  Scalar inverse_bias1, inverse_bias2;  // 1 / (1 - beta^step)
};

// Rows of parameters that may have rates of their own, and rows that stay as they are.
struct AdamStep {
  AdamRule rule;
  Scalar *param, *m, *v;
  const Scalar* grad;
  const Scalar* row_rates;  // [size / columns], or null for `rate`
  const uint8_t* touched;   // [size / columns], or null for all
  size_t size, columns;
  Scalar rate;
};

constexpr int kWeightGradImages = 8;  // images of a step that may want the gradient of their weights

// A basis [bases][size] whose gradient is the sum over images of weights [batch][bases] times grad [batch][size].
struct AdamOuter {
  AdamRule rule;
  Scalar* param;
  void *m, *v;  // Scalar, or bfloat16 where `bf16`
  const Scalar *weights, *grad;
  const uint8_t* touched;       // [size / columns], or null for all
  const Scalar* anchor_weight;  // [size / columns], times the parameter part of its gradient; or null for none
  int batch, bases;
  size_t size, columns;
  Scalar rate;
  bool bf16;
};

// out [batch][size] = base + weights [batch][bases] times basis [bases][size], which holds floats or halves.
struct BlendInputs {
  const Scalar* base;  // [size], or null for zero
  const void* basis;
  const Scalar* weights;
  int batch, bases;
  size_t size;
  bool half;
};

constexpr int kDeformChannels = 11;  // position 3, rotation 4, colour 3, opacity logit 1

// `deformed` of the `count` Gaussians carry offsets, in units of `units`.
struct DeformShape {
  int batch, count, deformed;
  Scalar units[kDeformChannels];
};

struct DeformInputs {
  const Scalar *offsets, *quats, *log_scales, *logit_opacities, *colors;  // [N,3] [N,4] [N,3] [N] [N,3]
  const Scalar* blended;                                                  // [B,moved,kDeformChannels]
};

struct DeformOutputs {
  Scalar *offsets, *quats, *scales, *opacities, *sh;  // [B,N,3] [B,N,4] [B,N,3] [B,N] [B,N,3]
};

struct DeformForwardOutputs {
  const Scalar *scales, *opacities;  // outputs of the forward pass
};

struct DeformOutputGradients {
  const Scalar *offsets, *quats, *scales, *opacities, *sh;
};

struct DeformInputGradients {
  Scalar *offsets, *quats, *log_scales, *logit_opacities, *colors, *blended;
};

// One image of the photometric loss; pictures are interleaved, [height][3 width].
struct LossImage {
  const Scalar *rgb, *alpha;
  const uint8_t *truth, *matte;
  const Scalar* background;  // [3]
  int height, width;
  Scalar ssim_weight, mask_weight;
  Scalar *composite, *target;  // composed here
  Scalar* row_sums;            // [height][3]: absolute and squared differences, absolute difference of the alphas
  Scalar *grad_rgb, *grad_alpha;
};

// A picture over a background as bytes; NaN counts as 0.
struct BytesImage {
  const Scalar *rgb, *alpha;  // [height][3 width] premultiplied, [height][width]
  const Scalar* background;   // [3]
  int height, width;
  uint8_t* out;  // [height][3 width]
};

// Normal equations of the rigid motions of `groups` groups of splats, as in avatar.ops.rigid_normal.
struct RigidNormalImage {
  const Scalar *rgb, *alpha, *target, *features;  // [height][3 width] [height][width] [height][3 width] twice
  int height, width, groups;
  Scalar fx, fy, cx, cy;  // pixels
  const Scalar* pivots;   // [groups][3] metres, camera axes
  Scalar sigma;
};

constexpr int kRigidUnknowns = 18;  // of three groups
constexpr int kRigidPlanes = 14;
constexpr size_t kRigidMargin = 16;  // zeros before and after each row

// Floats from one row of a plane to the next.
static inline size_t rigid_row_stride(int width) {
  return (static_cast<size_t>(width) + kRigidMargin - 1) / kRigidMargin * kRigidMargin + 2 * kRigidMargin;
}

// Floats a thread needs for one image.
static inline size_t rigid_buffer_size(int height, int width) {
  return (static_cast<size_t>(kRigidPlanes) * height + 5) * rigid_row_stride(width);
}

constexpr int kLossRows = 7;  // padded rows of 3 width floats a thread needs

struct Kernels {
  const char* name;
  void (*project)(ImageState&, const GaussianInputs&);
  void (*project_backward)(const ImageState&, const GaussianInputs&, const Scalar* partials, const GaussianGradients&);
  void (*assign_tiles)(ImageState&, Scratch&);
  void (*rasterize)(ImageState&, const RenderOutputs&);
  void (*rasterize_backward)(const ImageState&, const RenderGradients&, Scalar* partials);
  void (*bind_image)(const Bones&, const BindInputs&, int count, Scalar* means, Scalar* quats);
  void (*bind_image_backward)(const Bones&, const BindInputs&, int count, const BindGradients&);
  void (*rotate_sh)(const ShRotation&, int begin, int end);
  void (*rotate_sh_backward)(const ShRotation&, int begin, int end);
  void (*ssim_find_differences)(const SsimImage&, int begin, int end);
  void (*ssim_rows)(const SsimImage&, int begin, int end, Scalar* buffer);
  void (*ssim_rows_backward)(const SsimImage&, int begin, int end, Scalar* buffer);
  void (*adam)(const AdamStep&, size_t begin, size_t end);
  // `sums` [batch][bases] receives the weights' gradient of this range, unless it is null.
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
};

namespace HEADSPLAT_LEVEL {
void project_image(ImageState&, const GaussianInputs&);
void project_image_backward(const ImageState&, const GaussianInputs&, const Scalar* partials, const GaussianGradients&);
void assign_tiles(ImageState&, Scratch&);
void rasterize(ImageState&, const RenderOutputs&);
void rasterize_backward(const ImageState&, const RenderGradients&, Scalar* partials);
void bind_image(const Bones&, const BindInputs&, int count, Scalar* means, Scalar* quats);
void bind_image_backward(const Bones&, const BindInputs&, int count, const BindGradients&);
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
}  // namespace HEADSPLAT_LEVEL

// Asks the C library to hand freed memory out again instead of returning it to the system: fresh pages are cleared by
// the kernel, which takes longer than what is computed in them. Only glibc needs to be asked.
void keep_freed_memory();

// Makes room for `image.intersections` pairs; what was there is lost.
void reserve_intersections(ImageState& image);

// The table in use: the best the processor has, or what HEADSPLAT_SIMD or set_level named.
const Kernels& kernels();

// False when the processor lacks it or the name is unknown.
bool set_level(const char* name);

}  // namespace headsplat
