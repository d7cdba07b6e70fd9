// The picture of a segment: its header, then each record with all its bytes.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "libbus/format/record.h"
#include "libbus/inspect/dump_attributes.h"
#include "libbus/inspect/dump_bytes.h"
#include "libbus/inspect/dump_output.h"
#include "libbus/inspect/file_header.h"
#include "libbus/inspect/picture.h"
#include "libbus/inspect/segment_reader.h"
#include "libbus/inspect/slot_owners.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

using format::Verdict;

// A word changes at most three times: only a scribbler gets here.
constexpr int kMostChanges = 16;

// Bytes beside which no text column stands.
constexpr size_t kShort = 8;

std::string WordMeaning(const DumpWord& word) {
  const std::string check = fmt::format("check {:02x}, computed {:02x}", word.check_stored, word.check_computed);
  const std::string flags = word.flags.empty() ? "" : fmt::format(", {}", word.flags);
  return fmt::format("{}{}, owner {}, {}, length {}", word.state, flags, word.owner, check, word.length);
}

// True if a record of the batch that was looked at begins at this offset.
bool StandsInside(const Look& batch, uint64_t offset) {
  return std::any_of(batch.inner.begin(), batch.inner.end(), [&](const Look& inner) { return inner.offset == offset; });
}

class SegmentPicture {
 public:
  SegmentPicture(const File& file, const SegmentIdentity& identity, const Control& control, DumpOutput& output)
      : file_(file),
        output_(output),
        reader_(file, identity.seed, identity.base, identity.size, SealedRanges(control)),
        owners_(file.path(), identity.header ? identity.header->header.uuid : format::Uuid()) {}

  absl::Status Records(uint64_t offset);
  absl::StatusOr<uint64_t> Find(Position position);
  // What stands before this offset is not shown: a batch is begun inside.
  void SetBegin(uint64_t begin) { begin_ = begin; }
  // What stands behind what belongs to the segment.
  absl::Status Rest() { return output_.EmitBytes(file_, "behind the segment", reader_.size(), file_.size()); }

 private:
  DumpItem Item(DumpKind kind, uint64_t offset, uint64_t size) const;
  DumpItem WordItem(DumpKind kind, const Look& look, uint64_t size) const;
  absl::StatusOr<uint64_t> One(const Look& look);
  absl::StatusOr<uint64_t> Unfinished(const Look& look);
  absl::Status Newer(const Look& look);
  static void HeadFields(const Look& look, uint64_t attributes, std::span<const std::byte> bytes, Picture& picture,
                         DumpItem& item);
  absl::Status LongTail(const Look& look, const format::Extent& extent);
  absl::Status Data(const Look& look, DumpKind kind = DumpKind::kData);
  absl::Status Batch(const Look& look);
  absl::Status Slack(uint64_t from, uint64_t to);
  absl::Status Inner(const Look& look);
  absl::Status BadInner(const Look& look);
  absl::Status GivenUp(const Look& look, std::span<const std::byte> bytes);
  absl::Status End(const Look& look);
  absl::StatusOr<uint64_t> Free(const Look& look);
  absl::StatusOr<uint64_t> Damage(const Look& look, std::string_view what);
  // Where reading goes on behind damage that ends at the offset `next`, put into the item and said in words.
  std::string Resumes(uint64_t next, DumpItem& item);
  std::string WhatStandsAt(uint64_t offset);
  uint64_t Position(uint64_t offset) const { return reader_.base() + offset; }

  const File& file_;
  DumpOutput& output_;
  SegmentReader reader_;
  SlotOwners owners_;
  uint64_t begin_ = 0;  // what stands before this offset is not shown: a batch is begun inside
  int changes_ = 0;     // of the word that is looked at, while it was
};

absl::Status SegmentPicture::Records(uint64_t offset) {
  while (offset < reader_.size() && !output_.done()) {
    const Look look = reader_.At(offset);
    LIBBUS_RETURN_IF_ERROR(reader_.status());
    LIBBUS_ASSIGN_OR_RETURN(offset, One(look));
  }
  return absl::OkStatus();
}

// Shows what stands there; returns where the next thing stands.
absl::StatusOr<uint64_t> SegmentPicture::One(const Look& look) {
  switch (look.verdict) {
    case Verdict::kData:
      LIBBUS_RETURN_IF_ERROR(look.word.is_newer() ? Newer(look) : look.inner.empty() ? Data(look) : Batch(look));
      break;
    case Verdict::kReserved:
    case Verdict::kGap:
      return Unfinished(look);
    case Verdict::kEnd:
      LIBBUS_RETURN_IF_ERROR(End(look));
      break;
    case Verdict::kFree:
      return Free(look);
    case Verdict::kBad:
      return Damage(look, "the word does not verify");
  }
  return look.offset + look.size;
}

