// World Gaussians -> image-plane splats, kWidth Gaussians at a time, and the way back.
#include "../sh.h"
#include "kernels.h"
#include "rows.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kGrain = 512;
constexpr int kAhead = 16;  // Gaussians whose moments are fetched early

Gaussian3<Vec> load_gaussians(const GaussianInputs& in, int first, int count) {
  Gaussian3<Vec> g;
  load_rows<3>(in.means, first, count, g.mean);
  load_rows<4>(in.quats, first, count, g.quat);
  load_rows<3>(in.scales, first, count, g.scale);
  load_rows<1>(in.opacities, first, count, &g.opacity);
  return g;
}

// The numbers of kWidth splats in the order of struct Splat, and which of them are drawn. With spherical harmonics the
// colours are left to add_color.
struct SplatLanes {
  Scalar field[16][kWidth];
  Scalar basis[kShTermsMax][kWidth];
  uint32_t drawable;
};

Mask load_colors(const GaussianInputs& in, int first, int count, SplatLanes& out) {
  Vec color[3];
  const Vec zero(0.0f);
  load_rows<3>(in.colors, first, count, color);
  for (int k = 0; k < 3; ++k) store(out.field[6 + k], color[k]);
  return (color[0] + color[1] + color[2]) * zero == zero;
}

void store_basis(const View& view, int terms, const Vec mean[3], Scalar (*out)[kWidth]) {
  Scalar centre[3];
  Vec direction[3];
  camera_centre(view, centre);
  sight_line(centre, mean, direction);
  with_sh_terms(terms, [&](auto known) {
    Vec basis[known.value];
    sh_basis<known.value>(direction, basis);
    for (int k = 0; k < known.value; ++k) store(out[k], basis[k]);
  });
}

// Colour of the Gaussian in one lane from its coefficients; false when it is not finite. Four at a time, the fourth
// being the next term's first: the compiler makes that one vector.
template <int terms>
bool add_color(const SplatLanes& lanes, int lane, const Scalar* sh, Splat& splat) {
  Scalar color[4] = {0.5f, 0.5f, 0.5f, 0.0f};
  for (int d = 0; d < terms - 1; ++d)
    for (int k = 0; k < 4; ++k) color[k] += lanes.basis[d][lane] * sh[3 * d + k];
  for (int k = 0; k < 3; ++k) color[k] += lanes.basis[terms - 1][lane] * sh[3 * terms - 3 + k];
  splat.red = larger(color[0], Scalar(0));
  splat.green = larger(color[1], Scalar(0));
  splat.blue = larger(color[2], Scalar(0));
  return (color[0] + color[1] + color[2]) * 0.0f == 0.0f;
}

void fill_lanes(const View& view, const GaussianInputs& in, int first, int count, SplatLanes& out) {
  Gaussian3<Vec> g = load_gaussians(in, first, count);
  Projection<Vec> p;
  Mask drawable = project_gaussian(view, g, p);
  const Vec zero(0.0f), inverse = Vec(1.0f) / p.det;
  if (in.sh_terms) {
    store_basis(view, in.sh_terms, g.mean, out.basis);
  } else {
    drawable = drawable & load_colors(in, first, count, out);
  }
  const Vec opacity = g.opacity * p.compensation;
  store(out.field[0], p.x);
  store(out.field[1], p.y);
  store(out.field[2], Vec(0.5f * kLog2E) * p.yy * inverse);
  store(out.field[3], zero - Vec(kLog2E) * p.xy * inverse);
  store(out.field[4], Vec(0.5f * kLog2E) * p.xx * inverse);
  store(out.field[9], p.depth);
  store(out.field[10], p.xy / p.yy);
  Scalar drawn[kWidth], half_width[kWidth], half_height[kWidth], half_row[kWidth], turn[kWidth];
  const Vec width = root(p.xx), height = root(p.yy);
  store(drawn, opacity);
  store(half_width, width);
  store(half_height, height);
  store(half_row, root(p.det / p.yy));
  store(turn, p.xy / width);
  out.drawable = bits(drawable);
  for (int lane = 0; lane < kWidth; ++lane) {
    const Scalar log2_opacity = std::log2(drawn[lane]);
    const Scalar reach = log2_opacity + (view.cutoff ? kLog2Of255 + kReachSlack : kLog2Range);
    if (!(reach > 0.0f)) out.drawable &= ~(1u << lane);
    const Scalar sigmas = std::sqrt(2.0f * kLn2 * (reach > 0.0f ? reach : 0.0f));
    out.field[5][lane] = log2_opacity;
    out.field[11][lane] = sigmas * half_row[lane];
    out.field[12][lane] = sigmas * turn[lane];
    out.field[13][lane] = 1.0f / (sigmas * half_height[lane]);
    out.field[14][lane] = sigmas * half_width[lane];
    out.field[15][lane] = sigmas * half_height[lane];
  }
}

