// Counts the words of a topic, a little each time it is started; no daemon, no file of its own.
//
//   counter BUS
//
// Say hello_publish, or `bus pub`, has put lines into the topic greetings. Each run of this program reads the lines
// that have come since its last run, adds their words to the count, says so, and ends. Its state is the last record of
// the topic counter-state: the count is the payload, and the source position says up to where greetings was counted.
// Both are in one record, so a kill at any moment leaves either the old pair or the new one.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

#include "libbus/bus.h"

namespace {

struct State {
  uint64_t words = 0;
  std::optional<libbus::Position> read_up_to;
};

[[noreturn]] void Fail(const absl::Status& status) {
  std::cerr << "counter: " << status.message() << "\n";
  std::exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

// From `consumer` to the end as it is now.
template <typename Function>
void ForEach(libbus::Consumer& consumer, const Function& function) {
  for (const libbus::RecordView& record : consumer.Records(absl::ZeroDuration())) {
    if (record.kind() == libbus::RecordKind::kData) function(record);
  }
  if (!absl::IsDeadlineExceeded(consumer.status())) Fail(consumer.status());
}

// The last record wins. There may be a gap behind it, where a run was killed; then the one before the last is the last
// of data, and so on: this program looks back far enough for a thousand kills in a row.
State ReadState(libbus::Topic& topic) {
  libbus::Consumer consumer = Must(topic.NewConsumer({.from = libbus::From::Last(1000)}));
  State state;
  ForEach(consumer, [&](const libbus::RecordView& record) {
    state = {std::stoull(std::string(record.text())), record.source()};
  });
  return state;
}

uint64_t CountWords(std::string_view text) {
  std::istringstream words{std::string(text)};
  return static_cast<uint64_t>(std::distance(std::istream_iterator<std::string>(words), {}));
}

// Reads what has come since, and returns how many records that was.
uint64_t CountNew(libbus::Topic& topic, State& state) {
  const libbus::From from = state.read_up_to ? libbus::From::At(*state.read_up_to) : libbus::From::Start();
  libbus::Consumer consumer = Must(topic.NewConsumer({.from = from}));
  uint64_t records = 0;
  ForEach(consumer, [&](const libbus::RecordView& record) {
    state.words += CountWords(record.text());
    ++records;
  });
  state.read_up_to = consumer.position();
  return records;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: counter BUS\n", 2;
  libbus::Bus bus = Must(libbus::Bus::Open(argv[1], {.create = true}));
  libbus::Topic greetings = Must(bus.OpenTopic("greetings", {.create = true}));
  libbus::Topic states = Must(bus.OpenTopic("counter-state", {.create = true}));
  libbus::Producer producer = Must(states.NewProducer());

  State state = ReadState(states);
  const uint64_t records = CountNew(greetings, state);
  if (records > 0) Must(producer.Publish(std::to_string(state.words), {.source = state.read_up_to}));
  std::cout << records << " new records, " << state.words << " words in all" << std::endl;
}
