#include "libbus/inspect/picture.h"

#include <algorithm>
#include <system_error>

#include "libbus/inspect/topic_files.h"
#include "libbus/record.h"

namespace libbus::inspect {

std::string_view StateName(format::State state) {
  switch (state) {
    case format::State::kFree:
      return "free";
    case format::State::kReserved:
      return "reserved";
    case format::State::kData:
      return "data";
    case format::State::kGap:
      return "gap";
    case format::State::kEnd:
      return "end";
    case format::State::kInner:
      return "inner";
  }
  return "unknown";
}

std::string_view EndCauseName(uint8_t cause) {
  constexpr std::string_view kNames[] = {"rolled", "power loss", "copied", "other mount", "damage", "sync failed"};
  return cause < std::size(kNames) ? kNames[cause] : "unknown cause";
}

std::string FlagsText(format::State state, uint8_t flags) {
  if (state == format::State::kEnd) return std::string(EndCauseName(flags));
  if (state == format::State::kGap) {
    constexpr std::string_view kNames[] = {"unknown cause", "dead", "revoked", "aborted", "torn"};
    return std::string(flags < std::size(kNames) ? kNames[flags] : kNames[0]);
  }
  std::string text = (flags & format::kHasAttributes) != 0 ? "attributes" : "";
  if ((flags & format::kBatch) != 0) text += text.empty() ? "batch" : ", batch";
  const int unknown = flags & ~(format::kHasAttributes | format::kBatch);
  if (unknown != 0) text += fmt::format("{}unknown {:#x}", text.empty() ? "" : ", ", unknown);
  return text;
}

std::string SyncErrorText(uint32_t error) {
  if (error == 0) return "0: what was written does not stand there any more";
  return fmt::format("errno {}: {}", error, std::generic_category().message(static_cast<int>(error)));
}

std::string_view ControlStateName(uint32_t state) {
  switch (static_cast<format::ControlState>(state)) {
    case format::ControlState::kNone:
      return "none";
    case format::ControlState::kRecovering:
      return "recovering";
    case format::ControlState::kOpen:
      return "open";
    case format::ControlState::kClean:
      return "clean";
  }
  return "unknown";
}

std::string_view TimestampsName(uint8_t timestamps) {
  constexpr std::string_view kNames[] = {"coarse", "precise", "none"};
  return timestamps < std::size(kNames) ? kNames[timestamps] : "unknown";
}

std::string Quoted(std::string_view text, size_t limit) {
  const bool cut = text.size() > limit;
  return fmt::format("{:?}{}", std::string(text.substr(0, limit)), cut ? "..." : "");
}

DumpWord TakeApart(format::TopicSeed seed, uint64_t position, format::Word word) {
  return {.state = std::string(StateName(word.state())),
          .flags = FlagsText(word.state(), word.flags()),
          .owner = word.owner(),
          .length = word.length(),
          .check_stored = word.check(),
          .check_computed = format::ComputeCheck(seed, position, word.bits())};
}

DumpItem MakeItem(DumpKind kind, const std::string& file, uint64_t offset, uint64_t size) {
  DumpItem item;
  item.kind = kind;
  item.file = file;
  item.offset = offset;
  item.size = size;
  return item;
}

DumpField& Picture::Bytes(std::string_view name, size_t size, std::string meaning) {
  const auto taken = bytes_.first(std::min(size, bytes_.size()));
  item_.fields.push_back({.name = std::string(name),
                          .offset = offset_,
                          .bytes = std::string(reinterpret_cast<const char*>(taken.data()), taken.size()),
                          .meaning = std::move(meaning)});
  bytes_ = bytes_.subspan(taken.size());
  offset_ += taken.size();
  if (taken.size() < size) Wrong("cut off");
  return item_.fields.back();
}

void Picture::Time(std::string_view name) {
  Number<int64_t>(name, [](int64_t nanos) { return nanos == 0 ? std::string("0: none") : FormatTime(nanos); });
}

void Picture::Zeros(std::string_view name, size_t size) {
  const DumpField& field = Bytes(name, size);
  const bool zero = std::all_of(field.bytes.begin(), field.bytes.end(), [](char c) { return c == 0; });
  if (zero) {
    item_.fields.back().meaning = "zeros";
  } else {
    item_.fields.back().meaning = "not zero: written by a newer version, or damage";
  }
}

void Picture::Wrong(std::string_view why) {
  DumpField& field = item_.fields.back();
  field.right = false;
  field.meaning += fmt::format("{}{}", field.meaning.empty() ? "" : ": ", why);
  item_.damaged = true;
}

}  // namespace libbus::inspect
