// Power cuts on all processors: workers, each a process bound to one of them, take numbers of workloads until together
// they have done enough. What a workload does hangs on its number alone, so which of them did it does not matter.
#ifndef LIBBUS_TESTS_CRASH_POWER_WORKERS_H_
#define LIBBUS_TESTS_CRASH_POWER_WORKERS_H_

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/crash/power_check.h"
#include "tests/support/processes.h"

namespace libbus::test {

class PowerWorkers {
 public:
  static constexpr size_t kMost = 64;
  static constexpr unsigned kStuck = 300;  // seconds for one workload: it takes less than one

  // Does the workload with this number, and counts.
  using Work = std::function<void(uint64_t number, Tally& tally)>;
  // Whether to do one more after so many images, of which so many were wrong.
  using More = std::function<bool(uint64_t images, uint64_t wrong)>;

  // The processors that this process may use.
  static std::vector<int> Processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> found;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return found;
    for (int cpu = 0; cpu < CPU_SETSIZE && found.size() < kMost; ++cpu) {
      if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    }
    return found;
  }

  // Numbers from `first` on. What all of them counted together.
  Tally Run(uint64_t first, const Work& work, const More& more) {
    const std::vector<int> processors = Processors();
    std::vector<Child> children;
    for (size_t i = 0; i < std::max<size_t>(processors.size(), 1); ++i) {
      children.emplace_back([&, i] {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (i < processors.size()) BindTo(processors[i]);
        return RunOne(i, first, work, more);
      });
    }
    Tally sum;
    for (size_t i = 0; i < children.size(); ++i) {
      const int code = children[i].Join();
      const Desk& desk = board_->desks[i];
      EXPECT_EQ(code, 0) << "a worker ended so at workload " << desk.number;
      if (code != 0) board_->broken = true;  // the others stop
      sum.Add(desk.counts);
      if (desk.message[0] != '\0') sum.messages.emplace_back(desk.message);
    }
    return sum;
  }

 private:
  struct Desk {
    uint64_t number = 0;  // of the workload that it does
    Counts counts;
    char message[4096] = {};
  };
  struct Board {
    std::atomic<uint64_t> taken{0};
    std::atomic<uint64_t> images{0};
    std::atomic<uint64_t> wrong{0};
    std::atomic<bool> broken{false};
    std::array<Desk, kMost> desks;
  };

  // The two threads of a workload take turns: on one processor that is a switch, else a wake-up.
  static void BindTo(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
  }

  int RunOne(size_t i, uint64_t first, const Work& work, const More& more) {
    Desk& desk = board_->desks[i];
    Tally tally;
    while (!board_->broken && more(board_->images, board_->wrong) && !testing::Test::HasFailure()) {
      desk.number = first + board_->taken++;
      const uint64_t images = tally.images;
      const uint64_t wrong = tally.wrong();
      alarm(kStuck);
      work(desk.number, tally);
      desk.counts = tally;
      board_->images += tally.images - images;
      board_->wrong += tally.wrong() - wrong;
    }
    const std::string message = fmt::format("{}", fmt::join(tally.messages, "\n"));
    std::strncpy(desk.message, message.c_str(), sizeof(desk.message) - 1);
    return testing::Test::HasFailure() ? 1 : 0;
  }

  Shared<Board> board_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_WORKERS_H_
