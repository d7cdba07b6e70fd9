// Makes the golden files of a topic with retention in this format version: a bus with the topic "kept", as
// tests/golden/golden_retention_test.cc expects it: its first segments deleted, with an index and a named cursor. Like
// tests/golden/make_golden_main.cc it was run once.
//
//   make_golden_retention_main DIR        DIR/bus and DIR/kept appear; DIR must not be there yet
#include <absl/time/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "libbus/bus.h"

namespace {

using libbus::Batch;
using libbus::Bus;
using libbus::Consumer;
using libbus::From;
using libbus::Producer;
using libbus::RecordOptions;
using libbus::Topic;

// Prints why and ends the program.
void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "make_golden_retention: %s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T Take(absl::StatusOr<T> result) {
  Require(result.status());
  return *std::move(result);
}

// Sequence n was published n seconds and n nanoseconds after this; 61 as if ten seconds later.
RecordOptions At(int n) {
  const int64_t late = n == 61 ? 10'000'000'000 : 0;
  return {.timestamp = absl::FromUnixNanos(1'700'000'000'000'000'000 + n * 1'000'000'001ll + late)};
}

// Four to a segment.
std::string Long(int n) { return "record " + std::to_string(n) + std::string(890, '.'); }

void Publish(Producer& producer) {
  for (int n = 0; n < 68; ++n) Take(producer.Publish(Long(n), At(n)));
  Require(Take(producer.Claim(16)).Abandon());  // 68 is a gap
  Batch batch = producer.NewBatch();
  for (int n = 69; n < 72; ++n) Require(batch.Add("inner " + std::to_string(n), At(n)));
  Take(batch.Commit());
  for (int n = 72; n < 74; ++n) Take(producer.Publish(Long(n), At(n)));
}

// At 66; and the commit before that, to which a power loss could take it back, behind the segments that are deleted.
void Commit(Topic& topic) {
  Consumer consumer = Take(topic.NewConsumer({.from = From::Sequence(65), .cursor = "worker"}));
  Require(consumer.Commit());
  Take(consumer.Next(absl::ZeroDuration()));
  Require(consumer.Commit());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || access(argv[1], F_OK) == 0) {
    std::fprintf(stderr, "make_golden_retention_main DIR: makes DIR, which must not be there yet\n");
    return 2;
  }
  Bus bus = Take(Bus::Open(argv[1], {.create = true, .background = false}));
  Topic topic = Take(bus.OpenTopic("kept", {.create = true,
                                            .segment_size = 4096,
                                            .timestamps = libbus::Timestamps::kNone,
                                            .retain_bytes = uint64_t{1} << 30,
                                            .retain_age = absl::Hours(168)}));
  Producer producer = Take(topic.NewProducer({.name = "golden"}));
  Publish(producer);
  Require(topic.Sync());
  Require(topic.Maintain());  // makes the index
  Commit(topic);
  Take(topic.Trim(From::Sequence(60)));
  return 0;
}
