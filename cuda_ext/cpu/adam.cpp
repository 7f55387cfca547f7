// One step of Adam (Kingma and Ba 2015, algorithm 1) over a flat range.
#include "adam_rule.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

void update(const Rule& rule, Vec grad, Scalar* param, Scalar* m, Scalar* v) {
  Vec first = load(m), second = load(v);
  store(param, load(param) - rule(grad, first, second));
  store(m, first);
  store(v, second);
}

// Fewer parameters than lanes, zero-padded to a vector.
struct Remainder {
  Scalar grad[kWidth] = {}, param[kWidth] = {}, m[kWidth] = {}, v[kWidth] = {};
};

void step_remainder(const Rule& rule, const Scalar* grad, size_t count, Scalar* param, Scalar* m, Scalar* v) {
  Remainder remainder;
  const size_t bytes = sizeof(Scalar) * count;
  std::memcpy(remainder.grad, grad, bytes);
  std::memcpy(remainder.param, param, bytes);
  std::memcpy(remainder.m, m, bytes);
  std::memcpy(remainder.v, v, bytes);
  update(rule, load(remainder.grad), remainder.param, remainder.m, remainder.v);
  std::memcpy(param, remainder.param, bytes);
  std::memcpy(m, remainder.m, bytes);
  std::memcpy(v, remainder.v, bytes);
}

// Elements begin..end share one learning rate.
void step_range(const AdamStep& step, Scalar rate, size_t begin, size_t end) {
  const Rule rule(step.rule, rate);
  size_t i = begin;
  for (; i + kWidth <= end; i += kWidth) update(rule, load(step.grad + i), step.param + i, step.m + i, step.v + i);
  if (i < end) step_remainder(rule, step.grad + i, end - i, step.param + i, step.m + i, step.v + i);
}

}  // namespace

void adam(const AdamStep& step, size_t begin, size_t end) {
  if (!step.row_rates && !step.touched) return step_range(step, step.rate, begin, end);
  while (begin < end) {
    const size_t row = begin / step.columns;
    size_t next = row + 1;
    if (!step.row_rates)
      while (next * step.columns < end && (step.touched[next] != 0) == (step.touched[row] != 0)) ++next;
    const size_t stop = next * step.columns < end ? next * step.columns : end;
    if (!step.touched || step.touched[row])
      step_range(step, step.row_rates ? step.row_rates[row] : step.rate, begin, stop);
    begin = stop;
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
