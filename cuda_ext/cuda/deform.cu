// Local Gaussians + blendshape offsets -> activated local Gaussians of every image, forward and backward. One thread
// per Gaussian loops over the images in order, so that gradients summed over images need no atomics.
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kThreads = 128;
constexpr float kShConstant = 0.28209479177387814f;  // Y_0

template <int size>
__device__ void load_row(const float* source, size_t row, float* out) {
#pragma unroll
  for (int k = 0; k < size; ++k) out[k] = source[row * size + k];
}

template <int size>
__device__ void store_row(float* target, size_t row, const float* values) {
#pragma unroll
  for (int k = 0; k < size; ++k) target[row * size + k] = values[k];
}

__global__ void __launch_bounds__(kThreads) deform_kernel(DeformShape shape, DeformInputs in, DeformOutputs out) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= shape.count) return;
  float initial[kDeformChannels], scales[3];
  load_row<3>(in.offsets, n, initial);
  load_row<4>(in.quats, n, initial + 3);
  load_row<3>(in.colors, n, initial + 7);
  initial[10] = in.logit_opacities[n];
  load_row<3>(in.log_scales, n, scales);
  for (float& scale : scales) scale = expf(scale);
  for (int b = blockIdx.y; b < shape.batch; b += gridDim.y) {
    float row[kDeformChannels];
    const bool deforms = n < shape.deformed;
    if (deforms) load_row<kDeformChannels>(in.blended, static_cast<size_t>(b) * shape.deformed + n, row);
    for (int k = 0; k < kDeformChannels; ++k) row[k] = initial[k] + (deforms ? row[k] * in.units[k] : 0.0f);
    for (int k = 7; k < 10; ++k) row[k] = (row[k] - 0.5f) * (1.0f / kShConstant);
    row[10] = 1.0f / (1.0f + expf(-row[10]));
    const size_t at = static_cast<size_t>(b) * shape.count + n;
    store_row<3>(out.offsets, at, row);
    store_row<4>(out.quats, at, row + 3);
    store_row<3>(out.scales, at, scales);
    out.opacities[at] = row[10];
    store_row<3>(out.sh, at, row + 7);
  }
}

__global__ void __launch_bounds__(kThreads)
    deform_backward_kernel(DeformShape shape, DeformForwardOutputs values, DeformOutputGradients in, const float* units,
                           DeformInputGradients out) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= shape.count) return;
  float total[kDeformChannels] = {}, grad_log_scales[3] = {};
  for (int b = 0; b < shape.batch; ++b) {
    const size_t at = static_cast<size_t>(b) * shape.count + n;
    float row[kDeformChannels], grad_scales[3], scales[3];
    load_row<3>(in.offsets, at, row);
    load_row<4>(in.quats, at, row + 3);
    load_row<3>(in.sh, at, row + 7);
    load_row<3>(in.scales, at, grad_scales);
    load_row<3>(values.scales, at, scales);
    const float opacity = values.opacities[at];
    for (int k = 7; k < 10; ++k) row[k] *= 1.0f / kShConstant;
    row[10] = in.opacities[at] * opacity * (1.0f - opacity);
    for (int k = 0; k < kDeformChannels; ++k) total[k] += row[k];
    for (int k = 0; k < 3; ++k) grad_log_scales[k] += grad_scales[k] * scales[k];
    if (n >= shape.deformed) continue;
    for (int k = 0; k < kDeformChannels; ++k) row[k] *= units[k];
    store_row<kDeformChannels>(out.blended, static_cast<size_t>(b) * shape.deformed + n, row);
  }
  store_row<3>(out.offsets, n, total);
  store_row<4>(out.quats, n, total + 3);
  store_row<3>(out.log_scales, n, grad_log_scales);
  out.logit_opacities[n] = total[10];
  store_row<3>(out.colors, n, total + 7);
}

}  // namespace

void deform(const DeformShape& shape, const DeformInputs& in, const DeformOutputs& out, Stream stream) {
  constexpr int kImagesAtOnce = 16;  // enough blocks to fill a large device at the size of a head
  const int images = shape.batch < kImagesAtOnce ? shape.batch : kImagesAtOnce;
  launch(deform_kernel, dim3(blocks_for(shape.count, kThreads), images), dim3(kThreads), 0, stream, shape, in, out);
}

void deform_backward(const DeformShape& shape, const DeformForwardOutputs& values, const DeformOutputGradients& in,
                     const float* units, const DeformInputGradients& out, Stream stream) {
  launch(deform_backward_kernel, dim3(blocks_for(shape.count, kThreads)), dim3(kThreads), 0, stream, shape, values, in,
         units, out);
}

}  // namespace cuda
}  // namespace headsplat
