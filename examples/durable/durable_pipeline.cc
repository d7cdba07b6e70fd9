// A pipeline that acknowledges only what no power loss takes back: stdin -> [orders] -> [invoices].
//
//   durable_pipeline BUS feed < FILE    publishes each line of the file as an order
//   durable_pipeline BUS work           writes an invoice for each order, and ends when there are no more
//
// Both work in batches: they publish plainly, which costs next to nothing, then wait once until the last record of the
// batch is durable. Whatever was committed before it is durable with it, so one sync serves the whole batch. Only then
// do they acknowledge, on stdout: whoever sent this may forget it now.
//
// Either may be killed at any moment, and started again the same way: it goes on behind the last record that it finds
// in its output. `work` reads only durable orders, or a power loss could leave invoices without orders.
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "libbus/bus.h"

namespace {

constexpr int kBatch = 100;

[[noreturn]] void Fail(const absl::Status& status) {
  std::cerr << "durable_pipeline: " << status.message() << "\n";
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

// A stage's output: numbered records, each with the position of what it was made from.
class Output {
 public:
  Output(libbus::Bus& bus, std::string_view name)
      : topic_(Must(bus.OpenTopic(name, {.create = true}))), producer_(Must(topic_.NewProducer())) {
    FindLast();
    // The run before may have been killed between publishing these and waiting for them.
    if (last_) Acknowledge();
  }

  uint64_t count() const { return count_; }
  std::optional<libbus::Position> source() const { return source_; }

  void Publish(std::string_view text, std::optional<libbus::Position> source) {
    ++count_;
    last_ = Must(producer_.Publish(text, {.source = source, .producer = "pipeline", .producer_sequence = count_}));
    if (++pending_ == kBatch) Acknowledge();
  }

  // At the end, when the last batch was not a full one.
  void Finish() {
    if (pending_ > 0) Acknowledge();
  }

 private:
  // Waits until all that was published is durable, and says so.
  void Acknowledge() {
    pending_ = 0;
    if (const absl::Status durable = topic_.WaitDurable(*last_); !durable.ok()) Fail(durable);
    std::cout << topic_.name() << ": " << count_ << " are durable, the last at " << *last_ << std::endl;
  }

  // Nearly always the last record is one of data; each kill may leave a gap behind it.
  void FindLast() {
    libbus::Consumer consumer = Must(topic_.NewConsumer({.from = libbus::From::Last(1000)}));
    for (const libbus::RecordView& record : consumer.Records(absl::ZeroDuration())) {
      if (record.kind() != libbus::RecordKind::kData) continue;
      last_ = record.position();
      source_ = record.source();
      count_ = record.producer_sequence();
    }
    if (!absl::IsDeadlineExceeded(consumer.status())) Fail(consumer.status());
  }

  libbus::Topic topic_;
  libbus::Producer producer_;
  uint64_t count_ = 0;
  int pending_ = 0;  // published, not yet acknowledged
  std::optional<libbus::Position> last_, source_;
};

void Feed(libbus::Bus& bus) {
  Output orders(bus, "orders");
  uint64_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    if (++number > orders.count()) orders.Publish(line, std::nullopt);
  }
  orders.Finish();
}

void Work(libbus::Bus& bus) {
  libbus::Topic orders = Must(bus.OpenTopic("orders"));
  Output invoices(bus, "invoices");
  libbus::Consumer consumer = Must(orders.NewConsumer({.limit = libbus::Limit::kDurable}));
  if (invoices.source()) {
    if (const absl::Status found = consumer.Seek(libbus::From::At(*invoices.source())); !found.ok()) Fail(found);
    Must(consumer.Next());  // this one has its invoice
  }
  for (const libbus::RecordView& order : consumer.Records(absl::ZeroDuration())) {
    if (order.kind() != libbus::RecordKind::kData) continue;
    invoices.Publish("invoice for " + std::string(order.text()), order.position());
  }
  if (!absl::IsDeadlineExceeded(consumer.status())) Fail(consumer.status());
  invoices.Finish();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view stage = argc == 3 ? argv[2] : "";
  if (stage != "feed" && stage != "work") return std::cerr << "usage: durable_pipeline BUS feed|work\n", 2;
  libbus::Bus bus = Must(libbus::Bus::Open(argv[1], {.create = true}));
  stage == "feed" ? Feed(bus) : Work(bus);
}
