#include "libbus/record.h"

#include <ostream>

#include "libbus/format/record.h"

namespace libbus {
namespace {

// Nothing for a record without attributes, or with some that are malformed: who wrote them is answered as if he had
// written none.
format::Attributes Parse(const std::byte* attributes, size_t size) {
  if (size == 0) return {};
  return format::ParseAttributes({attributes, size}).value_or(format::Attributes());
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Position position) { return out << position.offset; }

std::string_view GapCauseName(GapCause cause) {
  switch (cause) {
    case GapCause::kDead:
      return "dead";
    case GapCause::kRevoked:
      return "revoked";
    case GapCause::kAborted:
      return "aborted";
    case GapCause::kTorn:
      return "torn";
    case GapCause::kDamage:
      return "damage";
    case GapCause::kPowerLoss:
      return "power loss";
    case GapCause::kCopied:
      return "copied";
    case GapCause::kOtherMount:
      return "other mount";
    case GapCause::kEvicted:
      return "evicted";
    case GapCause::kSyncFailed:
      return "sync failed";
  }
  return "unknown";
}

std::string_view RecordView::key() const { return Check(), Parse(attributes_, attributes_size_).key; }

std::vector<Header> RecordView::headers() const {
  Check();
  format::Attributes attributes = Parse(attributes_, attributes_size_);
  std::vector<Header> headers;
  Header header;
  for (uint32_t i = 0; i < attributes.header_count; ++i) {
    if (!format::NextHeader(attributes.headers, header.name, header.value)) break;
    headers.push_back(header);
  }
  return headers;
}

std::optional<Position> RecordView::source() const {
  Check();
  const auto source = Parse(attributes_, attributes_size_).source;
  return source ? std::optional(Position{*source}) : std::nullopt;
}

std::string_view RecordView::producer() const { return Check(), Parse(attributes_, attributes_size_).producer; }

uint64_t RecordView::producer_sequence() const {
  return Check(), Parse(attributes_, attributes_size_).producer_sequence;
}

OwnedRecord RecordView::ToOwned() const {
  OwnedRecord copy;
  copy.kind = kind();
  copy.payload = text();
  copy.key = key();
  for (const Header& header : headers()) copy.headers.emplace_back(header.name, header.value);
  copy.type = type();
  copy.timestamp = timestamp();
  copy.position = position();
  copy.next_position = next_position();
  copy.sequence = sequence();
  copy.source = source();
  copy.producer = producer();
  copy.producer_sequence = producer_sequence();
  if (kind() == RecordKind::kGap) copy.gap = gap();
  return copy;
}

}  // namespace libbus
