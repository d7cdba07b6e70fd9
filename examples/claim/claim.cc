// Publishes without a copy: claims room in the log, fills it in place, and commits less than it had claimed.
//
//   claim BUS
//
// What it publishes is the prime numbers below 1000.
#include <cstring>
#include <iostream>

#include "libbus/bus.h"

namespace {

constexpr size_t kLimit = 1000;

int Fail(const absl::Status& status) {
  std::cerr << "claim: " << status.message() << "\n";
  return 1;
}

bool IsPrime(uint32_t number) {
  for (uint32_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number >= 2;
}

// Writes the primes below kLimit to `out`, four bytes each, and returns how many bytes that took.
size_t FillPrimes(std::span<std::byte> out) {
  size_t size = 0;
  for (uint32_t number = 0; number < kLimit; ++number) {
    if (!IsPrime(number)) continue;
    std::memcpy(&out[size], &number, sizeof number);
    size += sizeof number;
  }
  return size;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: claim BUS\n", 2;
  absl::StatusOr<libbus::Bus> bus = libbus::Bus::Open(argv[1], {.create = true});
  if (!bus.ok()) return Fail(bus.status());
  absl::StatusOr<libbus::Topic> topic = bus->OpenTopic("primes", {.create = true});
  if (!topic.ok()) return Fail(topic.status());
  absl::StatusOr<libbus::Producer> producer = topic->NewProducer();
  if (!producer.ok()) return Fail(producer.status());

  // Nobody knows yet how many primes there are, only that they cannot be more than this.
  absl::StatusOr<libbus::ClaimedRecord> claim = producer->Claim(kLimit * sizeof(uint32_t));
  if (!claim.ok()) return Fail(claim.status());
  const size_t claimed = claim->bytes().size();

  // The bytes lie in the log, but until Commit no consumer sees them. Without Commit, or if the process dies here,
  // consumers step over them.
  const size_t used = FillPrimes(claim->bytes());
  absl::StatusOr<libbus::Position> position = std::move(*claim).Commit(used);
  if (!position.ok()) return Fail(position.status());

  // Read it back: the view points into the same pages, and payloads are aligned to 8 bytes.
  absl::StatusOr<libbus::Consumer> consumer = topic->NewConsumer({.from = libbus::From::At(*position)});
  if (!consumer.ok()) return Fail(consumer.status());
  absl::StatusOr<libbus::RecordView> record = consumer->Next();
  if (!record.ok()) return Fail(record.status());
  const auto* primes = reinterpret_cast<const uint32_t*>(record->payload().data());
  const size_t count = record->payload().size() / sizeof(uint32_t);
  std::cout << "claimed " << claimed << " bytes, committed " << used << ": " << count << " primes, the last is "
            << primes[count - 1] << std::endl;
}
