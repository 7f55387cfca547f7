// One step of Adam (Kingma and Ba 2015, algorithm 1) over a flat range.
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// Elements begin..end share one rate.
void step_range(const AdamStep& step, float rate, size_t begin, size_t end) {
  const float keep1 = step.beta1, keep2 = step.beta2, take1 = 1.0f - keep1, take2 = 1.0f - keep2;
  const Vec scale(rate * step.inverse_bias1), bias2(step.inverse_bias2), eps(step.eps);
  size_t i = begin;
  for (; i + kWidth <= end; i += kWidth) {
    const Vec grad = load(step.grad + i);
    const Vec m = fma(Vec(keep1), load(step.m + i), Vec(take1) * grad);
    const Vec v = fma(Vec(keep2), load(step.v + i), Vec(take2) * grad * grad);
    store(step.m + i, m);
    store(step.v + i, v);
    store(step.param + i, load(step.param + i) - scale * m / (root(v * bias2) + eps));
  }
  for (; i < end; ++i) {
    const float grad = step.grad[i];
    const float m = step.m[i] = keep1 * step.m[i] + take1 * grad;
    const float v = step.v[i] = keep2 * step.v[i] + take2 * grad * grad;
    step.param[i] -= rate * step.inverse_bias1 * m / (root(v * step.inverse_bias2) + step.eps);
  }
}

}  // namespace

void adam(const AdamStep& step, size_t begin, size_t end) {
  if (!step.row_rates) return step_range(step, step.rate, begin, end);
  while (begin < end) {
    const size_t row = begin / step.columns, next = (row + 1) * step.columns;
    const size_t stop = next < end ? next : end;
    step_range(step, step.row_rates[row], begin, stop);
    begin = stop;
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
