// Reads the topic "orders" where it stopped the last time, at most COUNT records, and stops at the end:
//
//   bill_orders BUS COUNT
//
// Its place is the cursor "billing": it is moved on after each order, when that was dealt with.
#include <libbus/bus.h>

#include <cstdlib>
#include <iostream>
#include <string>

namespace {

absl::Status BillOrders(const std::string& path, int count) {
  auto bus = libbus::Bus::Open(path);
  if (!bus.ok()) return bus.status();
  auto topic = bus->OpenTopic("orders");
  if (!topic.ok()) return topic.status();
  auto consumer = topic->NewConsumer({.from = libbus::From::Start(), .cursor = "billing"});
  if (!consumer.ok()) return consumer.status();
  for (int i = 0; i < count; ++i) {
    const auto record = consumer->Next(absl::ZeroDuration());
    if (absl::IsDeadlineExceeded(record.status())) break;  // nothing more is there now
    if (!record.ok()) return record.status();
    if (record->kind() == libbus::RecordKind::kGap) {
      std::cout << "missing: " << record->gap().from << " to " << record->gap().to << std::endl;
    } else {
      std::cout << "billed " << record->text() << " for " << record->key() << std::endl;
    }
    if (absl::Status status = consumer->Commit(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::cerr << "usage: bill_orders BUS COUNT\n", 2;
  const absl::Status status = BillOrders(argv[1], std::atoi(argv[2]));
  if (!status.ok()) std::cerr << "bill_orders: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
