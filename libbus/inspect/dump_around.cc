#include "libbus/inspect/dump_around.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "libbus/format/index.h"
#include "libbus/inspect/segment_reader.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

using format::Verdict;

// How many entries of the index before the nearest one the walk begins, one try after the other: the first finds as
// many records before the position as people ask for. Behind them: the segment's beginning.
constexpr uint64_t kEntriesBack[] = {1, 32};

// The positions that the index tells of, for a walk that need not begin at the segment's beginning. Each one is tried
// before it is believed.
class IndexHints {
 public:
  IndexHints(const std::string& directory, const format::Uuid& topic) : seed_(format::TopicSeed::Of(topic)) {
    auto file = File::Open(directory + "/index");
    if (!file.ok()) return;
    const auto header = GetHeader<format::IndexHeader>(*file, format::kIndexMagic);
    if (!header || header->header.magic != format::kIndexMagic || !(header->header.uuid == topic) ||
        header->inode != file->inode()) {
      return;
    }
    count_ = (file->size() - sizeof(*header)) / sizeof(format::IndexEntry);
    file_ = *std::move(file);
  }

  // The position of the entry that stands `back` entries before the last one at or before `position`.
  std::optional<uint64_t> Before(uint64_t position, uint64_t back) const {
    uint64_t low = 0;
    uint64_t high = count_;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      const auto entry = Get(middle);
      if (!entry) return std::nullopt;
      if (entry->position <= position) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const auto entry = low > back ? Get(low - 1 - back) : std::nullopt;
    return entry && entry->position <= position ? std::optional(entry->position) : std::nullopt;
  }

 private:
  std::optional<format::IndexEntry> Get(uint64_t ordinal) const {
    const auto entry =
        file_->Get<format::IndexEntry>(sizeof(format::IndexHeader) + ordinal * sizeof(format::IndexEntry));
    if (!entry || format::IndexChecksum(seed_, ordinal, *entry) != entry->checksum) return std::nullopt;
    return entry;
  }

  format::TopicSeed seed_;
  std::optional<File> file_;
  uint64_t count_ = 0;
};

// What a walk met: the words before the one that holds an offset, and that one.
struct Walked {
  std::deque<uint64_t> before;
  uint64_t at = 0;
};

// Where the thing behind this word begins.
uint64_t NextOf(SegmentReader& reader, const Look& look) {
  if (look.verdict == Verdict::kBad) return reader.Resync(look.offset);
  if (look.verdict != Verdict::kFree) return look.offset + look.size;
  return reader.FirstNonZero(look.offset, reader.size()) ? reader.Resync(look.offset) : reader.size();
}

Walked WalkTo(SegmentReader& reader, uint64_t from, uint64_t wanted, uint64_t number) {
  Walked walked;
  for (walked.at = from; walked.at < reader.size() && reader.status().ok();) {
    const Look look = reader.WordAt(walked.at);
    const uint64_t next = NextOf(reader, look);
    if (wanted < next) break;
    if (look.verdict != Verdict::kFree) walked.before.push_back(walked.at);
    if (walked.before.size() > number) walked.before.pop_front();
    walked.at = next;
  }
  return walked;
}

// A segment of the topic, open, with what leads into it.
class Surroundings {
 public:
  static absl::StatusOr<std::unique_ptr<Surroundings>> Open(const std::string& path, const Control& control) {
    LIBBUS_ASSIGN_OR_RETURN(File file, File::Open(path));
    LIBBUS_ASSIGN_OR_RETURN(const SegmentIdentity identity, IdentifySegment(file, &control));
    if (!identity.usable) {
      return absl::DataLossError(fmt::format(
          "{}: {}, and no control file tells its topic: dump the file without a position", path, identity.problem));
    }
    return std::make_unique<Surroundings>(std::move(file), identity, control);
  }
  Surroundings(File file, const SegmentIdentity& identity, const Control& control)
      : file_(std::move(file)),
        reader_(file_, identity.seed, identity.base, identity.size, SealedRanges(control)),
        hints_(file_.path().substr(0, file_.path().find_last_of('/')),
               identity.header ? identity.header->header.uuid : format::Uuid()) {}

  SegmentReader& reader() { return reader_; }
  bool Holds(uint64_t position) const { return position - reader_.base() < std::max(reader_.size(), file_.size()); }

