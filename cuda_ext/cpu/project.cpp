// World Gaussians -> projected Gaussians, kWidth at a time; forward and backward.
#include "../sh.h"
#include "kernels.h"
#include "rows.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kGaussiansPerTask = 512;
constexpr int kPrefetchAhead = 16;  // Gaussians between a prefetch of gradient partials and their use

Gaussian3<Vec> load_gaussians(const GaussianInputs& in, int first, int count) {
  Gaussian3<Vec> g;
  load_rows<3>(in.means, first, count, g.mean);
  load_rows<4>(in.quats, first, count, g.quat);
  load_rows<3>(in.scales, first, count, g.scale);
  load_rows<1>(in.opacities, first, count, &g.opacity);
  return g;
}

// Fields of kWidth projected Gaussians in the order of struct ProjectedGaussian, and which are valid. With spherical
// harmonics the color fields are filled by add_color.
struct ProjectedLanes {
  Scalar field[16][kWidth];
  Scalar basis[kShTermsMax][kWidth];
  uint32_t valid;
};

Mask load_colors(const GaussianInputs& in, int first, int count, ProjectedLanes& out) {
  Vec color[3];
  const Vec zero(0.0f);
  load_rows<3>(in.colors, first, count, color);
  for (int k = 0; k < 3; ++k) store(out.field[6 + k], color[k]);
  return (color[0] + color[1] + color[2]) * zero == zero;
}

void store_basis(const Camera& camera, int terms, const Vec mean[3], Scalar (*out)[kWidth]) {
  Scalar center[3];
  Vec direction[3];
  camera_center(camera, center);
  view_direction(center, mean, direction);
  with_sh_terms(terms, [&](auto static_terms) {
    Vec basis[static_terms.value];
    sh_basis<static_terms.value>(direction, basis);
    for (int k = 0; k < static_terms.value; ++k) store(out[k], basis[k]);
  });
}

// Color of the Gaussian in one lane from its coefficients; false when it is not finite. The loop adds four channels,
// the fourth being the next term's first, so that the compiler makes it one vector.
template <int terms>
bool add_color(const ProjectedLanes& lanes, int lane, const Scalar* sh, ProjectedGaussian& out) {
  Scalar color[4] = {0.5f, 0.5f, 0.5f, 0.0f};
  for (int d = 0; d < terms - 1; ++d)
    for (int k = 0; k < 4; ++k) color[k] += lanes.basis[d][lane] * sh[3 * d + k];
  for (int k = 0; k < 3; ++k) color[k] += lanes.basis[terms - 1][lane] * sh[3 * terms - 3 + k];
  out.red = larger(color[0], Scalar(0));
  out.green = larger(color[1], Scalar(0));
  out.blue = larger(color[2], Scalar(0));
  return (color[0] + color[1] + color[2]) * 0.0f == 0.0f;
}

void fill_lanes(const Camera& camera, const GaussianInputs& in, int first, int count, ProjectedLanes& out) {
  Gaussian3<Vec> g = load_gaussians(in, first, count);
  Projection<Vec> p;
  Mask valid = project_gaussian(camera, g, p);
  const Vec zero(0.0f), inverse = Vec(1.0f) / p.det;
  if (in.sh_terms) {
    store_basis(camera, in.sh_terms, g.mean, out.basis);
  } else {
    valid = valid & load_colors(in, first, count, out);
  }
  const Vec opacity = g.opacity * p.compensation;
  store(out.field[0], p.x);
  store(out.field[1], p.y);
  store(out.field[2], Vec(0.5f * kLog2E) * p.yy * inverse);
  store(out.field[3], zero - Vec(kLog2E) * p.xy * inverse);
  store(out.field[4], Vec(0.5f * kLog2E) * p.xx * inverse);
  store(out.field[9], p.depth);
  store(out.field[10], p.xy / p.yy);
  Scalar opacities[kWidth], half_width[kWidth], half_height[kWidth], row_half_width[kWidth], rightmost[kWidth];
  const Vec width = root(p.xx), height = root(p.yy);
  store(opacities, opacity);
  store(half_width, width);
  store(half_height, height);
  store(row_half_width, root(p.det / p.yy));
  store(rightmost, p.xy / width);
  out.valid = bits(valid);
  for (int lane = 0; lane < kWidth; ++lane) {
    const Scalar log2_opacity = std::log2(opacities[lane]);
    const Scalar exponent_max = log2_opacity + (camera.cutoff ? kLog2Of255 + kExponentSlack : kLog2Range);
    if (!(exponent_max > 0.0f)) out.valid &= ~(1u << lane);
    const Scalar sigmas = std::sqrt(2.0f * kLn2 * (exponent_max > 0.0f ? exponent_max : 0.0f));
    out.field[5][lane] = log2_opacity;
    out.field[11][lane] = sigmas * row_half_width[lane];
    out.field[12][lane] = sigmas * rightmost[lane];
    out.field[13][lane] = 1.0f / (sigmas * half_height[lane]);
    out.field[14][lane] = sigmas * half_width[lane];
    out.field[15][lane] = sigmas * half_height[lane];
  }
}

