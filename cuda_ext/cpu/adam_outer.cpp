// One step of Adam for a basis whose gradient is an outer product that is never stored, and the gradient of the basis
// weights, in one pass over the basis: the operation is limited by memory bandwidth.
#include "adam_rule.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// Storage formats of the moments m and v: full precision, or bf16, whose 8 significant bits suffice for them.
struct FullPrecision {
  using Number = Scalar;
  static Vec read(const Scalar* p) { return load(p); }
  static void write(Scalar* p, Vec value) { store(p, value); }
};

struct Bfloat16 {
  using Number = uint16_t;
  static Vec read(const uint16_t* p) { return load_bf16(p); }
  static void write(uint16_t* p, Vec value) { store_bf16(p, value); }
};

// A block of parameters with what all bases share, padded to whole vectors.
struct Block {
  size_t count, padded;
  Scalar *active, *anchor_weight, *grad;  // [padded] [padded] [batch][padded]
};

Block prepare_block(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer) {
  const size_t count = end - begin, padded = count + kWidth;
  Block block{count, padded, buffer, buffer + padded, buffer + 2 * padded};
  std::memset(buffer, 0, sizeof(Scalar) * padded * (step.batch + 2));
  for (size_t i = 0; i < count; ++i) {
    const size_t at = (begin + i) / step.columns;
    block.active[i] = !step.touched || step.touched[at] ? 1.0f : 0.0f;
    block.anchor_weight[i] = step.anchor_weight ? step.anchor_weight[at] : 0.0f;
  }
  for (int b = 0; b < step.batch; ++b)
    std::memcpy(block.grad + b * padded, step.grad + b * step.size + begin, sizeof(Scalar) * count);
  return block;
}

// Steps kWidth parameters of one basis, in the lanes of `active` only, and adds to `dots`, the gradients of its
// weights.
template <class Format>
void step_vector(const AdamOuter& step, const Rule& rule, const Block& block, size_t i, const Scalar* weights,
                 Scalar* param, typename Format::Number* m, typename Format::Number* v, Vec* dots) {
  const Mask active = load(block.active + i) > Vec(0.0f);
  if (!bits(active)) return;
  const Vec before = load(param), m0 = Format::read(m), v0 = Format::read(v);
  Vec total = load(block.anchor_weight + i) * before, first = m0, second = v0;
  for (int b = 0; b < step.batch; ++b) {
    const Vec grad = load(block.grad + b * block.padded + i);
    total = fma(Vec(weights[b * step.bases]), grad, total);
    if (b < kWeightGradImages) dots[b] = fma(keep(active, grad), before, dots[b]);
  }
  const Vec change = rule(total, first, second);
  store(param, select(active, before - change, before));
  Format::write(m, select(active, first, m0));
  Format::write(v, select(active, second, v0));
}

template <class Format>
void step_block(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer, Scalar* sums) {
  using Number = typename Format::Number;
  const Rule rule(step.rule, step.rate);
  const Block block = prepare_block(step, begin, end, buffer);
  Number *m = static_cast<Number*>(step.m), *v = static_cast<Number*>(step.v);
  for (int k = 0; k < step.bases; ++k) {
    const size_t row = k * step.size + begin;
    Vec dots[kWeightGradImages];
    for (Vec& dot : dots) dot = Vec(0.0f);
    size_t i = 0;
    for (; i + kWidth <= block.count; i += kWidth)
      step_vector<Format>(step, rule, block, i, step.weights + k, step.param + row + i, m + row + i, v + row + i, dots);
    if (i < block.count) {
      Scalar param[kWidth] = {};
      Number first[kWidth] = {}, second[kWidth] = {};
      const size_t remainder = block.count - i;
      std::memcpy(param, step.param + row + i, sizeof(Scalar) * remainder);
      std::memcpy(first, m + row + i, sizeof(Number) * remainder);
      std::memcpy(second, v + row + i, sizeof(Number) * remainder);
      step_vector<Format>(step, rule, block, i, step.weights + k, param, first, second, dots);
      std::memcpy(step.param + row + i, param, sizeof(Scalar) * remainder);
      std::memcpy(m + row + i, first, sizeof(Number) * remainder);
      std::memcpy(v + row + i, second, sizeof(Number) * remainder);
    }
    if (!sums) continue;
    for (int b = 0; b < step.batch; ++b) sums[b * step.bases + k] = sum(dots[b]);
  }
}

}  // namespace

void adam_outer(const AdamOuter& step, size_t begin, size_t end, Scalar* buffer, Scalar* sums) {
  step.bf16 ? step_block<Bfloat16>(step, begin, end, buffer, sums)
            : step_block<FullPrecision>(step, begin, end, buffer, sums);
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
