#include "bench/lib/travel.h"

#include <sched.h>

#include <atomic>
#include <cerrno>
#include <new>
#include <vector>

#include "bench/lib/processes.h"
#include "bench/lib/shared.h"
#include "bench/lib/statistics.h"
#include "libbus/platform/shared_word.h"

namespace libbus::bench {
namespace {

constexpr uint64_t kStretches = 15;
constexpr uint64_t kTripsAStretch = 100;
constexpr uint64_t kLimitNs = 5'000'000'000;
// Where the other side got no core: how many polls between two looks at the clock.
constexpr uint32_t kPollsALook = 1 << 14;

struct Line {
  alignas(64) std::atomic<uint64_t> word{0};
  alignas(64) uint64_t median_ns = 0;
};

std::vector<int> CoresAllowed() {
  cpu_set_t set;
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cores;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) cores.push_back(i);
  }
  return cores;
}

void StayOn(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  static_cast<void>(sched_setaffinity(0, sizeof(set), &set));
}

// False: it did not come in time.
bool WaitFor(Line& line, uint64_t value, uint64_t limit) {
  for (uint32_t polls = 1; line.word.load(std::memory_order_acquire) != value; ++polls) {
    if (polls % kPollsALook == 0 && NowNs() > limit) return false;
    platform::Relax();
  }
  return true;
}

// The odd values come from here, the even ones back.
int Ping(Line& line, int core) {
  StayOn(core);
  const uint64_t limit = NowNs() + kLimitNs;
  std::vector<uint64_t> ways;
  uint64_t next = 1;
  for (uint64_t stretch = 0; stretch < kStretches; ++stretch) {
    const uint64_t start = NowNs();
    for (uint64_t trip = 0; trip < kTripsAStretch; ++trip, next += 2) {
      line.word.store(next, std::memory_order_release);
      if (!WaitFor(line, next + 1, limit)) return 1;
    }
    ways.push_back((NowNs() - start) / kTripsAStretch / 2);
  }
  line.median_ns = Median(std::move(ways));
  return 0;
}

int Pong(Line& line, int core) {
  StayOn(core);
  const uint64_t limit = NowNs() + kLimitNs;
  for (uint64_t next = 1; next <= 2 * kStretches * kTripsAStretch; next += 2) {
    if (!WaitFor(line, next, limit)) return 1;
    line.word.store(next + 1, std::memory_order_release);
  }
  return 0;
}

}  // namespace

std::string_view DistanceName(Distance distance) {
  switch (distance) {
    case Distance::kNear:
      return "near";
    case Distance::kFar:
      return "far";
    case Distance::kOne:
      break;
  }
  return "one core";
}

uint32_t Cores() { return static_cast<uint32_t>(CoresAllowed().size()); }

absl::StatusOr<Travel> MeasureTravel() {
  const std::vector<int> cores = CoresAllowed();
  if (cores.size() < 2) return Travel{};
  auto memory = Mapping::Anonymous(sizeof(Line));
  if (!memory.ok()) return memory.status();
  Line& line = *new (memory->data()) Line;
  ProcessGroup group;
  auto status = group.Start("pong", [&] { return Pong(line, cores[1]); });
  if (status.ok()) status = group.Start("ping", [&] { return Ping(line, cores[0]); });
  if (status.ok()) status = group.Wait({});
  if (absl::IsInternal(status)) return absl::DeadlineExceededError("two processes got no two cores for seconds");
  if (!status.ok()) return status;
  return Travel{line.median_ns, DistanceOf(line.median_ns)};
}

}  // namespace libbus::bench
