#include "ops.h"

#include <cmath>
#include <cstring>

#include "threads.h"

namespace headsplat {
namespace {

constexpr int kSsimRows = 16;       // rows one task works on
constexpr size_t kAdamRun = 16384;  // parameters one task works on

BindInputs image_of(const BindShape& shape, const BindInputs& all, int b) {
  const size_t first = static_cast<size_t>(b) * shape.count;
  return {all.vertices + static_cast<size_t>(b) * shape.vertices * 3,
          all.triangles,
          all.bary,
          all.offsets + 3 * first,
          all.quats + 4 * first,
          all.skin};
}

// Sums the chunks' parts in their order and takes the rotation matrices' gradients to the quaternions.
void finish_bones(const Bones& bones, const float* parts, int chunks, float* rotations, float* translations) {
  double total[kBoneGrad] = {};
  for (int chunk = 0; chunk < chunks; ++chunk)
    for (int k = 0; k < kBoneGrad; ++k) total[k] += parts[chunk * kBoneGrad + k];
  for (int bone = 0; bone < 2; ++bone) {
    const double* sums = total + bone * (kBoneGrad / 2);
    double quat[4], grad[4];
    for (int k = 0; k < 4; ++k) quat[k] = bones.quat[bone][k];
    shared::quat_to_matrix_backward(quat, sums, grad);
    for (int k = 0; k < 4; ++k) rotations[4 * bone + k] = static_cast<float>(grad[k] + sums[12 + k]);
    for (int k = 0; k < 3; ++k) translations[3 * bone + k] = static_cast<float>(sums[9 + k]);
  }
}

// Corner gradients onto the vertices they belong to, in the Gaussians' order.
void scatter_corners(const BindShape& shape, const int64_t* triangles, const float* corners, float* vertices) {
  std::memset(vertices, 0, sizeof(float) * 3 * shape.vertices);
  for (size_t k = 0; k < 3 * static_cast<size_t>(shape.count); ++k) {
    float* vertex = vertices + 3 * triangles[k];
    for (int axis = 0; axis < 3; ++axis) vertex[axis] += corners[3 * k + axis];
  }
}

// Memory of the calling thread, kept from call to call.
Buffer& thread_memory(int index) {
  thread_local Buffer buffers[4];
  return buffers[index];
}

float* row_buffer(int width) {
  const size_t padded = static_cast<size_t>(width) * 3 + 2 * kSsimMargin;
  float* buffer = thread_memory(0).get<float>(kSsimPlanes * padded);
  for (int plane = 0; plane < kSsimPlanes; ++plane) {
    std::memset(buffer + plane * padded, 0, sizeof(float) * kSsimMargin);
    std::memset(buffer + (plane + 1) * padded - kSsimMargin, 0, sizeof(float) * kSsimMargin);
  }
  return buffer;
}

}  // namespace

void bind(const BindShape& shape, const BindInputs& inputs, const float* rotations, const float* translations,
          float* means, float* quats) {
  for (int b = 0; b < shape.batch; ++b) {
    const size_t first = static_cast<size_t>(b) * shape.count;
    const Bones bones = shared::bones_of(rotations + 8 * b, translations + 6 * b);
    kernels().bind_image(bones, image_of(shape, inputs, b), shape.count, means + 3 * first, quats + 4 * first);
  }
}

void bind_backward(const BindShape& shape, const BindInputs& inputs, const float* rotations, const float* translations,
                   const float* grad_means, const float* grad_quats, const BindOutputs& out) {
  const int chunks = (shape.count + kBindChunk - 1) / kBindChunk;
  float* parts = thread_memory(1).get<float>(static_cast<size_t>(chunks) * kBoneGrad);
  float* corners = out.vertices ? thread_memory(2).get<float>(static_cast<size_t>(shape.count) * 9) : nullptr;
  for (int b = 0; b < shape.batch; ++b) {
    const size_t first = static_cast<size_t>(b) * shape.count;
    const Bones bones = shared::bones_of(rotations + 8 * b, translations + 6 * b);
    kernels().bind_image_backward(
        bones, image_of(shape, inputs, b), shape.count,
        {grad_means ? grad_means + 3 * first : nullptr, grad_quats ? grad_quats + 4 * first : nullptr,
         out.offsets + 3 * first, out.quats + 4 * first, corners, parts});
    finish_bones(bones, parts, chunks, out.rotations + 8 * b, out.translations + 6 * b);
    if (corners)
      scatter_corners(shape, inputs.triangles, corners, out.vertices + static_cast<size_t>(b) * shape.vertices * 3);
  }
}

void ssim(int batch, int height, int width, const float* a, const float* b, float* mean, float* grad) {
  const size_t length = static_cast<size_t>(width) * 3, values = length * height;
  float* memory = thread_memory(1).get<float>(length + height);
  std::memset(memory, 0, sizeof(float) * length);
  float* partials = grad ? thread_memory(2).get<float>(3 * values) : nullptr;
  for (int k = 0; k < batch; ++k) {
    const SsimImage image{a + k * values,
                          b + k * values,
                          memory,
                          height,
                          width,
                          memory + length,
                          partials,
                          grad ? grad + k * values : nullptr,
                          1.0f / static_cast<float>(values)};
    parallel_ranges(height, kSsimRows,
                    [&](int begin, int end) { kernels().ssim_rows(image, begin, end, row_buffer(width)); });
    double total = 0.0;
    for (int y = 0; y < height; ++y) total += image.row_sums[y];
    mean[k] = static_cast<float>(total / static_cast<double>(values));
    if (!grad) continue;
    parallel_ranges(height, kSsimRows,
                    [&](int begin, int end) { kernels().ssim_rows_backward(image, begin, end, row_buffer(width)); });
  }
}

void adam_step(const AdamStep& step) {
  const int tasks = static_cast<int>((step.size + kAdamRun - 1) / kAdamRun);
  parallel(tasks, [&](int task) {
    const size_t begin = task * kAdamRun, end = begin + kAdamRun;
    kernels().adam(step, begin, end < step.size ? end : step.size);
  });
}

}  // namespace headsplat
