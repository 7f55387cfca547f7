#include "threads.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

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

// How long an idle thread spins before it sleeps: longer than the gap between two calls of one training step.
constexpr auto kSpin = std::chrono::microseconds(200);
// A thread takes one in so many of the tasks that are left in a share at once, rounded up.
constexpr uint64_t kBatchFraction = 8;
constexpr size_t kCacheLine = 64;
// Spins of the caller waiting for the last tasks before it yields its core.
constexpr int kSpinsBeforeYield = 4000;

void cpu_pause() {
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
  explicit Pool(int count) : count_(count), shares_(count) {
    for (int k = 1; k < count; ++k) std::thread([this, k] { worker_loop(k); }).detach();
  }

  int count() const { return count_; }

  void run(const Job& job) {
    job_ = job;
    done_.store(0, std::memory_order_relaxed);
    const uint64_t generation = generation_.load(std::memory_order_relaxed) + 1;
    for (int k = 0; k < count_; ++k) {
      const uint64_t begin = static_cast<uint64_t>(job.tasks) * k / count_;
      const uint64_t end = static_cast<uint64_t>(job.tasks) * (k + 1) / count_;
      shares_[k].ticket.store((generation << 48) | (end << 24) | begin, std::memory_order_release);
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.store(generation, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
    run_tasks_of(generation, 0);
    for (int turns = 0; done_.load(std::memory_order_acquire) < job.tasks; ++turns) {
      turns < kSpinsBeforeYield ? cpu_pause() : std::this_thread::yield();
    }
  }

  // After this call the threads exit, and the last one deletes the pool.
  void retire() {
    if (count_ == 1) {
      delete this;
      return;
    }
    active_workers_.store(count_ - 1, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      quit_.store(true, std::memory_order_release);
      generation_.fetch_add(1, std::memory_order_release);
      wake_.notify_all();
    }
  }

 private:
  // The tasks that one thread takes first: the same range in all jobs of as many tasks, so that what it wrote is in its
  // cache. The ticket holds the job's generation (16 bits), the end of the tasks and the next task to take.
  struct alignas(kCacheLine) Share {
    std::atomic<uint64_t> ticket{0};
  };

  // Runs the thread's own share and then what is left of the others.
  void run_tasks_of(uint64_t generation, int thread) {
    int finished = 0;
    for (int k = 0; k < count_; ++k) finished += run_share(shares_[(thread + k) % count_], generation);
    if (finished) done_.fetch_add(finished, std::memory_order_release);
  }

  // `job_` may be read only after taking a task from a ticket, so a thread that wakes late for a finished job does
  // nothing. Tasks are taken in batches, since another core's cache line takes as long as a small task.
  int run_share(Share& share, uint64_t generation) {
    int finished = 0;
    uint64_t ticket = share.ticket.load(std::memory_order_acquire);
    for (;;) {
      const uint64_t first = ticket & kTaskMask, end = (ticket >> 24) & kTaskMask;
      if ((ticket >> 48) != (generation & 0xffff) || first >= end) return finished;
      const uint64_t batch = (end - first + kBatchFraction - 1) / kBatchFraction;
      if (!share.ticket.compare_exchange_weak(ticket, ticket + batch, std::memory_order_acq_rel)) continue;
      for (uint64_t task = first; task < first + batch; ++task) job_.body(job_.context, static_cast<int>(task));
      finished += static_cast<int>(batch);
      ticket = share.ticket.load(std::memory_order_acquire);
    }
  }

  void worker_loop(int thread) {
    uint64_t seen = 0;
    for (;;) {
      seen = wait_for_job(seen);
      if (quit_.load(std::memory_order_acquire)) break;
      run_tasks_of(seen, thread);
    }
    if (active_workers_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Waits for a generation other than `seen` and returns it.
  uint64_t wait_for_job(uint64_t seen) {
    const auto until = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int k = 0; k < 32; ++k) cpu_pause();
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
  std::vector<Share> shares_;
  alignas(kCacheLine) std::atomic<uint64_t> generation_{0};
  alignas(kCacheLine) std::atomic<int> done_{0};
  std::atomic<int> sleeping_{0}, active_workers_{0};
  std::atomic<bool> quit_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// The pool is leaked on purpose: its threads may outlive static destructors.
std::mutex* pool_mutex = new std::mutex;
Pool* pool = nullptr;
std::atomic<int> requested_threads{0};

#if !defined(_WIN32)
// A forked child has no worker threads: it starts with a new mutex and creates its own pool on demand.
void reset_pool_after_fork() {
  pool_mutex = new std::mutex;
  pool = nullptr;
}
const int fork_handler = pthread_atfork(nullptr, nullptr, reset_pool_after_fork);
#endif

}  // namespace

int thread_count() {
  if (requested_threads.load() == 0) requested_threads.store(allowed_threads());
  return requested_threads.load();
}

void set_thread_count(int count) { requested_threads.store(count < 1 ? 1 : count); }

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
