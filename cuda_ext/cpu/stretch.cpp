// Stretch tensors of a mesh: of its triangles, kWidth at a time, then the weighted means at the vertices; and backward.
#include <cstring>

#include "../indices.h"
#include "kernels.h"
#include "rows.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// Corners of kWidth faces from `first` on; zero where a face has an index out of range, which sets the flag.
void load_faces(const StretchMesh& mesh, const Scalar* vertices, int first, int end, Vec corner[3][3]) {
  Scalar lanes[9][kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    const int face = first + lane < end ? first + lane : end - 1;
    int64_t triangle[3];
    const bool inside = read_triangle(mesh.faces + 3 * static_cast<size_t>(face), mesh.vertex_count, triangle);
    if (!inside) mesh.out_of_range[face / kStretchChunk] = true;
    for (int k = 0; k < 3; ++k)
      for (int axis = 0; axis < 3; ++axis)
        lanes[3 * k + axis][lane] = inside ? vertices[3 * triangle[k] + axis] : Scalar(0.0f);
  }
  for (int k = 0; k < 9; ++k) corner[k / 3][k % 3] = load(lanes[k]);
}

}  // namespace

void stretch_faces(const StretchMesh& mesh, const Scalar* vertices, int begin, int end, Scalar* tensors) {
  for (int first = begin; first < end; first += kWidth) {
    Vec corner[3][3], rest[3], tensor[kTensorSize];
    FaceStretch<Vec> state;
    load_faces(mesh, vertices, first, end, corner);
    load_rows<3>(mesh.inverse, first, end, rest);
    face_stretch(corner, rest, state, tensor);
    store_rows<kTensorSize>(tensors, first, end, tensor);
  }
}

void stretch_means(const StretchMesh& mesh, const Scalar* tensors, int begin, int end, Scalar* means) {
  for (int row = begin; row < end; ++row) {
    Scalar sum[kTensorSize] = {};
    visit_corners(mesh.starts, mesh.corners, mesh.vertices[row], mesh.vertex_count, mesh.face_count,
                  [&](size_t corner) {
                    const Scalar weight = mesh.weights[corner];
                    for (int k = 0; k < kTensorSize; ++k) sum[k] += weight * tensors[kTensorSize * (corner / 3) + k];
                  });
    std::memcpy(means + kTensorSize * static_cast<size_t>(row), sum, sizeof sum);
  }
}

void stretch_faces_backward(const StretchMesh& mesh, const Scalar* vertices, const Scalar* grad_means, int begin,
                            int end, Scalar* corners) {
  for (int first = begin; first < end; first += kWidth) {
    Vec corner[3][3], rest[3], tensor[kTensorSize], grad[3][3];
    Scalar lanes[kTensorSize][kWidth];
    for (int lane = 0; lane < kWidth; ++lane) {
      Scalar sum[kTensorSize];
      face_grad(mesh.faces, mesh.weights, mesh.rows, grad_means, mesh.vertex_count, mesh.row_count,
                first + lane < end ? first + lane : end - 1, sum);
      for (int k = 0; k < kTensorSize; ++k) lanes[k][lane] = sum[k];
    }
    for (int k = 0; k < kTensorSize; ++k) tensor[k] = load(lanes[k]);
    FaceStretch<Vec> state;
    load_faces(mesh, vertices, first, end, corner);
    load_rows<3>(mesh.inverse, first, end, rest);
    Vec unused[kTensorSize];
    face_stretch(corner, rest, state, unused);
    face_stretch_backward(state, rest, tensor, grad);
    store_rows<9>(corners, first, end, grad[0]);
  }
}

void stretch_vertices_backward(const StretchMesh& mesh, const Scalar* corners, int begin, int end, Scalar* vertices) {
  for (int vertex = begin; vertex < end; ++vertex) {
    Scalar sum[3] = {};
    visit_corners(mesh.starts, mesh.corners, vertex, mesh.vertex_count, mesh.face_count, [&](size_t corner) {
      for (int k = 0; k < 3; ++k) sum[k] += corners[3 * corner + k];
    });
    std::memcpy(vertices + 3 * static_cast<size_t>(vertex), sum, sizeof sum);
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
