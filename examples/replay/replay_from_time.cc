// A rehearsal: what happened from a certain time on, handed to a handler once more, at ten times the speed.
//
//   replay_from_time BUS TOPIC TIME [SPEED]
//
// TIME is RFC 3339 (2026-11-21T14:30:00Z). SPEED: 1 as it was recorded, 10 (the default) ten times as fast, 0 without
// waiting. The handler here prints how much later than the first record each was published, and its text; Ctrl-C ends
// it between two records.
#include <absl/time/time.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "libbus/bus.h"

namespace {

volatile std::sig_atomic_t g_interrupted = 0;

[[noreturn]] void Fail(const absl::Status& status) {
  std::cerr << "replay_from_time: " << status.message() << "\n";
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

// The range: from the first record that is not older than `time` up to what is there now. Clocks of producers differ,
// so a few behind it may be older.
libbus::Consumer Open(const std::string& path, const std::string& name, absl::Time time) {
  libbus::Bus bus = Must(libbus::Bus::Open(path, {.read_only = true}));
  libbus::Topic topic = Must(bus.OpenTopic(name));
  return Must(topic.NewConsumer({.from = libbus::From::Time(time), .to = libbus::From::End()}));
}

// What you would test: it sees the records in their order, and in their time.
class Handler {
 public:
  absl::Status operator()(const libbus::RecordView& record) {
    if (!first_) first_ = record.timestamp();
    std::cout << "+" << absl::ToInt64Milliseconds(record.timestamp() - *first_) << "ms " << record.text() << std::endl;
    return absl::OkStatus();  // an error would end the replay there
  }

 private:
  std::optional<absl::Time> first_;
};

}  // namespace

int main(int argc, char** argv) {
  absl::Time time;
  std::string problem;
  if ((argc != 4 && argc != 5) || !absl::ParseTime(absl::RFC3339_full, argv[3], &time, &problem)) {
    std::cerr << "usage: replay_from_time BUS TOPIC TIME [SPEED]\n" << problem;
    return 2;
  }
  libbus::Consumer consumer = Open(argv[1], argv[2], time);
  std::signal(SIGINT, [](int) { g_interrupted = 1; });

  libbus::ReplayReport report;
  const absl::Status status = libbus::Replay(consumer, Handler(),
                                             {.speed = argc == 5 ? std::atof(argv[4]) : 10,
                                              // Asked at least every 50 ms, also while it waits.
                                              .progress = [](uint64_t, uint64_t) { return g_interrupted == 0; }},
                                             report);
  std::cerr << report.records << " records, the next one at " << report.next << "\n";
  if (absl::IsCancelled(status)) return 130;
  if (!status.ok()) Fail(status);
  return report.losses == 0 ? 0 : 3;
}
