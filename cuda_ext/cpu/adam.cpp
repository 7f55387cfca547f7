// One step of Adam (Kingma and Ba 2015, algorithm 1) over a flat range, with its gradient given or as an outer product.
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// The numbers of a step that are the same for all parameters.
struct Rule {
  Vec keep1, take1, keep2, take2, scale, bias2, eps;

  explicit Rule(const AdamRule& rule, Scalar rate)
      : keep1(rule.beta1),
        take1(1.0f - rule.beta1),
        keep2(rule.beta2),
        take2(1.0f - rule.beta2),
        scale(rate * rule.inverse_bias1),
        bias2(rule.inverse_bias2),
        eps(rule.eps) {}

  void step(Vec grad, Scalar* param, Scalar* m, Scalar* v) const {
    const Vec first = fma(keep1, load(m), take1 * grad), second = fma(keep2, load(v), take2 * grad * grad);
    store(m, first);
    store(v, second);
    store(param, load(param) - scale * first / (root(second * bias2) + eps));
  }

  // Only the lanes of `moves`; the others keep what they have, whatever their gradient is.
  void step(Vec grad, Mask moves, Scalar* param, Scalar* m, Scalar* v) const {
    const Vec m0 = load(m), v0 = load(v), p0 = load(param);
    const Vec first = fma(keep1, m0, take1 * grad), second = fma(keep2, v0, take2 * grad * grad);
    store(m, select(moves, first, m0));
    store(v, select(moves, second, v0));
    store(param, select(moves, p0 - scale * first / (root(second * bias2) + eps), p0));
  }
};

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
  rule.step(load(rest.grad), rest.param, rest.m, rest.v);
  std::memcpy(param, rest.param, bytes);
  std::memcpy(m, rest.m, bytes);
  std::memcpy(v, rest.v, bytes);
}

// Elements begin..end share one rate.
void step_range(const AdamStep& step, Scalar rate, size_t begin, size_t end) {
  const Rule rule(step.rule, rate);
  size_t i = begin;
  for (; i + kWidth <= end; i += kWidth) rule.step(load(step.grad + i), step.param + i, step.m + i, step.v + i);
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

void adam_outer(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer) {
  const Rule rule(step.rule, step.rate);
  const size_t size = step.size, count = end - begin, room = count + kWidth;
  Scalar *moves = buffer, *pull = buffer + room, *grad = buffer + 2 * room;  // the last [batch][room]
  std::memset(buffer, 0, sizeof(Scalar) * room * (step.batch + 2));
  for (size_t i = 0; i < count; ++i) {
    const size_t at = (begin + i) / step.columns;
    moves[i] = !step.touched || step.touched[at] ? 1.0f : 0.0f;
    pull[i] = step.pull ? step.pull[at] : 0.0f;
  }
  for (int b = 0; b < step.batch; ++b)
    std::memcpy(grad + b * room, step.grad + b * size + begin, sizeof(Scalar) * count);
  for (int k = 0; k < step.bases; ++k) {
    const size_t row = k * size + begin;
    const auto move = [&](size_t i, Scalar* param, Scalar* m, Scalar* v) {
      const Mask moving = load(moves + i) > Vec(0.0f);
      if (!bits(moving)) return;
      Vec total = load(pull + i) * load(param);
      for (int b = 0; b < step.batch; ++b)
        total = fma(Vec(step.weights[b * step.bases + k]), load(grad + b * room + i), total);
      rule.step(total, moving, param, m, v);
    };
    size_t i = 0;
    for (; i + kWidth <= count; i += kWidth) move(i, step.param + row + i, step.m + row + i, step.v + row + i);
    if (i == count) continue;
    Rest rest;
    const size_t bytes = sizeof(Scalar) * (count - i);
    std::memcpy(rest.param, step.param + row + i, bytes);
    std::memcpy(rest.m, step.m + row + i, bytes);
    std::memcpy(rest.v, step.v + row + i, bytes);
    move(i, rest.param, rest.m, rest.v);
    std::memcpy(step.param + row + i, rest.param, bytes);
    std::memcpy(step.m + row + i, rest.m, bytes);
    std::memcpy(step.v + row + i, rest.v, bytes);
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
