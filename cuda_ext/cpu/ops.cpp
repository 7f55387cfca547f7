#include "ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../indices.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kRowsPerTask = 16;         // rows
constexpr int kRotationsPerTask = 1024;  // Gaussians
constexpr size_t kAdamPerTask = 16384;   // parameters
constexpr size_t kOuterPerTask = 2048;   // parameters of each basis
constexpr size_t kBlendPerTask = 4096;   // values of every basis, which fit in the L1 cache
constexpr int kDeformPerTask = 1024;     // Gaussians
constexpr int kExtentPerTask = 2048;     // Gaussians: fewer are done before another thread wakes up
constexpr int kScalesPerTask = 4096;     // Gaussians
constexpr size_t kMaxWidth = 16;         // lanes of the widest vector

BindInputs image_of(const BindShape& shape, const BindInputs& all, int b) {
  const size_t first = static_cast<size_t>(b) * shape.count;
  return {all.vertices + static_cast<size_t>(b) * shape.vertices * 3,
          all.triangles,
          all.bary,
          all.offsets + 3 * first,
          all.quats + 4 * first,
          all.skin,
          shape.vertices,
          all.out_of_range,
          all.scales ? all.scales + 3 * first : nullptr,
          all.tensors ? all.tensors + static_cast<size_t>(b) * all.row_count * kTensorSize : nullptr,
          all.rows,
          all.row_count};
}

Scalar* advanced(Scalar* values, size_t by) { return values ? values + by : nullptr; }
const Scalar* advanced(const Scalar* values, size_t by) { return values ? values + by : nullptr; }

// Sums the chunks' gradients in a fixed order and converts rotation matrix gradients to quaternion gradients.
void reduce_bone_gradients(const Bones& bones, const Scalar* partials, int chunks, Scalar* rotations,
                           Scalar* translations) {
  double total[kBoneGradSize] = {};
  for (int chunk = 0; chunk < chunks; ++chunk)
    for (int k = 0; k < kBoneGradSize; ++k) total[k] += partials[chunk * kBoneGradSize + k];
  for (int bone = 0; bone < 2; ++bone) {
    const double* sums = total + bone * (kBoneGradSize / 2);
    double quat[4], grad[4];
    for (int k = 0; k < 4; ++k) quat[k] = bones.quat[bone][k];
    shared::quat_to_matrix_backward(quat, sums, grad);
    for (int k = 0; k < 4; ++k) rotations[4 * bone + k] = static_cast<Scalar>(grad[k] + sums[12 + k]);
    for (int k = 0; k < 3; ++k) translations[3 * bone + k] = static_cast<Scalar>(sums[9 + k]);
  }
}

// Adds corner gradients to the vertices, in the order of the Gaussians; leaves out triangles with an index out of
// range.
void scatter_corners(const BindShape& shape, const int64_t* triangles, const Scalar* corners, Scalar* vertices) {
  std::memset(vertices, 0, sizeof(Scalar) * 3 * shape.vertices);
  for (size_t n = 0; n < static_cast<size_t>(shape.count); ++n) {
    int64_t triangle[3];
    if (!shared::read_triangle(triangles + 3 * n, shape.vertices, triangle)) continue;
    for (int k = 0; k < 3; ++k)
      for (int axis = 0; axis < 3; ++axis) vertices[3 * triangle[k] + axis] += corners[9 * n + 3 * k + axis];
  }
}

// Adds the gradients [N,kTensorSize] of the tensors at the Gaussians to the rows of their corners, in the order of the
// Gaussians.
void scatter_tensors(const BindShape& shape, const BindInputs& in, const Scalar* tensors, Scalar* rows) {
  std::memset(rows, 0, sizeof(Scalar) * kTensorSize * in.row_count);
  for (size_t n = 0; n < static_cast<size_t>(shape.count); ++n) {
    int64_t triangle[3];
    if (!shared::read_triangle(in.triangles + 3 * n, shape.vertices, triangle)) continue;
    for (int corner = 0; corner < 3; ++corner) {
      const int64_t row = shared::row_of(in.rows, triangle[corner], in.row_count);
      if (row < 0) continue;
      for (int k = 0; k < kTensorSize; ++k)
        rows[kTensorSize * row + k] += in.bary[3 * n + corner] * tensors[kTensorSize * n + k];
    }
  }
}

// Temporary memory of the calling thread, kept between calls.
Buffer& thread_buffer(int index) {
  thread_local Buffer buffers[6];
  return buffers[index];
}

