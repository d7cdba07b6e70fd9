// Publishes each line of its input to the topic greetings of a bus:
//
//   echo "good morning" | hello_publish BUS
//
// and hello_follow, in another terminal, prints it.
#include <iostream>
#include <string>

#include "libbus/bus.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "hello_publish: " << status.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: hello_publish BUS\n", 2;

  // A bus is a directory, a topic an append-only log in it. Here both are made when they are not there yet.
  absl::StatusOr<libbus::Bus> bus = libbus::Bus::Open(argv[1], {.create = true});
  if (!bus.ok()) return Fail(bus.status());
  absl::StatusOr<libbus::Topic> topic = bus->OpenTopic("greetings", {.create = true});
  if (!topic.ok()) return Fail(topic.status());
  absl::StatusOr<libbus::Producer> producer = topic->NewProducer();
  if (!producer.ok()) return Fail(producer.status());

  std::string line;
  while (std::getline(std::cin, line)) {
    // When Publish returns, every consumer in every process can read the record, and kill -9 cannot take it away.
    absl::StatusOr<libbus::Position> position = producer->Publish(line);
    if (!position.ok()) return Fail(position.status());
    std::cout << *position << " " << line << std::endl;
  }
}
