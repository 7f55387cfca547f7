// Small kernels with known results, for the tests of the emulator itself and of the sort.
#include "launch.h"
#include "reductions.h"
#include "selftest.h"
#include "sort.h"

namespace emulator {
namespace {

using namespace headsplat::cuda;

// Results of the warp intrinsics in each lane, one row of 8 per thread.
__global__ void warp_intrinsics(int* out) {
  const int lane = threadIdx.x % kWarp;
  int* row = out + 8 * threadIdx.x;
  row[0] = __shfl_sync(kAllLanes, lane, 5);
  row[1] = __shfl_xor_sync(kAllLanes, lane, 3);
  row[2] = __shfl_down_sync(kAllLanes, lane, 4u);
  row[3] = __shfl_up_sync(kAllLanes, lane, 4u);
  row[4] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  row[5] = __any_sync(kAllLanes, lane == 31) + 2 * __all_sync(kAllLanes, lane < 31);
  row[6] = static_cast<int>(__reduce_max_sync(kAllLanes, static_cast<unsigned>(threadIdx.x)));
  float values[kWarp];
  for (int k = 0; k < kWarp; ++k) values[k] = static_cast<float>(lane * k);
  row[7] = static_cast<int>(warp_column_sums(values));
}

// In each round every thread passes its value to the next thread through shared memory.
__global__ void ring_shift(int rounds, int* out, int* votes) {
  HEADSPLAT_DYNAMIC_SHARED(int, values);
  int own = threadIdx.x;
  for (int round = 0; round < rounds; ++round) {
    values[(threadIdx.x + 1) % blockDim.x] = own;
    __syncthreads();
    own = values[threadIdx.x];
    const int count = __syncthreads_count(own < round);
    if (threadIdx.x == 0) votes[round] = count;
  }
  out[threadIdx.x] = own;
}

__global__ void exit_before_barrier() {
  if (threadIdx.x < 40) return;
  __syncthreads();
}

__global__ void exit_before_vote() {
  if (threadIdx.x < 5) return;
  __any_sync(kAllLanes, 1);
}

__global__ void diverge_in_collective() {
  if (threadIdx.x < 5)
    __syncwarp();
  else
    __shfl_sync(kAllLanes, 1, 0);
}

__global__ void mask_half_warp() { __ballot_sync(0xffffu, 1); }

}  // namespace

void launch_warp_intrinsics(int* out, int threads) { launch(warp_intrinsics, dim3(1), dim3(threads), 0, nullptr, out); }

void launch_ring_shift(int rounds, int* out, int* votes, int threads) {
  launch(ring_shift, dim3(1), dim3(threads), sizeof(int) * threads, nullptr, rounds, out, votes);
}

void launch_invalid(int which) {
  void (*const kernels[])() = {exit_before_barrier, exit_before_vote, diverge_in_collective, mask_half_warp};
  launch(kernels[which], dim3(2), dim3(64), 0, nullptr);
}

void run_sort_and_sum(const uint32_t* keys, const uint32_t* values, uint32_t* keys_out, uint32_t* values_out,
                      uint32_t* sums, int count, int end_bit) {
  unsigned char temp[1];
  sort_pairs(temp, sizeof temp, keys, keys_out, values, values_out, count, end_bit, nullptr);
  exclusive_sum(temp, sizeof temp, values, sums, count, nullptr);
}

}  // namespace emulator
