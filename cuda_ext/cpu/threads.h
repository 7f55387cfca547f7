// A persistent thread pool. Results never depend on the number of threads: a task writes only its own outputs, and sums
// over tasks are taken in the order of the tasks.
#pragma once

namespace headsplat {

// Threads used by a call, including the caller.
int thread_count();

// At least 1; may exceed the affinity mask.
void set_thread_count(int count);

// Runs body(context, task) for every task in 0..tasks-1 and returns when all are done. Tasks must not throw. While
// another thread uses the pool, all tasks run on the calling thread.
void run_tasks(int tasks, void (*body)(void*, int), void* context);

template <class Body>
inline void parallel(int tasks, Body body) {
  if (tasks == 1) {
    body(0);
    return;
  }
  run_tasks(tasks, [](void* context, int task) { (*static_cast<Body*>(context))(task); }, &body);
}

// Splits 0..count-1 into ranges of `grain` and calls body(begin, end) for each.
template <class Body>
inline void parallel_ranges(int count, int grain, Body body) {
  const int tasks = (count + grain - 1) / grain;
  parallel(tasks, [=](int task) {
    const int begin = task * grain;
    body(begin, begin + grain < count ? begin + grain : count);
  });
}

}  // namespace headsplat
