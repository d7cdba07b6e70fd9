// Money moves from one account to another: two records, one that takes and one that gives, published as one batch.
//
//   transfers BUS book < FILE     each line "FROM TO AMOUNT" becomes a batch of two postings
//   transfers BUS balances        the balance of each account, and their sum: always 0
//
// A posting alone would make or lose money. Published one after the other, a kill between the two would leave one;
// a batch is there whole or not at all, for every reader, whatever dies when.
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "libbus/bus.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "transfers: " << status.message() << "\n";
  return 1;
}

// The account is the key, the amount the text.
int Book(libbus::Topic& topic) {
  absl::StatusOr<libbus::Producer> producer = topic.NewProducer({.name = "transfers"});
  if (!producer.ok()) return Fail(producer.status());
  libbus::Batch batch = producer->NewBatch();  // filled again and again: its memory is kept
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string from, to;
    long amount = 0;
    if (!(in >> from >> to >> amount)) return std::cerr << "transfers: not \"FROM TO AMOUNT\": " << line << "\n", 1;
    absl::Status status = batch.Add(std::to_string(-amount), {.key = from});
    status.Update(batch.Add(std::to_string(amount), {.key = to}));
    if (!status.ok()) return Fail(status);
    absl::StatusOr<libbus::Position> first = batch.Commit();
    if (!first.ok()) return Fail(first.status());
    std::cout << "booked at " << *first << std::endl;
  }
  return 0;
}

int Balances(libbus::Topic& topic) {
  absl::StatusOr<libbus::Consumer> consumer = topic.NewConsumer({.to = libbus::From::End()});
  if (!consumer.ok()) return Fail(consumer.status());
  std::map<std::string, long> balances;
  long sum = 0;
  for (const libbus::RecordView& posting : consumer->Records(absl::Seconds(10))) {
    if (posting.kind() == libbus::RecordKind::kGap) continue;
    const long amount = std::stol(std::string(posting.text()));
    balances[std::string(posting.key())] += amount;
    sum += amount;
  }
  if (!absl::IsOutOfRange(consumer->status())) return Fail(consumer->status());
  for (const auto& [account, balance] : balances) std::cout << account << " " << balance << "\n";
  std::cout << "sum " << sum << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[2] : "";
  if (what != "book" && what != "balances") return std::cerr << "usage: transfers BUS book|balances\n", 2;
  absl::StatusOr<libbus::Bus> bus = libbus::Bus::Open(argv[1], {.create = true});
  if (!bus.ok()) return Fail(bus.status());
  absl::StatusOr<libbus::Topic> topic = bus->OpenTopic("postings", {.create = true});
  if (!topic.ok()) return Fail(topic.status());
  return what == "book" ? Book(*topic) : Balances(*topic);
}
