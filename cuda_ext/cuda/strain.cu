// Principal strains at points of a mesh, forward and backward: one thread per point, then one per corner of a point.
#include "../strain.h"
#include "fixed_sums.h"
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;

constexpr int kThreads = 128;

// The mean tensor at a point of image blockIdx.y; NaN where an index is out of range: a kernel cannot raise.
__device__ void load_mean(const StrainPoints& points, int n, float mean[kTensorSize]) {
  const float* tensors = points.tensors + static_cast<size_t>(blockIdx.y) * points.row_count * kTensorSize;
  if (!mean_tensor(points.triangles, points.bary, points.rows, tensors, points.vertex_count, points.row_count, n, mean))
    for (int k = 0; k < kTensorSize; ++k) mean[k] = NAN;
}

__global__ void __launch_bounds__(kThreads) strains_kernel(StrainPoints points, float* strains) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= points.count) return;
  float mean[kTensorSize];
  load_mean(points, n, mean);
  principal_pair(mean, strains + 2 * (static_cast<size_t>(blockIdx.y) * points.count + n));
}

// Gradients [B,N,kTensorSize] of the mean tensors, and the largest of each image.
__global__ void __launch_bounds__(kThreads)
    strains_backward_kernel(StrainPoints points, const float* grad_strains, float* grad_means, FixedSums sums) {
  const int index = blockIdx.x * kThreads + threadIdx.x;
  const bool used = index < points.count;
  const int n = used ? index : points.count - 1;
  const size_t at = static_cast<size_t>(blockIdx.y) * points.count + n;
  float mean[kTensorSize], grad[kTensorSize];
  load_mean(points, n, mean);
  principal_pair_backward(mean, grad_strains + 2 * at, grad);
  if (used)
    for (int k = 0; k < kTensorSize; ++k) grad_means[kTensorSize * at + k] = grad[k];
  update_max(grad, kTensorSize, used, sums.max_bits + blockIdx.y);
}

__global__ void __launch_bounds__(kThreads)
    scatter_kernel(StrainPoints points, const float* grad_means, FixedSums sums) {
  const size_t corner = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (corner >= 3 * static_cast<size_t>(points.count)) return;
  int64_t triangle[3];
  if (!read_triangle(points.triangles + corner / 3 * 3, points.vertex_count, triangle)) return;
  const int64_t row = row_of(points.rows, triangle[corner % 3], points.row_count);
  const float* grad = grad_means + kTensorSize * (static_cast<size_t>(blockIdx.y) * points.count + corner / 3);
  if (row >= 0) add_fixed(sums, blockIdx.y, row, kTensorSize, grad, points.bary[corner]);
}

}  // namespace

void principal_strains(const StrainPoints& points, float* strains, Stream stream) {
  launch(strains_kernel, dim3(blocks_for(points.count, kThreads), points.batch), dim3(kThreads), 0, stream, points,
         strains);
}

size_t principal_strains_backward_scratch(int batch, int row_count, int count) {
  const size_t rows = static_cast<size_t>(batch) * row_count;
  return sizeof(unsigned long long) * kTensorSize * rows + sizeof(unsigned) * (rows + batch) +
         sizeof(float) * kTensorSize * batch * static_cast<size_t>(count);
}

void principal_strains_backward(const StrainPoints& points, const float* grad_strains, float* grad_tensors,
                                void* scratch, Stream stream) {
  const size_t rows = static_cast<size_t>(points.batch) * points.row_count;
  FixedSums sums;
  sums.sums = static_cast<unsigned long long*>(scratch);
  sums.non_finite = reinterpret_cast<unsigned*>(sums.sums + kTensorSize * rows);
  sums.max_bits = sums.non_finite + rows;
  sums.rows = points.row_count;
  float* grad_means = reinterpret_cast<float*>(sums.max_bits + points.batch);
  const size_t zeroed = sizeof(unsigned long long) * kTensorSize * rows + sizeof(unsigned) * (rows + points.batch);
  fill_bytes(scratch, 0, zeroed, stream);
  launch(strains_backward_kernel, dim3(blocks_for(points.count, kThreads), points.batch), dim3(kThreads), 0, stream,
         points, grad_strains, grad_means, sums);
  launch(scatter_kernel, dim3(blocks_for(3 * static_cast<size_t>(points.count), kThreads), points.batch),
         dim3(kThreads), 0, stream, points, static_cast<const float*>(grad_means), sums);
  launch(write_sums_kernel, dim3(blocks_for(points.row_count, kSumThreads), points.batch), dim3(kSumThreads), 0, stream,
         sums, kTensorSize, grad_tensors);
}

}  // namespace cuda
}  // namespace headsplat
