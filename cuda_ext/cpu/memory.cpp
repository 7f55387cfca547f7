#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <malloc.h>
#endif

#include "kernels.h"

namespace headsplat {
namespace {

constexpr size_t kAlignment = 64;

void* allocate(size_t bytes) {
#if defined(_WIN32)
  void* memory = _aligned_malloc(bytes, kAlignment);
#else
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes) != 0) memory = nullptr;
#endif
  if (!memory) throw std::bad_alloc();
  return memory;
}

void release(void* memory) {
#if defined(_WIN32)
  _aligned_free(memory);
#else
  std::free(memory);
#endif
}

}  // namespace

Buffer::~Buffer() { release(memory_); }

void* Buffer::reserve(size_t bytes, bool keep) {
  if (bytes <= capacity_ && memory_) return memory_;
  const size_t new_capacity = bytes + bytes / 8 + kAlignment;
  void* memory = allocate(new_capacity);
  if (keep && memory_) std::memcpy(memory, memory_, capacity_);
  release(memory_);
  memory_ = memory;
  capacity_ = new_capacity;
  return memory_;
}

void keep_freed_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_ARENA_MAX, 1);  // threads that come reuse what one that ended has freed
#endif
}

}  // namespace headsplat
