// Z-buffer of a triangle mesh at the pixel centers. A pixel's face is the minimum key of depth, then face index, which
// does not depend on the order of the faces; barycentrics are recomputed from that face.
#include "../indices.h"
#include "../triangle.h"
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;
using Key = unsigned long long;  // bits of the depth in meters, then the face index

constexpr int kThreads = 128;
constexpr Key kEmptyKey = ~Key(0);

struct Scene {
  const float* vertices;    // [B,V,3]
  const int64_t* faces;     // [F,3]
  const float* intrinsics;  // [B,3,3]
};

// Empty where an index of the face is out of range: a kernel cannot raise.
__device__ ScreenTriangle triangle_of(const MeshShape& shape, const Scene& scene, int image, int face) {
  int64_t corners[3];
  if (!read_triangle(scene.faces + 3 * static_cast<size_t>(face), shape.vertices, corners)) {
    ScreenTriangle empty{};
    empty.x1 = -1;
    return empty;
  }
  const float* K = scene.intrinsics + 9 * image;
  double inverse[9];
  invert(K, inverse);
  return setup_triangle(shape.width, shape.height, shape.near_z,
                        scene.vertices + static_cast<size_t>(image) * shape.vertices * 3, corners, K, inverse);
}

// One warp per face.
__global__ void __launch_bounds__(kThreads) depth_test_kernel(MeshShape shape, Scene scene, Key* keys) {
  const int face = (blockIdx.x * kThreads + threadIdx.x) / kWarp, lane = threadIdx.x % kWarp;
  if (face >= shape.faces) return;
  const ScreenTriangle t = triangle_of(shape, scene, blockIdx.y, face);
  if (t.x1 < t.x0 || t.y1 < t.y0) return;
  Key* image_keys = keys + static_cast<size_t>(blockIdx.y) * shape.height * shape.width;
  const unsigned box_width = t.x1 - t.x0 + 1, count = box_width * (t.y1 - t.y0 + 1);
  for (unsigned k = lane; k < count; k += kWarp) {
    const int x = t.x0 + static_cast<int>(k % box_width), y = t.y0 + static_cast<int>(k / box_width);
    double edges[3];
    const double total = edges_at(t, x, y, edges);
    if (!(edges[0] >= 0.0 && edges[1] >= 0.0 && edges[2] >= 0.0 && total > 0.0)) continue;
    const double depth = 1.0 / total;
    if (!(depth > shape.near_z)) continue;
    const Key depth_key = __float_as_uint(static_cast<float>(depth));
    atomicMin(image_keys + static_cast<size_t>(y) * shape.width + x, depth_key << 32 | static_cast<unsigned>(face));
  }
}

__global__ void __launch_bounds__(kThreads)
    resolve_kernel(MeshShape shape, Scene scene, const Key* keys, MeshOutputs out) {
  const int pixels = shape.width * shape.height, pixel = blockIdx.x * kThreads + threadIdx.x;
  if (pixel >= pixels) return;
  const size_t at = static_cast<size_t>(blockIdx.y) * pixels + pixel;
  const Key key = keys[at];
  double edges[3] = {0.0, 0.0, 0.0}, depth = 0.0;
  int face = -1;
  if (key != kEmptyKey) {
    face = static_cast<int>(key & 0xffffffffu);
    const ScreenTriangle t = triangle_of(shape, scene, blockIdx.y, face);
    depth = 1.0 / edges_at(t, pixel % shape.width, pixel / shape.width, edges);
  }
  out.face[at] = face;
  out.depth[at] = static_cast<float>(depth);
  for (int k = 0; k < 3; ++k) out.bary[3 * at + k] = static_cast<float>(edges[k] * depth);
}

}  // namespace

size_t mesh_scratch(const MeshShape& shape) {
  return sizeof(Key) * shape.batch * static_cast<size_t>(shape.height) * shape.width;
}

void rasterize_mesh(const MeshShape& shape, const float* vertices, const int64_t* faces, const float* intrinsics,
                    const MeshOutputs& out, void* scratch, Stream stream) {
  const Scene scene{vertices, faces, intrinsics};
  Key* keys = static_cast<Key*>(scratch);
  fill_bytes(keys, 0xff, mesh_scratch(shape), stream);
  launch(depth_test_kernel, dim3(blocks_for(static_cast<size_t>(shape.faces) * kWarp, kThreads), shape.batch),
         dim3(kThreads), 0, stream, shape, scene, keys);
  launch(resolve_kernel, dim3(blocks_for(static_cast<size_t>(shape.width) * shape.height, kThreads), shape.batch),
         dim3(kThreads), 0, stream, shape, scene, keys, out);
}

}  // namespace cuda
}  // namespace headsplat