DumpItem SegmentPicture::Item(DumpKind kind, uint64_t offset, uint64_t size) const {
  DumpItem item = MakeItem(kind, file_.path(), offset, size);
  item.position = libbus::Position{Position(offset)};
  return item;
}

DumpItem SegmentPicture::WordItem(DumpKind kind, const Look& look, uint64_t size) const {
  DumpItem item = Item(kind, look.offset, size);
  item.word = TakeApart(reader_.seed(), Position(look.offset), look.word);
  return item;
}

// The header of a record and its attributes.
void SegmentPicture::HeadFields(const Look& look, uint64_t attributes, std::span<const std::byte> bytes,
                                Picture& picture, DumpItem& item) {
  picture.Bytes("word", 8, WordMeaning(*item.word));
  picture.Checksum("checksum", look.extent || look.computed != 0 ? std::optional(look.computed) : std::nullopt);
  if (look.valid()) {
    // Nothing to add.
  } else if (look.told && *look.told != look.header.checksum) {
    picture.Wrong(fmt::format("the table of the batch says {:08x}", *look.told));
  } else if (look.word.is_batch()) {
    picture.Wrong("the table of the batch does not verify");
  } else if (!look.extent) {
    picture.Wrong("the attributes do not fit");
  }
  picture.Number<uint32_t>("type");
  picture.Time("timestamp");
  if (attributes != 0) AttributeFields(picture, bytes.subspan(format::kRecordHeaderSize, attributes));
}

// A long record: what did not fit into its item.
absl::Status SegmentPicture::LongTail(const Look& look, const format::Extent& extent) {
  const uint64_t payload = look.offset + format::kRecordHeaderSize + extent.attributes;
  const uint64_t end = look.offset + look.size;
  const uint64_t body_end = look.offset + format::kRecordHeaderSize + look.word.length();
  const uint64_t shown = std::min<uint64_t>(extent.payload, DumpOutput::kChunk);
  LIBBUS_RETURN_IF_ERROR(output_.EmitBytes(file_, "payload, continued", payload + shown, payload + extent.payload));
  LIBBUS_RETURN_IF_ERROR(output_.EmitBytes(file_, "slack", payload + extent.payload, body_end));
  return output_.EmitBytes(file_, "padding", body_end, end);
}

absl::Status SegmentPicture::Data(const Look& look, DumpKind kind) {
  DumpItem item = WordItem(kind, look, look.size);
  const auto extent = look.extent.value_or(format::Extent{0, look.word.length()});
  const uint64_t head = format::kRecordHeaderSize + extent.attributes;
  const bool whole = look.size <= head + DumpOutput::kChunk;
  const uint64_t payload = whole ? extent.payload : std::min<uint64_t>(extent.payload, DumpOutput::kChunk);
  const auto bytes = reader_.Bytes(look.offset, whole ? look.size : head + payload);
  Picture picture(item, bytes);
  HeadFields(look, extent.attributes, bytes, picture, item);
  DumpField& field =
      picture.Bytes("payload", payload, fmt::format("{} byte{}", extent.payload, extent.payload == 1 ? "" : "s"));
  if (payload <= kShort) field.meaning += fmt::format(", {}", Quoted(field.bytes));
  const uint64_t slack = look.word.length() - extent.attributes - extent.payload;
  if (whole && slack != 0) picture.Bytes("slack", slack, "not part of the payload");
  if (whole && picture.left() != 0) picture.Bytes("padding", picture.left());
  item.summary = fmt::format("{} bytes, payload {}", look.size, extent.payload);
  if (!look.valid()) item.summary += fmt::format("; does not verify; {}", Resumes(look.offset + look.size, item));
  output_.EmitRecord(item);
  return whole ? absl::OkStatus() : LongTail(look, extent);
}

