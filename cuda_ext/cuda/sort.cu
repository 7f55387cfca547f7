// The only file that includes CUB, which is slow to compile.
#include "launch.h"
#include "sort.h"

#if defined(HEADSPLAT_EMULATE)
#include <algorithm>
#include <numeric>
#include <vector>
#else
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#endif

namespace headsplat {
namespace cuda {

#if defined(HEADSPLAT_EMULATE)

size_t sort_pairs_bytes(int) { return 1; }
size_t exclusive_sum_bytes(int) { return 1; }

void sort_pairs(void*, size_t, const uint32_t* keys_in, uint32_t* keys_out, const uint32_t* values_in,
                uint32_t* values_out, int count, int end_bit, Stream) {
  const uint32_t used = end_bit >= 32 ? ~0u : (1u << end_bit) - 1;
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return (keys_in[a] & used) < (keys_in[b] & used); });
  for (int k = 0; k < count; ++k) {
    keys_out[k] = keys_in[order[k]];
    values_out[k] = values_in[order[k]];
  }
}

void exclusive_sum(void*, size_t, const uint32_t* in, uint32_t* out, int count, Stream) {
  uint32_t total = 0;
  for (int k = 0; k < count; ++k) {
    const uint32_t value = in[k];
    out[k] = total;
    total += value;
  }
}

#else

size_t sort_pairs_bytes(int count) {
  size_t bytes = 0;
  const uint32_t* in = nullptr;
  uint32_t* out = nullptr;
  check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, in, out, in, out, count), "sizing a sort");
  return bytes ? bytes : 1;
}

size_t exclusive_sum_bytes(int count) {
  size_t bytes = 0;
  const uint32_t* in = nullptr;
  uint32_t* out = nullptr;
  check(cub::DeviceScan::ExclusiveSum(nullptr, bytes, in, out, count), "sizing a prefix sum");
  return bytes ? bytes : 1;
}

void sort_pairs(void* temp, size_t temp_bytes, const uint32_t* keys_in, uint32_t* keys_out, const uint32_t* values_in,
                uint32_t* values_out, int count, int end_bit, Stream stream) {
  if (count == 0) return;
  check(cub::DeviceRadixSort::SortPairs(temp, temp_bytes, keys_in, keys_out, values_in, values_out, count, 0, end_bit,
                                        stream),
        "sorting");
}

void exclusive_sum(void* temp, size_t temp_bytes, const uint32_t* in, uint32_t* out, int count, Stream stream) {
  if (count == 0) return;
  check(cub::DeviceScan::ExclusiveSum(temp, temp_bytes, in, out, count, stream), "summing");
}

#endif

}  // namespace cuda
}  // namespace headsplat
