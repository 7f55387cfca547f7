// Stretch tensors of a mesh, forward and backward: one thread per face, then one per vertex.
#include "../stretch.h"
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;

constexpr int kThreads = 128;

// Corners of a face; zero where one of its indices is out of range.
__device__ void load_face(const StretchMesh& mesh, const float* vertices, int face, float corner[3][3]) {
  int64_t triangle[3];
  const bool inside = read_triangle(mesh.faces + 3 * static_cast<size_t>(face), mesh.vertex_count, triangle);
  for (int k = 0; k < 3; ++k)
    for (int axis = 0; axis < 3; ++axis) corner[k][axis] = inside ? vertices[3 * triangle[k] + axis] : 0.0f;
}

__global__ void __launch_bounds__(kThreads) faces_kernel(StretchMesh mesh, const float* vertices, float* tensors) {
  const int face = blockIdx.x * kThreads + threadIdx.x;
  if (face >= mesh.face_count) return;
  FaceStretch<float> state;
  float corner[3][3], tensor[kTensorSize];
  load_face(mesh, vertices + static_cast<size_t>(blockIdx.y) * mesh.vertex_count * 3, face, corner);
  face_stretch(corner, mesh.inverse + 3 * static_cast<size_t>(face), state, tensor);
  float* out = tensors + kTensorSize * (static_cast<size_t>(blockIdx.y) * mesh.face_count + face);
  for (int k = 0; k < kTensorSize; ++k) out[k] = tensor[k];
}

__global__ void __launch_bounds__(kThreads) means_kernel(StretchMesh mesh, const float* tensors, float* means) {
  const int row = blockIdx.x * kThreads + threadIdx.x;
  if (row >= mesh.row_count) return;
  const float* faces = tensors + kTensorSize * static_cast<size_t>(blockIdx.y) * mesh.face_count;
  float sum[kTensorSize] = {};
  visit_corners(mesh.starts, mesh.corners, mesh.vertices[row], mesh.vertex_count, mesh.face_count, [&](size_t corner) {
    const float weight = mesh.weights[corner];
    for (int k = 0; k < kTensorSize; ++k) sum[k] += weight * faces[kTensorSize * (corner / 3) + k];
  });
  float* out = means + kTensorSize * (static_cast<size_t>(blockIdx.y) * mesh.row_count + row);
  for (int k = 0; k < kTensorSize; ++k) out[k] = sum[k];
}

__global__ void __launch_bounds__(kThreads)
    faces_backward_kernel(StretchMesh mesh, const float* vertices, const float* grad_means, float* corners) {
  const int face = blockIdx.x * kThreads + threadIdx.x;
  if (face >= mesh.face_count) return;
  const float* grad_rows = grad_means + kTensorSize * static_cast<size_t>(blockIdx.y) * mesh.row_count;
  const float* rest = mesh.inverse + 3 * static_cast<size_t>(face);
  FaceStretch<float> state;
  float corner[3][3], tensor[kTensorSize], grad[kTensorSize];
  face_grad(mesh.faces, mesh.weights, mesh.rows, grad_rows, mesh.vertex_count, mesh.row_count, face, grad);
  load_face(mesh, vertices + static_cast<size_t>(blockIdx.y) * mesh.vertex_count * 3, face, corner);
  face_stretch(corner, rest, state, tensor);
  face_stretch_backward(state, rest, grad, corner);
  float* out = corners + 9 * (static_cast<size_t>(blockIdx.y) * mesh.face_count + face);
  for (int k = 0; k < 9; ++k) out[k] = corner[k / 3][k % 3];
}

__global__ void __launch_bounds__(kThreads)
    vertices_backward_kernel(StretchMesh mesh, const float* corners, float* vertices) {
  const int vertex = blockIdx.x * kThreads + threadIdx.x;
  if (vertex >= mesh.vertex_count) return;
  const float* of_image = corners + 9 * static_cast<size_t>(blockIdx.y) * mesh.face_count;
  float sum[3] = {};
  visit_corners(mesh.starts, mesh.corners, vertex, mesh.vertex_count, mesh.face_count, [&](size_t corner) {
    for (int k = 0; k < 3; ++k) sum[k] += of_image[3 * corner + k];
  });
  float* out = vertices + 3 * (static_cast<size_t>(blockIdx.y) * mesh.vertex_count + vertex);
  for (int k = 0; k < 3; ++k) out[k] = sum[k];
}

}  // namespace

size_t vertex_stretch_scratch(int batch, int face_count) {
  return sizeof(float) * kTensorSize * batch * static_cast<size_t>(face_count);
}

void vertex_stretch(const StretchMesh& mesh, int batch, const float* vertices, float* tensors, void* scratch,
                    Stream stream) {
  float* faces = static_cast<float*>(scratch);
  launch(faces_kernel, dim3(blocks_for(mesh.face_count, kThreads), batch), dim3(kThreads), 0, stream, mesh, vertices,
         faces);
  launch(means_kernel, dim3(blocks_for(mesh.row_count, kThreads), batch), dim3(kThreads), 0, stream, mesh,
         static_cast<const float*>(faces), tensors);
}

size_t vertex_stretch_backward_scratch(int batch, int face_count) {
  return sizeof(float) * 9 * batch * static_cast<size_t>(face_count);
}

void vertex_stretch_backward(const StretchMesh& mesh, int batch, const float* vertices, const float* grad_tensors,
                             float* grad_vertices, void* scratch, Stream stream) {
  float* corners = static_cast<float*>(scratch);
  launch(faces_backward_kernel, dim3(blocks_for(mesh.face_count, kThreads), batch), dim3(kThreads), 0, stream, mesh,
         vertices, grad_tensors, corners);
  launch(vertices_backward_kernel, dim3(blocks_for(mesh.vertex_count, kThreads), batch), dim3(kThreads), 0, stream,
         mesh, static_cast<const float*>(corners), grad_vertices);
}

}  // namespace cuda
}  // namespace headsplat
