// Real spherical harmonics up to degree 3 with the signs of 3D Gaussian Splatting (Kerbl et al. 2023), shared by host
// and device kernels. Same conventions as math.h.
//
// Band l has 2l+1 terms, written as homogeneous polynomials of degree l: they are defined for any vector, and a
// rotation of the vector mixes only the terms of one band.
#pragma once

#include "rig.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

constexpr int kShTermsMax = 16;

constexpr double kSh0 = 0.28209479177387814;        // sqrt(1 / pi) / 2
constexpr double kSh1 = 0.48860251190291992;        // sqrt(3 / pi) / 2
constexpr double kSh2 = 1.0925484305920790;         // sqrt(15 / pi) / 2
constexpr double kSh2Zonal = 0.31539156525252005;   // sqrt(5 / pi) / 4
constexpr double kSh3Outer = 0.59004358992664352;   // sqrt(35 / (2 pi)) / 4
constexpr double kSh3Inner = 2.8906114426405538;    // sqrt(105 / pi) / 2
constexpr double kSh3Middle = 0.45704579946446577;  // sqrt(21 / (2 pi)) / 4
constexpr double kSh3Zonal = 0.37317633259011540;   // sqrt(7 / pi) / 4

// The 2 band + 1 terms of one band at v, from order -band to order band.
template <int band, class Real>
HEADSPLAT_FN constexpr void sh_band(const Real v[3], Real* out) {
  const Real x = v[0], y = v[1], z = v[2];
  if constexpr (band == 0) {
    out[0] = Real(kSh0);
  } else if constexpr (band == 1) {
    out[0] = Real(-kSh1) * y;
    out[1] = Real(kSh1) * z;
    out[2] = Real(-kSh1) * x;
  } else if constexpr (band == 2) {
    const Real xx = x * x, yy = y * y;
    out[0] = Real(kSh2) * x * y;
    out[1] = Real(-kSh2) * y * z;
    out[2] = Real(kSh2Zonal) * (z * z + z * z - xx - yy);
    out[3] = Real(-kSh2) * x * z;
    out[4] = Real(0.5 * kSh2) * (xx - yy);
  } else {
    const Real three(3.0), xx = x * x, yy = y * y, zz = z * z;
    const Real middle = Real(-kSh3Middle) * (Real(4.0) * zz - xx - yy);
    out[0] = Real(-kSh3Outer) * y * (three * xx - yy);
    out[1] = Real(kSh3Inner) * x * y * z;
    out[2] = middle * y;
    out[3] = Real(kSh3Zonal) * z * (zz + zz - three * (xx + yy));
    out[4] = middle * x;
    out[5] = Real(0.5 * kSh3Inner) * z * (xx - yy);
    out[6] = Real(-kSh3Outer) * x * (xx - three * yy);
  }
}

// Adds the gradient with respect to v to `grad`, given the gradient with respect to the band's terms.
template <int band, class Real>
HEADSPLAT_FN void sh_band_backward(const Real v[3], const Real* d, Real grad[3]) {
  const Real x = v[0], y = v[1], z = v[2];
  if constexpr (band == 1) {
    grad[0] = grad[0] - Real(kSh1) * d[2];
    grad[1] = grad[1] - Real(kSh1) * d[0];
    grad[2] = grad[2] + Real(kSh1) * d[1];
  } else if constexpr (band == 2) {
    const Real xy = Real(kSh2) * d[0], yz = Real(kSh2) * d[1], xz = Real(kSh2) * d[3];
    const Real zonal = Real(2.0 * kSh2Zonal) * d[2], plane = Real(kSh2) * d[4];
    grad[0] = grad[0] + xy * y - xz * z + (plane - zonal) * x;
    grad[1] = grad[1] + xy * x - yz * z - (plane + zonal) * y;
    grad[2] = grad[2] - yz * y - xz * x + (zonal + zonal) * z;
  } else if constexpr (band == 3) {
    const Real two(2.0), three(3.0), eight(8.0), xx = x * x, yy = y * y, zz = z * z, xy = x * y;
    const Real left = Real(3.0 * kSh3Outer) * d[0], right = Real(3.0 * kSh3Outer) * d[6];
    const Real volume = Real(kSh3Inner) * d[1], plane = Real(0.5 * kSh3Inner) * d[5];
    const Real along_y = Real(kSh3Middle) * d[2], along_x = Real(kSh3Middle) * d[4];
    const Real zonal = Real(3.0 * kSh3Zonal) * d[3];
    const Real ring = Real(4.0) * zz - xx - yy;
    grad[0] = grad[0] - two * left * xy - right * (xx - yy) + volume * y * z + two * plane * x * z +
              two * along_y * xy - along_x * (ring - two * xx) - two * zonal * x * z;
    grad[1] = grad[1] - left * (xx - yy) + two * right * xy + volume * x * z - two * plane * y * z +
              two * along_x * xy - along_y * (ring - two * yy) - two * zonal * y * z;
    grad[2] = grad[2] + volume * xy + plane * (xx - yy) - eight * z * (along_y * y + along_x * x) +
              zonal * (two * zz - xx - yy);
  }
}

