#include "bench/peers/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <type_traits>

#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

// What the programs rely on.
static_assert(sizeof(Barrier) == 16 && std::is_standard_layout_v<Barrier>);
static_assert(offsetof(ProcessReport, verified) == 0 && offsetof(ProcessReport, started_ns) == 8 &&
              offsetof(ProcessReport, finished_ns) == 16 && offsetof(ProcessReport, error) == 40 &&
              sizeof(ProcessReport::error) == 480);

template <typename Side>
std::vector<std::string> CommonArguments(const Run& run, const Side& side, const char* role) {
  return {fmt::format("role={}", role),
          fmt::format("index={}", side.index),
          fmt::format("area=/proc/self/fd/{}", side.area.fd),
          fmt::format("warm={}", side.area.OffsetOf(side.area.warm)),
          fmt::format("start={}", side.area.OffsetOf(side.start)),
          fmt::format("done={}", side.area.OffsetOf(side.done)),
          fmt::format("report={}", side.area.OffsetOf(side.report)),
          fmt::format("size={}", run.size),
          fmt::format("producers={}", run.producers),
          fmt::format("consumers={}", run.consumers),
          fmt::format("wait={}", run.wait == Wait::kPark ? "park" : "spin"),
          fmt::format("records={}", run.records),
          fmt::format("interval_ns={}", run.interval_ns),
          fmt::format("stamp_every={}", run.stamp_every()),
          fmt::format("directory={}", run.directory)};
}

}  // namespace

std::vector<std::string> ArgumentsOf(const Run& run, const ProducerSide& side) {
  return CommonArguments(run, side, "producer");
}

std::vector<std::string> ArgumentsOf(const Run& run, const ConsumerSide& side) {
  auto all = CommonArguments(run, side, "consumer");
  all.push_back(fmt::format("times={}", side.area.OffsetOf(side.times.data())));
  all.push_back(fmt::format("times_count={}", side.times.size()));
  return all;
}

absl::Status RunProgram(const std::vector<std::string>& command, int area) {
  if (area >= 0 && fcntl(area, F_SETFD, 0) != 0) {
    return absl::UnavailableError(fmt::format("handing over the run's area: {}", std::strerror(errno)));
  }
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  return absl::UnavailableError(fmt::format("{}: {}", command[0], std::strerror(errno)));
}

#ifdef LIBBUS_BENCH_JAVA
std::vector<std::string> JavaCommand(const std::vector<std::string>& options, const std::string& main_class) {
  std::vector<std::string> command = {LIBBUS_BENCH_JAVA};
  command.insert(command.end(), std::begin(settings::kJavaOptions), std::end(settings::kJavaOptions));
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), {"-cp", LIBBUS_BENCH_CLASSPATH, main_class});
  return command;
}
#endif

}  // namespace libbus::bench