// The header and table of a batch, then its records.
absl::Status SegmentPicture::Batch(const Look& look) {
  const uint64_t size = format::BatchTableEnd(look.inner.size());
  const bool whole = size <= DumpOutput::kChunk;
  if (begin_ <= look.offset) {
    DumpItem item = WordItem(DumpKind::kData, look, size);
    const auto bytes =
        reader_.Bytes(look.offset, whole ? size : format::kRecordHeaderSize + sizeof(format::BatchHeader));
    Picture picture(item, bytes);
    HeadFields(look, 0, bytes, picture, item);
    picture.Number<uint32_t>("count");
    picture.Zeros("reserved", sizeof(format::BatchHeader::reserved));
    for (size_t i = 0; whole && i < look.inner.size(); ++i) {
      picture.Number<uint32_t>("record at",
                               [&](uint32_t offset) { return fmt::format("{}", Position(look.offset + offset)); });
      picture.Number<uint32_t>("its checksum", [](uint32_t sum) { return fmt::format("{:08x}", sum); });
    }
    item.summary = fmt::format("batch of {}, {} bytes in all", look.inner.size(), look.size);
    output_.EmitRecord(item);
    if (!whole) LIBBUS_RETURN_IF_ERROR(output_.EmitBytes(file_, "table", look.offset + 32, look.offset + size));
  }
  uint64_t at = look.offset + size;
  for (const Look& inner : look.inner) {
    if (output_.done()) return reader_.status();
    if (inner.offset >= begin_) LIBBUS_RETURN_IF_ERROR(Slack(at, inner.offset));
    if (inner.offset >= begin_) LIBBUS_RETURN_IF_ERROR(Inner(inner));
    at = inner.offset + inner.size;
  }
  LIBBUS_RETURN_IF_ERROR(Slack(at, look.offset + look.size));
  return reader_.status();
}

// What stands between the parts of a batch.
absl::Status SegmentPicture::Slack(uint64_t from, uint64_t to) {
  return from < to ? output_.EmitBytes(file_, "padding", from, to) : absl::OkStatus();
}

absl::Status SegmentPicture::Inner(const Look& look) {
  return look.verdict == Verdict::kData ? Data(look, DumpKind::kInner) : BadInner(look);
}

absl::Status SegmentPicture::BadInner(const Look& look) {
  DumpItem item = WordItem(DumpKind::kInner, look, look.size);
  const bool whole = look.size <= DumpOutput::kChunk;
  Picture picture(item, reader_.Bytes(look.offset, whole ? look.size : format::kWordSize));
  picture.Bytes("word", format::kWordSize, WordMeaning(*item.word));
  picture.Wrong("the word does not verify");
  if (whole) picture.Unread("damage", picture.left(), DumpRole::kDamage);
  item.summary =
      fmt::format("{} bytes: the word does not verify; {}", look.size, Resumes(look.offset + look.size, item));
  output_.EmitRecord(item);
  if (whole) return absl::OkStatus();
  return output_.EmitBytes(file_, "damage", look.offset + format::kWordSize, look.offset + look.size);
}

// A record that is reserved, or was given up: nobody checks its bytes. Its word may become final while they are read.
absl::StatusOr<uint64_t> SegmentPicture::Unfinished(const Look& look) {
  const bool whole = look.size <= DumpOutput::kChunk;
  const auto bytes = reader_.Bytes(look.offset, whole ? look.size : format::kWordSize);
  uint64_t word = 0;
  if (bytes.size() >= sizeof(word)) std::memcpy(&word, bytes.data(), sizeof(word));
  if (word != look.word.bits() && changes_ < kMostChanges) {
    ++changes_;
    return look.offset;
  }
  changes_ = 0;
  LIBBUS_RETURN_IF_ERROR(GivenUp(look, bytes));
  return look.offset + look.size;
}

absl::Status SegmentPicture::GivenUp(const Look& look, std::span<const std::byte> bytes) {
  const bool gap = look.verdict == Verdict::kGap;
  DumpItem item = WordItem(gap ? DumpKind::kGap : DumpKind::kReserved, look, look.size);
  const bool whole = bytes.size() == look.size;
  Picture picture(item, bytes);
  picture.Bytes("word", format::kWordSize, WordMeaning(*item.word));
  if (whole) picture.Unread(gap ? "given up" : "being filled", picture.left());
  item.owner = owners_.Find(look.word.owner());
  item.summary = fmt::format("{} bytes, {}, owner {}{}", look.size, gap ? item.word->flags : "not committed",
                             look.word.owner(), OwnerText(item.owner));
  output_.EmitRecord(item);
  if (whole) return absl::OkStatus();
  return output_.EmitBytes(file_, gap ? "given up" : "being filled", look.offset + 8, look.offset + look.size);
}

