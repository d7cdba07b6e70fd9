// A bus for one case: made, filled and measured in processes of their own, so that the one that starts them never has a
// thread or a mapping of the library.
#ifndef LIBBUS_BENCH_SYSTEM_BUS_H_
#define LIBBUS_BENCH_SYSTEM_BUS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/lib/scratch.h"
#include "bench/system/cases.h"
#include "libbus/bus.h"

namespace libbus::bench {

inline constexpr std::string_view kTopic = "bench";

absl::StatusOr<Topic> OpenTopic(const std::string& bus, const OpenOptions& open = {}, const TopicOptions& topic = {});

// The bytes of all segments of the topic.
std::vector<std::string> SegmentFiles(const std::string& bus);
uint64_t SizeOf(const std::vector<std::string>& files);

// A bus filled with records of one size.
struct Filling {
  uint64_t records = 0;
  size_t size = 1024;                           // bytes of a payload
  uint64_t segment_size = kDefaultSegmentSize;  // bytes
  bool closed = true;                           // false: whoever filled it died
  bool synced = false;
};
absl::Status Fill(const std::string& bus, const Filling& filling);

// Runs `body` in a process of its own, which puts figures into its argument. OK: those.
absl::StatusOr<std::vector<double>> InProcess(const std::function<absl::Status(std::vector<double>& figures)>& body);

// The same with one figure.
absl::StatusOr<double> FigureOf(const std::function<absl::StatusOr<double>()>& body);

// At most `wanted` bytes, of which `copies` find room beside a reserve. `remark` says when that is less.
uint64_t RoomFor(const std::string& directory, uint64_t wanted, uint64_t copies, std::string& remark);

// Seconds and milliseconds since `start`, of NowNs().
double SecondsSince(uint64_t start);
inline double MsSince(uint64_t start) { return SecondsSince(start) * 1e3; }

// "1 GiB", "640 KiB".
std::string Size(uint64_t bytes);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SYSTEM_BUS_H_
