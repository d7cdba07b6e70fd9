// What must be true of a topic after a power cut besides its records: the control record with its list of epochs, where
// the log begins, and the cursors.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "libbus/format/word.h"
#include "libbus/platform/status.h"
#include "tests/crash/power_check.h"
#include "tests/seam/seam.h"

namespace libbus::test {
namespace {

using format::ControlState;
using format::EpochEntry;

BootId BootIdOf(uint32_t boot) {
  const uint32_t today = std::exchange(platform::seam_control.boot_id, boot);
  uint8_t id[16] = {};
  platform::Seam::BootId(id);
  platform::seam_control.boot_id = today;
  BootId found;
  std::copy(std::begin(id), std::end(id), found.begin());
  return found;
}

std::string Text(const EpochEntry& entry) {
  return fmt::format("epoch {}, {}..{} of cause {}", entry.number, entry.from, entry.to, entry.cause);
}

bool Same(const EpochEntry& a, const EpochEntry& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

// True if a recovery has to seal what it finds.
bool Seals(const ControlFacts& found, uint32_t boot) {
  const bool other_boot = found.boot != BootIdOf(boot);
  if (found.state == ControlState::kRecovering) return found.cause != 0 || other_boot;
  return found.state == ControlState::kOpen && other_boot;
}

std::string Text(const CursorPosition& position) {
  return position ? fmt::format("at {}", *position) : std::string("nowhere");
}

}  // namespace

// --- the control record ----------------------------------------------------------------------------------------------

void CutCheck::JudgeImage(const Cut& cut, const Image& image) {
  const auto found = ControlIn(image.Find("control")->content.data());
  if (!found) return Wrong(tally_.control, "control", "neither copy of the record is whole");
  if (cut.start == nullptr || SameSegments(image, *cut.start)) return;
  const bool over = found->state == ControlState::kOpen && found->boot == BootIdOf(cut.boot);
  if (found->state == ControlState::kRecovering || over) return;
  Wrong(tally_.control, "control",
        fmt::format("a recovery has changed a segment, and the state is {}", static_cast<int>(found->state)));
}

void CutCheck::JudgeEpochs(const Cut& cut, const Image& image) {
  const Image::File& file = *image.Find("control");
  const auto found = ControlIn(file.content.data());
  const auto now = ControlIn(file.file->data());
  if (!now) return Wrong(tally_.control, "control", "after the recovery neither copy of the record is whole");
  control_ = *now;
  if (!found) return;
  const uint32_t rise = Seals(*found, boot_) ? 1 : 0;
  const uint32_t expected = std::max(found->epoch, NewestEpoch(image)) + rise;
  tally_.epochs += rise;
  if (now->epoch != expected) {
    Wrong(tally_.control, "control", fmt::format("epoch {} after {}", now->epoch, expected - rise));
  }
  const auto& known = cut.known.epochs;
  const bool kept =
      now->epochs.size() >= known.size() && std::equal(known.begin(), known.end(), now->epochs.begin(), Same);
  if (!kept) return Wrong(tally_.control, "control", "the list of epochs has lost one");
  for (size_t i = known.size(); i < now->epochs.size(); ++i) {
    const EpochEntry& entry = now->epochs[i];
    if (entry.number <= cut.known.epoch || entry.number > now->epoch || entry.cause != format::kEndPowerLoss) {
      Wrong(tally_.control, "control", "after epoch " + std::to_string(cut.known.epoch) + ": " + Text(entry));
    }
  }
  for (const EpochEntry& entry : now->epochs) JudgeEntry(entry);
  for (const Seen& seen : recovered_) {
    if (!seen.gap || seen.cause != static_cast<uint32_t>(GapCause::kPowerLoss)) continue;
    const bool listed = std::any_of(now->epochs.begin(), now->epochs.end(),
                                    [&](const EpochEntry& entry) { return entry.from == seen.position; });
    if (!listed) Wrong(tally_.control, "control", Text(seen) + " is not in the list of epochs");
  }
}

void CutCheck::JudgeEntry(const EpochEntry& entry) {
  if (entry.to <= first_ || IsGap(recovered_, std::max(entry.from, first_), entry.to)) return;
  Wrong(tally_.control, "control", Text(entry) + ": readers get no gap there");
}

// --- the beginning ---------------------------------------------------------------------------------------------------

absl::Status CutCheck::JudgeFirst(const Known& known, Topic& topic) {
  if (first_ < known.first_least || first_ > known.first_most) {
    Wrong(tally_.lost, "lost",
          fmt::format("the log begins at {}, not from {} to {}", first_, known.first_least, known.first_most));
  }
  if (first_ == format::kSegmentHeaderSize) return absl::OkStatus();
  ++tally_.trimmed;
  LIBBUS_ASSIGN_OR_RETURN(Consumer consumer,
                          topic.NewConsumer({.from = From::At(Position{format::kSegmentHeaderSize})}));
  LIBBUS_ASSIGN_OR_RETURN(const RecordView record, consumer.Next(absl::ZeroDuration()));
  const bool told =
      record.kind() == RecordKind::kGap && record.gap().cause == GapCause::kEvicted && record.gap().to.offset == first_;
  if (!told) Wrong(tally_.silent, "silent", fmt::format("what was deleted before {} is not told", first_));
  return absl::OkStatus();
}

// --- cursors ---------------------------------------------------------------------------------------------------------

absl::Status CutCheck::JudgeCursors(const Known& known, Topic& topic) {
  LIBBUS_ASSIGN_OR_RETURN(const auto cursors, topic.ListCursors());
  for (const char* const name : kCursors) {
    const auto listed =
        std::find_if(cursors.begin(), cursors.end(), [&](const CursorInfo& cursor) { return cursor.name == name; });
    CursorPosition position;
    if (listed != cursors.end()) {
      LIBBUS_RETURN_IF_ERROR(listed->problem);
      position = listed->position.offset;
    }
    const auto may = known.cursors.find(name);
    const bool right = may == known.cursors.end()
                           ? !position
                           : std::find(may->second.begin(), may->second.end(), position) != may->second.end();
    if (!right)
      Wrong(tally_.cursor, "cursor",
            fmt::format(
                "{} stands {} of {}", name, Text(position),
                may == known.cursors.end() ? "" : fmt::format("{}", may->second.size()) + Text(may->second.back())));
    after_.cursors[name] = {position};
    if (!position) continue;
    ++tally_.cursors;
    if (Chance(2)) continue;
    Reading read;
    uint64_t from;
    const absl::Status status = ReadAll(topic, name, read, from);
    if (!status.ok()) {
      Wrong(tally_.cursor, "cursor", fmt::format("{} {}: {}", name, Text(position), status.ToString()));
    } else {
      JudgeCursor(name, *position, known.fresh.count(*position) != 0, std::move(read));
    }
  }
  return absl::OkStatus();
}

void CutCheck::JudgeCursor(const std::string& name, uint64_t position, bool fresh, Reading read) {
  Reading expected = recovered_;
  std::erase_if(expected, [&](const Seen& seen) { return seen.next <= position; });
  const bool in_gap = !expected.empty() && expected[0].gap && expected[0].position < position;
  tally_.in_gaps += in_gap ? 1 : 0;
  // Of a gap over several segments a cursor in the last of them is told that segment's part.
  if (in_gap && !read.empty() && read[0].gap && read[0].position <= position) expected[0].position = read[0].position;
  if (position < first_) {
    if (!fresh) return Wrong(tally_.cursor, "cursor", fmt::format("{} at {}: deleted", name, position));
    expected.insert(expected.begin(),
                    {true, true, position, first_, static_cast<uint32_t>(GapCause::kEvicted), std::string()});
  }
  if (!expected.empty() && !expected[0].gap && expected[0].position < position) {
    Wrong(tally_.cursor, "cursor", fmt::format("{} at {}: inside a record", name, position));
  }
  if (read == expected) return;
  Wrong(tally_.cursor, "cursor", fmt::format("{} at {} goes on: {}", name, position, Difference(expected, read)));
}

}  // namespace libbus::test
