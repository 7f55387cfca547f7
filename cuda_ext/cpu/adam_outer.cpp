// One step of Adam for a basis whose gradient is an outer product, never stored, and the gradient of its weights: all
// that touches a basis in one pass, because memory is what it takes.
#include "adam_rule.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// Moments are kept as they are, or as bfloat16: 8 bits are more than the estimate of a gradient's size is worth.
struct Whole {
  using Number = Scalar;
  static Vec read(const Scalar* p) { return load(p); }
  static void write(Scalar* p, Vec value) { store(p, value); }
};

struct Brief {
  using Number = uint16_t;
  static Vec read(const uint16_t* p) { return load_brief(p); }
  static void write(uint16_t* p, Vec value) { store_brief(p, value); }
};

// What a run of parameters has in common for all bases, padded to whole vectors.
struct Run {
  size_t count, room;
  Scalar *moves, *pull, *grad;  // [room] [room] [batch][room]
};

Run prepare_run(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer) {
  const size_t count = end - begin, room = count + kWidth;
  Run run{count, room, buffer, buffer + room, buffer + 2 * room};
  std::memset(buffer, 0, sizeof(Scalar) * room * (step.batch + 2));
  for (size_t i = 0; i < count; ++i) {
    const size_t at = (begin + i) / step.columns;
    run.moves[i] = !step.touched || step.touched[at] ? 1.0f : 0.0f;
    run.pull[i] = step.pull ? step.pull[at] : 0.0f;
  }
  for (int b = 0; b < step.batch; ++b)
    std::memcpy(run.grad + b * room, step.grad + b * step.size + begin, sizeof(Scalar) * count);
  return run;
}

// Steps kWidth parameters of one basis, the lanes of `moving` only, and adds to the gradients of its weights `dots`.
template <class Format>
void step_vector(const AdamOuter& step, const Rule& rule, const Run& run, size_t i, const Scalar* weights,
                 Scalar* param, typename Format::Number* m, typename Format::Number* v, Vec* dots) {
  const Mask moving = load(run.moves + i) > Vec(0.0f);
  if (!bits(moving)) return;
  const Vec before = load(param), m0 = Format::read(m), v0 = Format::read(v);
  Vec total = load(run.pull + i) * before, first = m0, second = v0;
  for (int b = 0; b < step.batch; ++b) {
    const Vec grad = load(run.grad + b * run.room + i);
    total = fma(Vec(weights[b * step.bases]), grad, total);
    if (b < kDotImages) dots[b] = fma(keep(moving, grad), before, dots[b]);
  }
  const Vec change = rule(total, first, second);
  store(param, select(moving, before - change, before));
  Format::write(m, select(moving, first, m0));
  Format::write(v, select(moving, second, v0));
}

template <class Format>
void step_run(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer, Scalar* sums) {
  using Number = typename Format::Number;
  const Rule rule(step.rule, step.rate);
  const Run run = prepare_run(step, begin, end, buffer);
  Number *m = static_cast<Number*>(step.m), *v = static_cast<Number*>(step.v);
  for (int k = 0; k < step.bases; ++k) {
    const size_t row = k * step.size + begin;
    Vec dots[kDotImages];
    for (Vec& dot : dots) dot = Vec(0.0f);
    size_t i = 0;
    for (; i + kWidth <= run.count; i += kWidth)
      step_vector<Format>(step, rule, run, i, step.weights + k, step.param + row + i, m + row + i, v + row + i, dots);
    if (i < run.count) {
      Scalar param[kWidth] = {};
      Number first[kWidth] = {}, second[kWidth] = {};
      const size_t rest = run.count - i;
      std::memcpy(param, step.param + row + i, sizeof(Scalar) * rest);
      std::memcpy(first, m + row + i, sizeof(Number) * rest);
      std::memcpy(second, v + row + i, sizeof(Number) * rest);
      step_vector<Format>(step, rule, run, i, step.weights + k, param, first, second, dots);
      std::memcpy(step.param + row + i, param, sizeof(Scalar) * rest);
      std::memcpy(m + row + i, first, sizeof(Number) * rest);
      std::memcpy(v + row + i, second, sizeof(Number) * rest);
    }
    if (!sums) continue;
    for (int b = 0; b < step.batch; ++b) sums[b * step.bases + k] = sum(dots[b]);
  }
}

}  // namespace

void adam_outer(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer, Scalar* sums) {
  step.brief ? step_run<Brief>(step, begin, end, buffer, sums) : step_run<Whole>(step, begin, end, buffer, sums);
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
