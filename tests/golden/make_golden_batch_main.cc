// Makes the golden files of batches in this format version: a bus with the topic "batches", as
// tests/golden/golden_batch_test.cc expects it. Like tests/golden/make_golden_main.cc it was run once.
//
//   make_golden_batch_main DIR        DIR/bus and DIR/batches appear; DIR must not be there yet
#include <absl/time/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "libbus/bus.h"

namespace {

using libbus::Batch;
using libbus::Bus;
using libbus::Header;
using libbus::Producer;
using libbus::RecordOptions;
using libbus::Topic;

// Prints why and ends the program.
void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "make_golden_batch: %s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T Take(absl::StatusOr<T> result) {
  Require(result.status());
  return *std::move(result);
}

// Record n was published n seconds and n nanoseconds after this.
RecordOptions At(int n) { return {.timestamp = absl::FromUnixNanos(1'700'000'000'000'000'000 + n * 1'000'000'001ll)}; }

void Publish(Producer& producer) {
  Take(producer.Publish("single", At(0)));

  Batch batch = producer.NewBatch();
  Require(batch.Add("one", At(1)));
  Require(batch.Add("", At(2)));
  const Header headers[] = {{"content-type", "text/plain"}};
  RecordOptions all = At(3);
  all.key = "user-42";
  all.headers = headers;
  all.type = 7;
  Require(batch.Add("three", all));
  Take(batch.Commit());

  Take(producer.Publish("between", At(4)));

  // More than a segment.
  for (int i = 0; i < 40; ++i) Require(batch.Add("record " + std::to_string(i) + std::string(120, '.'), At(5 + i)));
  Take(batch.Commit());

  Require(batch.Add("alone", At(45)));
  Take(batch.Commit());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || access(argv[1], F_OK) == 0) {
    std::fprintf(stderr, "make_golden_batch_main DIR: makes DIR, which must not be there yet\n");
    return 2;
  }
  Bus bus = Take(Bus::Open(argv[1], {.create = true, .background = false}));
  Topic topic =
      Take(bus.OpenTopic("batches", {.create = true, .segment_size = 4096, .timestamps = libbus::Timestamps::kNone}));
  Producer producer = Take(topic.NewProducer({.name = "golden"}));
  Publish(producer);
  return 0;
}