// Zeroed flags, one per chunk of Gaussians.
bool* new_flags(int chunks) {
  bool* flags = thread_buffer(3).get<bool>(chunks);
  std::fill(flags, flags + chunks, false);
  return flags;
}

bool none_set(const bool* flags, int count) { return std::find(flags, flags + count, true) == flags + count; }

Scalar* row_buffer(int width) {
  const size_t padded = static_cast<size_t>(width) * 3 + 2 * kSsimMargin;
  Scalar* buffer = thread_buffer(0).get<Scalar>(kSsimPlanes * padded);
  for (int plane = 0; plane < kSsimPlanes; ++plane) {
    std::memset(buffer + plane * padded, 0, sizeof(Scalar) * kSsimMargin);
    std::memset(buffer + (plane + 1) * padded - kSsimMargin, 0, sizeof(Scalar) * kSsimMargin);
  }
  return buffer;
}

// Sums the tasks' partial sums [tasks][count] in a fixed order.
void sum_partials(const Scalar* partials, int tasks, size_t count, Scalar* out) {
  for (size_t k = 0; k < count; ++k) {
    double total = 0.0;
    for (int task = 0; task < tasks; ++task) total += partials[count * task + k];
    out[k] = static_cast<Scalar>(total);
  }
}

}  // namespace

bool bind(const BindShape& shape, BindInputs inputs, const Scalar* rotations, const Scalar* translations,
          const BindResults& out) {
  const int chunks = (shape.count + kBindChunk - 1) / kBindChunk;
  inputs.out_of_range = new_flags(chunks);
  for (int b = 0; b < shape.batch; ++b) {
    const size_t first = static_cast<size_t>(b) * shape.count;
    const Bones bones = shared::bones_of(rotations + 8 * b, translations + 6 * b);
    kernels().bind_image(bones, image_of(shape, inputs, b), shape.count,
                         {out.means + 3 * first, out.quats + 4 * first, advanced(out.scales, 3 * first)});
  }
  return none_set(inputs.out_of_range, chunks);
}

bool bind_backward(const BindShape& shape, BindInputs inputs, const Scalar* rotations, const Scalar* translations,
                   const BindOutputGradients& grads, const BindOutputs& out) {
  const int chunks = (shape.count + kBindChunk - 1) / kBindChunk;
  const size_t count = shape.count;
  inputs.out_of_range = new_flags(chunks);
  Scalar* partials = thread_buffer(1).get<Scalar>(static_cast<size_t>(chunks) * kBoneGradSize);
  Scalar* corners = out.vertices ? thread_buffer(2).get<Scalar>(count * 9) : nullptr;
  Scalar* tensors = out.tensors ? thread_buffer(4).get<Scalar>(count * kTensorSize) : nullptr;
  for (int b = 0; b < shape.batch; ++b) {
    const size_t first = static_cast<size_t>(b) * shape.count;
    const Bones bones = shared::bones_of(rotations + 8 * b, translations + 6 * b);
    const BindInputs image = image_of(shape, inputs, b);
    kernels().bind_image_backward(
        bones, image, shape.count,
        {advanced(grads.means, 3 * first), advanced(grads.quats, 4 * first), advanced(grads.scales, 3 * first),
         out.offsets + 3 * first, out.quats + 4 * first, corners, advanced(out.scales, 3 * first), tensors, partials});
    reduce_bone_gradients(bones, partials, chunks, out.rotations + 8 * b, out.translations + 6 * b);
    if (corners)
      scatter_corners(shape, inputs.triangles, corners, out.vertices + static_cast<size_t>(b) * shape.vertices * 3);
    if (tensors)
      scatter_tensors(shape, image, tensors, out.tensors + static_cast<size_t>(b) * inputs.row_count * kTensorSize);
  }
  return none_set(inputs.out_of_range, chunks);
}

