// Prints the records of the topic greetings, from the first one on, and waits for more:
//
//   hello_follow BUS [COUNT]
//
// With COUNT it ends after so many. Start as many as you like: each sees every record.
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "libbus/bus.h"

namespace {

libbus::Consumer* g_consumer = nullptr;

int Fail(const absl::Status& status) {
  std::cerr << "hello_follow: " << status.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) return std::cerr << "usage: hello_follow BUS [COUNT]\n", 2;
  uint64_t left = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : UINT64_MAX;

  absl::StatusOr<libbus::Bus> bus = libbus::Bus::Open(argv[1], {.create = true});
  if (!bus.ok()) return Fail(bus.status());
  absl::StatusOr<libbus::Topic> topic = bus->OpenTopic("greetings", {.create = true});
  if (!topic.ok()) return Fail(topic.status());
  absl::StatusOr<libbus::Consumer> consumer = topic->NewConsumer({.from = libbus::From::Start()});
  if (!consumer.ok()) return Fail(consumer.status());

  // Ctrl-C ends the loop below: Interrupt() may be called from a signal handler.
  g_consumer = &*consumer;
  std::signal(SIGINT, [](int) { g_consumer->Interrupt(); });

  // The loop sleeps while there is nothing to read. `record` is a view into the log itself; no byte is copied.
  if (left == 0) return 0;
  for (const libbus::RecordView& record : consumer->Records()) {
    std::cout << record.position() << " " << record.text() << std::endl;
    if (--left == 0) return 0;
  }
  return absl::IsCancelled(consumer->status()) ? 130 : Fail(consumer->status());
}
