// Linear blendshapes, out[b] = base + sum_k weights[b,k] basis[k]; the basis is read once for several images.
#include <cuda_fp16.h>

#include "launch.h"
#include "ops.h"
#include "reductions.h"
#include "vectorized.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxImages = 8;      // images that share one read of the basis
constexpr int kBasesUnrolled = 4;  // loads in flight per thread

// Like store_vector; nvcc splits that into four stores when a loop carries the values, but not this intrinsic.
template <int width>
__device__ void store_total(float* at, const float* total) {
  if constexpr (width == 4)
    __stwb(reinterpret_cast<float4*>(at), make_float4(total[0], total[1], total[2], total[3]));
  else
    *at = total[0];
}

// blockIdx.y is the group of `images` images.
template <class Basis, int width, int images>
__global__ void __launch_bounds__(kThreads)
    blend_kernel(BlendShape shape, const float* base, const Basis* basis, const float* weights, float* out) {
  HEADSPLAT_DYNAMIC_SHARED(float, shared_weights);  // [K][images]
  const int first = blockIdx.y * images;
  for (int k = threadIdx.x; k < shape.bases * images; k += kThreads) {
    const int b = first + k % images;
    shared_weights[k] = b < shape.batch ? weights[static_cast<size_t>(b) * shape.bases + k / images] : 0.0f;
  }
  __syncthreads();
  const size_t at = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * width;
  if (at >= shape.values) return;
  float total[images][width], initial[width];
  if (base)
    load_vector<width>(base + at, initial);
  else
    for (int i = 0; i < width; ++i) initial[i] = 0.0f;
#pragma unroll
  for (int b = 0; b < images; ++b)
    for (int i = 0; i < width; ++i) total[b][i] = initial[i];
#pragma unroll kBasesUnrolled
  for (int k = 0; k < shape.bases; ++k) {
    float value[width];
    load_vector<width>(basis + k * shape.values + at, value);
#pragma unroll
    for (int b = 0; b < images; ++b)
      for (int i = 0; i < width; ++i) total[b][i] += shared_weights[k * images + b] * value[i];
  }
#pragma unroll
  for (int b = 0; b < images; ++b)
    if (first + b < shape.batch) store_total<width>(out + (first + b) * shape.values + at, total[b]);
}

template <class Basis, int width, int images>
void launch_blend(const BlendShape& shape, const float* base, const Basis* basis, const float* weights, float* out,
                  Stream stream) {
  launch(blend_kernel<Basis, width, images>,
         dim3(blocks_for(shape.values, static_cast<size_t>(kThreads) * width), blocks_for(shape.batch, images)),
         dim3(kThreads), sizeof(float) * images * shape.bases, stream, shape, base, basis, weights, out);
}

template <class Basis>
void blend_as(const BlendShape& shape, const float* base, const Basis* basis, const float* weights, float* out,
              Stream stream) {
  const bool vectorized = can_vectorize(shape.values, base, basis, out);
  if (shape.batch == 1)
    (vectorized ? launch_blend<Basis, 4, 1> : launch_blend<Basis, 1, 1>)(shape, base, basis, weights, out, stream);
  else
    (vectorized ? launch_blend<Basis, 4, kMaxImages> : launch_blend<Basis, 1, kMaxImages>)(shape, base, basis, weights,
                                                                                           out, stream);
}

// --- gradient of the weights: [B,K] = grad_out [B,NC] x basis [K,NC]^T ---

constexpr int kValuesPerWarp = 2048;  // values per warp

