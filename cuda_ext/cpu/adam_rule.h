// Adam's rule (Kingma and Ba 2015, algorithm 1) for one vector of parameters.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

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

  // Moves the moments on and returns what to subtract from the parameters.
  Vec operator()(Vec grad, Vec& m, Vec& v) const {
    m = fma(keep1, m, take1 * grad);
    v = fma(keep2, v, take2 * grad * grad);
    return scale * m / (root(v * bias2) + eps);
  }
};

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
