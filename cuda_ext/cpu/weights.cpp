// Blendshape weights: a linear map of some inputs, and a network of one hidden layer; and backward.
#include <cmath>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "ops.h"

namespace headsplat {
namespace {

// Hidden layer [F,H], its bias [H], output [H,K], its bias [K].
using Network = std::tuple<In, In, In, In>;
using NetworkGradients = std::tuple<Out, Out, Out, Out>;

// rows [batch,n] times matrix [n,size], in the order of `blend`.
void multiply(const Scalar* rows, const Scalar* matrix, int batch, size_t n, size_t size, Scalar* out) {
  blend({nullptr, matrix, rows, batch, static_cast<int>(n), size, false}, out);
}

// Gradient [m,n] of a matrix: the sum over the rows [batch,m] and [batch,n] of their outer products.
void add_products(const Scalar* left, const Scalar* right, size_t batch, size_t m, size_t n, Scalar* out) {
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) {
      Scalar sum = left[i] * right[j];
      for (size_t b = 1; b < batch; ++b) sum = std::fma(left[b * m + i], right[b * n + j], sum);
      out[i * n + j] = sum;
    }
}

void run_mixed_weights(const In& standardized, const In& linear, const In& mix, const std::optional<Network>& network,
                       const Out& weights, const std::optional<Out>& units) {
  const size_t batch = linear.shape(0), bases = mix.shape(0), features = standardized.shape(1);
  const Scalar *rows = sized(linear, batch * bases), *matrix = sized(mix, bases * bases);
  std::vector<Scalar> transposed(bases * bases), added(batch * bases);
  for (size_t i = 0; i < bases; ++i)
    for (size_t j = 0; j < bases; ++j) transposed[j * bases + i] = matrix[i * bases + j];
  Scalar* out = sized(weights, batch * bases);
  multiply(rows, transposed.data(), static_cast<int>(batch), bases, bases, out);
  if (!network || !units) return;
  const auto& [hidden, hidden_bias, output, output_bias] = *network;
  const size_t count = hidden_bias.size();
  Scalar* unit = sized(*units, batch * count);
  multiply(sized(standardized, batch * features), sized(hidden, features * count), static_cast<int>(batch), features,
           count, unit);
  for (size_t i = 0; i < batch * count; ++i) {
    const Scalar sum = unit[i] + hidden_bias.data()[i % count];
    unit[i] = sum < 0 ? 0 : sum;
  }
  multiply(unit, sized(output, count * bases), static_cast<int>(batch), count, bases, added.data());
  const Scalar* bias = sized(output_bias, bases);
  for (size_t i = 0; i < batch * bases; ++i) out[i] += added[i] + bias[i % bases];
}

void run_mixed_weights_backward(const In& grad, const In& standardized, const In& linear,
                                const std::optional<In>& output, const std::optional<In>& units, const Out& of_mix,
                                const std::optional<NetworkGradients>& of_network) {
  const size_t batch = grad.shape(0), bases = grad.shape(1), features = standardized.shape(1);
  add_products(grad.data(), sized(linear, batch * bases), batch, bases, bases, sized(of_mix, bases * bases));
  if (!output || !units || !of_network) return;
  const auto& [hidden, hidden_bias, of_output, output_bias] = *of_network;
  const size_t count = output->shape(0);
  const Scalar* unit = sized(*units, batch * count);
  std::vector<Scalar> of_units(batch * count), ones(batch, Scalar(1));
  blend_backward_weights(
      {nullptr, sized(*output, count * bases), nullptr, static_cast<int>(batch), static_cast<int>(count), bases, false},
      grad.data(), of_units.data());
  for (size_t i = 0; i < of_units.size(); ++i)
    if (!(unit[i] > 0)) of_units[i] = 0;
  add_products(unit, grad.data(), batch, count, bases, sized(of_output, count * bases));
  add_products(ones.data(), grad.data(), batch, 1, bases, sized(output_bias, bases));
  add_products(sized(standardized, batch * features), of_units.data(), batch, features, count,
               sized(hidden, features * count));
  add_products(ones.data(), of_units.data(), batch, 1, count, sized(hidden_bias, count));
}

}  // namespace

void register_weights(nb::module_& m) {
  m.def("mixed_weights", &run_mixed_weights, Released());
  m.def("mixed_weights_backward", &run_mixed_weights_backward, Released());
}

}  // namespace headsplat
