// The threads of one emulated kernel launch. Blocks run one after another; the threads of a block are fibers that
// switch only at synchronization points: a block barrier or a collective operation of a warp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace emulator {

constexpr int kWarp = 32;

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

enum class SyncPoint { none, block, shuffle, vote, reduce, warp };

// Runs `kernel` once per thread. Throws std::runtime_error when threads wait for others that have ended, when lanes of
// a warp reach different operations, and for a collective operation whose mask is not the whole warp.
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);

// Runs blocks and threads from the last to the first, or in order again: results must not depend on it.
void set_reversed(bool reversed);

// --- called by the emulated threads ---

int lane();                 // of the calling thread in its warp
int warp_lanes();           // in the calling thread's warp
void* dynamic_shared();     // of the running block; filled with NaN at its start
int sync_block(bool vote);  // block barrier; returns the number of votes
// Synchronizes the warp and returns the values of its lanes, valid until the second next synchronization.
const uint64_t* sync_warp(SyncPoint kind, unsigned mask, uint64_t value);

}  // namespace emulator
