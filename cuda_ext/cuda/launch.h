// Kernel launches and memory fills, on a device or in the emulator (tests/cuda_ext/emulator, HEADSPLAT_EMULATE).
// Nothing here synchronizes with the device or allocates, so everything can be captured in a CUDA graph.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>

#include "stream.h"

// The block's dynamic shared memory as `type* name`, aligned to 16 bytes.
#if defined(HEADSPLAT_EMULATE)
#define HEADSPLAT_DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(emulator::dynamic_shared())
#else
#define HEADSPLAT_DYNAMIC_SHARED(type, name)                    \
  extern __shared__ __align__(16) unsigned char block_memory[]; \
  type* name = reinterpret_cast<type*>(block_memory)
#endif

namespace headsplat {
namespace cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr size_t kDefaultSharedLimit = 48 * 1024;  // bytes; more requires an attribute per kernel

// Throws std::runtime_error with CUDA's message. Also clears CUDA's sticky last error, which the next launch would
// otherwise report as its own.
inline void check(cudaError_t error, const char* action) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(std::string("CUDA error while ") + action + ": " + cudaGetErrorString(error));
}

// Number of blocks of `size` that cover `count`.
inline unsigned blocks_for(size_t count, size_t size) { return static_cast<unsigned>((count + size - 1) / size); }

// Launches `kernel` on `stream`; an empty grid launches nothing.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#if defined(HEADSPLAT_EMULATE)
  (void)stream;
  emulator::run(grid, block, shared_bytes, [&] { kernel(arguments...); });
#else
  if (shared_bytes > kDefaultSharedLimit)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "requesting shared memory");
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  check(cudaGetLastError(), "launching a kernel");
#endif
}

inline void fill_bytes(void* memory, int value, size_t bytes, Stream stream) {
  if (bytes) check(cudaMemsetAsync(memory, value, bytes, stream), "filling memory");
}

inline void copy_bytes(void* to, const void* from, size_t bytes, Stream stream) {
  if (bytes) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying memory");
}

}  // namespace cuda
}  // namespace headsplat
