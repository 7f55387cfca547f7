#include "threads.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace emulator {

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

constexpr size_t kStack = 64 * 1024, kGuard = 4096;
const char* const kSyncNames[] = {"nothing", "__syncthreads", "a shuffle", "a vote", "a reduction", "__syncwarp"};

struct Fiber;

struct Thread {
  uint3 index;
  int number;
  SyncPoint waits_at;
  bool done;
  Fiber* fiber;  // null before the thread starts and after it ends
};

struct Warp {
  uint64_t lane_values[2][kWarp];  // of the last two synchronizations: a fast lane may be one ahead of a slow one
  unsigned generation;
  int lanes, arrived;
  SyncPoint kind;
};

// A stack that runs one thread after another; created by ucontext, switched by the cheaper setjmp.
struct Fiber {
  ucontext_t start;
  jmp_buf at;
  char* stack;
  bool entered = false;
  Thread* first = nullptr;  // thread to start with when it is resumed

  Fiber() {
    void* memory = mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    stack = static_cast<char*>(memory);
    mprotect(stack, kGuard, PROT_NONE);  // an overflow faults instead of overwriting the adjacent stack
  }
  ~Fiber() { munmap(stack, kStack + kGuard); }
  Fiber(const Fiber&) = delete;
};

// State of the running block; one per process.
struct Block {
  const std::function<void()>* kernel;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  std::vector<float> shared;
  jmp_buf scheduler;
  Thread* running = nullptr;
  size_t next = 0;  // position in running order of the first thread that has not started
  int done = 0, votes[2] = {0, 0};
  unsigned barriers = 0;
  bool reversed = false;
  std::string failure;
};

Block block;
std::mutex one_launch;

Thread& thread_at(size_t position) {
  return block.threads[block.reversed ? block.threads.size() - 1 - position : position];
}

// The first thread in running order that has not started, or null.
Thread* take_unstarted() { return block.next < block.threads.size() ? &thread_at(block.next++) : nullptr; }

void make_current(Thread& thread) {
  block.running = &thread;
  threadIdx = thread.index;
}

__attribute__((noinline)) void yield_to_scheduler(Fiber& fiber) {
  if (_setjmp(fiber.at) == 0) _longjmp(block.scheduler, 1);
}

__attribute__((noinline)) void resume(Fiber& fiber) {
  if (_setjmp(block.scheduler) != 0) return;
  if (fiber.entered) _longjmp(fiber.at, 1);
  fiber.entered = true;
  setcontext(&fiber.start);
}

void run_thread(Thread& thread, Fiber& fiber) {
  thread.fiber = &fiber;
  make_current(thread);
  (*block.kernel)();
  thread.done = true;
  thread.fiber = nullptr;
  ++block.done;
}

// Threads that end without waiting are followed by the next thread on the same stack: no switch for simple kernels.
void fiber_main(unsigned high, unsigned low) {
  Fiber& fiber = *reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low);
  for (;;) {
    for (Thread* thread = fiber.first; thread; thread = take_unstarted()) run_thread(*thread, fiber);
    block.idle.push_back(&fiber);
    yield_to_scheduler(fiber);
  }
}

Fiber& make_fiber() {
  block.fibers.push_back(std::make_unique<Fiber>());
  Fiber& fiber = *block.fibers.back();
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack + kGuard;
  fiber.start.uc_stack.ss_size = kStack;
  fiber.start.uc_link = nullptr;
  const uintptr_t address = reinterpret_cast<uintptr_t>(&fiber);
  makecontext(&fiber.start, reinterpret_cast<void (*)()>(&fiber_main), 2, static_cast<unsigned>(address >> 32),
              static_cast<unsigned>(address));
  return fiber;
}

Fiber& idle_fiber() {
  if (block.idle.empty()) return make_fiber();
  Fiber& fiber = *block.idle.back();
  block.idle.pop_back();
  return fiber;
}

void run_or_resume(Thread& thread) {
  if (thread.fiber) {
    make_current(thread);
    resume(*thread.fiber);
  } else {
    Fiber& fiber = idle_fiber();
    fiber.first = &thread;
    resume(fiber);
  }
  if (!block.failure.empty()) throw std::runtime_error(block.failure);
}

std::string block_name() {
  return " (block " + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) +
         ")";
}

// Ends the launch from inside a thread.
[[noreturn]] void abort_launch(const std::string& text) {
  block.failure = "emulator: " + text + block_name();
  yield_to_scheduler(*block.running->fiber);
  std::abort();
}

// Runs a warp's threads until all of them have ended or wait at a block barrier.
void run_warp(size_t first, size_t last) {
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t k = first; k < last; ++k) {
      Thread& thread = thread_at(k);
      if (thread.done || thread.waits_at != SyncPoint::none) continue;
      if (!thread.fiber) ++block.next;  // threads start in order, so it is this one
      run_or_resume(thread);
      progress = true;
    }
  }
  for (size_t k = first; k < last; ++k) {
    const Thread& thread = thread_at(k);
    if (!thread.done && thread.waits_at != SyncPoint::block)
      throw std::runtime_error(std::string("emulator: deadlock: a lane waits at ") +
                               kSyncNames[static_cast<int>(thread.waits_at)] +
                               " for lanes that have ended or wait elsewhere" + block_name());
  }
}

