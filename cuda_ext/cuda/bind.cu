// Gaussians bound to triangles and posed by two bones, forward and backward; one thread per Gaussian.
//
// The gradients of many Gaussians add up in a vertex, and in a stretch tensor: see fixed_sums.h.
#include "../indices.h"
#include "../rig.h"
#include "fixed_sums.h"
#include "launch.h"
#include "ops.h"
#include "reductions.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;

constexpr int kThreads = 128;

// Gradient of one image's bones: for each bone rotation 9, translation 3, quaternion 4.
constexpr int kBoneGradSize = 32;
static_assert(kBoneGradSize == kWarp);

__device__ BindInputs image_of(const BindShape& shape, const BindInputs& all, int b) {
  BindInputs in = all;
  const size_t first = static_cast<size_t>(b) * shape.count;
  in.vertices += static_cast<size_t>(b) * shape.vertices * 3;
  in.offsets += 3 * first;
  in.quats += 4 * first;
  in.rotations += 8 * b;
  in.translations += 6 * b;
  if (in.scales) in.scales += 3 * first;
  if (in.tensors) in.tensors += static_cast<size_t>(b) * in.row_count * kTensorSize;
  return in;
}

// The corners are NaN where an index is out of range: a kernel cannot raise.
__device__ BoundGaussian<float> load_bound(const BindInputs& in, int vertices, int n) {
  BoundGaussian<float> bound;
  int64_t triangle[3];
  const bool inside = read_triangle(in.triangles + 3 * static_cast<size_t>(n), vertices, triangle);
  for (int corner = 0; corner < 3; ++corner)
    for (int k = 0; k < 3; ++k) bound.corner[corner][k] = inside ? in.vertices[3 * triangle[corner] + k] : NAN;
  for (int k = 0; k < 3; ++k) bound.bary[k] = in.bary[3 * static_cast<size_t>(n) + k];
  for (int k = 0; k < 3; ++k) bound.offset[k] = in.offsets[3 * static_cast<size_t>(n) + k];
  for (int k = 0; k < 4; ++k) bound.quat[k] = in.quats[4 * static_cast<size_t>(n) + k];
  bound.skin = in.skin[n];
  return bound;
}

// Loads the scales and the mean tensor at a Gaussian; returns whether one of its corners stretches.
__device__ bool load_stretch(const BindInputs& in, int vertices, int n, BoundGaussian<float>& bound) {
  for (int k = 0; k < 3; ++k) bound.scale[k] = in.scales[3 * static_cast<size_t>(n) + k];
  for (float& value : bound.tensor) value = 0.0f;
  int64_t triangle[3];
  if (!read_triangle(in.triangles + 3 * static_cast<size_t>(n), vertices, triangle)) return false;
  bool any = false;
  for (int corner = 0; corner < 3; ++corner) {
    const int64_t row = row_of(in.rows, triangle[corner], in.row_count);
    if (row < 0) continue;
    any = true;
    for (int k = 0; k < kTensorSize; ++k) bound.tensor[k] += bound.bary[corner] * in.tensors[kTensorSize * row + k];
  }
  return any;
}

__global__ void __launch_bounds__(kThreads) bind_kernel(BindShape shape, BindInputs all, BindOutputs out) {
  __shared__ Bones bones;
  const BindInputs in = image_of(shape, all, blockIdx.y);
  if (threadIdx.x == 0) bones = bones_of(in.rotations, in.translations);
  __syncthreads();
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= shape.count) return;
  BoundGaussian<float> bound = load_bound(in, shape.vertices, n);
  RigState<float> state;
  float mean[3], quat[4], scale[3];
  triangle_frame(bound, state);
  const size_t at = static_cast<size_t>(blockIdx.y) * shape.count + n;
  if (out.scales) {
    const bool stretches = load_stretch(in, shape.vertices, n, bound);
    if (stretches) stretch_gaussian(bound, state, scale);
    for (int k = 0; k < 3; ++k) out.scales[3 * at + k] = stretches ? scale[k] : bound.scale[k];
  }
  rig(bones, bound, state, mean, quat);
  for (int k = 0; k < 3; ++k) out.means[3 * at + k] = mean[k];
  for (int k = 0; k < 4; ++k) out.quats[4 * at + k] = quat[k];
}

// Temporary memory of the backward pass.
struct BackwardScratch {
  FixedSums vertices, tensors;
  float* bones;            // [B,blocks,32] partial sums of the bones' gradient
  float* corners;          // [B,N,3,3]
  float* tensor_gradient;  // [B,N,6]
  size_t zeroed_bytes, bytes;
};

// Takes `count` values of memory from `at` on.
template <class Value>
Value* take(unsigned char*& at, size_t count) {
  Value* const taken = reinterpret_cast<Value*>(at);
  at += count * sizeof(Value);
  return taken;
}

