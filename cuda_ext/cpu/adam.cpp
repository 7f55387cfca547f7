// One step of Adam (Kingma and Ba 2015, algorithm 1) over a flat range.
#include "adam_rule.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

void move(const Rule& rule, Vec grad, Scalar* param, Scalar* m, Scalar* v) {
  Vec first = load(m), second = load(v);
  store(param, load(param) - rule(grad, first, second));
  store(m, first);
  store(v, second);
}

// Less than a vector of parameters, in lanes of its own.
struct Rest {
  Scalar grad[kWidth] = {}, param[kWidth] = {}, m[kWidth] = {}, v[kWidth] = {};
};

void step_rest(const Rule& rule, const Scalar* grad, size_t count, Scalar* param, Scalar* m, Scalar* v) {
  Rest rest;
  const size_t bytes = sizeof(Scalar) * count;
  std::memcpy(rest.grad, grad, bytes);
  std::memcpy(rest.param, param, bytes);
  std::memcpy(rest.m, m, bytes);
  std::memcpy(rest.v, v, bytes);
  move(rule, load(rest.grad), rest.param, rest.m, rest.v);
  std::memcpy(param, rest.param, bytes);
  std::memcpy(m, rest.m, bytes);
  std::memcpy(v, rest.v, bytes);
}

// Elements begin..end share one rate.
void step_range(const AdamStep& step, Scalar rate, size_t begin, size_t end) {
  const Rule rule(step.rule, rate);
  size_t i = begin;
  for (; i + kWidth <= end; i += kWidth) move(rule, load(step.grad + i), step.param + i, step.m + i, step.v + i);
  if (i < end) step_rest(rule, step.grad + i, end - i, step.param + i, step.m + i, step.v + i);
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