bool on_screen(const Camera& camera, const ProjectedGaussian& s) {
  return s.x + s.extent_x > 0.0f && s.y + s.extent_y > 0.0f && s.x - s.extent_x < static_cast<Scalar>(camera.width) &&
         s.y - s.extent_y < static_cast<Scalar>(camera.height);
}

}  // namespace

void project_image(ImageState& image, const GaussianInputs& in) {
  ProjectedGaussian* projected = image.projected.data<ProjectedGaussian>();
  uint32_t* depth_keys = image.depth_keys.data<uint32_t>();
  const Camera camera = image.camera;
  const int count = image.count;
  parallel_ranges(count, kGaussiansPerTask, [=](int begin, int end) {
    for (int first = begin; first < end; first += kWidth) {
      ProjectedLanes lanes;
      fill_lanes(camera, in, first, count, lanes);
      const int used = end - first < kWidth ? end - first : kWidth;
      for (int lane = 0; lane < used; ++lane) {
        Scalar row[16];
        for (int k = 0; k < 16; ++k) row[k] = lanes.field[k][lane];
        ProjectedGaussian* out = projected + first + lane;
        std::memcpy(static_cast<void*>(out), row, sizeof row);
        const float depth = static_cast<float>(out->depth);  // positive floats sort like their bits
        uint32_t key;
        std::memcpy(&key, &depth, sizeof key);
        bool visible = (lanes.valid >> lane & 1u) && on_screen(camera, *out);
        if (visible && in.sh_terms) {
          const Scalar* sh = in.colors + in.color_size() * (first + lane);
          with_sh_terms(in.sh_terms,
                        [&](auto static_terms) { visible = add_color<static_terms.value>(lanes, lane, sh, *out); });
        }
        depth_keys[first + lane] = visible ? key : kInvalidKey;
      }
    }
  });
}