BackwardScratch lay_out(const BindShape& shape, int row_count, const BindSums& with, void* memory) {
  const size_t batch = shape.batch, vertices = with.vertices ? batch * shape.vertices : 0;
  const size_t rows = with.tensors ? batch * row_count : 0, count = batch * shape.count;
  unsigned char *const start = static_cast<unsigned char*>(memory), *at = start;
  BackwardScratch s;
  s.vertices.sums = take<unsigned long long>(at, 3 * vertices);
  s.tensors.sums = take<unsigned long long>(at, kTensorSize * rows);
  s.vertices.non_finite = take<unsigned>(at, vertices);
  s.tensors.non_finite = take<unsigned>(at, rows);
  s.vertices.max_bits = take<unsigned>(at, batch);
  s.tensors.max_bits = take<unsigned>(at, batch);
  s.vertices.rows = shape.vertices;
  s.tensors.rows = row_count;
  s.zeroed_bytes = static_cast<size_t>(at - start);
  s.bones = take<float>(at, batch * blocks_for(shape.count, kThreads) * kBoneGradSize);
  s.corners = take<float>(at, with.vertices ? 9 * count : 0);
  s.tensor_gradient = take<float>(at, with.tensors ? kTensorSize * count : 0);
  s.bytes = static_cast<size_t>(at - start);
  return s;
}

__device__ void load_or_zero(const float* source, size_t at, int size, float* out) {
  for (int k = 0; k < size; ++k) out[k] = source ? source[at * size + k] : 0.0f;
}

// Writes the block's sum of the bones' gradient, one row of 32.
__device__ void add_bones(const RigGrad<float>& grad, bool used, float* row) {
  __shared__ float partials[kThreads / kWarp][kBoneGradSize];
  float values[kBoneGradSize];
#pragma unroll
  for (int bone = 0; bone < 2; ++bone) {
    float* out = values + bone * (kBoneGradSize / 2);
#pragma unroll
    for (int k = 0; k < 9; ++k) out[k] = used ? grad.rotation[bone][k] : 0.0f;
#pragma unroll
    for (int k = 0; k < 3; ++k) out[9 + k] = used ? grad.translation[bone][k] : 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) out[12 + k] = used ? grad.bone_quat[bone][k] : 0.0f;
  }
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  partials[warp][lane] = warp_column_sums(values);
  __syncthreads();
  if (warp != 0) return;
  float total = partials[0][lane];
  for (int w = 1; w < kThreads / kWarp; ++w) total += partials[w][lane];
  row[lane] = total;
}

__device__ void store_gradients(const BindGradients& grads, const BackwardScratch& scratch, const RigGrad<float>& grad,
                                size_t at) {
  for (int k = 0; k < 3; ++k) grads.offsets[3 * at + k] = grad.offset[k];
  for (int k = 0; k < 4; ++k) grads.quats[4 * at + k] = grad.quat[k];
  if (grads.scales)
    for (int k = 0; k < 3; ++k) grads.scales[3 * at + k] = grad.scale[k];
  if (grads.vertices)
    for (int k = 0; k < 9; ++k) scratch.corners[9 * at + k] = grad.corner[k / 3][k % 3];
  if (grads.tensors)
    for (int k = 0; k < kTensorSize; ++k) scratch.tensor_gradient[kTensorSize * at + k] = grad.tensor[k];
}

__global__ void __launch_bounds__(kThreads)
    bind_backward_kernel(BindShape shape, BindInputs all, BindGradients grads, BackwardScratch scratch) {
  __shared__ Bones bones;
  const BindInputs in = image_of(shape, all, blockIdx.y);
  if (threadIdx.x == 0) bones = bones_of(in.rotations, in.translations);
  __syncthreads();
  const int index = blockIdx.x * kThreads + threadIdx.x;
  const bool used = index < shape.count;
  const int n = used ? index : shape.count - 1;
  const size_t at = static_cast<size_t>(blockIdx.y) * shape.count + n;
  BoundGaussian<float> bound = load_bound(in, shape.vertices, n);
  RigState<float> state;
  float mean[3], quat[4], scale[3];
  triangle_frame(bound, state);
  const bool stretches = grads.scales && load_stretch(in, shape.vertices, n, bound);
  if (stretches) stretch_gaussian(bound, state, scale);
  rig(bones, bound, state, mean, quat);
  load_or_zero(grads.means, at, 3, mean);
  load_or_zero(grads.world_quats, at, 4, quat);
  load_or_zero(grads.world_scales, at, 3, scale);
  RigGrad<float> grad;
  for (int k = 0; k < 3; ++k) grad.scale[k] = scale[k];
  for (float& value : grad.tensor) value = 0.0f;
  rig_backward(bones, bound, state, mean, quat, stretches ? scale : nullptr, grad);
  if (used) store_gradients(grads, scratch, grad, at);
  if (grads.vertices) update_max(grad.corner[0], 9, used, scratch.vertices.max_bits + blockIdx.y);
  if (grads.tensors) update_max(grad.tensor, kTensorSize, used, scratch.tensors.max_bits + blockIdx.y);
  add_bones(grad, used, scratch.bones + (static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x) * kBoneGradSize);
}

