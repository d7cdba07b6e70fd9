#include "bench/lib/others.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "bench/lib/shared.h"

namespace libbus::bench {
namespace {

uint64_t NsOf(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_usec) * 1000;
}

// Of this process and of the children that it has waited for.
uint64_t OwnNs() {
  uint64_t sum = 0;
  for (const auto who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    if (getrusage(who, &usage) == 0) sum += NsOf(usage.ru_utime) + NsOf(usage.ru_stime);
  }
  return sum;
}

CoreTimes ReadCoreTimes() {
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  return ParseCoreTimes(line, static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
}

uint64_t Beyond(uint64_t value, uint64_t floor) { return value > floor ? value - floor : 0; }

}  // namespace

CoreTimes ParseCoreTimes(std::string_view stat, uint64_t ticks_a_second) {
  std::istringstream in{std::string(stat)};
  std::string name;
  uint64_t user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, steal = 0;
  in >> name >> user >> nice >> system >> idle >> waiting >> irq >> softirq >> steal;
  if (!in || name != "cpu" || ticks_a_second == 0) return {};
  const uint64_t tick_ns = 1'000'000'000 / ticks_a_second;
  return {(user + nice + system + irq + softirq) * tick_ns, steal * tick_ns};
}

OthersWatch::OthersWatch() : cores_(ReadCoreTimes()), own_(OwnNs()), started_(NowNs()) {}

OthersWatch::Share OthersWatch::Look() const {
  const CoreTimes now = ReadCoreTimes();
  const uint64_t busy = Beyond(now.busy, cores_.busy);
  return {Beyond(busy, OwnNs() - own_) + Beyond(now.stolen, cores_.stolen), NowNs() - started_};
}

}  // namespace libbus::bench