// A record whose bytes only a newer version knows.
absl::Status SegmentPicture::Newer(const Look& look) {
  DumpItem item = WordItem(DumpKind::kData, look, look.size);
  Picture(item, reader_.Bytes(look.offset, format::kWordSize)).Bytes("word", 8, WordMeaning(*item.word));
  item.summary = fmt::format("{} bytes of a newer version: a reader of this version stops here", look.size);
  output_.EmitRecord(item);
  return output_.EmitBytes(file_, "bytes of a newer version", look.offset + format::kWordSize, look.offset + look.size);
}

absl::Status SegmentPicture::End(const Look& look) {
  DumpItem item = WordItem(DumpKind::kEnd, look, look.size);
  Picture(item, reader_.Bytes(look.offset, 8)).Bytes("word", 8, WordMeaning(*item.word));
  const uint64_t behind = look.offset + format::kWordSize;
  const auto rest = reader_.FirstNonZero(behind, reader_.size());
  const bool sealed = look.word.flags() != format::kEndRolled;
  item.summary = fmt::format("{}{}; {} bytes behind it{}", sealed ? "sealed: " : "", item.word->flags,
                             reader_.size() - behind, rest ? "" : ", all zero");
  output_.EmitRecord(item);
  return output_.EmitBytes(file_, "behind the end", behind, reader_.size());
}

absl::StatusOr<uint64_t> SegmentPicture::Free(const Look& look) {
  const auto rest = reader_.FirstNonZero(look.offset, reader_.size());
  if (rest && reader_.WordAt(look.offset).verdict != Verdict::kFree) return look.offset;  // published meanwhile
  if (rest) return Damage(look, fmt::format("free, but offset {} is not zero", *rest));
  DumpItem item = Item(DumpKind::kFree, look.offset, reader_.size() - look.offset);
  Picture(item, {}).Bytes("free", 0);
  item.fields[0].zeros = item.size;
  item.summary = fmt::format("{} bytes, all zero", item.size);
  output_.Emit(item);
  return reader_.size();
}

std::string SegmentPicture::WhatStandsAt(uint64_t offset) {
  const Look look = reader_.WordAt(offset);
  const uint8_t flags = look.word.flags();
  switch (look.verdict) {
    case Verdict::kData:
      return fmt::format("{}, {} bytes", look.word.is_batch() ? "batch" : "data", look.size);
    case Verdict::kGap:
      return fmt::format("gap ({}), {} bytes", FlagsText(format::State::kGap, flags), look.size);
    case Verdict::kReserved:
      return fmt::format("reserved, {} bytes", look.size);
    case Verdict::kEnd:
      return fmt::format("end ({})", EndCauseName(flags));
    case Verdict::kFree:
      return "free";
    case Verdict::kBad:
      break;
  }
  return "damage";
}

std::string SegmentPicture::Resumes(uint64_t next, DumpItem& item) {
  if (next + format::kWordSize <= reader_.size()) {
    const bool inner = item.kind == DumpKind::kInner && reader_.WordAt(next).verdict == Verdict::kBad;
    item.resume =
        DumpResume{libbus::Position{Position(next)}, inner ? "the next one of the batch" : WhatStandsAt(next)};
  } else if (const auto behind =
                 NextInUse(file_.path().substr(0, file_.path().find_last_of('/')), reader_.base() + reader_.size())) {
    item.resume = DumpResume{libbus::Position{*behind}, "the next segment"};
  }
  if (item.resume) {
    return fmt::format("reading goes on at {} ({})", item.resume->position.offset, item.resume->what);
  }
  return fmt::format("nothing up to the end of the segment ({}) verifies, and reading ends here", Position(next));
}

absl::StatusOr<uint64_t> SegmentPicture::Damage(const Look& look, std::string_view what) {
  const uint64_t next = reader_.Resync(look.offset);
  DumpItem item = WordItem(DumpKind::kDamage, look, next - look.offset);
  const bool whole = item.size <= DumpOutput::kChunk;
  Picture picture(item, reader_.Bytes(look.offset, whole ? item.size : format::kWordSize));
  picture.Bytes("word", std::min<uint64_t>(format::kWordSize, picture.left()), WordMeaning(*item.word));
  picture.Wrong(what);
  if (picture.left() != 0) picture.Unread("damage", picture.left(), DumpRole::kDamage);
  item.summary = fmt::format("{} bytes: {}; {}", item.size, what, Resumes(next, item));
  output_.EmitRecord(item);
  if (!whole) LIBBUS_RETURN_IF_ERROR(output_.EmitBytes(file_, "damage", look.offset + 8, next));
  return next;
}