  // Offsets of the `number` things that are shown before what holds `wanted` (or fewer, if there are no more in this
  // segment), the last one first, each with the word that it belongs to.
  std::vector<DumpStart> Before(uint64_t wanted, uint64_t number) {
    const Walked walked = Walk(wanted, number);
    std::vector<DumpStart> found;
    if (wanted >= format::kSegmentHeaderSize && walked.at < reader_.size()) {
      AddPartsOf(walked.at, wanted, found);
      if (!found.empty()) found.erase(found.begin());  // what holds it
    }
    target_ = walked.at;
    for (auto word = walked.before.rbegin(); word != walked.before.rend() && found.size() < number; ++word) {
      AddPartsOf(*word, UINT64_MAX, found);
    }
    if (found.size() > number) found.resize(number);
    return found;
  }
  // Where what holds `wanted` begins, behind Before(wanted).
  DumpStart Target(uint64_t wanted) {
    if (wanted < format::kSegmentHeaderSize) return {reader_.base(), 0, 0};
    std::vector<DumpStart> found;
    AddPartsOf(target_, wanted, found);
    return found.empty() ? DumpStart{reader_.base(), target_, target_} : found.front();
  }

 private:
  Walked Walk(uint64_t wanted, uint64_t number) {
    for (const uint64_t back : kEntriesBack) {
      const auto hint = hints_.Before(reader_.base() + wanted, back);
      if (!hint || *hint < reader_.base() + format::kSegmentHeaderSize) break;
      const uint64_t from = *hint - reader_.base();
      if (from % format::kRecordAlignment != 0) break;
      const Look look = reader_.At(from);
      if (look.verdict != Verdict::kData || !look.valid()) break;
      Walked walked = WalkTo(reader_, from, wanted, number);
      if (walked.before.size() >= number) return walked;
    }
    return WalkTo(reader_, format::kSegmentHeaderSize, wanted, number);
  }

  // What is shown of the word at `word` and begins at or before `upto`, the last first.
  void AddPartsOf(uint64_t word, uint64_t upto, std::vector<DumpStart>& found) {
    const Look look = reader_.WordAt(word);
    if (look.verdict == Verdict::kData && look.word.is_batch()) {
      const Look batch = reader_.At(word);
      for (auto inner = batch.inner.rbegin(); inner != batch.inner.rend(); ++inner) {
        if (inner->offset <= upto) found.push_back({reader_.base(), word, inner->offset});
      }
    }
    found.push_back({reader_.base(), word, word});
  }

  File file_;
  SegmentReader reader_;
  IndexHints hints_;
  uint64_t target_ = 0;
};

}  // namespace

absl::StatusOr<DumpAround> FindAround(const std::vector<SegmentName>& segments, const Control& control,
                                      Position position, uint64_t number) {
  auto segment = std::find_if(segments.rbegin(), segments.rend(),
                              [&](const SegmentName& name) { return name.base <= position.offset; });
  if (segment == segments.rend()) {
    return absl::OutOfRangeError(fmt::format("position {} is before the oldest: use a higher one", position.offset));
  }
  LIBBUS_ASSIGN_OR_RETURN(const auto holding, Surroundings::Open(segment->path, control));
  if (!holding->Holds(position.offset)) {
    return absl::OutOfRangeError(
        fmt::format("{}: position {} is behind its end at {}, and in no other segment: use a "
                    "lower one",
                    segment->path, position.offset, holding->reader().base() + holding->reader().size()));
  }
  const uint64_t wanted = position.offset - holding->reader().base();
  std::vector<DumpStart> before = holding->Before(wanted, number);
  LIBBUS_RETURN_IF_ERROR(holding->reader().status());
  const DumpStart target = holding->Target(wanted);
  for (++segment; segment != segments.rend() && before.size() < number; ++segment) {
    const auto older = Surroundings::Open(segment->path, control);
    if (!older.ok()) break;
    for (const DumpStart& start : (*older)->Before((*older)->reader().size(), number - before.size())) {
      before.push_back(start);
    }
  }
  const uint64_t shown = before.size() + 1;
  return DumpAround{before.empty() ? target : before.back(), shown + std::min(number, UINT64_MAX - shown)};
}

}  // namespace libbus::inspect