void run_block() {
  const size_t count = block.threads.size();
  for (;;) {
    for (size_t first = 0; first < count; first += kWarp) run_warp(first, std::min(first + kWarp, count));
    if (block.done == static_cast<int>(count)) return;
    if (block.done)
      throw std::runtime_error("emulator: deadlock: " + std::to_string(count - block.done) +
                               " threads wait at __syncthreads while " + std::to_string(block.done) + " have ended" +
                               block_name());
    block.votes[++block.barriers & 1] = 0;
    for (Thread& thread : block.threads) thread.waits_at = SyncPoint::none;
  }
}

void prepare_block(size_t shared_bytes) {
  const unsigned count = blockDim.x * blockDim.y * blockDim.z;
  block.threads.resize(count);
  block.warps.resize((count + kWarp - 1) / kWarp);
  for (unsigned k = 0; k < count; ++k)
    block.threads[k] = {{k % blockDim.x, k / blockDim.x % blockDim.y, k / blockDim.x / blockDim.y},
                        static_cast<int>(k),
                        SyncPoint::none,
                        false,
                        nullptr};
  for (size_t w = 0; w < block.warps.size(); ++w) {
    block.warps[w].generation = block.warps[w].arrived = 0;
    block.warps[w].lanes = static_cast<int>(std::min<size_t>(kWarp, count - w * kWarp));
  }
  block.shared.resize((shared_bytes + sizeof(float) - 1) / sizeof(float) + 4);
  std::memset(block.shared.data(), 0xff, block.shared.size() * sizeof(float));
  block.next = 0;
  block.done = 0;
  block.barriers = 0;
  block.votes[0] = block.votes[1] = 0;
}

void check_launch(dim3 grid, dim3 threads, size_t shared_bytes) {
  const size_t count = static_cast<size_t>(threads.x) * threads.y * threads.z;
  if (count == 0 || count > 1024 || threads.z > 64)
    throw std::runtime_error("emulator: a block has 1..1024 threads, got " + std::to_string(count));
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw std::runtime_error("emulator: no device accepts a grid of " + std::to_string(grid.x) + "," +
                             std::to_string(grid.y) + "," + std::to_string(grid.z) + " blocks");
  if (shared_bytes > 163 * 1024) throw std::runtime_error("emulator: more shared memory than sm_80 has");
}

}  // namespace

void run(dim3 grid, dim3 threads, size_t shared_bytes, const std::function<void()>& kernel) {
  std::lock_guard<std::mutex> lock(one_launch);
  check_launch(grid, threads, shared_bytes);
  block.kernel = &kernel;
  gridDim = grid;
  blockDim = threads;
  const size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
  try {
    for (size_t k = 0; k < blocks; ++k) {
      const size_t at = block.reversed ? blocks - 1 - k : k;
      blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                  static_cast<unsigned>(at / grid.x / grid.y)};
      prepare_block(shared_bytes);
      run_block();
    }
  } catch (...) {
    block.fibers.clear();  // some are suspended inside a kernel
    block.idle.clear();
    block.failure.clear();
    throw;
  }
}

void set_reversed(bool reversed) {
  std::lock_guard<std::mutex> lock(one_launch);
  block.reversed = reversed;
}

int lane() { return block.running->number % kWarp; }

int warp_lanes() { return block.warps[block.running->number / kWarp].lanes; }

void* dynamic_shared() {
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(block.shared.data()) + 15) & ~uintptr_t(15));
}

int sync_block(bool vote) {
  Thread& thread = *block.running;
  int& votes = block.votes[block.barriers & 1];  // the next barrier of a fast thread counts in the other entry
  votes += vote;
  thread.waits_at = SyncPoint::block;
  yield_to_scheduler(*thread.fiber);
  return votes;
}

const uint64_t* sync_warp(SyncPoint kind, unsigned mask, uint64_t value) {
  Thread& thread = *block.running;
  Warp& warp = block.warps[thread.number / kWarp];
  const unsigned whole = warp.lanes == kWarp ? ~0u : (1u << warp.lanes) - 1;
  if ((mask & whole) != whole) abort_launch("the mask of a collective operation must name all lanes of the warp");
  if (warp.arrived && warp.kind != kind)
    abort_launch(std::string("lanes of a warp synchronize at ") + kSyncNames[static_cast<int>(warp.kind)] + " and at " +
                 kSyncNames[static_cast<int>(kind)]);
  warp.kind = kind;
  uint64_t* lane_values = warp.lane_values[warp.generation & 1];
  lane_values[thread.number % kWarp] = value;
  if (++warp.arrived == warp.lanes) {
    warp.arrived = 0;
    ++warp.generation;
    const int first = thread.number / kWarp * kWarp;
    for (int k = first; k < first + warp.lanes; ++k) block.threads[k].waits_at = SyncPoint::none;
  } else {
    thread.waits_at = kind;
    yield_to_scheduler(*thread.fiber);
  }
  return lane_values;
}

}  // namespace emulator