// The first `terms` (1, 4, 9 or 16) harmonics at a unit direction.
template <int terms, class Real>
HEADSPLAT_FN void sh_basis(const Real direction[3], Real* out) {
  sh_band<0>(direction, out);
  if constexpr (terms > 1) sh_band<1>(direction, out + 1);
  if constexpr (terms > 4) sh_band<2>(direction, out + 4);
  if constexpr (terms > 9) sh_band<3>(direction, out + 9);
}

// Gradient with respect to the direction, given the gradient with respect to the harmonics.
template <int terms, class Real>
HEADSPLAT_FN void sh_basis_backward(const Real direction[3], const Real* d, Real grad[3]) {
  for (int k = 0; k < 3; ++k) grad[k] = Real(0.0);
  if constexpr (terms > 1) sh_band_backward<1>(direction, d + 1, grad);
  if constexpr (terms > 4) sh_band_backward<2>(direction, d + 4, grad);
  if constexpr (terms > 9) sh_band_backward<3>(direction, d + 9, grad);
}

// Calls body with the number of terms (1, 4, 9 or 16) as a type whose `value` is a compile-time constant.
template <int number>
struct ShTerms {
  static constexpr int value = number;
};

template <class Body>
inline void with_sh_terms(int terms, Body body) {
  if (terms == 1) return body(ShTerms<1>());
  if (terms == 4) return body(ShTerms<4>());
  if (terms == 9) return body(ShTerms<9>());
  return body(ShTerms<16>());
}

// Position of a camera in world coordinates.
HEADSPLAT_FN void camera_center(const Camera& camera, Scalar out[3]) {
  for (int k = 0; k < 3; ++k)
    out[k] = -(camera.rotation[k] * camera.translation[0] + camera.rotation[3 + k] * camera.translation[1] +
               camera.rotation[6 + k] * camera.translation[2]);
}

// Unit direction from the camera to a Gaussian's mean, zero where they coincide; returns the normalization factor.
template <class Real>
HEADSPLAT_FN Real view_direction(const Scalar center[3], const Real mean[3], Real direction[3]) {
  Real offset[3];
  for (int k = 0; k < 3; ++k) offset[k] = mean[k] - Real(center[k]);
  return normalize<3>(offset, direction);
}

// Sample directions whose values determine a function of one band: the first 3 for band 1, 5 for band 2, 7 for band 3.
// Chosen among the triples of -1, 0 and 1 for the smallest condition numbers of the three systems: below 2.8 with
// normalized directions.
struct ShSamples {
  int directions[7][3] = {{0, 0, 1}, {0, 1, 0}, {1, -1, 0}, {0, 1, -1}, {1, 0, -1}, {1, -1, -1}, {1, 0, 0}};
};

// Inverse of the matrix of a band's terms at the sample directions: from sampled values to coefficients.
template <int band>
struct ShFit {
  static constexpr int size = 2 * band + 1;
  double inverse[size][size] = {};  // [term][sample]
};

// Rows of the terms at each sample direction, augmented with the identity.
template <int band>
HEADSPLAT_FN constexpr void fill_sh_system(double (&rows)[2 * band + 1][4 * band + 2]) {
  constexpr ShSamples samples;
  for (int i = 0; i < 2 * band + 1; ++i) {
    const double v[3] = {double(samples.directions[i][0]), double(samples.directions[i][1]),
                         double(samples.directions[i][2])};
    sh_band<band>(v, rows[i]);
    rows[i][2 * band + 1 + i] = 1.0;
  }
}

// Gauss-Jordan elimination with pivoting, at compile time.
template <int band>
HEADSPLAT_FN constexpr ShFit<band> make_sh_fit() {
  constexpr int size = 2 * band + 1;
  double rows[size][2 * size] = {};
  fill_sh_system<band>(rows);
  for (int column = 0; column < size; ++column) {
    int best = column;
    for (int i = column; i < size; ++i)
      if (rows[i][column] * rows[i][column] > rows[best][column] * rows[best][column]) best = i;
    const double pivot = rows[best][column];
    for (int k = 0; k < 2 * size; ++k) {
      const double chosen = rows[best][k] / pivot;
      rows[best][k] = rows[column][k];
      rows[column][k] = chosen;
    }
    for (int i = 0; i < size; ++i) {
      const double factor = i == column ? 0.0 : rows[i][column];
      for (int k = 0; k < 2 * size; ++k) rows[i][k] -= factor * rows[column][k];
    }
  }
  ShFit<band> fit;
  for (int i = 0; i < size; ++i)
    for (int k = 0; k < size; ++k) fit.inverse[i][k] = rows[i][size + k];
  return fit;
}

