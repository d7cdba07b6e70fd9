#include "tools/bus/publisher.h"

#include <fmt/format.h>

#include "tools/bus/signals.h"
#include "tools/bus/tool.h"

namespace bustool {
namespace {

// A record is not held back for longer than this to fill a batch.
constexpr absl::Duration kHold = absl::Milliseconds(100);

// Whose piece it was, where the library cannot know.
absl::Status OfRecord(const Input& input, const absl::Status& status) {
  return absl::Status(status.code(),
                      fmt::format("{}: record {}: {}", input.name(), input.count(), std::string(status.message())));
}

absl::Status OfLine(const Input& input, std::string_view reason) {
  return absl::InvalidArgumentError(
      fmt::format("{}: line {}: {}: the lines before it were published", input.name(), input.count(), reason));
}

}  // namespace

absl::StatusOr<bool> Publisher::NextPiece(Input& input, std::string_view& piece) {
  if (form_ == Form::kFrames) return input.Frame(piece);
  if (form_ == Form::kFile) return input.All(piece);
  return input.Line(piece);
}

absl::Status Publisher::CheckJson(const Input& input, std::string_view piece) {
  const auto error = parser_.parse(piece.data(), piece.size()).error();
  if (error == simdjson::SUCCESS) return absl::OkStatus();
  return OfLine(input, fmt::format("not JSON: {}", simdjson::error_message(error)));
}

absl::StatusOr<std::optional<Publisher::Record>> Publisher::Read(const Input& input, std::string_view piece) {
  if (form_ == Form::kRecords) {
    auto record = records_.Parse(piece);
    return record.ok() ? record : OfLine(input, std::string(record.status().message()));
  }
  if (auto status = form_ == Form::kNdjson ? CheckJson(input, piece) : absl::OkStatus(); !status.ok()) return status;
  return Record{piece, record_};
}

absl::Status Publisher::PublishOne(const Input& input, const Record& record) {
  const auto position = producer_.Publish(record.payload, record.options);
  if (!position.ok()) return OfRecord(input, position.status());
  Count(*position, 1);
  return absl::OkStatus();
}

void Publisher::Count(libbus::Position position, uint64_t records) {
  published_.records += records;
  if (!published_.first) published_.first = position;
  published_.last = position;
  published_.last_batch = records;
}

absl::Status Publisher::Flush() {
  if (batch_.empty()) return absl::OkStatus();
  const uint64_t records = batch_.size();
  const auto position = batch_.Commit();
  batch_.Clear();
  if (!position.ok()) {
    return absl::Status(position.status().code(), fmt::format("a batch of {}: {}", bustool::Count(records, "record"),
                                                              std::string(position.status().message())));
  }
  Count(*position, records);
  return absl::OkStatus();
}

absl::Status Publisher::AddToBatch(const Input& input, const Record& record) {
  absl::Status status = batch_.Add(record.payload, record.options);
  // What is too long for what is left of this one may fit the next.
  if (status.code() == absl::StatusCode::kInvalidArgument && !batch_.empty()) {
    if (auto flushed = Flush(); !flushed.ok()) return flushed;
    status = batch_.Add(record.payload, record.options);
  }
  if (!status.ok()) return OfRecord(input, status);
  if (batch_.size() == 1) held_since_ = absl::Now();
  return batch_.size() >= batch_limit_ ? Flush() : absl::OkStatus();
}

// Before a wait for slow input: nobody knows how long it takes.
absl::Status Publisher::BeforeWait() {
  if (auto status = Flush(); !status.ok()) return status;
  return syncs_ ? syncs_->Now() : absl::OkStatus();
}

// When its turn has come.
absl::Status Publisher::Publish(const Input& input, const Record& record) {
  if (auto status = syncs_ ? syncs_->IfDue() : absl::OkStatus(); !status.ok()) return status;
  const bool held = !batch_.empty() && absl::Now() + pace_.Left() - held_since_ >= kHold;
  if (auto status = held ? Flush() : absl::OkStatus(); !status.ok()) return status;
  pace_.Wait();
  if (Interrupted()) return absl::CancelledError(fmt::format("{}: interrupted", input.name()));
  return batch_limit_ == 0 ? PublishOne(input, record) : AddToBatch(input, record);
}

absl::Status Publisher::PublishAll(Input& input) {
  std::string_view piece;
  if (syncs_ || batch_limit_ != 0) input.BeforeWaits([this] { return BeforeWait(); });
  while (true) {
    const auto more = NextPiece(input, piece);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    const auto record = Read(input, piece);
    if (!record.ok()) return record.status();
    if (!*record) ++published_.gaps;
    if (auto status = *record ? Publish(input, **record) : absl::OkStatus(); !status.ok()) return status;
    if (after_each_) after_each_(input);
  }
}

}  // namespace bustool
