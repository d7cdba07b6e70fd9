#include "libbus/log/distance.h"

#include <utility>

#include "libbus/log/index.h"

namespace libbus::log {
namespace {

constexpr uint64_t kMaxWords = 65536;
constexpr uint64_t kMaxBytes = uint64_t{64} << 20;

}  // namespace

std::optional<uint64_t> CountRecords(Reader from, uint64_t to) {
  if (from.position() >= to) return 0;
  if (to - from.position() > kMaxBytes) return std::nullopt;
  from.KnowCommitted(to);
  from.set_sequence(0);
  Item item;
  for (uint64_t words = 0; words < kMaxWords && from.position() < to; ++words) {
    const auto before = from.sequence();
    const auto found = from.Read(item);
    if (!found.ok()) return std::nullopt;
    // Over an END, to where the first record behind it will stand.
    if (*found != Reader::Found::kItem) break;
    if (item.position >= to) return before;
  }
  return from.position() >= to ? from.sequence() : std::nullopt;
}

std::optional<uint64_t> CountToEnd(Log& log, const Reader& from, uint64_t end) {
  if (const auto counted = CountRecords(from, end)) return counted;
  const auto begins = from.sequence();
  const auto ends = SequenceAt(log, log.readable(), end);
  if (!begins || !ends || *ends < *begins) return std::nullopt;
  return *ends - *begins;
}

}  // namespace libbus::log