// Residual of the inverse: the largest entry of its product with the matrix, minus the identity.
template <int band>
constexpr double sh_fit_error() {
  constexpr int size = 2 * band + 1;
  const ShFit<band> fit = make_sh_fit<band>();
  double rows[size][2 * size] = {}, worst = 0.0;
  fill_sh_system<band>(rows);
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      double sum = i == j ? -1.0 : 0.0;
      for (int k = 0; k < size; ++k) sum += fit.inverse[i][k] * rows[k][j];
      worst = sum > worst ? sum : -sum > worst ? -sum : worst;
    }
  return worst;
}
static_assert(sh_fit_error<1>() < 1e-14 && sh_fit_error<2>() < 1e-14 && sh_fit_error<3>() < 1e-14,
              "the sample directions determine the coefficients of every band");

// Sample direction i rotated by the inverse of the row-major rotation: R^T sample.
template <class Real>
HEADSPLAT_FN void rotate_sample(const Real rotation[9], int i, Real out[3]) {
  constexpr ShSamples samples;
  for (int k = 0; k < 3; ++k)
    out[k] = Real(double(samples.directions[i][0])) * rotation[k] +
             Real(double(samples.directions[i][1])) * rotation[3 + k] +
             Real(double(samples.directions[i][2])) * rotation[6 + k];
}

// Rotates the coefficients [2 band + 1][3 channels] of one band: out(R d) = sh(d), hence out = inverse Y(R^T samples)
// sh.
template <int band, class Real>
HEADSPLAT_FN void rotate_sh_band(const Real rotation[9], const Real* sh, Real* out) {
  constexpr int size = 2 * band + 1;
  constexpr ShFit<band> fit = make_sh_fit<band>();
  for (int k = 0; k < 3 * size; ++k) out[k] = Real(0.0);
  for (int i = 0; i < size; ++i) {
    Real rotated[3], basis[size];
    rotate_sample(rotation, i, rotated);
    sh_band<band>(rotated, basis);
    for (int c = 0; c < 3; ++c) {
      Real value = basis[0] * sh[c];
      for (int k = 1; k < size; ++k) value = value + basis[k] * sh[3 * k + c];
      for (int k = 0; k < size; ++k) out[3 * k + c] = out[3 * k + c] + Real(fit.inverse[k][i]) * value;
    }
  }
}

// Chain rule of rotate_sh_band: sets `grad_sh` and adds the band's contribution to `grad_rotation`.
template <int band, class Real>
HEADSPLAT_FN void rotate_sh_band_backward(const Real rotation[9], const Real* sh, const Real* grad, Real* grad_sh,
                                          Real grad_rotation[9]) {
  constexpr int size = 2 * band + 1;
  constexpr ShFit<band> fit = make_sh_fit<band>();
  constexpr ShSamples samples;
  for (int k = 0; k < 3 * size; ++k) grad_sh[k] = Real(0.0);
  for (int i = 0; i < size; ++i) {
    Real rotated[3], basis[size], grad_basis[size], value[3], grad_direction[3] = {Real(0.0), Real(0.0), Real(0.0)};
    rotate_sample(rotation, i, rotated);
    sh_band<band>(rotated, basis);
    for (int c = 0; c < 3; ++c) {
      value[c] = Real(fit.inverse[0][i]) * grad[c];
      for (int k = 1; k < size; ++k) value[c] = value[c] + Real(fit.inverse[k][i]) * grad[3 * k + c];
    }
    for (int k = 0; k < size; ++k) {
      grad_basis[k] = value[0] * sh[3 * k] + value[1] * sh[3 * k + 1] + value[2] * sh[3 * k + 2];
      for (int c = 0; c < 3; ++c) grad_sh[3 * k + c] = grad_sh[3 * k + c] + basis[k] * value[c];
    }
    sh_band_backward<band>(rotated, grad_basis, grad_direction);
    for (int r = 0; r < 3; ++r)
      for (int k = 0; k < 3; ++k)
        grad_rotation[3 * r + k] =
            grad_rotation[3 * r + k] + Real(double(samples.directions[i][r])) * grad_direction[k];
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
