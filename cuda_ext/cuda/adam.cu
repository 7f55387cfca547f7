// One step of Adam (Kingma and Ba 2015, algorithm 1), for flat parameters and for a basis with a low-rank gradient.
#include "launch.h"
#include "ops.h"
#include "vectorized.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxImages = 8;  // images whose gradients a thread keeps in registers

template <int width>
__device__ void step_at(const AdamArrays& arrays, size_t at, const float* gradient, float anchor_weight, float rate,
                        const AdamRates& rates) {
  float param[width], m[width], v[width];
  load_vector<width>(arrays.param + at, param);
  load_vector<width>(arrays.m + at, m);
  load_vector<width>(arrays.v + at, v);
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const float grad = gradient[i] + anchor_weight * param[i];
    m[i] = rates.beta1 * m[i] + (1.0f - rates.beta1) * grad;
    v[i] = rates.beta2 * v[i] + (1.0f - rates.beta2) * grad * grad;
    param[i] -= rate * rates.inverse_bias1 * m[i] / (sqrtf(v[i] * rates.inverse_bias2) + rates.eps);
  }
  store_vector<width>(arrays.param + at, param);
  store_vector<width>(arrays.m + at, m);
  store_vector<width>(arrays.v + at, v);
}

// The rates of this step; false if it is to be skipped.
__device__ bool apply_schedule(AdamRates& rates) {
  if (!rates.schedule) return true;
  rates.rate *= rates.schedule[0];
  rates.inverse_bias1 = rates.schedule[1];
  rates.inverse_bias2 = rates.schedule[2];
  return rates.schedule[3] != 0.0f;
}

template <int width>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(AdamArrays arrays, const float* all_grad, AdamRows rows, size_t size, AdamRates rates) {
  const size_t at = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * width;
  if (at >= size || !apply_schedule(rates)) return;
  float rate = rates.rate;
  if (rows.rates || rows.touched) {
    const size_t row = at / rows.columns;
    if (rows.touched && !rows.touched[row]) return;
    if (rows.rates) rate = rows.rates[row];
  }
  float grad[width];
  load_vector<width>(all_grad + at, grad);
  step_at<width>(arrays, at, grad, 0.0f, rate, rates);
}

// One thread updates the same elements of every basis vector.
template <int width>
__global__ void __launch_bounds__(kThreads) adam_outer_kernel(BlendShape shape, AdamArrays arrays, const float* weights,
                                                              const float* all_grad, AdamRows rows, AdamRates rates) {
  const size_t at = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * width;
  if (at >= shape.values || !apply_schedule(rates)) return;
  const size_t row = rows.touched || rows.anchor_weight ? at / rows.columns : 0;
  if (rows.touched && !rows.touched[row]) return;
  const float anchor_weight = rows.anchor_weight ? rows.anchor_weight[row] : 0.0f;
  float cached[kMaxImages][width];
#pragma unroll
  for (int b = 0; b < kMaxImages; ++b)
    if (b < shape.batch) load_vector<width>(all_grad + b * shape.values + at, cached[b]);
  for (int k = blockIdx.y; k < shape.bases; k += gridDim.y) {
    float grad[width] = {};
#pragma unroll
    for (int b = 0; b < kMaxImages; ++b) {
      if (b >= shape.batch) continue;
      const float weight = weights[b * shape.bases + k];
      for (int i = 0; i < width; ++i) grad[i] += weight * cached[b][i];
    }
    for (int b = kMaxImages; b < shape.batch; ++b) {
      float loaded[width];
      load_vector<width>(all_grad + b * shape.values + at, loaded);
      const float weight = weights[static_cast<size_t>(b) * shape.bases + k];
      for (int i = 0; i < width; ++i) grad[i] += weight * loaded[i];
    }
    step_at<width>(arrays, k * shape.values + at, grad, anchor_weight, rates.rate, rates);
  }
}

// A float4 must not span two rows.
bool rows_vectorize(const AdamRows& rows) {
  return !(rows.rates || rows.touched || rows.anchor_weight) || rows.columns % 4 == 0;
}

}  // namespace

void adam_step(const AdamArrays& arrays, const float* grad, const AdamRows& rows, size_t size, const AdamRates& rates,
               Stream stream) {
  const bool vectorized = rows_vectorize(rows) && can_vectorize(size, arrays.param, arrays.m, arrays.v, grad);
  launch(vectorized ? adam_kernel<4> : adam_kernel<1>, dim3(blocks_for(size, kThreads * (vectorized ? 4 : 1))),
         dim3(kThreads), 0, stream, arrays, grad, rows, size, rates);
}

void adam_outer_step(const BlendShape& shape, const AdamArrays& arrays, const float* weights, const float* grad,
                     const AdamRows& rows, const AdamRates& rates, Stream stream) {
  const bool vectorized = rows_vectorize(rows) && can_vectorize(shape.values, arrays.param, arrays.m, arrays.v, grad);
  const unsigned blocks = blocks_for(shape.values, kThreads * (vectorized ? 4 : 1));
  constexpr int kBaseGroups = 4;  // enough blocks to fill a large device at the size of a head
  launch(vectorized ? adam_outer_kernel<4> : adam_outer_kernel<1>,
         dim3(blocks, shape.bases < kBaseGroups ? shape.bases : kBaseGroups), dim3(kThreads), 0, stream, shape, arrays,
         weights, grad, rows, rates);
}

}  // namespace cuda
}  // namespace headsplat
