// The threads of one emulated kernel launch: blocks run one after the other, the threads of a block are fibers that
// change places only where they meet, at a barrier or a warp's collective operation.
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

// Runs `kernel` once for every thread. Throws std::runtime_error when threads wait for others that ended, when the
// lanes of a warp meet at different operations, and for a collective operation that does not name the whole warp.
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);

// Blocks and threads run from the last to the first from now on, or in their order: results must not depend on it.
void set_reversed(bool reversed);

// --- called by the threads ---

int lane();                 // of the calling thread in its warp
int warp_lanes();           // in the calling thread's warp
void* dynamic_shared();     // this block's; filled with NaN when the block starts
int sync_block(bool vote);  // waits for the block; how many voted
// Waits for the warp and returns what its lanes brought, valid until the lane's next meeting but one.
const uint64_t* sync_warp(SyncPoint kind, unsigned mask, uint64_t value);

}  // namespace emulator
