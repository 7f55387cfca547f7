// CUDA operations over whole batches; each is documented in avatar/ops. Pointers are device memory, scratch memory
// needs no initialization, and results are deterministic.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stream.h"

namespace headsplat {
namespace cuda {

// --- bind.cu ---

struct BindShape {
  int batch, vertices, count;  // images, vertices per mesh, Gaussians per image
};

struct BindInputs {
  const float* vertices;                       // [B,V,3]
  const int64_t* triangles;                    // [N,3]
  const float *bary, *offsets, *quats, *skin;  // [N,3] [B,N,3] [B,N,4] [N]
  const float *rotations, *translations;       // [B,2,4] [B,2,3]
  // Null unless the Gaussians stretch:
  const float *scales, *tensors;  // [B,N,3] [B,M,6]
  const int64_t* rows;            // [V] row of each vertex in `tensors`, -1 where it does not stretch
  int row_count;                  // M
};

struct BindOutputs {
  float *means, *quats, *scales;  // [B,N,3] [B,N,4] [B,N,3]; scales null unless the Gaussians stretch
};

struct BindGradients {
  const float *means, *world_quats, *world_scales;               // gradients of the outputs; any may be null
  float *vertices, *offsets, *quats, *rotations, *translations;  // vertices may be null
  float *scales, *tensors;                                       // null unless the Gaussians stretch; tensors may be
};

// Which sums over Gaussians the backward pass computes, for the size of its scratch memory.
struct BindSums {
  bool vertices, tensors;
};

void bind(const BindShape& shape, const BindInputs& in, const BindOutputs& out, Stream stream);
size_t bind_backward_scratch(const BindShape& shape, int row_count, const BindSums& sums);
void bind_backward(const BindShape& shape, const BindInputs& in, const BindGradients& grads, void* scratch,
                   Stream stream);

// --- stretch.cu: triangles around the M vertices that stretch; arrays as in avatar.reference.StretchMesh ---

struct StretchMesh {
  const int64_t* faces;                               // [F,3]
  const float *inverse, *weights;                     // [F,3] [F,3]
  const int64_t *starts, *corners, *rows, *vertices;  // [V+1] [3F] [V] [M]
  int vertex_count, face_count, row_count;            // V, F, M
};

size_t vertex_stretch_scratch(int batch, int face_count);
void vertex_stretch(const StretchMesh& mesh, int batch, const float* vertices, float* tensors, void* scratch,
                    Stream stream);
size_t vertex_stretch_backward_scratch(int batch, int face_count);
void vertex_stretch_backward(const StretchMesh& mesh, int batch, const float* vertices, const float* grad_tensors,
                             float* grad_vertices, void* scratch, Stream stream);

// --- strain.cu: N points on triangles of a mesh of V vertices, M of which have stretch tensors ---

struct StrainPoints {
  const float* tensors;      // [B,M,6]
  const int64_t* rows;       // [V] row of each vertex in `tensors`, -1 where it does not stretch
  const int64_t* triangles;  // [N,3]
  const float* bary;         // [N,3]
  int batch, row_count, vertex_count, count;
};

void principal_strains(const StrainPoints& points, float* strains, Stream stream);
size_t principal_strains_backward_scratch(int batch, int row_count, int count);
void principal_strains_backward(const StrainPoints& points, const float* grad_strains, float* grad_tensors,
                                void* scratch, Stream stream);

// --- blend.cu: `values` = N C of base [N,C], which may be null for zero; the basis is float or half ---

struct BlendShape {
  int batch, bases;
  size_t values;
};

void blend(const BlendShape& shape, const float* base, const void* basis, bool half_basis, const float* weights,
           float* out, Stream stream);
size_t blend_weights_scratch(const BlendShape& shape);
void blend_backward_weights(const BlendShape& shape, const float* grad_out, const void* basis, bool half_basis,
                            float* grad_weights, void* scratch, Stream stream);

// --- deform.cu ---

constexpr int kDeformChannels = 11;  // position 3, rotation 4, color 3, opacity logit 1

// The first `deformed` of the `count` Gaussians have blendshape offsets, each channel in units of `units`.
struct DeformShape {
  int batch, count, deformed;
};

struct DeformInputs {
  const float *offsets, *quats, *log_scales, *logit_opacities, *colors;  // [N,3] [N,4] [N,3] [N] [N,3]
  const float *blended, *units;  // [B,deformed,kDeformChannels] [kDeformChannels]
};

struct DeformOutputs {
  float *offsets, *quats, *scales, *opacities, *sh;  // [B,N,3] [B,N,4] [B,N,3] [B,N] [B,N,3]
};

struct DeformForwardOutputs {
  const float *scales, *opacities;  // outputs of the forward pass
};

struct DeformOutputGradients {
  const float *offsets, *quats, *scales, *opacities, *sh;  // shapes as in DeformOutputs
};

struct DeformInputGradients {
  float *offsets, *quats, *log_scales, *logit_opacities, *colors, *blended;  // shapes as in DeformInputs
};

void deform(const DeformShape& shape, const DeformInputs& in, const DeformOutputs& out, Stream stream);
void deform_backward(const DeformShape& shape, const DeformForwardOutputs& values, const DeformOutputGradients& in,
                     const float* units, const DeformInputGradients& out, Stream stream);

// --- sh.cu ---

struct ShRotation {
  int terms;
  size_t count;             // Gaussians of the whole batch
  const float *sh, *quats;  // [count,terms,3] [count,4]
};

void rotate_sh(const ShRotation& in, float* out, Stream stream);
void rotate_sh_backward(const ShRotation& in, const float* grad, float* grad_sh, float* grad_quats, Stream stream);

// --- adam.cu ---

struct AdamRates {
  float rate, beta1, beta2, eps;
  float inverse_bias1, inverse_bias2;  // 1 / (1 - beta^step)
  // In device memory, so that a CUDA graph may hold the step: factor of the rate, both inverse biases instead of those
  // above, and 0 if nothing is to be updated; or null.
  const float* schedule;
};

struct AdamArrays {
  float *param, *m, *v;
};

// Options per row of `columns` parameters; each may be null.
struct AdamRows {
  const float* rates;          // learning rates that replace AdamRates::rate
  const uint8_t* touched;      // 0 for rows to skip
  const float* anchor_weight;  // L2 weight toward zero: adds weight * param to the gradient; adam_outer_step only
  size_t columns;
};

void adam_step(const AdamArrays& arrays, const float* grad, const AdamRows& rows, size_t size, const AdamRates& rates,
               Stream stream);

// A basis [K,N,C] whose gradient is sum_b weights[b,k] grad[b,n,c].
void adam_outer_step(const BlendShape& shape, const AdamArrays& arrays, const float* weights, const float* grad,
                     const AdamRows& rows, const AdamRates& rates, Stream stream);

// --- image_loss.cu ---

struct ImageShape {
  int batch, height, width;
};

size_t image_loss_scratch(const ImageShape& shape, bool with_gradient);
void ssim(const ImageShape& shape, const float* a, const float* b, float* mean, float* grad, void* scratch,
          Stream stream);

// Rows on which windows of SSIM are centered: `first`, first + stride, ...; 0 <= first < stride.
struct WindowRows {
  int stride, first;
};

struct PhotometricInputs {
  const float *rgb, *alpha;      // [B,H,W,3] [B,H,W]
  const uint8_t *truth, *matte;  // [B,H,W,3] [B,H,W]
  const float* background;       // [B,3]
  float ssim_weight, mask_weight;
  WindowRows ssim_rows;
};

// Either gradient may be null.
void photometric(const ImageShape& shape, const PhotometricInputs& in, float* loss, float* mse, float* grad_rgb,
                 float* grad_alpha, void* scratch, Stream stream);

// --- mesh.cu ---

struct MeshShape {
  int batch, vertices, faces, width, height;
  float near_z;
};

struct MeshOutputs {
  int32_t* face;  // [B,H,W] face index, -1 for background
  float* bary;    // [B,H,W,3]
  float* depth;   // [B,H,W] meters, 0 for background
};

size_t mesh_scratch(const MeshShape& shape);
void rasterize_mesh(const MeshShape& shape, const float* vertices, const int64_t* faces, const float* intrinsics,
                    const MeshOutputs& out, void* scratch, Stream stream);

// --- layer.cu ---

struct LayerShape {
  int batch, vertices, faces, skin_faces, texels, width, height;
  float near_z, blur;  // meters
};

struct LayerInputs {
  const float *vertices, *shade, *texels;   // [B,V,3] [B,V] [T,3]
  const int64_t *faces, *texel_ids, *skin;  // [F,3] [F,15] [S,3]
  const float *fades, *intrinsics;          // [F,2] meters, [B,3,3]
};

struct LayerOutputs {
  float *color, *coverage, *depth, *stencil;  // [B,H,W,3], then [B,H,W]
};

// What another rasterizer found at the samples of the padded images, [B,samples] each.
struct LayerDepths {
  const int64_t* face;        // -1: none
  const float *depth, *skin;  // meters; of the skin 0 where it is not
};

// With `given` the z-buffers are not rasterized but taken from there.
// The backward pass reads what the forward pass left in `scratch`. The gradient of a texel is summed in fixed point
// with a resolution of 2^-40, which makes it independent of the order.
size_t layer_scratch(const LayerShape& shape);
size_t layer_samples(const LayerShape& shape);  // of all images
void layer_forward(const LayerShape& shape, const LayerInputs& in, const LayerOutputs& out, void* scratch,
                   Stream stream, const LayerDepths* given = nullptr);
void layer_backward(const LayerShape& shape, const LayerInputs& in, const float* grad_color, float* grad_texels,
                    void* scratch, Stream stream);

}  // namespace cuda
}  // namespace headsplat
