#include "libbus/inspect/picture.h"

#include <algorithm>
#include <system_error>

#include "libbus/inspect/topic_files.h"
#include "libbus/record.h"

namespace libbus::inspect {
namespace {

struct NamedRole {
  std::string_view name;
  DumpRole role;
};

// By the names of fields; what is not named here is a number.
constexpr NamedRole kRoles[] = {
    {"magic", DumpRole::kIdentity},
    {"version", DumpRole::kIdentity},
    {"uuid", DumpRole::kIdentity},
    {"word", DumpRole::kWord},
    {"checksum", DumpRole::kChecksum},
    {"its checksum", DumpRole::kChecksum},
    {"type", DumpRole::kType},
    {"timestamp", DumpRole::kTime},
    {"created", DumpRole::kTime},
    {"since", DumpRole::kTime},
    {"time", DumpRole::kTime},
    {"before", DumpRole::kTime},
    {"base", DumpRole::kPosition},
    {"position", DumpRole::kPosition},
    {"tail", DumpRole::kPosition},
    {"durable", DumpRole::kPosition},
    {"first position", DumpRole::kPosition},
    {"epoch from", DumpRole::kPosition},
    {"epoch to", DumpRole::kPosition},
    {"tail hint", DumpRole::kPosition},
    {"known tail", DumpRole::kPosition},
    {"floor", DumpRole::kPosition},
    {"mark", DumpRole::kPosition},
    {"attributes size", DumpRole::kAttribute},
    {"attributes fields", DumpRole::kAttribute},
    {"payload length", DumpRole::kAttribute},
    {"source", DumpRole::kAttribute},
    {"producer sequence", DumpRole::kAttribute},
    {"producer length", DumpRole::kAttribute},
    {"producer", DumpRole::kAttribute},
    {"key length", DumpRole::kAttribute},
    {"key", DumpRole::kAttribute},
    {"headers bytes", DumpRole::kAttribute},
    {"headers count", DumpRole::kAttribute},
    {"header name length", DumpRole::kAttribute},
    {"header value length", DumpRole::kAttribute},
    {"header name", DumpRole::kAttribute},
    {"header value", DumpRole::kAttribute},
    {"headers rest", DumpRole::kAttribute},
    {"attributes rest", DumpRole::kAttribute},
    {"attributes", DumpRole::kAttribute},
    {"count", DumpRole::kTable},
    {"record at", DumpRole::kTable},
    {"table", DumpRole::kTable},
    {"payload", DumpRole::kPayload},
    {"payload, continued", DumpRole::kPayload},
    {"slack", DumpRole::kSlack},
    {"padding", DumpRole::kSlack},
    {"reserved", DumpRole::kZeros},
    {"not used", DumpRole::kZeros},
    {"zeros", DumpRole::kZeros},
    {"free", DumpRole::kZeros},
    {"free slots", DumpRole::kZeros},
    {"no consumer", DumpRole::kZeros},
    {"idle", DumpRole::kTime},
    {"given up", DumpRole::kUnread},
    {"being filled", DumpRole::kUnread},
    {"behind the end", DumpRole::kUnread},
    {"behind the segment", DumpRole::kUnread},
    {"plain bytes", DumpRole::kBytes},
    {"a part of an entry", DumpRole::kBytes},
    {"damage", DumpRole::kDamage},
};

DumpRole RoleOf(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kRoles), std::end(kRoles), [&](const NamedRole& role) { return role.name == name; });
  return found == std::end(kRoles) ? DumpRole::kNumber : found->role;
}

}  // namespace

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

std::string Escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text.front());
    const std::string_view character = text.substr(0, first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4);
    // A character that does not print, or is none, would lose bytes in it.
    const std::string quoted = fmt::format("{:?}", character);
    const bool kept = first < 0x80 || quoted.substr(1, quoted.size() - 2) == character;
    out += kept ? quoted.substr(1, quoted.size() - 2) : fmt::format("\\x{:02x}", first);
    text.remove_prefix(kept ? character.size() : 1);
  }
  return out;
}

std::string Quoted(std::string_view text, size_t limit) {
  return fmt::format("\"{}\"{}", Escaped(text.substr(0, limit)), text.size() > limit ? "..." : "");
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
                          .meaning = std::move(meaning),
                          .role = RoleOf(name)});
  bytes_ = bytes_.subspan(taken.size());
  offset_ += taken.size();
  if (taken.size() < size) Wrong("cut off");
  return item_.fields.back();
}

void Picture::Time(std::string_view name) {
  Number<int64_t>(name, [](int64_t nanos) { return nanos == 0 ? std::string("0: none") : FormatTime(nanos); });
}

bool AllZero(std::string_view bytes) { return bytes.find_first_not_of('\0') == std::string_view::npos; }

void Picture::LeaveOutZeros() {
  DumpField& field = item_.fields.back();
  if (field.bytes.size() <= kShownZeros || !AllZero(field.bytes)) return;
  field.zeros = field.bytes.size();
  field.bytes.clear();
}

void Picture::Zeros(std::string_view name, size_t size) {
  DumpField& field = Bytes(name, size);
  field.meaning = AllZero(field.bytes) ? "zeros" : "not zero: written by a newer version, or damage";
  LeaveOutZeros();
}

void Picture::Unread(std::string_view name, size_t size, DumpRole role) {
  Bytes(name, size).role = role;
  LeaveOutZeros();
}

uint32_t Picture::Checksum(std::string_view name, std::optional<uint32_t> computed) {
  const auto stored = Number<uint32_t>(name);
  DumpField& field = item_.fields.back();
  field.role = DumpRole::kChecksum;
  field.computed = computed;
  field.meaning = computed ? fmt::format("stored {:08x}, computed {:08x}", stored, *computed)
                           : fmt::format("stored {:08x}", stored);
  if (!computed) {
    Wrong("what it covers cannot be told");
  } else if (*computed != stored) {
    Wrong("wrong");
  } else {
    field.meaning += ": right";
  }
  return stored;
}

void Picture::Wrong(std::string_view why) {
  DumpField& field = item_.fields.back();
  field.right = false;
  field.meaning += fmt::format("{}{}", field.meaning.empty() ? "" : ": ", why);
  item_.damaged = true;
}

}  // namespace libbus::inspect