bool vertex_stretch(StretchMesh mesh, int batch, const Scalar* vertices, Scalar* tensors) {
  const int chunks = (mesh.face_count + kStretchChunk - 1) / kStretchChunk;
  mesh.out_of_range = new_flags(chunks);
  Scalar* faces = thread_buffer(4).get<Scalar>(static_cast<size_t>(mesh.face_count) * kTensorSize);
  for (int b = 0; b < batch; ++b) {
    const Scalar* image = vertices + static_cast<size_t>(b) * mesh.vertex_count * 3;
    Scalar* rows = tensors + static_cast<size_t>(b) * mesh.row_count * kTensorSize;
    parallel_ranges(mesh.face_count, kStretchChunk,
                    [&](int begin, int end) { kernels().stretch_faces(mesh, image, begin, end, faces); });
    parallel_ranges(mesh.row_count, kStretchChunk,
                    [&](int begin, int end) { kernels().stretch_means(mesh, faces, begin, end, rows); });
  }
  return none_set(mesh.out_of_range, chunks);
}

bool vertex_stretch_backward(StretchMesh mesh, int batch, const Scalar* vertices, const Scalar* grad_tensors,
                             Scalar* grad_vertices) {
  const int chunks = (mesh.face_count + kStretchChunk - 1) / kStretchChunk;
  mesh.out_of_range = new_flags(chunks);
  Scalar* corners = thread_buffer(2).get<Scalar>(static_cast<size_t>(mesh.face_count) * 9);
  for (int b = 0; b < batch; ++b) {
    const size_t image = static_cast<size_t>(b) * mesh.vertex_count * 3;
    const Scalar* grad = grad_tensors + static_cast<size_t>(b) * mesh.row_count * kTensorSize;
    parallel_ranges(mesh.face_count, kStretchChunk, [&](int begin, int end) {
      kernels().stretch_faces_backward(mesh, vertices + image, grad, begin, end, corners);
    });
    parallel_ranges(mesh.vertex_count, kStretchChunk, [&](int begin, int end) {
      kernels().stretch_vertices_backward(mesh, corners, begin, end, grad_vertices + image);
    });
  }
  return none_set(mesh.out_of_range, chunks);
}

void rotate_sh(const ShRotation& rotation, int count) {
  parallel_ranges(count, kRotationsPerTask, [&](int begin, int end) { kernels().rotate_sh(rotation, begin, end); });
}

void rotate_sh_backward(const ShRotation& rotation, int count) {
  parallel_ranges(count, kRotationsPerTask,
                  [&](int begin, int end) { kernels().rotate_sh_backward(rotation, begin, end); });
}

void ssim(int batch, int height, int width, WindowRows rows, const Scalar* a, const Scalar* b, Scalar* mean,
          Scalar* grad) {
  const size_t length = static_cast<size_t>(width) * 3, values = length * height;
  Scalar* memory = thread_buffer(1).get<Scalar>(length + height);
  RowSpan* spans = thread_buffer(5).get<RowSpan>(2 * static_cast<size_t>(height));
  std::memset(memory, 0, sizeof(Scalar) * length);
  Scalar* partials = grad ? thread_buffer(2).get<Scalar>(3 * values) : nullptr;
  for (int k = 0; k < batch; ++k) {
    const SsimImage image{a + k * values,
                          b + k * values,
                          memory,
                          height,
                          width,
                          rows,
                          spans,
                          spans + height,
                          memory + length,
                          partials,
                          grad ? grad + k * values : nullptr,
                          static_cast<Scalar>(rows.stride) / static_cast<Scalar>(values)};
    parallel_ranges(height, kRowsPerTask,
                    [&](int begin, int end) { kernels().ssim_find_differences(image, begin, end); });
    parallel_ranges(height, kRowsPerTask,
                    [&](int begin, int end) { kernels().ssim_rows(image, begin, end, row_buffer(width)); });
    double total = 0.0;
    for (int y = 0; y < height; ++y) total += image.row_sums[y];
    // 1 less the stride times the sum of 1 - SSIM: without noise where the images are equal.
    const int counted = (height - rows.first + rows.stride - 1) / rows.stride * rows.stride;
    total = rows.stride * total + (height - counted) * static_cast<double>(length);
    mean[k] = static_cast<Scalar>(total / static_cast<double>(values));
    if (!grad) continue;
    parallel_ranges(height, kRowsPerTask,
                    [&](int begin, int end) { kernels().ssim_rows_backward(image, begin, end, row_buffer(width)); });
  }
}

namespace {

LossImage image_of(const PhotometricInputs& all, int b, Scalar* memory, Scalar* grad_rgb, Scalar* grad_alpha) {
  const size_t pixels = static_cast<size_t>(all.height) * all.width, first = b * pixels;
  return {all.rgb + 3 * first,
          all.alpha + first,
          all.truth + 3 * first,
          all.matte + first,
          all.background + 3 * b,
          all.height,
          all.width,
          all.ssim_weight,
          all.mask_weight,
          memory,
          memory + 3 * pixels,
          memory + 6 * pixels,
          grad_rgb ? grad_rgb + 3 * first : nullptr,
          grad_alpha ? grad_alpha + first : nullptr};
}

}  // namespace

