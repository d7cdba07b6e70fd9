// Extract: publishes the records of the input to the topic raw, as they stand in it.
//
//   etl_extract BUS [--generations N] [--pause-at N]... [FILE...]
//
// Without FILE: the package lists of this Debian machine. N times over, each time with the number of the generation.
// Before record N of --pause-at it waits until it is sent a line. Started again after a kill it goes on behind the last
// record in raw.
#include <fmt/format.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "examples/etl/common.h"
#include "examples/etl/input.h"

namespace etl {
namespace {

struct Options {
  std::string bus;
  uint64_t generations = 1;
  std::vector<uint64_t> pauses;  // rising
  std::vector<std::string> files;
};

constexpr const char* kUsage = "usage: etl_extract BUS [--generations N] [--pause-at N]... [FILE...]";

Options ReadOptions(int argc, char** argv) {
  if (argc < 2) Die(kUsage);
  Options options;
  options.bus = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::string_view name = argv[i];
    const bool number_follows = name == "--generations" || name == "--pause-at";
    if (!number_follows) {
      options.files.emplace_back(name);
      continue;
    }
    if (++i == argc) Die(kUsage);
    const uint64_t number = std::strtoull(argv[i], nullptr, 10);
    if (name == "--pause-at") options.pauses.push_back(number);
    if (name == "--generations") options.generations = number;
  }
  if (options.files.empty()) options.files = Must(DefaultFiles(std::string(kDpkgStatus), std::string(kAptLists)));
  return options;
}

// What transform has to know to read the records: the form and, of a CSV, the columns.
void Describe(libbus::Producer& raw, const Input& input) {
  Must(raw.Publish(input.columns, {.key = FormName(input.form), .type = kDescription}).status());
}

// Nobody at the other end is as good as a line.
void WaitForLine() {
  std::string line;
  std::getline(std::cin, line);
}

void PublishRecord(std::string_view record, uint64_t number, uint64_t generation, libbus::Producer& raw) {
  const std::string text = std::to_string(generation);
  const libbus::Header header{kGeneration, text};
  Must(raw.Publish(record,
                   {.headers = {&header, 1}, .type = kRecord, .producer = kNumberedBy, .producer_sequence = number})
           .status());
}

void PublishFrom(uint64_t next, const Options& options, const Input& input, libbus::Producer& raw) {
  const uint64_t size = input.records.size();
  auto pause = options.pauses.begin();
  for (uint64_t number = next; number < size * options.generations; ++number) {
    for (; pause != options.pauses.end() && *pause <= number; ++pause) WaitForLine();
    PublishRecord(input.records[number % size], number, number / size, raw);
  }
  Must(raw.Publish("", {.type = kEndOfInput}).status());
}

void Extract(const Options& options) {
  libbus::Bus bus = Must(libbus::Bus::Open(options.bus));
  libbus::Topic topic = OpenTopic(bus, kRaw);
  libbus::Producer raw = Must(topic.NewProducer({.name = "etl_extract"}));
  const std::optional<LastRecord> last = FindLast(topic);
  if (last && last->type == kEndOfInput) return;
  const Input input = Must(ReadInput(options.files));
  if (!last) Describe(raw, input);
  const uint64_t next = last && last->type == kRecord ? last->number + 1 : 0;
  PublishFrom(next, options, input, raw);
}

}  // namespace
}  // namespace etl

int main(int argc, char** argv) { etl::Extract(etl::ReadOptions(argc, argv)); }
