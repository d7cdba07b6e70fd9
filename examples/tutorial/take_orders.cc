// Publishes COUNT orders to the topic "orders":
//
//   take_orders BUS COUNT [stall]
//
// With "stall" it then begins one more, in place, and never finishes it: something to kill.
#include <libbus/bus.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>

namespace {

absl::Status TakeOrders(const std::string& path, int count, bool stall) {
  auto bus = libbus::Bus::Open(path);
  if (!bus.ok()) return bus.status();
  auto topic = bus->OpenTopic("orders");
  if (!topic.ok()) return topic.status();
  auto producer = topic->NewProducer({.name = "take_orders"});
  if (!producer.ok()) return producer.status();
  for (int i = 1; i <= count; ++i) {
    const auto position = producer->Publish("order " + std::to_string(i), {.key = "customer-7"});
    if (!position.ok()) return position.status();
    std::cout << "published at " << *position << std::endl;
  }
  if (!stall) return absl::OkStatus();
  auto claim = producer->Claim(8);
  if (!claim.ok()) return claim.status();
  std::fill_n(claim->bytes().begin(), 4, std::byte{'?'});
  std::cout << "half an order is written" << std::endl;
  while (true) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::cerr << "usage: take_orders BUS COUNT [stall]\n", 2;
  const absl::Status status = TakeOrders(argv[1], std::atoi(argv[2]), argc > 3);
  if (!status.ok()) std::cerr << "take_orders: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
