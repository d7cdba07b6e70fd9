// Builds the items of a dump from bytes, field by field, in order.
#ifndef LIBBUS_INSPECT_PICTURE_H_
#define LIBBUS_INSPECT_PICTURE_H_

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/inspect.h"

namespace libbus::inspect {

std::string_view StateName(format::State state);            // "data", ...; "unknown"
std::string FlagsText(format::State state, uint8_t flags);  // "attributes", "dead", "rolled", ...
std::string_view EndCauseName(uint8_t cause);
// "errno 5: Input/output error"; 0: what was written had gone.
std::string SyncErrorText(uint32_t error);
std::string_view ControlStateName(uint32_t state);
std::string_view TimestampsName(uint8_t timestamps);

// Each byte that is neither printable ASCII nor part of a printable character in UTF-8 as \xNN, or \n, \r, \t; and
// quotes and backslashes behind one. No byte is lost.
std::string Escaped(std::string_view text);
// That in quotes, cut after so many bytes.
std::string Quoted(std::string_view text, size_t limit = 200);

DumpWord TakeApart(format::TopicSeed seed, uint64_t position, format::Word word);

DumpItem MakeItem(DumpKind kind, const std::string& file, uint64_t offset, uint64_t size);

// More zeros than this are counted, not shown.
inline constexpr size_t kShownZeros = 48;

bool AllZero(std::string_view bytes);

// Takes an item's bytes off the front, each as a field of its own.
class Picture {
 public:
  // `bytes` stand at item.offset in the file.
  Picture(DumpItem& item, std::span<const std::byte> bytes) : item_(item), bytes_(bytes), offset_(item.offset) {}

  size_t left() const { return bytes_.size(); }

  // The next `size` bytes (fewer if there are no more).
  DumpField& Bytes(std::string_view name, size_t size, std::string meaning = {});

  // The next bytes as they stand there, which stay.
  template <typename T>
  T Peek() const {
    T value{};
    std::memcpy(&value, bytes_.data(), std::min(sizeof(T), bytes_.size()));
    return value;
  }

  // The next field as a number; its meaning is the number itself unless it is given.
  template <typename T>
  T Number(std::string_view name) {
    return Number<T>(name, [](T value) { return fmt::format("{}", value); });
  }
  template <typename T, typename F>
  T Number(std::string_view name, F meaning) {
    T value{};
    std::memcpy(&value, bytes_.data(), std::min(sizeof(T), bytes_.size()));
    Bytes(name, sizeof(T)).meaning = meaning(value);
    return value;
  }

  // A time in ns since 1970.
  void Time(std::string_view name);
  // Reserved bytes: right if they are zero. A long stretch of them is left out and counted.
  void Zeros(std::string_view name, size_t size);
  // The next `size` bytes, of which nobody asks what they are: zeros are left out likewise.
  void Unread(std::string_view name, size_t size, DumpRole role = DumpRole::kUnread);
  // The next four bytes as a checksum. `computed`: what it should be; nothing: what it covers cannot be told.
  uint32_t Checksum(std::string_view name, std::optional<uint32_t> computed);
  // The last field says what is wrong with it.
  void Wrong(std::string_view why);

 private:
  // Leaves the last field's bytes out, if they are many and all zero.
  void LeaveOutZeros();

  DumpItem& item_;
  std::span<const std::byte> bytes_;
  uint64_t offset_;
};

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_PICTURE_H_
