// Projection of 3D Gaussians, shared by all host and device kernels. `Real` is float, double or a SIMD vector;
// conditions are written with select(), so that the same code compiles for all three.
//
// Conventions: quaternions are wxyz; camera axes are x right, y down, z forward; pixel centers lie at +0.5. The
// constants and the order of operations follow the PyTorch reference implementation.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define HEADSPLAT_FN __host__ __device__ inline
#else
#define HEADSPLAT_FN inline
#endif

// Each instruction-set level is compiled in its own namespace, so that the linker never merges code of two levels.
#ifndef HEADSPLAT_LEVEL
#define HEADSPLAT_LEVEL shared
#endif

namespace headsplat {

// Type of numbers in memory: float, or double in the build that compares gradients with finite differences.
#if defined(HEADSPLAT_DOUBLE)
using Scalar = double;
#else
using Scalar = float;
#endif

// Pinhole camera: x_cam = rotation * x_world + translation (row-major), pixels = focal * x/z + center.
struct Camera {
  Scalar rotation[9];
  Scalar translation[3];
  Scalar focal_x, focal_y, center_x, center_y;  // pixels
  Scalar near_z, dilation;                      // meters, pixels^2 added to the projected covariance
  int width, height;                            // pixels
  bool antialias, cutoff;
};

namespace HEADSPLAT_LEVEL {

constexpr Scalar kAlphaMin = Scalar(1.0 / 255.0);
constexpr Scalar kAlphaMax = Scalar(0.999);
constexpr Scalar kTransmittanceMin = Scalar(1e-4);
constexpr Scalar kDepthAlphaMin = Scalar(1e-3);
constexpr Scalar kLayerDepthMargin = Scalar(2e-3);  // meters behind the layer from which on Gaussians are skipped
constexpr Scalar kLayerSolid = Scalar(0.99);        // coverage of the layer from which on it hides Gaussians behind it
constexpr Scalar kNoLayerDepth = Scalar(3e38);
constexpr Scalar kSlopeMax = 2.0f;
constexpr Scalar kQuatNorm2Min = 1e-24f;
constexpr Scalar kLog2E = Scalar(1.4426950408889634);
constexpr Scalar kLn2 = Scalar(0.69314718055994531);
constexpr Scalar kLog2Of255 = Scalar(7.9943534368588579);
// Without the cutoff, alphas down to 2^-kLog2Range are blended: about the smallest normal float.
constexpr Scalar kLog2Range = 126.0f;
// Tolerance of the tile and strip tests, in log2 of alpha: a block that an ellipse misses by less than this is kept,
// and the exact test per pixel decides, not rounding.
constexpr Scalar kExponentSlack = 1e-3f;

HEADSPLAT_FN float select(bool condition, float yes, float no) { return condition ? yes : no; }
HEADSPLAT_FN double select(bool condition, double yes, double no) { return condition ? yes : no; }
HEADSPLAT_FN float smaller(float a, float b) { return a < b ? a : b; }
HEADSPLAT_FN float larger(float a, float b) { return a > b ? a : b; }
HEADSPLAT_FN double smaller(double a, double b) { return a < b ? a : b; }
HEADSPLAT_FN double larger(double a, double b) { return a > b ? a : b; }
HEADSPLAT_FN float root(float a) { return std::sqrt(a); }
HEADSPLAT_FN double root(double a) { return std::sqrt(a); }

// One Gaussian in world coordinates; scales are standard deviations.
template <class Real>
struct Gaussian3 {
  Real mean[3], quat[4], scale[3], opacity;  // meters, wxyz, meters, 0..1
};

// Result of projecting one Gaussian: the 2D Gaussian in the image plane and the intermediates of the backward pass.
template <class Real>
struct Projection {
  Real x, y, depth;                     // pixels, pixels, meters
  Real xx, xy, yy;                      // 2D covariance with dilation, pixels^2
  Real det_undilated, det;              // determinant before and after dilation
  Real inverse_norm;                    // 1 / |quat|
  Real cam_from_local[9];               // rotation from the Gaussian's axes to the camera's
  Real u[3], v[3];                      // rows of the projected square root of the covariance
  Real slope_x, slope_y;                // x/z, y/z
  Real focal_over_z_x, focal_over_z_y;  // focal / z
  Real compensation;                    // opacity factor of the antialias option
};

// True where every number of the Gaussian is finite: zero times infinity or NaN is not zero.
template <class Real>
HEADSPLAT_FN auto all_finite(const Gaussian3<Real>& g) {
  const Real zero(0.0f);
  Real sum = g.opacity * zero;
  for (int k = 0; k < 3; ++k) sum = sum + g.mean[k] * zero + g.scale[k] * zero;
  for (int k = 0; k < 4; ++k) sum = sum + g.quat[k] * zero;
  return sum == zero;
}

// Row-major rotation matrix of a unit quaternion.
template <class Real>
HEADSPLAT_FN void quat_to_matrix(const Real q[4], Real m[9]) {
  const Real one(1.0f), two(2.0f);
  const Real w = q[0], x = q[1], y = q[2], z = q[3];
  m[0] = one - two * (y * y + z * z);
  m[1] = two * (x * y - w * z);
  m[2] = two * (x * z + w * y);
  m[3] = two * (x * y + w * z);
  m[4] = one - two * (x * x + z * z);
  m[5] = two * (y * z - w * x);
  m[6] = two * (x * z - w * y);
  m[7] = two * (y * z + w * x);
  m[8] = one - two * (x * x + y * y);
}

// Gradient with respect to a unit quaternion, given that with respect to its matrix.
template <class Real>
HEADSPLAT_FN void quat_to_matrix_backward(const Real q[4], const Real d[9], Real grad[4]) {
  const Real two(2.0f);
  const Real w = q[0], x = q[1], y = q[2], z = q[3];
  grad[0] = two * (x * (d[7] - d[5]) + y * (d[2] - d[6]) + z * (d[3] - d[1]));
  grad[1] = two * (y * (d[1] + d[3]) + z * (d[2] + d[6]) + w * (d[7] - d[5]) - two * x * (d[4] + d[8]));
  grad[2] = two * (x * (d[1] + d[3]) + z * (d[5] + d[7]) + w * (d[2] - d[6]) - two * y * (d[0] + d[8]));
  grad[3] = two * (x * (d[2] + d[6]) + y * (d[5] + d[7]) + w * (d[3] - d[1]) - two * z * (d[0] + d[4]));
}

// Gradient through unit = raw / |raw|.
template <class Real>
HEADSPLAT_FN void normalize4_backward(const Real unit[4], Real inverse_norm, const Real grad_unit[4], Real grad[4]) {
  Real along = grad_unit[0] * unit[0];
  for (int k = 1; k < 4; ++k) along = along + grad_unit[k] * unit[k];
  for (int k = 0; k < 4; ++k) grad[k] = (grad_unit[k] - along * unit[k]) * inverse_norm;
}

// Hamilton product: the rotation that applies `b` first, then `a`.
template <class Real>
HEADSPLAT_FN void quat_multiply(const Real a[4], const Real b[4], Real out[4]) {
  out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
  out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
  out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
  out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

template <class Real>
HEADSPLAT_FN Real quat_norm2(const Real q[4]) {
  return q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];
}

// Computes the mean in camera coordinates. Gaussians that will be culled get harmless values, so that no NaN spreads;
// returns which are not culled.
template <class Real>
HEADSPLAT_FN auto make_safe(const Camera& camera, Gaussian3<Real>& g, Real center[3]) {
  const Real zero(0.0f), one(1.0f);
  auto usable = all_finite(g) & (quat_norm2(g.quat) > Real(kQuatNorm2Min)) & (g.opacity > zero);
  for (int r = 0; r < 3; ++r) {
    const Scalar* row = camera.rotation + 3 * r;
    center[r] =
        Real(row[0]) * g.mean[0] + Real(row[1]) * g.mean[1] + Real(row[2]) * g.mean[2] + Real(camera.translation[r]);
  }
  auto visible = usable & (center[2] > Real(camera.near_z));
  for (int k = 0; k < 3; ++k) {
    center[k] = select(visible, center[k], k == 2 ? one : zero);
    g.scale[k] = select(visible, g.scale[k], zero);
  }
  for (int k = 0; k < 4; ++k) g.quat[k] = select(visible, g.quat[k], k == 0 ? one : zero);
  g.opacity = select(visible, g.opacity, zero);
  return visible;
}

// EWA projection (Zwicker et al. 2001). Normalizes g.quat; returns which Gaussians have a valid projection.
template <class Real>
HEADSPLAT_FN auto project_gaussian(const Camera& camera, Gaussian3<Real>& g, Projection<Real>& p) {
  const Real zero(0.0f), one(1.0f), dilation(camera.dilation);
  Real center[3];
  auto visible = make_safe(camera, g, center);
  p.inverse_norm = one / root(quat_norm2(g.quat));
  for (int k = 0; k < 4; ++k) g.quat[k] = g.quat[k] * p.inverse_norm;
  Real local[9];
  quat_to_matrix(g.quat, local);
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c)
      p.cam_from_local[3 * r + c] = Real(camera.rotation[3 * r]) * local[c] +
                                    Real(camera.rotation[3 * r + 1]) * local[3 + c] +
                                    Real(camera.rotation[3 * r + 2]) * local[6 + c];
  const Real inverse_z = one / center[2];
  p.depth = center[2];
  p.slope_x = center[0] * inverse_z;
  p.slope_y = center[1] * inverse_z;
  p.focal_over_z_x = Real(camera.focal_x) * inverse_z;
  p.focal_over_z_y = Real(camera.focal_y) * inverse_z;
  const Real limit(kSlopeMax);
  const Real clamped_x = smaller(larger(p.slope_x, zero - limit), limit);
  const Real clamped_y = smaller(larger(p.slope_y, zero - limit), limit);
  for (int c = 0; c < 3; ++c) {
    p.u[c] = p.focal_over_z_x * (p.cam_from_local[c] - clamped_x * p.cam_from_local[6 + c]) * g.scale[c];
    p.v[c] = p.focal_over_z_y * (p.cam_from_local[3 + c] - clamped_y * p.cam_from_local[6 + c]) * g.scale[c];
  }
  const Real xx = p.u[0] * p.u[0] + p.u[1] * p.u[1] + p.u[2] * p.u[2];
  const Real yy = p.v[0] * p.v[0] + p.v[1] * p.v[1] + p.v[2] * p.v[2];
  p.xy = p.u[0] * p.v[0] + p.u[1] * p.v[1] + p.u[2] * p.v[2];
  const Real n0 = p.u[1] * p.v[2] - p.u[2] * p.v[1];
  const Real n1 = p.u[2] * p.v[0] - p.u[0] * p.v[2];
  const Real n2 = p.u[0] * p.v[1] - p.u[1] * p.v[0];
  p.det_undilated = n0 * n0 + n1 * n1 + n2 * n2;  // |u x v|^2: the determinant without cancellation
  p.det = p.det_undilated + dilation * (xx + yy) + dilation * dilation;
  p.xx = xx + dilation;
  p.yy = yy + dilation;
  p.x = Real(camera.focal_x) * p.slope_x + Real(camera.center_x);
  p.y = Real(camera.focal_y) * p.slope_y + Real(camera.center_y);
  const Real finite_test = (p.det + p.x + p.y) * zero;
  auto valid = visible & (finite_test == zero) & (p.det > zero);
  p.det = select(valid, p.det, one);
  p.compensation = camera.antialias ? root(larger(p.det_undilated, zero) / p.det) : one;
  return valid;
}

// Gradient with respect to one projected Gaussian, from the backward pass of the rasterizer.
template <class Real>
struct ProjectedGrad {
  Real x, y;                          // pixels
  Real conic_xx, conic_xy, conic_yy;  // of exp(-(xx dx^2)/2 - xy dx dy - (yy dy^2)/2)
  Real opacity;                       // of the blended opacity, compensation included
  Real depth;
};

// Gradient with respect to one Gaussian in world coordinates.
template <class Real>
struct GaussianGrad {
  Real mean[3], quat[4], scale[3], opacity;
};

// Gradient with respect to the covariance [xx, xy, yy]; the off-diagonal entry is counted once per side.
template <class Real>
HEADSPLAT_FN void covariance_backward(const Camera& camera, const Projection<Real>& p, Real opacity,
                                      const ProjectedGrad<Real>& d, Real cov[3]) {
  const Real half(0.5f), zero(0.0f), one(1.0f), dilation(camera.dilation);
  const Real inverse = one / p.det;
  const Real a = p.yy * inverse, b = zero - p.xy * inverse, c = p.xx * inverse;
  const Real off = half * d.conic_xy;
  const Real t00 = d.conic_xx * a + off * b, t01 = d.conic_xx * b + off * c;
  const Real t10 = off * a + d.conic_yy * b, t11 = off * b + d.conic_yy * c;
  cov[0] = zero - (a * t00 + b * t10);
  cov[1] = zero - (a * t01 + b * t11);
  cov[2] = zero - (b * t01 + c * t11);
  if (camera.antialias) {
    const Real safe_compensation = select(p.compensation > zero, p.compensation, one);
    // Not times inverse^2: a determinant below 5e-20 has no square in float32.
    const Real ratio = d.opacity * opacity * half / safe_compensation * inverse;
    const Real by_det = ratio * ((p.det - p.det_undilated) * inverse);
    const Real by_trace = ratio * (p.det_undilated * inverse) * dilation;
    cov[0] = cov[0] + (p.yy - dilation) * by_det - by_trace;
    cov[1] = cov[1] - p.xy * by_det;
    cov[2] = cov[2] + (p.xx - dilation) * by_det - by_trace;
  }
}

// Chain rule of project_gaussian. `g` must be as that function left it (unit quaternion, safe values).
template <class Real>
HEADSPLAT_FN void project_backward(const Camera& camera, const Gaussian3<Real>& g, const Projection<Real>& p,
                                   const ProjectedGrad<Real>& d, GaussianGrad<Real>& out) {
  const Real two(2.0f), zero(0.0f), one(1.0f), limit(kSlopeMax);
  Real cov[3];
  covariance_backward(camera, p, g.opacity, d, cov);
  const Real clamped_x = smaller(larger(p.slope_x, zero - limit), limit);
  const Real clamped_y = smaller(larger(p.slope_y, zero - limit), limit);
  Real grad_rotation[9], grad_slope_x = zero, grad_slope_y = zero, grad_dot_uv = zero;
  for (int c = 0; c < 3; ++c) {
    const Real du = two * (cov[0] * p.u[c] + cov[1] * p.v[c]);
    const Real dv = two * (cov[1] * p.u[c] + cov[2] * p.v[c]);
    grad_dot_uv = grad_dot_uv + du * p.u[c] + dv * p.v[c];
    const Real along_u = du * p.focal_over_z_x, along_v = dv * p.focal_over_z_y;
    const Real across = zero - along_u * clamped_x - along_v * clamped_y;
    grad_slope_x = grad_slope_x - along_u * p.cam_from_local[6 + c] * g.scale[c];
    grad_slope_y = grad_slope_y - along_v * p.cam_from_local[6 + c] * g.scale[c];
    out.scale[c] = along_u * p.cam_from_local[c] + along_v * p.cam_from_local[3 + c] + across * p.cam_from_local[6 + c];
    grad_rotation[c] = along_u * g.scale[c];
    grad_rotation[3 + c] = along_v * g.scale[c];
    grad_rotation[6 + c] = across * g.scale[c];
  }
  grad_slope_x = select(p.slope_x == clamped_x, grad_slope_x, zero) + d.x * Real(camera.focal_x);
  grad_slope_y = select(p.slope_y == clamped_y, grad_slope_y, zero) + d.y * Real(camera.focal_y);
  const Real inverse_z = one / p.depth;
  Real grad_center[3] = {grad_slope_x * inverse_z, grad_slope_y * inverse_z, zero};
  grad_center[2] = d.depth - (grad_slope_x * p.slope_x + grad_slope_y * p.slope_y + grad_dot_uv) * inverse_z;
  Real grad_local[9];
  for (int r = 0; r < 3; ++r) {
    const Real r0(camera.rotation[r]), r1(camera.rotation[3 + r]), r2(camera.rotation[6 + r]);
    out.mean[r] = r0 * grad_center[0] + r1 * grad_center[1] + r2 * grad_center[2];
    for (int c = 0; c < 3; ++c)
      grad_local[3 * r + c] = r0 * grad_rotation[c] + r1 * grad_rotation[3 + c] + r2 * grad_rotation[6 + c];
  }
  Real grad_unit[4];
  quat_to_matrix_backward(g.quat, grad_local, grad_unit);
  normalize4_backward(g.quat, p.inverse_norm, grad_unit, out.quat);
  out.opacity = d.opacity * p.compensation;
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
