// Operations over whole batches; each is documented in avatar/ops.
#pragma once

#include "kernels.h"

namespace headsplat {

struct BindShape {
  int batch, vertices, count;  // images, vertices per mesh, Gaussians per image
};

// Arrays of the whole batch; `bary`, `skin`, `triangles` and `rows` of `inputs` are shared by its images. Returns
// whether all indices in `triangles` are in range.
bool bind(const BindShape& shape, BindInputs inputs, const Scalar* rotations, const Scalar* translations,
          const BindResults& out);

// Gradients with respect to the results of `bind`; any may be null.
struct BindOutputGradients {
  const Scalar *means, *quats, *scales;  // [B,N,3] [B,N,4] [B,N,3]
};

// Gradients with respect to the inputs of `bind`, whole batch; `vertices`, `scales` and `tensors` may be null.
struct BindOutputs {
  Scalar *vertices, *offsets, *quats, *rotations, *translations;  // [B,V,3] [B,N,3] [B,N,4] [B,2,4] [B,2,3]
  Scalar *scales, *tensors;                                       // [B,N,3] [B,M,kTensorSize]
};

bool bind_backward(const BindShape& shape, BindInputs inputs, const Scalar* rotations, const Scalar* translations,
                   const BindOutputGradients& grads, const BindOutputs& out);

// Mean stretch tensors [B,M,kTensorSize] of vertices [B,V,3]; the gradient of the vertices. Both return whether all
// indices of the mesh's faces are in range.
bool vertex_stretch(StretchMesh mesh, int batch, const Scalar* vertices, Scalar* tensors);
bool vertex_stretch_backward(StretchMesh mesh, int batch, const Scalar* vertices, const Scalar* grad_tensors,
                             Scalar* grad_vertices);

// Rotates the coefficients of `count` Gaussians; backward computes the gradients of coefficients and rotations.
void rotate_sh(const ShRotation& rotation, int count);
void rotate_sh_backward(const ShRotation& rotation, int count);

// Mean SSIM of image pairs [B,H,W,3] into `mean` [B], estimated from the windows on `rows`; its gradient with respect
// to `a` into `grad`, which may be null.
void ssim(int batch, int height, int width, WindowRows rows, const Scalar* a, const Scalar* b, Scalar* mean,
          Scalar* grad);

// One step of Adam in place of `count` parameters, all of their ranges in one loop over the threads.
void adam_steps(const AdamStep* steps, int count);

// Adds weights[row] * (param - target) to the gradient [rows][columns]: an L2 anchor.
struct Anchor {
  Scalar* grad;
  const Scalar *param, *target, *weights;  // null `target` for zero
  int rows;
  size_t columns;
};

void add_anchors(const Anchor* anchors, int count);

// `weights` [batch,bases] receives the gradient of the weights before the step, for at most kWeightGradImages images;
// may be null.
void adam_outer_step(const AdamOuter& step, Scalar* weights);

// Blended offsets into `out` [batch][size].
void blend(const BlendInputs& inputs, Scalar* out);

// Gradient of the weights [batch][bases], given the gradient of the blended offsets [batch][size].
void blend_backward_weights(const BlendInputs& inputs, const Scalar* grad, Scalar* weights);

// Local Gaussians with blended offsets -> activated Gaussians of every image.
void deform(const DeformShape& shape, const DeformInputs& inputs, const DeformOutputs& out);

void deform_backward(const DeformShape& shape, const DeformForwardOutputs& values, const DeformOutputGradients& grads,
                     const DeformInputGradients& out);

// Arrays of the whole batch as in avatar.ops.photometric; both gradients may be null.
struct PhotometricInputs {
  int batch, height, width;
  const Scalar *rgb, *alpha;     // [batch,height,width,3] premultiplied, [batch,height,width]
  const uint8_t *truth, *matte;  // [batch,height,width,3], [batch,height,width]
  const Scalar* background;      // [batch,3]
  Scalar ssim_weight, mask_weight;
  WindowRows ssim_rows;
};

// Composites `batch` images over one background and converts them to bytes.
void to_bytes(int batch, const BytesImage& first);

// Normal equations of `batch` images: matrix [batch,D,D], gradient [batch,D], cost [batch], D = 6 first.groups. Arrays
// of `first` are those of the whole batch; K [batch,3,3] are the intrinsics of each image.
void rigid_normal(int batch, const RigidNormalImage& first, const Scalar* K, Scalar* matrix, Scalar* gradient,
                  Scalar* cost);

// Normal equations of `batch` images: matrix [batch,D,D], gradient [batch,D], D = 6 + first.controls. Arrays of `first`
// are those of the whole batch, but `motion` and `tint`; K [batch,3,3] are the intrinsics of each image.
void sampled_normal(int batch, const SampledPoints& first, const Scalar* K, Scalar* matrix, Scalar* gradient);

// Smallest and largest value of channels of Gaussians that blendshapes move.
void blend_extent(const BlendExtent& inputs, const BlendExtentOutputs& out);

// Limits of the axes of `count` Gaussians in place.
void limit_scales(const ScaleLimits& limits, int count);

// Moves texels towards the values of their rings.
void round_rings(const RingTexels& texels);

// Loss and mean squared error [batch]; gradients of the loss with respect to `rgb` and `alpha`.
void photometric(const PhotometricInputs& inputs, Scalar* loss, Scalar* mse, Scalar* grad_rgb, Scalar* grad_alpha);

}  // namespace headsplat