bool on_screen(const View& view, const Splat& s) {
  return s.x + s.extent_x > 0.0f && s.y + s.extent_y > 0.0f && s.x - s.extent_x < static_cast<Scalar>(view.width) &&
         s.y - s.extent_y < static_cast<Scalar>(view.height);
}

}  // namespace

void project_frame(Frame& frame, const GaussianInputs& in) {
  Splat* splats = frame.splats.data<Splat>();
  uint32_t* keys = frame.keys.data<uint32_t>();
  const View view = frame.view;
  const int count = frame.count;
  parallel_ranges(count, kGrain, [=](int begin, int end) {
    for (int first = begin; first < end; first += kWidth) {
      SplatLanes lanes;
      fill_lanes(view, in, first, count, lanes);
      const int used = end - first < kWidth ? end - first : kWidth;
      for (int lane = 0; lane < used; ++lane) {
        Scalar row[16];
        for (int k = 0; k < 16; ++k) row[k] = lanes.field[k][lane];
        Splat* splat = splats + first + lane;
        std::memcpy(static_cast<void*>(splat), row, sizeof row);
        const float depth = static_cast<float>(splat->depth);  // whose bits sort like the number
        uint32_t key;
        std::memcpy(&key, &depth, sizeof key);
        bool drawn = (lanes.drawable >> lane & 1u) && on_screen(view, *splat);
        if (drawn && in.sh_terms) {
          const Scalar* sh = in.colors + in.color_size() * (first + lane);
          with_sh_terms(in.sh_terms, [&](auto known) { drawn = add_color<known.value>(lanes, lane, sh, *splat); });
        }
        keys[first + lane] = drawn ? key : kHidden;
      }
    }
  });
}

