#include "threads.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace headsplat {
namespace {

// How long an idle thread looks for work before it sleeps: longer than the gap between two calls of one training step.
constexpr auto kSpin = std::chrono::microseconds(200);
// Turns the caller waits for the last task before it offers its core to others.
constexpr int kPatience = 4000;

void pause_briefly() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

int allowed_threads() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count ? static_cast<int>(count) : 1;
}

struct Job {
  void (*body)(void*, int);
  void* context;
  int tasks;
};

class Pool {
 public:
  explicit Pool(int count) : count_(count) {
    for (int k = 1; k < count; ++k) std::thread([this] { serve(); }).detach();
  }

  int count() const { return count_; }

  void run(const Job& job) {
    job_ = job;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t generation = generation_.load(std::memory_order_relaxed) + 1;
    ticket_.store((generation << 48) | (static_cast<uint64_t>(job.tasks) << 24), std::memory_order_release);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.store(generation, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
    take_tasks(generation);
    for (int turns = 0; done_.load(std::memory_order_acquire) < job.tasks; ++turns) {
      turns < kPatience ? pause_briefly() : std::this_thread::yield();
    }
  }

  // After this the threads leave and the last of them frees the pool.
  void retire() {
    if (count_ == 1) {
      delete this;
      return;
    }
    leaving_.store(count_ - 1, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      quit_.store(true, std::memory_order_release);
      generation_.fetch_add(1, std::memory_order_release);
      wake_.notify_all();
    }
  }

 private:
  // A ticket names the job (16 bits of its generation), how many tasks it has and the next one to take. Only a task
  // taken from it makes `job_` safe to read, so a thread that wakes late for a finished job does nothing.
  void take_tasks(uint64_t generation) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      const uint64_t task = ticket & kTaskMask;
      if ((ticket >> 48) != (generation & 0xffff) || task >= ((ticket >> 24) & kTaskMask)) return;
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
      job_.body(job_.context, static_cast<int>(task));
      done_.fetch_add(1, std::memory_order_release);
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void serve() {
    uint64_t seen = 0;
    for (;;) {
      seen = await(seen);
      if (quit_.load(std::memory_order_acquire)) break;
      take_tasks(seen);
    }
    if (leaving_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Returns the first generation after `seen` that this thread notices.
  uint64_t await(uint64_t seen) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int k = 0; k < 32; ++k) pause_briefly();
      const uint64_t generation = generation_.load(std::memory_order_acquire);
      if (generation != seen) return generation;
    } while (std::chrono::steady_clock::now() < until);
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1, std::memory_order_release);
    wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    sleeping_.fetch_sub(1, std::memory_order_release);
    return generation_.load(std::memory_order_acquire);
  }

  static constexpr uint64_t kTaskMask = (uint64_t(1) << 24) - 1;
  const int count_;
  Job job_{};
  std::atomic<uint64_t> ticket_{0}, generation_{0};
  std::atomic<int> done_{0}, sleeping_{0}, leaving_{0};
  std::atomic<bool> quit_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// The pool is leaked on purpose: its threads may outlive static destructors.
std::mutex* pool_mutex = new std::mutex;
Pool* pool = nullptr;
std::atomic<int> wanted{0};

#if !defined(_WIN32)
// A forked child has no worker threads: it starts with a fresh mutex and makes its own pool when it needs one.
void forget_pool() {
  pool_mutex = new std::mutex;
  pool = nullptr;
}
const int fork_handler = pthread_atfork(nullptr, nullptr, forget_pool);
#endif

}  // namespace

int thread_count() {
  if (wanted.load() == 0) wanted.store(allowed_threads());
  return wanted.load();
}

void set_thread_count(int count) { wanted.store(count < 1 ? 1 : count); }

void run_tasks(int tasks, void (*body)(void*, int), void* context) {
  const int count = thread_count();
  std::unique_lock<std::mutex> lock(*pool_mutex, std::try_to_lock);
  if (count == 1 || tasks <= 1 || !lock.owns_lock()) {
    for (int task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  if (pool && pool->count() != count) {
    pool->retire();
    pool = nullptr;
  }
  if (!pool) pool = new Pool(count);
  pool->run({body, context, tasks});
}

}  // namespace headsplat