// One block per image: sums the rows and converts rotation matrix gradients to quaternion gradients.
__global__ void __launch_bounds__(kRowSumThreads)
    reduce_bones_kernel(const float* rows, int count, const float* rotations, float* grad_rotations,
                        float* grad_translations) {
  __shared__ double totals[kBoneGradSize];
  const int b = blockIdx.x;
  const double total = row_sums(rows + static_cast<size_t>(b) * count * kBoneGradSize, count);
  if (threadIdx.x < kBoneGradSize) totals[threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.x >= 2) return;
  const int bone = threadIdx.x;
  const double* sums = totals + bone * (kBoneGradSize / 2);
  double quat[4], grad[4];
  for (int k = 0; k < 4; ++k) quat[k] = rotations[8 * b + 4 * bone + k];
  quat_to_matrix_backward(quat, sums, grad);
  for (int k = 0; k < 4; ++k) grad_rotations[8 * b + 4 * bone + k] = static_cast<float>(grad[k] + sums[12 + k]);
  for (int k = 0; k < 3; ++k) grad_translations[6 * b + 3 * bone + k] = static_cast<float>(sums[9 + k]);
}

// One thread per corner of a Gaussian's triangle.
__global__ void __launch_bounds__(kThreads)
    scatter_corners_kernel(BindShape shape, const int64_t* triangles, BackwardScratch scratch) {
  const size_t corner = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (corner >= 3 * static_cast<size_t>(shape.count)) return;
  int64_t triangle[3];
  if (!read_triangle(triangles + corner / 3 * 3, shape.vertices, triangle)) return;
  const float* grad = scratch.corners + 3 * (static_cast<size_t>(blockIdx.y) * shape.count * 3 + corner);
  add_fixed(scratch.vertices, blockIdx.y, triangle[corner % 3], 3, grad, 1.0f);
}

__global__ void __launch_bounds__(kThreads)
    scatter_tensors_kernel(BindShape shape, BindInputs in, BackwardScratch scratch) {
  const size_t corner = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (corner >= 3 * static_cast<size_t>(shape.count)) return;
  int64_t triangle[3];
  if (!read_triangle(in.triangles + corner / 3 * 3, shape.vertices, triangle)) return;
  const int64_t row = row_of(in.rows, triangle[corner % 3], in.row_count);
  const float* grad =
      scratch.tensor_gradient + kTensorSize * (static_cast<size_t>(blockIdx.y) * shape.count + corner / 3);
  if (row >= 0) add_fixed(scratch.tensors, blockIdx.y, row, kTensorSize, grad, in.bary[corner]);
}

}  // namespace

void bind(const BindShape& shape, const BindInputs& in, const BindOutputs& out, Stream stream) {
  launch(bind_kernel, dim3(blocks_for(shape.count, kThreads), shape.batch), dim3(kThreads), 0, stream, shape, in, out);
}

size_t bind_backward_scratch(const BindShape& shape, int row_count, const BindSums& sums) {
  return lay_out(shape, row_count, sums, nullptr).bytes;
}

void bind_backward(const BindShape& shape, const BindInputs& in, const BindGradients& grads, void* memory,
                   Stream stream) {
  const BindSums sums{grads.vertices != nullptr, grads.tensors != nullptr};
  const BackwardScratch scratch = lay_out(shape, in.row_count, sums, memory);
  const unsigned blocks = blocks_for(shape.count, kThreads);
  const dim3 corners(blocks_for(3 * static_cast<size_t>(shape.count), kThreads), shape.batch);
  fill_bytes(memory, 0, scratch.zeroed_bytes, stream);
  launch(bind_backward_kernel, dim3(blocks, shape.batch), dim3(kThreads), 0, stream, shape, in, grads, scratch);
  launch(reduce_bones_kernel, dim3(shape.batch), dim3(kRowSumThreads), 0, stream, scratch.bones,
         static_cast<int>(blocks), in.rotations, grads.rotations, grads.translations);
  if (grads.vertices) {
    launch(scatter_corners_kernel, corners, dim3(kThreads), 0, stream, shape, in.triangles, scratch);
    launch(write_sums_kernel, dim3(blocks_for(shape.vertices, kSumThreads), shape.batch), dim3(kSumThreads), 0, stream,
           scratch.vertices, 3, grads.vertices);
  }
  if (grads.tensors) {
    launch(scatter_tensors_kernel, corners, dim3(kThreads), 0, stream, shape, in, scratch);
    launch(write_sums_kernel, dim3(blocks_for(in.row_count, kSumThreads), shape.batch), dim3(kSumThreads), 0, stream,
           scratch.tensors, kTensorSize, grads.tensors);
  }
}

}  // namespace cuda
}  // namespace headsplat