namespace {

// Sum of a Gaussian's gradient partials over its tiles, in a fixed order.
void sum_partials(const ImageState& image, const Scalar* partials, int gaussian, Scalar* total) {
  for (int k = 0; k < kPartials; ++k) total[k] = 0.0f;
  const uint32_t* position =
      image.sorted_positions.data<uint32_t>() + image.intersection_offsets.data<uint32_t>()[gaussian];
  const uint32_t tiles = image.tiles_per_gaussian.data<uint32_t>()[gaussian];
  for (uint32_t t = 0; t < tiles; ++t) {
    const Scalar* one = partials + static_cast<size_t>(position[t]) * kPartialStride;
    for (int k = 0; k < kPartials; ++k) total[k] += one[k];
  }
}

// Prefetches the gradient partials of a Gaussian.
void prefetch_partials(const ImageState& image, const Scalar* partials, int gaussian) {
  const uint32_t* position =
      image.sorted_positions.data<uint32_t>() + image.intersection_offsets.data<uint32_t>()[gaussian];
  const uint32_t tiles = image.tiles_per_gaussian.data<uint32_t>()[gaussian];
  for (uint32_t t = 0; t < tiles; ++t) prefetch(partials + static_cast<size_t>(position[t]) * kPartialStride);
}

// Partials: 0 dL/dalpha * alpha; 1 2 that times dx, dy; 3 4 5 times dx^2, dx dy, dy^2; 6 7 8 color; 9 depth.
ProjectedGrad<Vec> projected_gradient(const Projection<Vec>& p, Vec opacity, const Vec* partials) {
  const Vec inverse = Vec(1.0f) / p.det, zero(0.0f);
  const Vec a = p.yy * inverse, b = zero - p.xy * inverse, c = p.xx * inverse;
  ProjectedGrad<Vec> d;
  d.x = a * partials[1] + b * partials[2];
  d.y = b * partials[1] + c * partials[2];
  d.conic_xx = Vec(-0.5f) * partials[3];
  d.conic_xy = zero - partials[4];
  d.conic_yy = Vec(-0.5f) * partials[5];
  d.opacity = select(opacity > zero, partials[0] / opacity, zero);
  d.depth = partials[9];
  return d;
}

template <int stride>
void store_visible(Scalar* target, int first, int count, Mask visible, Vec* values) {
  for (int k = 0; k < stride; ++k) values[k] = keep(visible, values[k]);
  store_rows<stride>(target, first, count, values);
}

// From the gradient of the color to the gradients of the coefficients and, through the view direction, of the mean.
void colors_backward(const ImageState& image, const GaussianInputs& in, int first, int end, uint32_t visible,
                     const Vec* color, const Vec mean[3], Scalar* grad_sh, Vec grad_mean[3]) {
  Scalar center[3], basis[kShTermsMax][kWidth], grad_basis[kShTermsMax][kWidth] = {}, grad_color[3][kWidth];
  for (int k = 0; k < 3; ++k) store(grad_color[k], color[k]);
  store_basis(image.camera, in.sh_terms, mean, basis);
  const int lanes = end - first < kWidth ? end - first : kWidth;
  for (int lane = 0; lane < lanes; ++lane) {
    const size_t at = in.color_size() * (first + lane);
    if (!(visible >> lane & 1u)) {
      std::memset(grad_sh + at, 0, sizeof(Scalar) * in.color_size());
      continue;
    }
    const ProjectedGaussian& projected = image.projected.data<ProjectedGaussian>()[first + lane];
    const Scalar red = projected.red > 0.0f ? grad_color[0][lane] : 0.0f,
                 green = projected.green > 0.0f ? grad_color[1][lane] : 0.0f;
    const Scalar blue = projected.blue > 0.0f ? grad_color[2][lane] : 0.0f;
    for (int d = 0; d < in.sh_terms; ++d) {
      const Scalar* sh = in.colors + at + 3 * d;
      grad_basis[d][lane] = red * sh[0] + green * sh[1] + blue * sh[2];
      grad_sh[at + 3 * d] = basis[d][lane] * red;
      grad_sh[at + 3 * d + 1] = basis[d][lane] * green;
      grad_sh[at + 3 * d + 2] = basis[d][lane] * blue;
    }
  }
  if (in.sh_terms == 1) return;
  Vec direction[3], grad_direction[3], grad_offset[3];
  camera_center(image.camera, center);
  const Vec factor = view_direction(center, mean, direction);
  with_sh_terms(in.sh_terms, [&](auto static_terms) {
    Vec d[static_terms.value];
    for (int k = 0; k < static_terms.value; ++k) d[k] = load(grad_basis[k]);
    sh_basis_backward<static_terms.value>(direction, d, grad_direction);
  });
  normalize_backward<3>(direction, factor, grad_direction, grad_offset);
  for (int k = 0; k < 3; ++k) grad_mean[k] = grad_mean[k] + grad_offset[k];
}

}  // namespace

void project_image_backward(const ImageState& image, const GaussianInputs& in, const Scalar* partials,
                            const GaussianGradients& out) {
  const Camera camera = image.camera;
  const int count = image.count;
  const uint32_t* tiles = image.tiles_per_gaussian.data<uint32_t>();
  parallel_ranges(count, kGaussiansPerTask, [&, camera, count](int begin, int end) {
    for (int first = begin; first < end; first += kWidth) {
      Scalar rows[kWidth * kPartials], touched[kWidth];
      for (int lane = 0; lane < kWidth; ++lane) {
        const int gaussian = first + lane < end ? first + lane : end - 1;
        if (gaussian + kPrefetchAhead < end) prefetch_partials(image, partials, gaussian + kPrefetchAhead);
        sum_partials(image, partials, gaussian, rows + lane * kPartials);
        touched[lane] = tiles[gaussian] ? 1.0f : 0.0f;
      }
      Vec sums[kPartials];
      load_rows<kPartials>(rows, 0, kWidth, sums);
      Gaussian3<Vec> g = load_gaussians(in, first, end);
      Projection<Vec> p;
      const Mask visible = project_gaussian(camera, g, p) & (load(touched) > Vec(0.0f));
      GaussianGrad<Vec> grad;
      project_backward(camera, g, p, projected_gradient(p, g.opacity * p.compensation, sums), grad);
      if (in.sh_terms)
        colors_backward(image, in, first, end, bits(visible), sums + 6, g.mean, out.colors, grad.mean);
      else
        store_visible<3>(out.colors, first, end, visible, sums + 6);
      store_visible<3>(out.means, first, end, visible, grad.mean);
      store_visible<4>(out.quats, first, end, visible, grad.quat);
      store_visible<3>(out.scales, first, end, visible, grad.scale);
      store_visible<1>(out.opacities, first, end, visible, &grad.opacity);
    }
  });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
