// Adam's update (Kingma and Ba 2015, algorithm 1) for one vector of parameters.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

struct Rule {
  Vec beta1, one_minus_beta1, beta2, one_minus_beta2, scale, bias2, eps;

  explicit Rule(const AdamRule& rule, Scalar rate)
      : beta1(rule.beta1),
        one_minus_beta1(1.0f - rule.beta1),
        beta2(rule.beta2),
        one_minus_beta2(1.0f - rule.beta2),
        scale(rate * rule.inverse_bias1),
        bias2(rule.inverse_bias2),
        eps(rule.eps) {}

  // Updates the moments and returns what to subtract from the parameters.
  Vec operator()(Vec grad, Vec& m, Vec& v) const {
    m = fma(beta1, m, one_minus_beta1 * grad);
    v = fma(beta2, v, one_minus_beta2 * grad * grad);
    return scale * m / (root(v * bias2) + eps);
  }
};

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