// A warp sums images x bases = 32 products over its chunk. blockIdx.y is the group of bases, blockIdx.z the group of
// images; the 32 sums are one row of `rows` [image groups][base groups][chunks][32].
template <class Basis, int width, int images>
__global__ void __launch_bounds__(kThreads)
    weights_kernel(BlendShape shape, const float* grad_out, const Basis* basis, int chunks, float* rows) {
  constexpr int bases = kWarp / images;
  const int lane = threadIdx.x % kWarp;
  const int chunk = blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (chunk >= chunks) return;
  const size_t begin = static_cast<size_t>(chunk) * kValuesPerWarp;
  const size_t end = begin + kValuesPerWarp < shape.values ? begin + kValuesPerWarp : shape.values;
  const int first_image = blockIdx.z * images, first_base = blockIdx.y * bases;
  float total[kWarp];
#pragma unroll
  for (int k = 0; k < kWarp; ++k) total[k] = 0.0f;
  for (size_t at = begin + lane * width; at < end; at += kWarp * width) {
    float grad[images][width];
#pragma unroll
    for (int b = 0; b < images; ++b) {
      if (first_image + b < shape.batch)
        load_vector<width>(grad_out + (first_image + b) * shape.values + at, grad[b]);
      else
        for (int i = 0; i < width; ++i) grad[b][i] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < bases; ++k) {
      if (first_base + k >= shape.bases) continue;
      float value[width];
      load_vector<width>(basis + (first_base + k) * shape.values + at, value);
#pragma unroll
      for (int b = 0; b < images; ++b)
        for (int i = 0; i < width; ++i) total[k * images + b] += grad[b][i] * value[i];
    }
  }
  const size_t group = static_cast<size_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  rows[(group * chunks + chunk) * kWarp + lane] = warp_column_sums(total);
}

template <int images>
__global__ void __launch_bounds__(kRowSumThreads)
    reduce_weights_kernel(BlendShape shape, const float* rows, int chunks, float* grad_weights) {
  const size_t group = static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
  const double total = row_sums(rows + group * chunks * kWarp, chunks);
  const int lane = threadIdx.x;
  if (lane >= kWarp) return;
  const int b = blockIdx.y * images + lane % images, k = blockIdx.x * (kWarp / images) + lane / images;
  if (b < shape.batch && k < shape.bases)
    grad_weights[static_cast<size_t>(b) * shape.bases + k] = static_cast<float>(total);
}

int images_per_group(const BlendShape& shape) { return shape.batch == 1 ? 1 : 4; }

template <class Basis, int width, int images>
void launch_weights(const BlendShape& shape, const float* grad_out, const Basis* basis, float* grad_weights,
                    float* rows, Stream stream) {
  const unsigned chunks = blocks_for(shape.values, kValuesPerWarp);
  const unsigned image_groups = blocks_for(shape.batch, images), base_groups = blocks_for(shape.bases, kWarp / images);
  launch(weights_kernel<Basis, width, images>, dim3(blocks_for(chunks, kThreads / kWarp), base_groups, image_groups),
         dim3(kThreads), 0, stream, shape, grad_out, basis, static_cast<int>(chunks), rows);
  launch(reduce_weights_kernel<images>, dim3(base_groups, image_groups), dim3(kRowSumThreads), 0, stream, shape, rows,
         static_cast<int>(chunks), grad_weights);
}

template <class Basis>
void weights_as(const BlendShape& shape, const float* grad_out, const Basis* basis, float* grad_weights, float* rows,
                Stream stream) {
  const bool vectorized = can_vectorize(shape.values, grad_out, basis);
  if (images_per_group(shape) == 1)
    (vectorized ? launch_weights<Basis, 4, 1> : launch_weights<Basis, 1, 1>)(shape, grad_out, basis, grad_weights, rows,
                                                                             stream);
  else
    (vectorized ? launch_weights<Basis, 4, 4> : launch_weights<Basis, 1, 4>)(shape, grad_out, basis, grad_weights, rows,
                                                                             stream);
}

}  // namespace

void blend(const BlendShape& shape, const float* base, const void* basis, bool half_basis, const float* weights,
           float* out, Stream stream) {
  if (half_basis)
    blend_as(shape, base, static_cast<const __half*>(basis), weights, out, stream);
  else
    blend_as(shape, base, static_cast<const float*>(basis), weights, out, stream);
}

size_t blend_weights_scratch(const BlendShape& shape) {
  const unsigned images = images_per_group(shape);
  return sizeof(float) * kWarp * blocks_for(shape.values, kValuesPerWarp) * blocks_for(shape.batch, images) *
         blocks_for(shape.bases, kWarp / images);
}

void blend_backward_weights(const BlendShape& shape, const float* grad_out, const void* basis, bool half_basis,
                            float* grad_weights, void* scratch, Stream stream) {
  float* rows = static_cast<float*>(scratch);
  if (half_basis)
    weights_as(shape, grad_out, static_cast<const __half*>(basis), grad_weights, rows, stream);
  else
    weights_as(shape, grad_out, static_cast<const float*>(basis), grad_weights, rows, stream);
}

}  // namespace cuda
}  // namespace headsplat
