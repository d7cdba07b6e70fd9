#include "libbus/format/batch.h"

#include <cstring>

namespace libbus::format {
namespace {

BatchEntry EntryAt(std::span<const std::byte> body, uint32_t index) {
  BatchEntry entry;
  std::memcpy(&entry, body.data() + sizeof(BatchHeader) + uint64_t{index} * sizeof(entry), sizeof(entry));
  return entry;
}

// True if each entry leads behind the one before, and leaves room for a header: FindInner will find each.
bool InOrder(std::span<const std::byte> body, uint32_t count) {
  const uint64_t end = kRecordHeaderSize + body.size();
  uint64_t least = BatchTableEnd(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t offset = EntryAt(body, i).offset;
    if (offset < least || offset % kRecordAlignment != 0) return false;
    least = offset + kRecordHeaderSize;
  }
  return least <= end && end <= kMaxBatchSize;
}

}  // namespace

std::optional<uint32_t> VerifyFrame(TopicSeed seed, uint64_t position, const RecordHeader& header,
                                    std::span<const std::byte> body) {
  const Word word(header.word);
  if (body.size() < word.length() || word.length() < sizeof(BatchHeader)) return std::nullopt;
  const uint32_t count = BatchCount(body.data());
  if (count == 0 || BatchTableEnd(count) > kRecordHeaderSize + word.length()) return std::nullopt;
  const uint32_t begun = BeginChecksum(seed, position, word, header.type, header.timestamp);
  const uint32_t crc = Crc32c(begun, body.data(), BatchTableEnd(count) - kRecordHeaderSize);
  if (crc != header.checksum || !InOrder(body.first(word.length()), count)) return std::nullopt;
  return count;
}

std::optional<InnerPlace> FindInner(std::span<const std::byte> body, uint32_t count, uint32_t index) {
  const BatchEntry entry = EntryAt(body, index);
  const uint64_t frame_end = kRecordHeaderSize + body.size();
  const uint64_t end = index + 1 < count ? EntryAt(body, index + 1).offset : frame_end;
  const bool right = entry.offset >= BatchTableEnd(count) && entry.offset % kRecordAlignment == 0 && end <= frame_end &&
                     end <= kMaxBatchSize && entry.offset + kRecordHeaderSize <= end;
  if (!right) return std::nullopt;
  return InnerPlace{entry.offset, static_cast<uint32_t>(end), entry.checksum};
}

bool VerifyInner(TopicSeed seed, uint64_t frame, const InnerPlace& place, std::span<const std::byte> body,
                 RecordHeader& header, Extent& extent) {
  const std::byte* const at = body.data() + (place.offset - kRecordHeaderSize);
  std::memcpy(&header, at, sizeof(header));
  const Word word(header.word);
  const uint64_t position = frame + place.offset;
  if (word.state() != State::kInner || word.check() != ComputeCheck(seed, position, word.bits())) return false;
  if ((word.flags() & ~kHasAttributes) != 0 || kRecordHeaderSize + word.length() > place.end - place.offset) {
    return false;
  }
  if (header.checksum != place.checksum) return false;
  return VerifyRecord(seed, position, header, {at + sizeof(header), word.length()}, extent);
}

std::optional<uint32_t> InnerIndex(std::span<const std::byte> body, uint32_t count, uint64_t offset) {
  uint32_t low = 0;
  uint32_t high = count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (EntryAt(body, middle).offset < offset) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == count || EntryAt(body, low).offset != offset) return std::nullopt;
  return low;
}

bool VerifyWhole(TopicSeed seed, uint64_t position, const RecordHeader& header, std::span<const std::byte> body) {
  Extent ignored;
  if (!Word(header.word).is_batch()) return VerifyRecord(seed, position, header, body, ignored);
  const auto count = VerifyFrame(seed, position, header, body);
  if (!count) return false;
  body = body.first(Word(header.word).length());
  for (uint32_t i = 0; i < *count; ++i) {
    const auto place = FindInner(body, *count, i);
    RecordHeader inner;
    if (!place || !VerifyInner(seed, position, *place, body, inner, ignored)) return false;
  }
  return true;
}

bool VerifyStart(TopicSeed seed, uint64_t position, const RecordHeader& header, std::span<const std::byte> body) {
  Extent ignored;
  if (!Word(header.word).is_batch()) return VerifyRecord(seed, position, header, body, ignored);
  return VerifyFrame(seed, position, header, body).has_value();
}

void FinishInner(TopicSeed seed, uint64_t position, uint32_t owner, int64_t now, std::span<const StagedRecord> staged,
                 std::byte* bytes, std::span<BatchEntry> entries) {
  const uint64_t first = BatchTableEnd(staged.size());
  for (size_t i = 0; i < staged.size(); ++i) {
    std::byte* const at = bytes + staged[i].at;
    const uint64_t offset = first + staged[i].at;
    RecordHeader header;
    std::memcpy(&header, at, sizeof(header));
    const Word told(header.word);
    const Word word = MakeWord(seed, position + offset, State::kInner, told.flags(), owner, told.length());
    header.word = word.bits();
    if (staged[i].timed == 0) header.timestamp = now;
    const uint32_t begun = BeginChecksum(seed, position + offset, word, header.type, header.timestamp);
    header.checksum = Crc32c(begun, at + sizeof(header), word.length());
    std::memcpy(at, &header, sizeof(header));
    entries[i] = {static_cast<uint32_t>(offset), header.checksum};
  }
}

}  // namespace libbus::format
