// Gaussians bound to triangles and posed by two bones, kWidth Gaussians at a time; forward and backward.
#include <cmath>

#include "../indices.h"
#include "kernels.h"
#include "rows.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr Scalar kNoVertex[3] = {NAN, NAN, NAN};

void load_corners(const BindInputs& in, int first, int end, Vec corner[3][3]) {
  Scalar lanes[9][kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    const int row = first + lane < end ? first + lane : end - 1;
    int64_t triangle[3];
    const bool inside = read_triangle(in.triangles + 3 * static_cast<size_t>(row), in.vertex_count, triangle);
    if (!inside) in.out_of_range[row / kBindChunk] = true;
    for (int k = 0; k < 3; ++k) {
      const Scalar* vertex = inside ? in.vertices + 3 * triangle[k] : kNoVertex;
      for (int axis = 0; axis < 3; ++axis) lanes[3 * k + axis][lane] = vertex[axis];
    }
  }
  for (int k = 0; k < 9; ++k) corner[k / 3][k % 3] = load(lanes[k]);
}

BoundGaussian<Vec> load_bound(const BindInputs& in, int first, int end) {
  BoundGaussian<Vec> bound;
  load_corners(in, first, end, bound.corner);
  load_rows<3>(in.bary, first, end, bound.bary);
  load_rows<3>(in.offsets, first, end, bound.offset);
  load_rows<4>(in.quats, first, end, bound.quat);
  load_rows<1>(in.skin, first, end, &bound.skin);
  return bound;
}

// Loads scales and the mean tensors at kWidth Gaussians, zero where none of their corners stretches; returns which
// stretch, as numbers above zero, and whether any does.
bool load_stretch(const BindInputs& in, int first, int end, BoundGaussian<Vec>& bound, Vec* stretches) {
  Scalar lanes[kTensorSize][kWidth], flags[kWidth];
  bool any = false;
  for (int lane = 0; lane < kWidth; ++lane) {
    const size_t n = first + lane < end ? first + lane : end - 1;
    Scalar sum[kTensorSize] = {};
    int64_t triangle[3];
    flags[lane] = 0.0f;
    if (read_triangle(in.triangles + 3 * n, in.vertex_count, triangle))
      for (int corner = 0; corner < 3; ++corner) {
        const int64_t row = row_of(in.rows, triangle[corner], in.row_count);
        if (row < 0) continue;
        flags[lane] = 1.0f;
        any = true;
        for (int k = 0; k < kTensorSize; ++k)
          sum[k] += in.bary[3 * n + corner] * in.tensors[kTensorSize * static_cast<size_t>(row) + k];
      }
    for (int k = 0; k < kTensorSize; ++k) lanes[k][lane] = sum[k];
  }
  load_rows<3>(in.scales, first, end, bound.scale);
  *stretches = load(flags);
  for (int k = 0; k < kTensorSize; ++k) bound.tensor[k] = load(lanes[k]);
  return any;
}

// Stretches kWidth Gaussians; those on triangles that do not stretch keep their offsets and scales to the bit.
void stretch_lanes(const BoundGaussian<Vec>& bound, Vec stretches, RigState<Vec>& state, Vec scale[3]) {
  const Mask moved = stretches > Vec(0.0f);
  stretch_gaussian(bound, state, scale);
  for (int k = 0; k < 3; ++k) {
    state.offset[k] = select(moved, state.offset[k], bound.offset[k]);
    scale[k] = select(moved, scale[k], bound.scale[k]);
  }
}

// Adds the lanes of `used` to the gradient of the bones; other lanes repeat the last Gaussian.
void add_bones(const RigGrad<Vec>& grad, Mask used, Scalar* total) {
  for (int bone = 0; bone < 2; ++bone) {
    Scalar* out = total + bone * (kBoneGradSize / 2);
    for (int k = 0; k < 9; ++k) out[k] += sum(keep(used, grad.rotation[bone][k]));
    for (int k = 0; k < 3; ++k) out[9 + k] += sum(keep(used, grad.translation[bone][k]));
    for (int k = 0; k < 4; ++k) out[12 + k] += sum(keep(used, grad.bone_quat[bone][k]));
  }
}

Mask used_lanes(int first, int end) {
  Scalar lanes[kWidth];
  for (int lane = 0; lane < kWidth; ++lane) lanes[lane] = first + lane < end ? 1.0f : 0.0f;
  return load(lanes) > Vec(0.0f);
}

template <int stride>
void load_or_zero(const Scalar* source, int first, int end, Vec* out) {
  if (source) return load_rows<stride>(source, first, end, out);
  for (int k = 0; k < stride; ++k) out[k] = Vec(0.0f);
}

}  // namespace

void bind_image(const Bones& bones, const BindInputs& in, int count, const BindResults& out) {
  parallel_ranges(count, kBindChunk, [&](int begin, int end) {
    for (int first = begin; first < end; first += kWidth) {
      BoundGaussian<Vec> bound = load_bound(in, first, end);
      RigState<Vec> state;
      Vec mean[3], quat[4];
      triangle_frame(bound, state);
      if (out.scales) {
        Vec stretches, scale[3];
        const bool any = load_stretch(in, first, end, bound, &stretches);
        if (any) stretch_lanes(bound, stretches, state, scale);
        store_rows<3>(out.scales, first, end, any ? scale : bound.scale);
      }
      rig(bones, bound, state, mean, quat);
      store_rows<3>(out.means, first, end, mean);
      store_rows<4>(out.quats, first, end, quat);
    }
  });
}

void bind_image_backward(const Bones& bones, const BindInputs& in, int count, const BindGradients& grads) {
  parallel_ranges(count, kBindChunk, [&](int begin, int end) {
    Scalar* total = grads.bones + static_cast<size_t>(begin / kBindChunk) * kBoneGradSize;
    std::memset(total, 0, sizeof(Scalar) * kBoneGradSize);
    for (int first = begin; first < end; first += kWidth) {
      BoundGaussian<Vec> bound = load_bound(in, first, end);
      RigState<Vec> state;
      Vec mean[3], quat[4], scale[3], stretches;
      triangle_frame(bound, state);
      const bool any = grads.scales && load_stretch(in, first, end, bound, &stretches);
      if (any) stretch_lanes(bound, stretches, state, scale);
      rig(bones, bound, state, mean, quat);
      load_or_zero<3>(grads.means, first, end, mean);
      load_or_zero<4>(grads.world_quats, first, end, quat);
      load_or_zero<3>(grads.world_scales, first, end, scale);
      RigGrad<Vec> grad;
      for (int k = 0; k < 3; ++k) grad.scale[k] = scale[k];
      for (Vec& value : grad.tensor) value = Vec(0.0f);
      rig_backward(bones, bound, state, mean, quat, any ? scale : nullptr, grad);
      store_rows<3>(grads.offsets, first, end, grad.offset);
      store_rows<4>(grads.quats, first, end, grad.quat);
      if (grads.corners) store_rows<9>(grads.corners, first, end, grad.corner[0]);
      if (grads.scales) store_rows<3>(grads.scales, first, end, grad.scale);
      if (grads.tensors) store_rows<kTensorSize>(grads.tensors, first, end, grad.tensor);
      add_bones(grad, used_lanes(first, end), total);
    }
  });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