namespace {

// Sum of a Gaussian's moments over the tiles it touches, always in the same order.
void add_moments(const Frame& frame, const Scalar* moments, int gaussian, Scalar* total) {
  for (int k = 0; k < kMomentsUsed; ++k) total[k] = 0.0f;
  const uint32_t* slot = frame.slots.data<uint32_t>() + frame.slot_start.data<uint32_t>()[gaussian];
  const uint32_t tiles = frame.slot_count.data<uint32_t>()[gaussian];
  for (uint32_t t = 0; t < tiles; ++t) {
    const Scalar* one = moments + static_cast<size_t>(slot[t]) * kMoments;
    for (int k = 0; k < kMomentsUsed; ++k) total[k] += one[k];
  }
}

// Starts fetching the moments of a Gaussian that comes a little later.
void fetch_moments(const Frame& frame, const Scalar* moments, int gaussian) {
  const uint32_t* slot = frame.slots.data<uint32_t>() + frame.slot_start.data<uint32_t>()[gaussian];
  const uint32_t tiles = frame.slot_count.data<uint32_t>()[gaussian];
  for (uint32_t t = 0; t < tiles; ++t) prefetch(moments + static_cast<size_t>(slot[t]) * kMoments);
}

// Moments: 0 d(alpha) alpha, 1 2 times dx, dy, 3 4 5 times dx^2, dx dy, dy^2; 6 7 8 colour; 9 depth.
SplatGrad<Vec> splat_gradient(const Projection<Vec>& p, Vec opacity, const Vec* moment) {
  const Vec inverse = Vec(1.0f) / p.det, zero(0.0f);
  const Vec a = p.yy * inverse, b = zero - p.xy * inverse, c = p.xx * inverse;
  SplatGrad<Vec> d;
  d.x = a * moment[1] + b * moment[2];
  d.y = b * moment[1] + c * moment[2];
  d.conic_xx = Vec(-0.5f) * moment[3];
  d.conic_xy = zero - moment[4];
  d.conic_yy = Vec(-0.5f) * moment[5];
  d.opacity = select(opacity > zero, moment[0] / opacity, zero);
  d.depth = moment[9];
  return d;
}

template <int stride>
void store_kept(Scalar* target, int first, int count, Mask visible, Vec* values) {
  for (int k = 0; k < stride; ++k) values[k] = keep(visible, values[k]);
  store_rows<stride>(target, first, count, values);
}

// From the gradient of the colours to that of the coefficients and, along the line of sight, of the means.
void colors_backward(const Frame& frame, const GaussianInputs& in, int first, int end, uint32_t visible,
                     const Vec* color, const Vec mean[3], Scalar* grad_sh, Vec grad_mean[3]) {
  Scalar centre[3], basis[kShTermsMax][kWidth], pull[kShTermsMax][kWidth] = {}, given[3][kWidth];
  for (int k = 0; k < 3; ++k) store(given[k], color[k]);
  store_basis(frame.view, in.sh_terms, mean, basis);
  const int lanes = end - first < kWidth ? end - first : kWidth;
  for (int lane = 0; lane < lanes; ++lane) {
    const size_t at = in.color_size() * (first + lane);
    if (!(visible >> lane & 1u)) {
      std::memset(grad_sh + at, 0, sizeof(Scalar) * in.color_size());
      continue;
    }
    const Splat& splat = frame.splats.data<Splat>()[first + lane];
    const Scalar red = splat.red > 0.0f ? given[0][lane] : 0.0f, green = splat.green > 0.0f ? given[1][lane] : 0.0f;
    const Scalar blue = splat.blue > 0.0f ? given[2][lane] : 0.0f;
    for (int d = 0; d < in.sh_terms; ++d) {
      const Scalar* sh = in.colors + at + 3 * d;
      pull[d][lane] = red * sh[0] + green * sh[1] + blue * sh[2];
      grad_sh[at + 3 * d] = basis[d][lane] * red;
      grad_sh[at + 3 * d + 1] = basis[d][lane] * green;
      grad_sh[at + 3 * d + 2] = basis[d][lane] * blue;
    }
  }
  if (in.sh_terms == 1) return;
  Vec direction[3], along[3], away[3];
  camera_centre(frame.view, centre);
  const Vec factor = sight_line(centre, mean, direction);
  with_sh_terms(in.sh_terms, [&](auto known) {
    Vec d[known.value];
    for (int k = 0; k < known.value; ++k) d[k] = load(pull[k]);
    sh_basis_backward<known.value>(direction, d, along);
  });
  normalize_backward<3>(direction, factor, along, away);
  for (int k = 0; k < 3; ++k) grad_mean[k] = grad_mean[k] + away[k];
}

}  // namespace

void project_frame_backward(const Frame& frame, const GaussianInputs& in, const Scalar* moments,
                            const GaussianGradients& out) {
  const View view = frame.view;
  const int count = frame.count;
  const uint32_t* tiles = frame.slot_count.data<uint32_t>();
  parallel_ranges(count, kGrain, [&, view, count](int begin, int end) {
    for (int first = begin; first < end; first += kWidth) {
      Scalar rows[kWidth * kMomentsUsed], touched[kWidth];
      for (int lane = 0; lane < kWidth; ++lane) {
        const int gaussian = first + lane < end ? first + lane : end - 1;
        if (gaussian + kAhead < end) fetch_moments(frame, moments, gaussian + kAhead);
        add_moments(frame, moments, gaussian, rows + lane * kMomentsUsed);
        touched[lane] = tiles[gaussian] ? 1.0f : 0.0f;
      }
      Vec moment[kMomentsUsed];
      load_rows<kMomentsUsed>(rows, 0, kWidth, moment);
      Gaussian3<Vec> g = load_gaussians(in, first, end);
      Projection<Vec> p;
      const Mask visible = project_gaussian(view, g, p) & (load(touched) > Vec(0.0f));
      GaussianGrad<Vec> grad;
      project_backward(view, g, p, splat_gradient(p, g.opacity * p.compensation, moment), grad);
      if (in.sh_terms)
        colors_backward(frame, in, first, end, bits(visible), moment + 6, g.mean, out.colors, grad.mean);
      else
        store_kept<3>(out.colors, first, end, visible, moment + 6);
      store_kept<3>(out.means, first, end, visible, grad.mean);
      store_kept<4>(out.quats, first, end, visible, grad.quat);
      store_kept<3>(out.scales, first, end, visible, grad.scale);
      store_kept<1>(out.opacities, first, end, visible, &grad.opacity);
    }
  });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
