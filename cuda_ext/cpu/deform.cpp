// Local Gaussians + blendshape offsets -> activated local Gaussians of every image; forward and backward.
#include "kernels.h"
#include "rows.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr Scalar kShConstant = Scalar(0.28209479177387814);  // Y_0

// e^x, clamped to the range of normal floats.
inline Vec exp_of(Vec x) { return exp2(smaller(larger(x * Vec(kLog2E), Vec(-126.0f)), Vec(126.0f))); }

inline Vec sigmoid_of(Vec x) { return Vec(1.0f) / (Vec(1.0f) + exp_of(Vec(0.0f) - x)); }

inline Mask lanes_before(int first, int end) { return Vec(static_cast<Scalar>(end - first)) > load(kLane); }

// Blendshape offsets of kWidth Gaussians from `first` on, times the channel units; zero for Gaussians without offsets.
void load_blended(const DeformShape& shape, const Scalar* blended, int first, Vec* out) {
  for (int k = 0; k < kDeformChannels; ++k) out[k] = Vec(0.0f);
  if (first >= shape.deformed) return;
  load_rows<kDeformChannels>(blended, first, shape.deformed, out);
  const Mask deforms = lanes_before(first, shape.deformed);
  for (int k = 0; k < kDeformChannels; ++k) out[k] = keep(deforms, out[k] * Vec(shape.units[k]));
}

template <int stride>
void add(const Vec* terms, Vec* values) {
  for (int k = 0; k < stride; ++k) values[k] = values[k] + terms[k];
}

}  // namespace

void deform_range(const DeformShape& shape, const DeformInputs& in, int begin, int end, const DeformOutputs& out) {
  for (int first = begin; first < end; first += kWidth) {
    Vec offsets[3], quats[4], scales[3], logit, colors[3];
    load_rows<3>(in.offsets, first, end, offsets);
    load_rows<4>(in.quats, first, end, quats);
    load_rows<3>(in.log_scales, first, end, scales);
    load_rows<1>(in.logit_opacities, first, end, &logit);
    load_rows<3>(in.colors, first, end, colors);
    for (Vec& scale : scales) scale = exp_of(scale);
    for (int b = 0; b < shape.batch; ++b) {
      const size_t image = static_cast<size_t>(b) * shape.count;
      Vec row[kDeformChannels];
      load_blended(shape, in.blended + static_cast<size_t>(b) * shape.deformed * kDeformChannels, first, row);
      add<3>(offsets, row);
      add<4>(quats, row + 3);
      add<3>(colors, row + 7);
      for (int k = 7; k < 10; ++k) row[k] = (row[k] - Vec(0.5f)) * Vec(1.0f / kShConstant);
      row[10] = sigmoid_of(logit + row[10]);
      store_rows<3>(out.offsets + 3 * image, first, end, row);
      store_rows<4>(out.quats + 4 * image, first, end, row + 3);
      store_rows<3>(out.scales + 3 * image, first, end, scales);
      store_rows<1>(out.opacities + image, first, end, row + 10);
      store_rows<3>(out.sh + 3 * image, first, end, row + 7);
    }
  }
}

void deform_range_backward(const DeformShape& shape, const DeformForwardOutputs& values,
                           const DeformOutputGradients& in, int begin, int end, const DeformInputGradients& out) {
  const Vec zero(0.0f), one(1.0f);
  for (int first = begin; first < end; first += kWidth) {
    Vec total[kDeformChannels], grad_log_scales[3] = {zero, zero, zero};
    for (Vec& sum : total) sum = zero;
    for (int b = 0; b < shape.batch; ++b) {
      const size_t image = static_cast<size_t>(b) * shape.count;
      Vec row[kDeformChannels], grad_scales[3], scales[3], opacity;
      load_rows<3>(in.offsets + 3 * image, first, end, row);
      load_rows<4>(in.quats + 4 * image, first, end, row + 3);
      load_rows<3>(in.scales + 3 * image, first, end, grad_scales);
      load_rows<1>(in.opacities + image, first, end, row + 10);
      load_rows<3>(in.sh + 3 * image, first, end, row + 7);
      load_rows<3>(values.scales + 3 * image, first, end, scales);
      load_rows<1>(values.opacities + image, first, end, &opacity);
      for (int k = 7; k < 10; ++k) row[k] = row[k] * Vec(1.0f / kShConstant);
      row[10] = row[10] * opacity * (one - opacity);
      add<kDeformChannels>(row, total);
      for (int k = 0; k < 3; ++k) grad_log_scales[k] = fma(grad_scales[k], scales[k], grad_log_scales[k]);
      if (first >= shape.deformed) continue;
      for (int k = 0; k < kDeformChannels; ++k) row[k] = row[k] * Vec(shape.units[k]);
      store_rows<kDeformChannels>(out.blended + static_cast<size_t>(b) * shape.deformed * kDeformChannels, first,
                                  end < shape.deformed ? end : shape.deformed, row);
    }
    store_rows<3>(out.offsets, first, end, total);
    store_rows<4>(out.quats, first, end, total + 3);
    store_rows<3>(out.log_scales, first, end, grad_log_scales);
    store_rows<1>(out.logit_opacities, first, end, total + 10);
    store_rows<3>(out.colors, first, end, total + 7);
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
