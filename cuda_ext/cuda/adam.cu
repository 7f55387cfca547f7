// One step of Adam (Kingma and Ba 2015, algorithm 1), over flat parameters and over a basis with a low-rank gradient.
#include "launch.h"
#include "ops.h"
#include "wide.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostImages = 8;  // whose gradients a thread keeps in registers

template <int wide>
__device__ void step_at(const AdamArrays& arrays, size_t at, const float* given, float pull, float rate,
                        const AdamRates& rates) {
  float param[wide], m[wide], v[wide];
  load_wide<wide>(arrays.param + at, param);
  load_wide<wide>(arrays.m + at, m);
  load_wide<wide>(arrays.v + at, v);
#pragma unroll
  for (int i = 0; i < wide; ++i) {
    const float grad = given[i] + pull * param[i];
    m[i] = rates.beta1 * m[i] + (1.0f - rates.beta1) * grad;
    v[i] = rates.beta2 * v[i] + (1.0f - rates.beta2) * grad * grad;
    param[i] -= rate * rates.inverse_bias1 * m[i] / (sqrtf(v[i] * rates.inverse_bias2) + rates.eps);
  }
  store_wide<wide>(arrays.param + at, param);
  store_wide<wide>(arrays.m + at, m);
  store_wide<wide>(arrays.v + at, v);
}

template <int wide>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(AdamArrays arrays, const float* all_grad, AdamRows rows, size_t size, AdamRates rates) {
  const size_t at = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * wide;
  if (at >= size) return;
  float rate = rates.rate;
  if (rows.rates || rows.touched) {
    const size_t row = at / rows.columns;
    if (rows.touched && !rows.touched[row]) return;
    if (rows.rates) rate = rows.rates[row];
  }
  float grad[wide];
  load_wide<wide>(all_grad + at, grad);
  step_at<wide>(arrays, at, grad, 0.0f, rate, rates);
}

// One thread steps the same values of every base.
template <int wide>
__global__ void __launch_bounds__(kThreads) adam_outer_kernel(BlendShape shape, AdamArrays arrays, const float* weights,
                                                              const float* all_grad, AdamRows rows, AdamRates rates) {
  const size_t at = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * wide;
  if (at >= shape.values) return;
  const size_t row = rows.touched || rows.pull ? at / rows.columns : 0;
  if (rows.touched && !rows.touched[row]) return;
  const float pull = rows.pull ? rows.pull[row] : 0.0f;
  float kept[kMostImages][wide];
#pragma unroll
  for (int b = 0; b < kMostImages; ++b)
    if (b < shape.batch) load_wide<wide>(all_grad + b * shape.values + at, kept[b]);
  for (int k = blockIdx.y; k < shape.bases; k += gridDim.y) {
    float grad[wide] = {};
#pragma unroll
    for (int b = 0; b < kMostImages; ++b) {
      if (b >= shape.batch) continue;
      const float weight = weights[b * shape.bases + k];
      for (int i = 0; i < wide; ++i) grad[i] += weight * kept[b][i];
    }
    for (int b = kMostImages; b < shape.batch; ++b) {
      float more[wide];
      load_wide<wide>(all_grad + b * shape.values + at, more);
      const float weight = weights[static_cast<size_t>(b) * shape.bases + k];
      for (int i = 0; i < wide; ++i) grad[i] += weight * more[i];
    }
    step_at<wide>(arrays, k * shape.values + at, grad, pull, rates.rate, rates);
  }
}

// Fours must not cross from one row into the next.
bool rows_fit(const AdamRows& rows) { return !(rows.rates || rows.touched || rows.pull) || rows.columns % 4 == 0; }

}  // namespace

void adam_step(const AdamArrays& arrays, const float* grad, const AdamRows& rows, size_t size, const AdamRates& rates,
               Stream stream) {
  const bool fours = rows_fit(rows) && fours_fit(size, arrays.param, arrays.m, arrays.v, grad);
  launch(fours ? adam_kernel<4> : adam_kernel<1>, dim3(blocks_for(size, kThreads * (fours ? 4 : 1))), dim3(kThreads), 0,
         stream, arrays, grad, rows, size, rates);
}

void adam_outer_step(const BlendShape& shape, const AdamArrays& arrays, const float* weights, const float* grad,
                     const AdamRows& rows, const AdamRates& rates, Stream stream) {
  const bool fours = rows_fit(rows) && fours_fit(shape.values, arrays.param, arrays.m, arrays.v, grad);
  const unsigned blocks = blocks_for(shape.values, kThreads * (fours ? 4 : 1));
  constexpr int kBaseGroups = 4;  // enough blocks for a large device at head scale
  launch(fours ? adam_outer_kernel<4> : adam_outer_kernel<1>,
         dim3(blocks, shape.bases < kBaseGroups ? shape.bases : kBaseGroups), dim3(kThreads), 0, stream, shape, arrays,
         weights, grad, rows, rates);
}

}  // namespace cuda
}  // namespace headsplat
