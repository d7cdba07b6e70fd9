#include "libbus/inspect/segment_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace libbus::inspect {
namespace {

constexpr uint64_t kWindow = 256 << 10;

// A word that changes under us is looked at again; each change is a step of a protocol in which a word changes at most
// three times, so this is only a bound against a scribbler.
constexpr int kTries = 16;

bool AllZero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

SegmentReader::SegmentReader(const File& file, format::TopicSeed seed, uint64_t base, uint64_t size,
                             std::vector<format::EpochEntry> sealed)
    : file_(file),
      seed_(seed),
      base_(base),
      size_(std::min(size, file.size())),
      hash_budget_(4 * size_),
      sealed_(std::move(sealed)) {}

void SegmentReader::Fill(uint64_t offset) {
  window_.resize(std::min(kWindow, size_ - std::min(offset, size_)));
  window_offset_ = offset;
  const auto got = file_.Read(offset, window_);
  if (!got.ok()) status_ = got.status();
  window_.resize(got.value_or(0));
}

std::span<const std::byte> SegmentReader::Bytes(uint64_t offset, uint64_t size) {
  body_.resize(std::min(size, size_ - std::min(offset, size_)));
  const auto got = file_.Read(offset, body_);
  if (!got.ok()) status_ = got.status();
  body_.resize(got.value_or(0));
  return body_;
}

format::Word SegmentReader::FreshWord(uint64_t offset) { return format::Word(file_.Get<uint64_t>(offset).value_or(0)); }

format::Word SegmentReader::CachedWord(uint64_t offset) {
  const auto inside = [&] { return offset >= window_offset_ && offset + 8 <= window_offset_ + window_.size(); };
  if (!inside()) Fill(offset);
  if (!inside()) return format::Word(0);
  uint64_t bits;
  std::memcpy(&bits, window_.data() + (offset - window_offset_), sizeof(bits));
  return format::Word(bits);
}

Look SegmentReader::Judge(uint64_t offset, format::Word word) const {
  Look look;
  look.offset = offset;
  look.word = word;
  const uint64_t room = size_ - std::min(offset, size_);
  look.verdict = room < format::kWordSize ? format::Verdict::kBad : format::Judge(seed_, base_ + offset, word, room);
  switch (look.verdict) {
    case format::Verdict::kData:
    case format::Verdict::kGap:
    case format::Verdict::kReserved:
      look.size = word.size();
      break;
    case format::Verdict::kEnd:
      look.size = room;
      break;
    case format::Verdict::kFree:
    case format::Verdict::kBad:
      break;
  }
  return look;
}

Look SegmentReader::WordAt(uint64_t offset) {
  const Look look = Judge(offset, CachedWord(offset));
  const bool final = look.verdict == format::Verdict::kData || look.verdict == format::Verdict::kGap ||
                     look.verdict == format::Verdict::kEnd;
  return final ? look : Judge(offset, FreshWord(offset));
}

Look SegmentReader::VerifiedFrom(Look look, std::span<const std::byte> record) const {
  std::memcpy(&look.header, record.data(), sizeof(look.header));
  look.header.word = look.word.bits();
  look.body = record.subspan(format::kRecordHeaderSize);
  if (look.word.is_batch()) return VerifiedBatch(std::move(look));
  return VerifiedRecord(std::move(look));
}

std::span<const std::byte> SegmentReader::Window(uint64_t offset, uint64_t size) {
  if (offset + size > window_offset_ + window_.size() && size <= kWindow) Fill(offset);
  if (offset < window_offset_ || offset + size > window_offset_ + window_.size()) return {};
  return std::span<const std::byte>(window_).subspan(offset - window_offset_, size);
}

// The bytes are read after the word that said they are committed. They may also come from a window read earlier: what
// verifies there was committed then.
Look SegmentReader::Verified(Look look) {
  const uint64_t size = format::kRecordHeaderSize + look.word.length();
  if (const auto record = Window(look.offset, size); !record.empty()) {
    Look found = VerifiedFrom(look, record);
    const auto valid = [](const Look& inner) { return inner.verdict == format::Verdict::kData && inner.valid(); };
    if (found.valid() && std::all_of(found.inner.begin(), found.inner.end(), valid)) return found;
  }
  const auto record = Bytes(look.offset, size);
  if (record.size() < size) return look;
  return VerifiedFrom(std::move(look), record);
}

Look SegmentReader::VerifiedRecord(Look look) const {
  format::Extent extent;
  if (!format::FindExtent(look.word, look.body, extent)) return look;
  look.extent = extent;
  const uint32_t begun =
      format::BeginChecksum(seed_, base_ + look.offset, look.word, look.header.type, look.header.timestamp);
  look.computed = format::Crc32c(begun, look.body.data(), size_t{look.extent->attributes} + look.extent->payload);
  return look;
}

Look SegmentReader::VerifiedBatch(Look look) const {
  const uint64_t table_end =
      format::BatchTableEnd(look.body.size() < sizeof(format::BatchHeader) ? 0 : format::BatchCount(look.body.data()));
  if (table_end > format::kRecordHeaderSize + look.body.size()) return look;
  const uint32_t begun =
      format::BeginChecksum(seed_, base_ + look.offset, look.word, look.header.type, look.header.timestamp);
  look.computed = format::Crc32c(begun, look.body.data(), table_end - format::kRecordHeaderSize);
  const auto count = format::VerifyFrame(seed_, base_ + look.offset, look.header, look.body);
  if (!count) return look;
  look.extent = format::Extent{0, look.word.length()};
  for (uint32_t i = 0; i < *count; ++i) look.inner.push_back(Inner(look, *format::FindInner(look.body, *count, i)));
  return look;
}

Look SegmentReader::Inner(const Look& frame, const format::InnerPlace& place) const {
  Look look;
  look.offset = frame.offset + place.offset;
  look.size = place.end - place.offset;
  look.told = place.checksum;
  look.verdict = format::Verdict::kBad;
  const auto bytes = frame.body.subspan(place.offset - format::kRecordHeaderSize, look.size);
  std::memcpy(&look.header, bytes.data(), sizeof(look.header));
  look.word = format::Word(look.header.word);
  const uint8_t check = format::ComputeCheck(seed_, base_ + look.offset, look.word.bits());
  const bool right = look.word.state() == format::State::kInner && look.word.check() == check &&
                     (look.word.flags() & ~format::kHasAttributes) == 0 &&
                     format::kRecordHeaderSize + look.word.length() <= look.size;
  if (!right) return look;
  look.verdict = format::Verdict::kData;
  look.body = bytes.subspan(format::kRecordHeaderSize);
  return VerifiedRecord(std::move(look));
}

Look SegmentReader::At(uint64_t offset) {
  Look look = WordAt(offset);
  for (int i = 0; i < kTries; ++i) {
    if (look.verdict == format::Verdict::kData) look = Verified(look);
    if (look.valid() || StillThere(look)) break;
    look = Judge(offset, FreshWord(offset));
  }
  return look;
}

std::optional<uint64_t> SegmentReader::SealedUpTo(uint64_t offset) const {
  const uint64_t position = base_ + offset;
  const auto range = std::find_if(sealed_.begin(), sealed_.end(), [&](const format::EpochEntry& entry) {
    return entry.from <= position && position < entry.to;
  });
  if (range == sealed_.end()) return std::nullopt;
  return format::AlignUp(std::min(range->to - base_, size_), format::kRecordAlignment);
}

uint64_t SegmentReader::Resync(uint64_t offset) {
  for (offset += format::kRecordAlignment; offset + format::kWordSize <= size_; offset += format::kRecordAlignment) {
    const Look look = Judge(offset, CachedWord(offset));
    if (look.verdict != format::Verdict::kData) continue;
    if (const auto sealed = SealedUpTo(offset)) {
      offset = *sealed - format::kRecordAlignment;
      continue;
    }
    if (look.size > hash_budget_) return size_;
    hash_budget_ -= look.size;
    if (Verified(look).valid()) return offset;
  }
  return size_;
}

std::optional<uint64_t> SegmentReader::FirstNonZero(uint64_t from, uint64_t to) {
  to = std::min(to, size_);
  for (uint64_t at = std::max(from, file_.NextWritten(from)); at < to;) {
    const auto bytes = Bytes(at, std::min(kWindow, to - at));
    if (bytes.empty()) return std::nullopt;
    if (!AllZero(bytes)) {
      const auto hit = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
      return at + static_cast<uint64_t>(hit - bytes.begin());
    }
    at += bytes.size();
    at = std::max(at, file_.NextWritten(at));
  }
  return std::nullopt;
}

}  // namespace libbus::inspect
