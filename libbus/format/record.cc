#include "libbus/format/record.h"

namespace libbus::format {
namespace {

// Takes fields off the front of attributes; once something does not fit, all later reads are empty.
class AttributesReader {
 public:
  explicit AttributesReader(std::span<const std::byte> bytes) : begin_(bytes.data()), rest_(bytes) {}

  bool ok() const { return ok_; }

  template <typename T>
  T Take() {
    T value{};
    if (!Has(sizeof(T))) return value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }

  std::span<const std::byte> TakeBytes(uint64_t size) {
    if (!Has(size)) return {};
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  std::string_view TakeText(uint64_t size) {
    const auto bytes = TakeBytes(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void SkipPadding() {
    const auto used = static_cast<uint64_t>(rest_.data() - begin_);
    TakeBytes(AlignUp(used, 8) - used);
  }

 private:
  bool Has(uint64_t size) {
    if (size > rest_.size()) ok_ = false;
    return ok_;
  }

  const std::byte* begin_;
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

void TakeProducer(AttributesReader& reader, Attributes& out) {
  out.producer_sequence = reader.Take<uint64_t>();
  out.producer = reader.TakeText(reader.Take<uint32_t>());
  reader.SkipPadding();
}

void TakeKey(AttributesReader& reader, Attributes& out) {
  out.key = reader.TakeText(reader.Take<uint32_t>());
  reader.SkipPadding();
}

void TakeHeaders(AttributesReader& reader, Attributes& out) {
  const auto bytes = reader.Take<uint32_t>();
  out.header_count = reader.Take<uint32_t>();
  out.headers = reader.TakeBytes(bytes);
}

}  // namespace

bool FindExtentBehindAttributes(Word word, std::span<const std::byte> body, Extent& extent) {
  const uint32_t length = word.length();
  if (length < sizeof(AttributesHeader)) return false;
  AttributesHeader header;
  std::memcpy(&header, body.data(), sizeof(header));
  if (header.size < sizeof(header) || header.size > length || header.size % 8 != 0) return false;
  extent = {header.size, length - header.size};
  if ((header.fields & kFieldPayloadLength) == 0) return true;
  if (header.size < sizeof(header) + 8) return false;
  uint64_t payload;
  std::memcpy(&payload, body.data() + sizeof(header), sizeof(payload));
  if (payload > extent.payload) return false;
  extent.payload = static_cast<uint32_t>(payload);
  return true;
}

bool VerifyRecord(TopicSeed seed, uint64_t position, const RecordHeader& header, std::span<const std::byte> body,
                  Extent& extent) {
  const Word word(header.word);
  if (!FindExtent(word, body, extent)) return false;
  const uint32_t begun = BeginChecksum(seed, position, word, header.type, header.timestamp);
  const uint32_t crc = Crc32c(begun, body.data(), size_t{extent.attributes} + extent.payload);
  return crc == header.checksum;
}

std::optional<Attributes> ParseAttributes(std::span<const std::byte> attributes) {
  AttributesReader reader(attributes);
  const auto header = reader.Take<AttributesHeader>();
  if (!reader.ok() || header.size != attributes.size()) return std::nullopt;
  Attributes out;
  out.fields = header.fields;
  if (header.fields & kFieldPayloadLength) out.payload_length = reader.Take<uint64_t>();
  if (header.fields & kFieldSource) out.source = reader.Take<uint64_t>();
  if (header.fields & kFieldProducer) TakeProducer(reader, out);
  if (header.fields & kFieldKey) TakeKey(reader, out);
  if (header.fields & kFieldHeaders) TakeHeaders(reader, out);
  if (!reader.ok()) return std::nullopt;
  return out;
}

bool NextHeader(std::span<const std::byte>& headers, std::string_view& name, std::string_view& value) {
  AttributesReader reader(headers);
  const auto name_size = reader.Take<uint32_t>();
  const auto value_size = reader.Take<uint32_t>();
  name = reader.TakeText(name_size);
  value = reader.TakeText(value_size);
  if (!reader.ok()) return false;
  headers = headers.subspan(8 + name.size() + value.size());
  return true;
}

}  // namespace libbus::format
