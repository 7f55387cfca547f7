// Prints what one instruction-set level computes, as bits: each function of simd.h, then an image of Gaussians with its
// gradients. Compiled with the kernels of that level alone, so that it runs without Python, on an emulated processor
// too.
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "cpu/simd.h"
#include "cpu/splat_batch.h"

namespace headsplat {

const Kernels& kernels() {
  using namespace HEADSPLAT_LEVEL;
  static Kernels table{};
  table.project = project_image;
  table.project_backward = project_image_backward;
  table.assign_tiles = assign_tiles;
  table.rasterize = rasterize;
  table.rasterize_backward = rasterize_backward;
  return table;
}

}  // namespace headsplat

namespace {

using namespace headsplat;
using namespace headsplat::HEADSPLAT_LEVEL;

void print(const char* name, const std::vector<float>& values) {
  std::printf("%s", name);
  for (const float value : values) {
    uint32_t word;
    std::memcpy(&word, &value, sizeof word);
    std::printf(" %08x", value != value ? 0x7fc00000u : word);
  }
  std::printf("\n");
}

std::vector<float> lanes(Vec a) {
  std::vector<float> values(kWidth);
  store(values.data(), a);
  return values;
}

void append(std::vector<float>& values, const std::vector<float>& more) {
  values.insert(values.end(), more.begin(), more.end());
}

// All pairs of special values and random ones, four at a time; the third argument is another of them.
void print_functions() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> numbers{0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 2.5f, 1e-40f, 3e38f, kInfinity, -kInfinity, kNan};
  std::mt19937 random(1);
  while (numbers.size() < 40) numbers.push_back((static_cast<float>(random()) / 4294967296.0f - 0.5f) * 8.0f);
  std::vector<float> results[17];
  for (size_t i = 0; i + 4 <= numbers.size(); ++i) {
    for (size_t j = 0; j + 4 <= numbers.size(); ++j) {
      const Vec a = load(&numbers[i]), b = load(&numbers[j]), c = load(&numbers[(i + j) % 36]);
      const Mask masks[] = {a > b, a >= b, a <= b, a == b, (a > b) & (a <= c)};
      const Vec values[] = {a + b,         a - b,         a * b,        a / b,  fma(a, b, c),
                            fnma(a, b, c), smaller(a, b), larger(a, b), root(a)};
      for (int k = 0; k < 9; ++k) append(results[k], lanes(values[k]));
      for (const Mask mask : masks) {
        append(results[9], lanes(select(mask, a, b)));
        append(results[10], lanes(keep(mask, a)));
        results[11].push_back(static_cast<float>(bits(mask)));
      }
      results[12].push_back(sum(a));
      Vec eight[8] = {a, b, c, a, b, c, a, b};
      float sums[8];
      store_sums(sums, eight);
      append(results[13], {sums, sums + 8});
    }
    for (float step = 0; step < 100; step += 7.3f) {
      append(results[14], lanes(exp2(smaller(larger(load(&numbers[i]) * Vec(step), Vec(-126.0f)), Vec(126.0f)))));
    }
  }
  const char* names[] = {"add",  "sub",    "mul",  "div",  "fma", "fnma",       "smaller", "larger",
                         "root", "select", "keep", "bits", "sum", "store_sums", "exp2"};
  for (int k = 0; k < 15; ++k) print(names[k], results[k]);

  std::vector<float> halves, bf16, rounded;
  for (uint32_t word = 0; word < 65536; word += 4) {
    uint16_t words[4], stored[4];
    for (uint32_t k = 0; k < 4; ++k) words[k] = static_cast<uint16_t>(word + k);
    append(halves, lanes(load_halves(words)));
    append(bf16, lanes(load_bf16(words)));
    store_bf16(stored, load(&numbers[word % 36]));
    for (const uint16_t value : stored) rounded.push_back(value);
  }
  print("load_halves", halves);
  print("load_bf16", bf16);
  print("store_bf16", rounded);
}

void print_image() {
  const int count = 400, size = 100;
  std::mt19937 random(2);
  const auto uniform = [&](float low, float high) {
    return low + (high - low) * (static_cast<float>(random()) / 4294967296.0f);
  };
  std::vector<float> means, quats, scales, opacities, colors;
  for (int i = 0; i < count; ++i) {
    for (int k = 0; k < 3; ++k) means.push_back(uniform(-0.1f, 0.1f));
    for (int k = 0; k < 4; ++k) quats.push_back(uniform(-1, 1));
    for (int k = 0; k < 3; ++k) scales.push_back(uniform(0.002f, 0.02f));
    for (int k = 0; k < 3; ++k) colors.push_back(uniform(0, 1));
    opacities.push_back(uniform(0.05f, 0.99f));
  }
  Camera camera{{1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, 0.5f}, 150, 150, 35, 35, 0.01f, 0.3f, size, size, false, true};
  const GaussianInputs inputs{means.data(), quats.data(), scales.data(), opacities.data(), colors.data(), 0};
  SplatBatch batch;
  batch.prepare({1, count, size, size}, &camera, inputs);
  std::vector<float> rgb(3 * size * size), alpha(size * size), depth(size * size);
  batch.rasterize(nullptr, {rgb.data(), alpha.data(), depth.data(), nullptr});
  std::vector<float> grad_rgb, grad_alpha;
  for (size_t k = 0; k < rgb.size(); ++k) grad_rgb.push_back(uniform(-1, 1));
  for (size_t k = 0; k < alpha.size(); ++k) grad_alpha.push_back(uniform(-1, 1));
  std::vector<float> gradients[] = {std::vector<float>(means.size()), std::vector<float>(quats.size()),
                                    std::vector<float>(scales.size()), std::vector<float>(opacities.size()),
                                    std::vector<float>(colors.size())};
  batch.backward(
      inputs, nullptr, {rgb.data(), alpha.data(), depth.data(), grad_rgb.data(), grad_alpha.data(), nullptr},
      {gradients[0].data(), gradients[1].data(), gradients[2].data(), gradients[3].data(), gradients[4].data()},
      nullptr);
  print("image_rgb", rgb);
  print("image_alpha", alpha);
  print("image_depth", depth);
  const char* names[] = {"grad_means", "grad_quats", "grad_scales", "grad_opacities", "grad_colors"};
  for (int k = 0; k < 5; ++k) print(names[k], gradients[k]);
}

}  // namespace

int main() {
  std::printf("width %d\n", kWidth);
  print_functions();
  print_image();
}
