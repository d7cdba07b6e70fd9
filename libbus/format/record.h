// The bytes behind the record word: checksum and attributes.
//
// A record at `position` is valid if and only if
//   1. its word's check is right for topic and position,
//   2. its word's state is DATA,
//   3. its size and 8 bytes for an END fit into what is left of its segment,
//   4. with kHasAttributes: the attributes fit into its length, and the payload length they hold (if any) behind them,
//   5. the checksum is right: CRC32C, raw, from the topic's seed over position (8 bytes), the word with its state taken
//      as DATA (8), type (4), timestamp (8), attributes, payload; slack is not covered.
#ifndef LIBBUS_FORMAT_RECORD_H_
#define LIBBUS_FORMAT_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "libbus/format/layout.h"
#include "libbus/format/word.h"

namespace libbus::format {

// The checksum register after position, word, type and timestamp; go on with attributes and payload.
inline uint32_t BeginChecksum(TopicSeed seed, uint64_t position, Word word, uint32_t type, int64_t timestamp) {
  uint32_t crc = Crc32cWord(Crc32cWord(seed.value, position), word.AsData().bits());
  return Crc32cWord(Crc32cHalf(crc, type), static_cast<uint64_t>(timestamp));
}

// Writes the header of the record at `at` but for its word, which stays as it is. Field by field: a header that is put
// together and then copied waits for its own stores, and the commit for the copy.
inline void WriteHeaderBehindWord(std::byte* at, uint32_t checksum, uint32_t type, int64_t timestamp) {
  std::memcpy(at + offsetof(RecordHeader, checksum), &checksum, sizeof(checksum));
  std::memcpy(at + offsetof(RecordHeader, type), &type, sizeof(type));
  std::memcpy(at + offsetof(RecordHeader, timestamp), &timestamp, sizeof(timestamp));
}

// Where attributes end and how long the payload behind them is.
struct Extent {
  uint32_t attributes = 0;  // bytes
  uint32_t payload = 0;     // bytes
};

// Rule 4 for a word with kHasAttributes. REQUIRES: `body` is not shorter than word.length().
bool FindExtentBehindAttributes(Word word, std::span<const std::byte> body, Extent& extent);

// Rule 4. `body` is what follows the record header, word.length() bytes. False if the attributes do not fit.
// `extent` is not a result: an optional that is filled and then copied waits for its own stores, for each record.
inline bool FindExtent(Word word, std::span<const std::byte> body, Extent& extent) {
  if (body.size() < word.length()) return false;
  if ((word.flags() & kHasAttributes) != 0) return FindExtentBehindAttributes(word, body, extent);
  extent = {0, word.length()};
  return true;
}

// Rules 4 and 5 for a record whose word verified as DATA; `header` and `body` may be a copy or the mapping.
bool VerifyRecord(TopicSeed seed, uint64_t position, const RecordHeader& header, std::span<const std::byte> body,
                  Extent& extent);

// What a writer puts into attributes. `H` is any struct with std::string_views name and value.
template <typename H>
struct AttributesSpec {
  std::optional<uint64_t> payload_length;
  std::optional<uint64_t> source;
  std::string_view producer;
  uint64_t producer_sequence = 0;
  std::string_view key;
  std::span<const H> headers;

  uint32_t fields() const {
    return (payload_length ? kFieldPayloadLength : 0) | (source ? kFieldSource : 0) |
           (producer.empty() ? 0 : kFieldProducer) | (key.empty() ? 0 : kFieldKey) |
           (headers.empty() ? 0 : kFieldHeaders);
  }
};

// Sets the length that AttributesSpec::payload_length reserved room for: it is the first field.
inline void SetPayloadLength(std::byte* attributes, uint64_t length) {
  std::memcpy(attributes + sizeof(AttributesHeader), &length, sizeof(length));
}

// What a reader finds in attributes: views into them.
struct Attributes {
  uint32_t fields = 0;
  std::optional<uint64_t> payload_length;
  std::optional<uint64_t> source;
  std::string_view producer;
  uint64_t producer_sequence = 0;
  std::string_view key;
  uint32_t header_count = 0;
  std::span<const std::byte> headers;  // walk with NextHeader
};

// Takes attributes apart; nothing if any field reaches beyond them.
std::optional<Attributes> ParseAttributes(std::span<const std::byte> attributes);

// Takes one header off the front of `headers`; false when none is left or it does not fit.
bool NextHeader(std::span<const std::byte>& headers, std::string_view& name, std::string_view& value);

// Bytes that a spec needs, 0 if it has no fields. 64-bit, so that a caller can compare it with kMaxLength.
template <typename H>
uint64_t AttributesSize(const AttributesSpec<H>& spec) {
  if (spec.fields() == 0) return 0;
  uint64_t size = sizeof(AttributesHeader);
  if (spec.payload_length) size += 8;
  if (spec.source) size += 8;
  if (!spec.producer.empty()) size += AlignUp(8 + 4 + spec.producer.size(), 8);
  if (!spec.key.empty()) size += AlignUp(4 + spec.key.size(), 8);
  if (!spec.headers.empty()) {
    uint64_t bytes = 8;
    for (const H& header : spec.headers) bytes += 8 + header.name.size() + header.value.size();
    size += AlignUp(bytes, 8);
  }
  return size;
}

namespace internal {

// Appends fields to a buffer that AttributesSize measured; pads with zeros.
class AttributesWriter {
 public:
  explicit AttributesWriter(std::byte* out) : begin_(out), out_(out) {}

  template <typename T>
  void Put(T value) {
    std::memcpy(out_, &value, sizeof(value));
    out_ += sizeof(value);
  }
  void PutText(std::string_view text) {
    if (!text.empty()) std::memcpy(out_, text.data(), text.size());
    out_ += text.size();
  }
  void Pad() {
    while ((out_ - begin_) % 8 != 0) *out_++ = std::byte{0};
  }

 private:
  std::byte* begin_;
  std::byte* out_;
};

}  // namespace internal

// Writes what AttributesSize measured to `out`, which is aligned to 8. REQUIRES: the size is not 0 and at most
// kMaxLength.
template <typename H>
void WriteAttributes(const AttributesSpec<H>& spec, uint32_t size, std::byte* out) {
  internal::AttributesWriter writer(out);
  writer.Put(AttributesHeader{size, spec.fields()});
  if (spec.payload_length) writer.Put(*spec.payload_length);
  if (spec.source) writer.Put(*spec.source);
  if (!spec.producer.empty()) {
    writer.Put(spec.producer_sequence);
    writer.Put(static_cast<uint32_t>(spec.producer.size()));
    writer.PutText(spec.producer);
    writer.Pad();
  }
  if (!spec.key.empty()) {
    writer.Put(static_cast<uint32_t>(spec.key.size()));
    writer.PutText(spec.key);
    writer.Pad();
  }
  if (spec.headers.empty()) return;
  uint64_t bytes = 0;
  for (const H& header : spec.headers) bytes += 8 + header.name.size() + header.value.size();
  writer.Put(static_cast<uint32_t>(bytes));
  writer.Put(static_cast<uint32_t>(spec.headers.size()));
  for (const H& header : spec.headers) {
    writer.Put(static_cast<uint32_t>(header.name.size()));
    writer.Put(static_cast<uint32_t>(header.value.size()));
    writer.PutText(header.name);
    writer.PutText(header.value);
  }
  writer.Pad();
}

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_RECORD_H_
