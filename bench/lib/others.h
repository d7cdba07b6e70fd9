// What everybody else took of the machine while something ran here: time of the cores, and time that the host gave to
// other guests.
#ifndef LIBBUS_BENCH_OTHERS_H_
#define LIBBUS_BENCH_OTHERS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace libbus::bench {

// Core time since boot, as the kernel adds it up, in ns.
struct CoreTimes {
  uint64_t busy = 0;    // user, nice, system, interrupts
  uint64_t stolen = 0;  // by the host
};

// Of the first line of /proc/stat; zeros where it is another file.
CoreTimes ParseCoreTimes(std::string_view stat, uint64_t ticks_a_second);

// Runs from where it is made. The children that count as ours are those that were waited for in between.
class OthersWatch {
 public:
  OthersWatch();

  // What the others took since then, beside this process and its children, and how long that was, both in ns.
  struct Share {
    uint64_t taken = 0;
    uint64_t elapsed = 0;

    // More than a twentieth of a core, and more than the three ticks of 10 ms that the kernel's own count may be off.
    bool disturbs() const { return taken > kUnsureNs && taken > elapsed / 20; }
  };
  Share Look() const;

 private:
  static constexpr uint64_t kUnsureNs = 30'000'000;

  CoreTimes cores_;
  uint64_t own_;
  uint64_t started_;
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_OTHERS_H_
