// Prints what comes on any of several topics, each line with the name of its topic:
//
//   follow_many BUS TOPIC...
//
// One thread and one sleep for all of them, however many there are. Ends when every topic has been removed.
#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "libbus/bus.h"

namespace {

libbus::Consumer* g_first = nullptr;

int Fail(const absl::Status& status) {
  std::cerr << "follow_many: " << status.message() << "\n";
  return 1;
}

// Prints what is there, at most so much that the others get their turn. OK, or why there will be no more.
absl::Status Drain(libbus::Consumer& consumer, const std::string& name) {
  absl::StatusOr<libbus::RecordBatch> records = consumer.Poll(100);
  if (!records.ok()) return records.status();
  for (const libbus::RecordView& record : *records) {
    if (record.kind() == libbus::RecordKind::kData) std::cout << name << " " << record.text() << "\n";
  }
  std::cout.flush();
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::cerr << "usage: follow_many BUS TOPIC...\n", 2;
  absl::StatusOr<libbus::Bus> bus = libbus::Bus::Open(argv[1], {.create = true});
  if (!bus.ok()) return Fail(bus.status());

  std::vector<std::string> names(argv + 2, argv + argc);
  std::vector<libbus::Consumer> consumers;
  for (const std::string& name : names) {
    absl::StatusOr<libbus::Topic> topic = bus->OpenTopic(name, {.create = true});
    if (!topic.ok()) return Fail(topic.status());
    absl::StatusOr<libbus::Consumer> consumer = topic->NewConsumer();
    if (!consumer.ok()) return Fail(consumer.status());
    consumers.push_back(*std::move(consumer));
  }
  // Ctrl-C: an interrupt of any of them ends the wait.
  std::vector<libbus::Consumer*> open;
  open.reserve(consumers.size());
  for (libbus::Consumer& consumer : consumers) open.push_back(&consumer);
  g_first = &consumers.front();
  std::signal(SIGINT, [](int) { g_first->Interrupt(); });

  while (!open.empty()) {
    const absl::StatusOr<size_t> ready = libbus::WaitAny(open);
    if (absl::IsCancelled(ready.status())) return 130;
    if (!ready.ok()) return Fail(ready.status());
    libbus::Consumer* const consumer = open[*ready];
    const std::string& name = names[static_cast<size_t>(consumer - consumers.data())];
    if (const absl::Status status = Drain(*consumer, name); !status.ok()) {
      std::cerr << "follow_many: " << status.message() << "\n";
      // The interrupt stays with a consumer that waits.
      if (consumer == g_first && open.size() > 1) g_first = open[*ready == 0 ? 1 : 0];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(*ready));
    }
  }
  return 0;
}