void photometric(const PhotometricInputs& inputs, Scalar* loss, Scalar* mse, Scalar* grad_rgb, Scalar* grad_alpha) {
  const double pixels = static_cast<double>(inputs.height) * inputs.width;
  Scalar* memory =
      thread_buffer(3).get<Scalar>(6 * static_cast<size_t>(pixels) + 3 * static_cast<size_t>(inputs.height));
  const size_t buffer_size = kLossRows * (3 * static_cast<size_t>(inputs.width) + 16);
  for (int b = 0; b < inputs.batch; ++b) {
    const LossImage image = image_of(inputs, b, memory, grad_rgb, grad_alpha);
    parallel_ranges(inputs.height, kRowsPerTask, [&](int begin, int end) {
      kernels().compose_rows(image, begin, end, thread_buffer(4).get<Scalar>(buffer_size));
    });
    double sums[3] = {};
    for (int y = 0; y < inputs.height; ++y)
      for (int k = 0; k < 3; ++k) sums[k] += image.row_sums[3 * static_cast<size_t>(y) + k];
    Scalar similarity = 1.0f;
    if (inputs.ssim_weight != 0.0f)
      ssim(1, inputs.height, inputs.width, inputs.ssim_rows, image.composite, image.target, &similarity,
           image.grad_rgb);
    mse[b] = static_cast<Scalar>(sums[1] / (3.0 * pixels));
    loss[b] = static_cast<Scalar>((1.0 - inputs.ssim_weight) * sums[0] / (3.0 * pixels) +
                                  inputs.mask_weight * sums[2] / pixels +
                                  inputs.ssim_weight * (1.0 - static_cast<double>(similarity)));
    if (!grad_rgb) continue;
    parallel_ranges(inputs.height, kRowsPerTask,
                    [&](int begin, int end) { kernels().loss_rows_backward(image, begin, end); });
  }
}

void to_bytes(int batch, const BytesImage& first) {
  const size_t pixels = static_cast<size_t>(first.height) * first.width;
  const size_t buffer_size = kLossRows * (3 * static_cast<size_t>(first.width) + 16);
  for (int b = 0; b < batch; ++b) {
    BytesImage image = first;
    image.rgb += 3 * b * pixels;
    image.alpha += b * pixels;
    image.out += 3 * b * pixels;
    parallel_ranges(first.height, kRowsPerTask, [&](int begin, int end) {
      kernels().bytes_rows(image, begin, end, thread_buffer(4).get<Scalar>(buffer_size));
    });
  }
}

void rigid_normal(int batch, const RigidNormalImage& first, const Scalar* K, Scalar* matrix, Scalar* gradient,
                  Scalar* cost) {
  const size_t pixels = static_cast<size_t>(first.height) * first.width;
  const int unknowns = 6 * first.groups;
  parallel(batch, [&](int b) {
    RigidNormalImage image = first;
    image.rgb += 3 * b * pixels;
    image.alpha += b * pixels;
    image.target += 3 * b * pixels;
    image.features += 3 * b * pixels;
    image.pivots += 3 * static_cast<size_t>(b) * first.groups;
    const Scalar* intrinsics = K + 9 * b;
    image.fx = intrinsics[0], image.fy = intrinsics[4], image.cx = intrinsics[2], image.cy = intrinsics[5];
    Scalar* buffer = thread_buffer(0).get<Scalar>(rigid_buffer_size(image.height, image.width));
    kernels().rigid_normal_image(image, buffer, matrix + static_cast<size_t>(b) * unknowns * unknowns,
                                 gradient + static_cast<size_t>(b) * unknowns, cost + b);
  });
}

void sampled_normal(int batch, const SampledPoints& first, const Scalar* K, Scalar* matrix, Scalar* gradient) {
  const size_t count = first.count, unknowns = 6 + static_cast<size_t>(first.controls);
  parallel(batch, [&](int b) {
    SampledPoints points = first;
    points.slopes += 6 * b * count;
    points.residual += 3 * b * count;
    points.weight += b * count;
    points.places += 3 * b * count;
    points.pivot += 3 * b;
    points.turn += 9 * b;
    points.fx = K[9 * b], points.fy = K[9 * b + 4];
    kernels().sampled_normal_image(points, thread_buffer(0).get<Scalar>(kMaxWidth * unknowns * (unknowns + 3) / 2),
                                   matrix + b * unknowns * unknowns, gradient + b * unknowns);
  });
}

