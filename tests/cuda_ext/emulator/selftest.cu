// Small kernels with known results, for the tests of the emulator itself and of the sort helper.
#include "launch.h"
#include "selftest.h"
#include "sort.h"
#include "sums.h"

namespace emulator {
namespace {

using namespace headsplat::cuda;

// What every lane sees of its warp, one row of 8 for each thread.
__global__ void see_warp(int* out) {
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

// Each round every thread passes its number on to the next one through shared memory.
__global__ void pass_around(int rounds, int* out, int* votes) {
  HEADSPLAT_DYNAMIC_SHARED(int, slots);
  int mine = threadIdx.x;
  for (int round = 0; round < rounds; ++round) {
    slots[(threadIdx.x + 1) % blockDim.x] = mine;
    __syncthreads();
    mine = slots[threadIdx.x];
    const int count = __syncthreads_count(mine < round);
    if (threadIdx.x == 0) votes[round] = count;
  }
  out[threadIdx.x] = mine;
}

__global__ void leave_before_a_barrier() {
  if (threadIdx.x < 40) return;
  __syncthreads();
}

__global__ void leave_before_a_vote() {
  if (threadIdx.x < 5) return;
  __any_sync(kAllLanes, 1);
}

__global__ void meet_at_different_operations() {
  if (threadIdx.x < 5)
    __syncwarp();
  else
    __shfl_sync(kAllLanes, 1, 0);
}

__global__ void name_half_a_warp() { __ballot_sync(0xffffu, 1); }

}  // namespace

void start_see_warp(int* out, int threads) { launch(see_warp, dim3(1), dim3(threads), 0, nullptr, out); }

void start_pass_around(int rounds, int* out, int* votes, int threads) {
  launch(pass_around, dim3(1), dim3(threads), sizeof(int) * threads, nullptr, rounds, out, votes);
}

void start_wrong(int which) {
  void (*const kernels[])() = {leave_before_a_barrier, leave_before_a_vote, meet_at_different_operations,
                               name_half_a_warp};
  launch(kernels[which], dim3(2), dim3(64), 0, nullptr);
}

void start_sort(const uint32_t* keys, const uint32_t* values, uint32_t* keys_out, uint32_t* values_out, uint32_t* sums,
                int count, int end_bit) {
  unsigned char temp[1];
  sort_pairs(temp, sizeof temp, keys, keys_out, values, values_out, count, end_bit, nullptr);
  exclusive_sum(temp, sizeof temp, values, sums, count, nullptr);
}

}  // namespace emulator
