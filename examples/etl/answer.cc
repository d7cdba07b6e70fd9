#include "examples/etl/answer.h"

#include <fmt/format.h>

#include "examples/etl/database.h"
#include "examples/etl/parse.h"

namespace etl {
namespace {

void Count(Stream& stream, const std::string& reason, std::string_view record, libbus::Position position) {
  Stream::Reason& entry = stream.reasons[reason];
  if (entry.count++ > 0) return;
  std::string_view line;
  CutLine(record, line);
  entry.example = Printable(Trim(line));
  entry.position = position;
}

void CountGap(const libbus::Gap& gap, Stream& stream) {
  if (gap.loss()) Die(fmt::format("damage from position {} to {}: try bus verify", gap.from.offset, gap.to.offset));
  ++stream.unfinished;
}

void AddRecord(uint64_t number, std::string_view record, const Outcome& outcome, Answer& answer) {
  answer.in.items.push_back({number, Digest(record, "")});
  if (outcome.kind == Outcome::kOut) {
    answer.out.items.push_back({number, Digest(outcome.key, outcome.body)});
  } else if (outcome.kind == Outcome::kDead) {
    answer.dead.items.push_back({number, Digest(record, outcome.reason)});
    Count(answer.dead, outcome.reason, record, {});
  } else {
    ++answer.filtered_reasons[outcome.reason];
    ++answer.filtered;
  }
}

// Every generation gives the same, `size` numbers further on.
void Repeat(Stream& stream, uint64_t size, uint64_t generations) {
  const size_t first = stream.items.size();
  stream.items.reserve(first * generations);
  for (uint64_t generation = 1; generation < generations; ++generation) {
    for (size_t i = 0; i < first; ++i) {
      stream.items.push_back({stream.items[i].number + generation * size, stream.items[i].digest});
    }
  }
  for (auto& [reason, entry] : stream.reasons) entry.count *= generations;
}

}  // namespace

Answer ComputeAnswer(const Input& input, uint64_t generations) {
  Answer answer;
  const std::unique_ptr<Parser> parser = MakeParser(input.form, input.columns);
  const uint64_t size = input.records.size();
  for (uint64_t number = 0; number < size; ++number) {
    AddRecord(number, input.records[number], parser->Parse(input.records[number]), answer);
  }
  for (Stream* stream : {&answer.in, &answer.out, &answer.dead}) Repeat(*stream, size, generations);
  for (auto& [reason, count] : answer.filtered_reasons) count *= generations;
  answer.filtered *= generations;
  return answer;
}

Stream ReadTopic(libbus::Bus& bus, std::string_view name) {
  libbus::Topic topic = Must(bus.OpenTopic(name));
  libbus::Consumer consumer = Must(topic.NewConsumer({.gaps = libbus::Gaps::kAll}));
  Stream stream;
  for (const libbus::RecordView& record : consumer.Records(absl::ZeroDuration())) {
    if (record.kind() == libbus::RecordKind::kGap) CountGap(record.gap(), stream);
    if (record.type() != kRecord) continue;
    const std::string reason = HeaderValue(record, kReason);
    stream.items.push_back({record.producer_sequence(), Digest(record.text(), reason)});
    if (!reason.empty()) Count(stream, reason, record.text(), record.position());
  }
  if (!absl::IsDeadlineExceeded(consumer.status())) Must(consumer.status());
  return stream;
}

Stream ReadDatabase(const std::string& path) {
  Database database(path);
  Statement rows(database, "SELECT number, key, body FROM records ORDER BY id");
  Stream stream;
  while (rows.Step()) {
    stream.items.push_back({static_cast<uint64_t>(rows.Int(0)), Digest(rows.Text(1), rows.Text(2))});
  }
  return stream;
}

}  // namespace etl