// The offset of what stands at a position.
absl::StatusOr<uint64_t> SegmentPicture::Find(libbus::Position position) {
  const uint64_t wanted = position.offset - reader_.base();
  if (wanted == 0) return 0;
  if (wanted < format::kSegmentHeaderSize) {
    return absl::InvalidArgumentError(fmt::format("{}: position {} is inside the segment's header: use {}",
                                                  file_.path(), position.offset, reader_.base()));
  }
  for (uint64_t offset = format::kSegmentHeaderSize; offset < reader_.size();) {
    if (offset == wanted) return offset;
    const Look look = reader_.WordAt(offset);
    if (look.verdict == Verdict::kFree) break;
    const bool bad = look.verdict == Verdict::kBad;
    const uint64_t next = bad ? reader_.Resync(offset) : offset + look.size;
    if (wanted < next && bad) return offset;
    if (wanted < next && StandsInside(reader_.At(offset), wanted)) {
      begin_ = wanted;
      return offset;
    }
    if (wanted < next) {
      return absl::InvalidArgumentError(fmt::format("{}: position {} is inside the record at {}: use {}", file_.path(),
                                                    position.offset, Position(offset), Position(offset)));
    }
    offset = next;
  }
  return absl::OutOfRangeError(
      fmt::format("{}: position {} is beyond the end: use a lower one", file_.path(), position.offset));
}

DumpItem HeaderItem(const File& file, const SegmentIdentity& identity) {
  DumpItem item = MakeItem(DumpKind::kHeader, file.path(), 0, format::kSegmentHeaderSize);
  item.position = Position{identity.base};
  std::string bytes(format::kSegmentHeaderSize, '\0');
  bytes.resize(file.Read(0, std::as_writable_bytes(std::span(bytes))).value_or(0));
  Picture picture(item, std::as_bytes(std::span(bytes)));
  FileHeaderFields(picture, format::kSegmentMagic);
  picture.Number<uint64_t>("base");
  if (const auto base = ParseSegmentName(file.path().substr(file.path().find_last_of('/') + 1));
      base && *base != identity.base) {
    picture.Wrong(fmt::format("the file's name says {}", *base));
  }
  picture.Number<uint64_t>("file size");
  if (identity.header && identity.header->file_size != file.size()) {
    picture.Wrong(fmt::format("the file has {} bytes", file.size()));
  }
  picture.Number<uint64_t>("inode", [&](uint64_t inode) {
    return inode == file.inode() ? fmt::format("{}", inode) : fmt::format("{}: of another file: this is a copy", inode);
  });
  picture.Number<uint32_t>("epoch");
  if (identity.header) ChecksumField(picture, Padded<format::SegmentHeader>(bytes));
  const std::string problem = identity.flipped ? FlippedText(*identity.flipped) : identity.problem;
  item.summary = problem.empty() ? "segment header" : fmt::format("segment header: {}", problem);
  item.damaged = item.damaged || !identity.problem.empty();
  return item;
}

}  // namespace

absl::Status DumpSegment(const File& file, DumpOutput& output) {
  const std::string directory = file.path().substr(0, file.path().find_last_of('/') + 1);
  const auto control_file = File::Open(directory + "control");
  const Control control = control_file.ok() ? ReadControl(*control_file) : Control();
  const auto identity = IdentifySegment(file, &control);
  if (!identity.ok()) return DumpForeign(file, std::string(identity.status().message()), false, output);
  if (!identity->usable) {
    return DumpForeign(file,
                       fmt::format("a segment by its name: {}, and no control file tells its topic", identity->problem),
                       true, output);
  }
  SegmentPicture picture(file, *identity, control, output);
  uint64_t offset = 0;
  if (output.start() && output.start()->base == identity->base) {
    offset = output.start()->word;
    picture.SetBegin(output.start()->begin);
  } else if (output.options().from && output.options().from->offset >= identity->base) {
    LIBBUS_ASSIGN_OR_RETURN(offset, picture.Find(*output.options().from));
  }
  output.Emit(FileItem(
      file, fmt::format("segment of topic {}, base {}",
                        identity->header ? log::UuidText(identity->header->header.uuid) : "?", identity->base)));
  if (offset == 0) {
    output.Emit(HeaderItem(file, *identity));
    offset = format::kSegmentHeaderSize;
  }
  LIBBUS_RETURN_IF_ERROR(picture.Records(offset));
  return output.done() ? absl::OkStatus() : picture.Rest();
}

}  // namespace libbus::inspect
