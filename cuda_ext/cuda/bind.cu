// Gaussians bound to triangles and posed by two bones, forward and backward; one thread per Gaussian.
//
//
// The gradients of many Gaussians add up in a vertex. They are summed as 64-bit fixed-point numbers, in units of 2^-40
// of the image's largest corner gradient: integer addition is independent of the order, needs no sorted adjacency
// lists, and is more precise than float.
#include "../indices.h"
#include "../rig.h"
#include "launch.h"
#include "ops.h"
#include "reductions.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;

constexpr int kThreads = 128;
constexpr int kFixedPointBits = 40;  // 2^40 times 3 N corners stays below 2^63 for N below two million

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

__global__ void __launch_bounds__(kThreads) bind_kernel(BindShape shape, BindInputs all, float* means, float* quats) {
  __shared__ Bones bones;
  const BindInputs in = image_of(shape, all, blockIdx.y);
  if (threadIdx.x == 0) bones = bones_of(in.rotations, in.translations);
  __syncthreads();
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= shape.count) return;
  RigState<float> state;
  float mean[3], quat[4];
  rig(bones, load_bound(in, shape.vertices, n), state, mean, quat);
  const size_t at = static_cast<size_t>(blockIdx.y) * shape.count + n;
  for (int k = 0; k < 3; ++k) means[3 * at + k] = mean[k];
  for (int k = 0; k < 4; ++k) quats[4 * at + k] = quat[k];
}

// Temporary memory of the backward pass; the first three arrays must be zero at its start.
struct BackwardScratch {
  unsigned long long* fixed_sums;  // [B,V,3] sums of corner gradients, two's complement
  unsigned* non_finite;            // [B,V] 1 where a corner gradient is not finite
  unsigned* max_bits;              // [B] bits of the largest finite corner gradient
  float* bones;                    // [B,blocks,32] partial sums of the bones' gradient
  float* corners;                  // [B,N,3,3]
  size_t zeroed_bytes, bytes;
};

