#include "ops.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kRowsPerTask = 4096;

}  // namespace

void add_anchors(const Anchor* anchors, int count) {
  int tasks = 0;
  for (int k = 0; k < count; ++k) tasks += (anchors[k].rows + kRowsPerTask - 1) / kRowsPerTask;
  parallel(tasks, [=](int task) {
    const Anchor* anchor = anchors;
    for (; task * kRowsPerTask >= anchor->rows; ++anchor) task -= (anchor->rows + kRowsPerTask - 1) / kRowsPerTask;
    const int begin = task * kRowsPerTask;
    const int end = begin + kRowsPerTask < anchor->rows ? begin + kRowsPerTask : anchor->rows;
    const size_t columns = anchor->columns;
    for (int row = begin; row < end; ++row) {
      const Scalar weight = anchor->weights[row];
      if (weight == 0.0f) continue;
      for (size_t i = row * columns; i < (row + 1) * columns; ++i)
        anchor->grad[i] += weight * (anchor->target ? anchor->param[i] - anchor->target[i] : anchor->param[i]);
    }
  });
}

}  // namespace headsplat
