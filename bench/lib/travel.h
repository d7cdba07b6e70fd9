// How far apart two cores are: the time that one cache line takes from the one to the other, by ping-pong. On virtual
// machines it changes from one moment to the next, and with it every figure of a bus by a factor of three to five; so
// it is measured before and after each run, and runs are compared only within a class.
#ifndef LIBBUS_BENCH_TRAVEL_H_
#define LIBBUS_BENCH_TRAVEL_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>

namespace libbus::bench {

// kOne: this process may use one core only, and nothing travels.
enum class Distance : uint8_t { kNear, kFar, kOne };

std::string_view DistanceName(Distance distance);

struct Travel {
  uint64_t ns = 0;  // one way; 0: one core
  Distance distance = Distance::kOne;
};

// Of a way of so many nanoseconds. Two caches of one chip are 25 to 70 ns apart, two chips or sockets 240 to 285.
inline constexpr uint64_t kFarNs = 130;
constexpr Distance DistanceOf(uint64_t ns) { return ns < kFarNs ? Distance::kNear : Distance::kFar; }

// Between the first two cores that this process may use: a few milliseconds. The median of short stretches, so that a
// core that is taken away for a moment does not count. RESOURCE_EXHAUSTED: no second process. DEADLINE_EXCEEDED: it
// did not get a core for seconds.
absl::StatusOr<Travel> MeasureTravel();

// The cores that this process may use.
uint32_t Cores();

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_TRAVEL_H_