BackwardScratch lay_out(const BindShape& shape, bool with_vertices, void* memory) {
  const size_t batch = shape.batch, vertices = with_vertices ? batch * shape.vertices : 0;
  unsigned char* at = static_cast<unsigned char*>(memory);
  BackwardScratch s;
  s.fixed_sums = reinterpret_cast<unsigned long long*>(at);
  s.non_finite = reinterpret_cast<unsigned*>(s.fixed_sums + 3 * vertices);
  s.max_bits = s.non_finite + vertices;
  s.bones = reinterpret_cast<float*>(s.max_bits + batch);
  s.corners = s.bones + batch * blocks_for(shape.count, kThreads) * kBoneGradSize;
  s.zeroed_bytes = static_cast<size_t>(reinterpret_cast<unsigned char*>(s.bones) - at);
  const float* end = s.corners + (with_vertices ? batch * shape.count * 9 : 0);
  s.bytes = static_cast<size_t>(reinterpret_cast<const unsigned char*>(end) - at);
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

__device__ void update_max(const RigGrad<float>& grad, bool used, unsigned* max_bits) {
  float most = 0.0f;
  for (int k = 0; k < 9; ++k) {
    const float size = fabsf(grad.corner[k / 3][k % 3]);
    if (used && isfinite(size) && size > most) most = size;
  }
  unsigned bits = __float_as_uint(most);  // nonnegative floats sort like their bits
  for (int half = kWarp / 2; half; half /= 2) bits = max(bits, __shfl_xor_sync(kAllLanes, bits, half));
  if (threadIdx.x % kWarp == 0 && bits) atomicMax(max_bits, bits);
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
  const BoundGaussian<float> bound = load_bound(in, shape.vertices, n);
  RigState<float> state;
  float mean[3], quat[4];
  rig(bones, bound, state, mean, quat);
  load_or_zero(grads.means, at, 3, mean);
  load_or_zero(grads.world_quats, at, 4, quat);
  RigGrad<float> grad;
  rig_backward(bones, bound, state, mean, quat, grad);
  if (used) {
    for (int k = 0; k < 3; ++k) grads.offsets[3 * at + k] = grad.offset[k];
    for (int k = 0; k < 4; ++k) grads.quats[4 * at + k] = grad.quat[k];
    if (grads.vertices)
      for (int k = 0; k < 9; ++k) scratch.corners[9 * at + k] = grad.corner[k / 3][k % 3];
  }
  if (grads.vertices) update_max(grad, used, scratch.max_bits + blockIdx.y);
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

// Fixed-point units per 1.0: a power of two that scales the largest gradient to below 2^kFixedPointBits.
__device__ double fixed_point_scale(unsigned max_bits) {
  return ldexp(1.0, kFixedPointBits + 126 - static_cast<int>(max_bits >> 23));
}

// One thread per corner of a Gaussian's triangle.
__global__ void __launch_bounds__(kThreads)
    scatter_corners_kernel(BindShape shape, const int64_t* triangles, BackwardScratch scratch) {
  const size_t corner = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (corner >= 3 * static_cast<size_t>(shape.count)) return;
  const int b = blockIdx.y;
  const double scale = fixed_point_scale(scratch.max_bits[b]);
  int64_t triangle[3];
  if (!read_triangle(triangles + corner / 3 * 3, shape.vertices, triangle)) return;
  const size_t vertex = static_cast<size_t>(b) * shape.vertices + triangle[corner % 3];
  const float* grad = scratch.corners + 3 * (static_cast<size_t>(b) * shape.count * 3 + corner);
  for (int k = 0; k < 3; ++k) {
    const float value = grad[k];
    if (isfinite(value))
      atomicAdd(scratch.fixed_sums + 3 * vertex + k, static_cast<unsigned long long>(__double2ll_rn(value * scale)));
    else
      atomicOr(scratch.non_finite + vertex, 1u);
  }
}

__global__ void __launch_bounds__(kThreads)
    write_vertices_kernel(BindShape shape, BackwardScratch scratch, float* vertices) {
  const int vertex = blockIdx.x * kThreads + threadIdx.x, b = blockIdx.y;
  if (vertex >= shape.vertices) return;
  const size_t at = static_cast<size_t>(b) * shape.vertices + vertex;
  const double scale = fixed_point_scale(scratch.max_bits[b]);
  for (int k = 0; k < 3; ++k) {
    const double sum = static_cast<double>(static_cast<long long>(scratch.fixed_sums[3 * at + k])) / scale;
    vertices[3 * at + k] = scratch.non_finite[at] ? NAN : static_cast<float>(sum);
  }
}

}  // namespace

void bind(const BindShape& shape, const BindInputs& in, float* means, float* quats, Stream stream) {
  launch(bind_kernel, dim3(blocks_for(shape.count, kThreads), shape.batch), dim3(kThreads), 0, stream, shape, in, means,
         quats);
}

size_t bind_backward_scratch(const BindShape& shape, bool with_vertices) {
  return lay_out(shape, with_vertices, nullptr).bytes;
}

void bind_backward(const BindShape& shape, const BindInputs& in, const BindGradients& grads, void* memory,
                   Stream stream) {
  const BackwardScratch scratch = lay_out(shape, grads.vertices != nullptr, memory);
  const unsigned blocks = blocks_for(shape.count, kThreads);
  fill_bytes(memory, 0, scratch.zeroed_bytes, stream);
  launch(bind_backward_kernel, dim3(blocks, shape.batch), dim3(kThreads), 0, stream, shape, in, grads, scratch);
  launch(reduce_bones_kernel, dim3(shape.batch), dim3(kRowSumThreads), 0, stream, scratch.bones,
         static_cast<int>(blocks), in.rotations, grads.rotations, grads.translations);
  if (!grads.vertices) return;
  launch(scatter_corners_kernel, dim3(blocks_for(3 * static_cast<size_t>(shape.count), kThreads), shape.batch),
         dim3(kThreads), 0, stream, shape, in.triangles, scratch);
  launch(write_vertices_kernel, dim3(blocks_for(shape.vertices, kThreads), shape.batch), dim3(kThreads), 0, stream,
         shape, scratch, grads.vertices);
}

}  // namespace cuda
}  // namespace headsplat
