// A worker that goes on where it was, however it ended: its place is a named cursor.
//
//   cursor_worker BUS OUT         handles each record of the topic "orders", once it is there
//   cursor_worker BUS OUT COUNT   the same, and is killed (SIGKILL, by itself) after so many records
//
// What it does with an order is to write it to the file OUT; what is there may be there again. So it commits behind its
// work: killed in between, the next run does the last record once more. Committing before it would lose that one
// instead. Where the work and the place can be kept in one transaction, nothing comes twice: see
// examples/etl/etl_load.cc.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include "libbus/bus.h"

namespace {

[[noreturn]] void Fail(const absl::Status& status) {
  std::cerr << "cursor_worker: " << status.message() << "\n";
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

// A second worker with the same cursor would be refused: FAILED_PRECONDITION, which names this process.
libbus::Consumer Open(const std::string& path) {
  libbus::Bus bus = Must(libbus::Bus::Open(path));
  libbus::Topic orders = Must(bus.OpenTopic("orders"));
  return Must(orders.NewConsumer({.from = libbus::From::Start(), .cursor = "worker"}));
}

void Work(libbus::Consumer& consumer, const std::string& out_path, long count) {
  std::ofstream out(out_path, std::ios::app);
  for (long done = 0; done != count; ++done) {
    const libbus::RecordView order = Must(consumer.Next());
    if (order.kind() != libbus::RecordKind::kData) continue;  // a gap: what was lost, and why, is in order.gap()
    out << order.position() << " " << order.text() << std::endl;
    if (const absl::Status committed = consumer.Commit(); !committed.ok()) Fail(committed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: cursor_worker BUS OUT [COUNT]\n";
    return 2;
  }
  libbus::Consumer consumer = Open(argv[1]);
  std::cout << "goes on at " << consumer.position() << ", " << Must(consumer.Lag()).bytes << " bytes behind"
            << std::endl;
  Work(consumer, argv[2], argc == 4 ? std::atol(argv[3]) : -1);
  std::raise(SIGKILL);
}