void blend_extent(const BlendExtent& inputs, const BlendExtentOutputs& out) {
  const size_t size = kMaxWidth * static_cast<size_t>(inputs.bases) * inputs.channels;
  parallel_ranges(inputs.row_count, kExtentPerTask, [&](int begin, int end) {
    kernels().blend_extent(inputs, begin, end, thread_buffer(0).get<Scalar>(size), out);
  });
}

void limit_scales(const ScaleLimits& limits, int count) {
  parallel_ranges(count, kScalesPerTask, [&](int begin, int end) { kernels().limit_scales(limits, begin, end); });
}

void round_rings(const RingTexels& texels) {
  kernels().round_rings(texels, thread_buffer(0).get<double>(texels.count),
                        thread_buffer(1).get<double>(5 * static_cast<size_t>(texels.rings)));
}

void adam_steps(const AdamStep* steps, int count) {
  const auto tasks_of = [](const AdamStep& step) {
    return static_cast<int>((step.size + kAdamPerTask - 1) / kAdamPerTask);
  };
  int tasks = 0;
  for (int k = 0; k < count; ++k) tasks += tasks_of(steps[k]);
  parallel(tasks, [=](int task) {
    const AdamStep* step = steps;
    for (; task >= tasks_of(*step); ++step) task -= tasks_of(*step);
    const size_t begin = task * kAdamPerTask, end = begin + kAdamPerTask;
    kernels().adam(*step, begin, end < step->size ? end : step->size);
  });
}

void adam_outer_step(const AdamOuter& step, Scalar* weights) {
  const size_t sums = static_cast<size_t>(step.batch) * step.bases;
  const int tasks = static_cast<int>((step.size + kOuterPerTask - 1) / kOuterPerTask);
  Scalar* partials = weights ? thread_buffer(1).get<Scalar>(sums * tasks) : nullptr;
  parallel(tasks, [&](int task) {
    const size_t begin = task * kOuterPerTask,
                 end = begin + kOuterPerTask < step.size ? begin + kOuterPerTask : step.size;
    Scalar* buffer = thread_buffer(0).get<Scalar>((kOuterPerTask + 16) * (static_cast<size_t>(step.batch) + 2));
    kernels().adam_outer(step, begin, end, buffer, partials ? partials + sums * task : nullptr);
  });
  if (weights) sum_partials(partials, tasks, sums, weights);
}

void blend(const BlendInputs& inputs, Scalar* out) {
  const int tasks = static_cast<int>((inputs.size + kBlendPerTask - 1) / kBlendPerTask);
  parallel(tasks, [&](int task) {
    const size_t begin = task * kBlendPerTask, end = begin + kBlendPerTask;
    kernels().blend_range(inputs, begin, end < inputs.size ? end : inputs.size, out);
  });
}

void blend_backward_weights(const BlendInputs& inputs, const Scalar* grad, Scalar* weights) {
  const size_t sums = static_cast<size_t>(inputs.batch) * inputs.bases;
  const int tasks = static_cast<int>((inputs.size + kBlendPerTask - 1) / kBlendPerTask);
  Scalar* partials = thread_buffer(1).get<Scalar>(sums * tasks);
  parallel(tasks, [&](int task) {
    const size_t begin = task * kBlendPerTask, end = begin + kBlendPerTask;
    kernels().blend_dots(inputs, grad, begin, end < inputs.size ? end : inputs.size, partials + sums * task);
  });
  sum_partials(partials, tasks, sums, weights);
}

void deform(const DeformShape& shape, const DeformInputs& inputs, const DeformOutputs& out) {
  parallel_ranges(shape.count, kDeformPerTask,
                  [&](int begin, int end) { kernels().deform_range(shape, inputs, begin, end, out); });
}

void deform_backward(const DeformShape& shape, const DeformForwardOutputs& values, const DeformOutputGradients& grads,
                     const DeformInputGradients& out) {
  parallel_ranges(shape.count, kDeformPerTask,
                  [&](int begin, int end) { kernels().deform_range_backward(shape, values, grads, begin, end, out); });
}

}  // namespace headsplat
