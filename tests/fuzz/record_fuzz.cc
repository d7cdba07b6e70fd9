// format/: a record, its attributes and a batch, whatever their bytes are.
//   input: how (1 byte: bit 0 a batch, bit 1 its checksums are put right), position (8), the bytes of a record
#include <vector>

#include "libbus/format/batch.h"
#include "libbus/format/record.h"
#include "tests/fuzz/fuzz.h"

namespace libbus::fuzz {
namespace {

using Buffer = std::vector<std::byte>;

constexpr format::TopicSeed kSeed{0x12345678};

void WalkAttributes(std::span<const std::byte> bytes) {
  const auto attributes = format::ParseAttributes(bytes);
  if (!attributes) return;
  const auto inside = [&](std::string_view text) {
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return text.empty() || (begin >= bytes.data() && begin + text.size() <= bytes.data() + bytes.size());
  };
  Require(inside(attributes->producer) && inside(attributes->key), "attributes lie inside");
  auto headers = attributes->headers;
  std::string_view name, value;
  while (format::NextHeader(headers, name, value)) Require(inside(name) && inside(value), "headers lie inside");
}

void Record(uint64_t position, format::RecordHeader header, const Buffer& body, bool repair) {
  const format::Word word(header.word);
  format::Extent extent;
  if (!format::FindExtent(word, body, extent)) {
    Require(!format::VerifyRecord(kSeed, position, header, body, extent), "what has no extent does not verify");
    return;
  }
  Require(uint64_t{extent.attributes} + extent.payload <= body.size(), "the extent lies inside");
  if (repair) {
    const uint32_t begun = format::BeginChecksum(kSeed, position, word, header.type, header.timestamp);
    header.checksum = format::Crc32c(begun, body.data(), size_t{extent.attributes} + extent.payload);
    Require(format::VerifyRecord(kSeed, position, header, body, extent), "a right checksum verifies");
  }
  WalkAttributes(std::span(body).first(extent.attributes));
}

void InnerRecords(uint64_t position, const format::RecordHeader& header, const Buffer& body, uint32_t count) {
  uint64_t least = format::BatchTableEnd(count);
  for (uint32_t i = 0; i < count; ++i) {
    const auto place = format::FindInner(body, count, i);
    Require(place.has_value(), "the places of a batch that verified can be found");
    Require(place->offset >= least && place->offset < place->end, "places are in order");
    Require(place->end <= format::kRecordHeaderSize + body.size(), "places lie inside");
    Require(format::InnerIndex(body, count, place->offset) == i, "a place is found again");
    format::RecordHeader inner = {};
    format::Extent extent;
    (void)format::VerifyInner(kSeed, position, *place, body, inner, extent);
    least = place->end;
  }
  (void)format::VerifyWhole(kSeed, position, header, body);
}

void Batch(uint64_t position, format::RecordHeader header, const Buffer& body, bool repair) {
  if (repair && body.size() >= sizeof(format::BatchHeader)) {
    const uint64_t table = format::BatchTableEnd(format::BatchCount(body.data())) - format::kRecordHeaderSize;
    const uint32_t begun =
        format::BeginChecksum(kSeed, position, format::Word(header.word), header.type, header.timestamp);
    if (table <= body.size()) header.checksum = format::Crc32c(begun, body.data(), table);
  }
  const auto count = format::VerifyFrame(kSeed, position, header, body);
  Require(count.has_value() == format::VerifyStart(kSeed, position, header, body), "a frame is a start");
  if (count) InnerRecords(position, header, body, *count);
}

}  // namespace
}  // namespace libbus::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libbus;  // NOLINT(google-build-using-namespace)
  fuzz::Input input(data, size);
  const uint64_t how = input.Number(1);
  const uint64_t position = input.Number(8) & ~uint64_t{7};
  format::RecordHeader header = {};
  const std::string_view head = input.Bytes(sizeof(header));
  std::memcpy(&header, head.data(), head.size());
  const auto rest = std::as_bytes(std::span(input.rest()));
  const fuzz::Buffer body(rest.begin(), rest.end());
  (void)format::Judge(fuzz::kSeed, position, format::Word(header.word), size);
  const bool batch = (how & 1) != 0;
  const uint8_t flags = batch ? format::kBatch : format::Word(header.word).flags() & format::kHasAttributes;
  header.word =
      format::MakeWord(fuzz::kSeed, position, format::State::kData, flags, 1, static_cast<uint32_t>(body.size()))
          .bits();
  (batch ? fuzz::Batch : fuzz::Record)(position, header, body, (how & 2) != 0);
  return 0;
}
