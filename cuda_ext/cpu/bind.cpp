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

void bind_image(const Bones& bones, const BindInputs& in, int count, Scalar* means, Scalar* quats) {
  parallel_ranges(count, kBindChunk, [&](int begin, int end) {
    for (int first = begin; first < end; first += kWidth) {
      RigState<Vec> state;
      Vec mean[3], quat[4];
      rig(bones, load_bound(in, first, end), state, mean, quat);
      store_rows<3>(means, first, end, mean);
      store_rows<4>(quats, first, end, quat);
    }
  });
}

void bind_image_backward(const Bones& bones, const BindInputs& in, int count, const BindGradients& grads) {
  parallel_ranges(count, kBindChunk, [&](int begin, int end) {
    Scalar* total = grads.bones + static_cast<size_t>(begin / kBindChunk) * kBoneGradSize;
    std::memset(total, 0, sizeof(Scalar) * kBoneGradSize);
    for (int first = begin; first < end; first += kWidth) {
      const BoundGaussian<Vec> bound = load_bound(in, first, end);
      RigState<Vec> state;
      Vec mean[3], quat[4];
      rig(bones, bound, state, mean, quat);
      load_or_zero<3>(grads.means, first, end, mean);
      load_or_zero<4>(grads.world_quats, first, end, quat);
      RigGrad<Vec> grad;
      rig_backward(bones, bound, state, mean, quat, grad);
      store_rows<3>(grads.offsets, first, end, grad.offset);
      store_rows<4>(grads.quats, first, end, grad.quat);
      if (grads.corners) store_rows<9>(grads.corners, first, end, grad.corner[0]);
      add_bones(grad, used_lanes(first, end), total);
    }
  });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
