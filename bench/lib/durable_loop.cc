#include "bench/lib/durable_loop.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace libbus::bench {

uint64_t WrittenBytesOf(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/io", process));
  std::string name;
  uint64_t value = 0;
  while (file >> name >> value) {
    if (name == "write_bytes:") return value;
  }
  return 0;
}

uint64_t WrittenBytes() { return WrittenBytesOf(getpid()); }

absl::StatusOr<uint64_t> CheckCount(const DurableRun& run, const Verifier& verifier) {
  if (verifier.verified() == run.total()) return 0;
  return absl::InternalError(fmt::format("{} of {} records are there", verifier.verified(), run.total()));
}

void SleepUntil(uint64_t due) {
  const timespec time = {.tv_sec = static_cast<time_t>(due / 1'000'000'000),
                         .tv_nsec = static_cast<int64_t>(due % 1'000'000'000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) != 0) {
  }
}

}  // namespace libbus::bench
