#include "libbus/processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "libbus/format/cursor.h"
#include "libbus/inspect/attached.h"
#include "libbus/inspect/file.h"
#include "libbus/inspect/topic_files.h"
#include "libbus/inspect/words.h"
#include "libbus/log/consumer_table.h"
#include "libbus/log/cursor_directory.h"
#include "libbus/platform/file.h"
#include "libbus/platform/status.h"

namespace libbus {
namespace inspect {
namespace {

using format::Verdict;

constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();
// ControlHeader::timestamps of a topic that stores none.
constexpr uint8_t kNoTimestamps = 2;
// As far as lags are counted in records.
constexpr uint64_t kCounted = uint64_t{8} << 20;

absl::Time TimeOf(uint64_t ns) { return absl::FromUnixNanos(static_cast<int64_t>(ns)); }

// Words that hold a text, padded with zeros.
template <size_t n>
std::string TextOf(const uint64_t (&words)[n]) {
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  return text;
}

// One topic's part of the picture.
class TopicPicture {
 public:
  TopicPicture(const TopicFiles& files, const Attached& attached)
      : files_(files),
        attached_(attached),
        locks_(File::Open(files.path + "/locks")),
        sleep_(File::Open(files.path + "/sleep")) {}

  absl::StatusOr<TopicProcesses> Draw() {
    out_.topic = files_.name;
    out_.hidden = attached_.hidden;
    ReadControl();
    LIBBUS_RETURN_IF_ERROR(AddClaims());
    AddProducers();
    AddConsumers();
    AddCursors();
    AddOthers();
    AddLockHolders();
    return std::move(out_);
  }

 private:
  platform::FileIdentity IdentityOf(const File& file) const { return {file.device(), file.inode()}; }

  const AttachedProcess* Holder(const absl::StatusOr<File>& file, int64_t byte) {
    const AttachedProcess* holder = file.ok() ? attached_.Holder(IdentityOf(*file), byte) : nullptr;
    if (holder != nullptr) told_.push_back(holder->pid);
    return holder;
  }
  static std::optional<bool> Alive(const absl::StatusOr<File>& file, int64_t byte) {
    return file.ok() ? file->Locked(byte) : std::nullopt;
  }

  ProcessId Identify(const AttachedProcess* holder, std::optional<bool> alive, uint64_t noted,
                     std::string noted_name = {}) const {
    if (holder == nullptr) return {.pid = noted, .command = std::move(noted_name), .alive = alive};
    return {
        .pid = holder->pid, .identified = true, .command = holder->command, .alive = true, .stopped = holder->stopped};
  }

  void ReadControl() {
    if (!files_.control_file) return;
    live_ = files_.control_file->Get<format::LiveWords>(format::kLiveOffset).value_or(format::LiveWords());
    slots_.resize(format::kSlots);
    (void)files_.control_file->Read(format::kSlotsOffset, std::as_writable_bytes(std::span(slots_)));
    out_.durable.offset = live_.durable;
  }

  // Who holds the locks of a slot; of one that nobody holds, what its last holder noted down.
  ProcessId SlotHolder(uint32_t slot) {
    const uint64_t noted = slot < slots_.size() ? slots_[slot].pid : 0;
    return Identify(Holder(locks_, slot), Alive(locks_, slot), noted);
  }

  // Where to begin to look for claims: none stands before the lowest floor.
  uint64_t WalkFrom(uint64_t near) const {
    for (const format::Slot& slot : slots_) {
      if (slot.floor != 0 && slot.floor % format::kRecordAlignment == 0) near = std::min(near, slot.floor);
    }
    return near;
  }

  // Returns where the walk ended. `damaged`: it met something that is no word.
  absl::StatusOr<uint64_t> WalkForClaims(uint64_t from, bool& damaged) {
    out_.claims.clear();
    damaged = false;
    const bool stamped = files_.control.header && files_.control.header->timestamps != kNoTimestamps;
    return WalkWords(files_, from, kAll, [&](uint64_t position, const Look& look, SegmentReader& reader) {
      damaged |= look.verdict == Verdict::kBad;
      if (look.verdict == Verdict::kReserved) AddClaim(position, look);
      if (stamped && look.verdict == Verdict::kData && !out_.claims.empty() && !out_.claims.back().before) {
        SetBefore(TimestampOf(look, reader));
      }
      return true;
    });
  }

  void SetBefore(int64_t time) {
    for (ClaimInfo& claim : out_.claims) {
      if (time != 0 && !claim.before) claim.before = absl::FromUnixNanos(time);
    }
  }

  absl::Status AddClaims() {
    const uint64_t near = files_.control_file ? NearTail(files_, live_) : 0;
    const uint64_t from = WalkFrom(near);
    bool damaged = false;
    LIBBUS_ASSIGN_OR_RETURN(out_.tail.offset, WalkForClaims(from, damaged));
    if (damaged && from != near) {
      // Perhaps a floor that leads nowhere.
      LIBBUS_ASSIGN_OR_RETURN(out_.tail.offset, WalkForClaims(near, damaged));
    }
    out_.end = out_.claims.empty() ? out_.tail : out_.claims.front().position;
    return absl::OkStatus();
  }

  void AddClaim(uint64_t position, const Look& look) {
    const uint32_t slot = look.word.owner();
    out_.claims.push_back({.position = {position},
                           .size = look.size,
                           .slot = slot,
                           .name = slot < slots_.size() ? TextOf(slots_[slot].name) : std::string(),
                           .process = SlotHolder(slot)});
  }

  void AddProducers() {
    for (uint32_t i = 1; i < slots_.size(); ++i) {
      const format::Slot& slot = slots_[i];
      if (slot.pid == 0) continue;
      ProcessInfo info{.process = SlotHolder(i), .role = ProcessRole::kProducer, .slot = i, .name = TextOf(slot.name)};
      info.since = TimeOf(slot.since);
      for (const ClaimInfo& claim : out_.claims) {
        if (claim.slot == i) info.claim = claim.position;
      }
      out_.processes.push_back(std::move(info));
    }
  }

  // Of what a consumer has not read; unset where its position is none.
  std::optional<Lag> LagOf(uint64_t position) const {
    if (position == 0 || position > out_.tail.offset) return std::nullopt;
    Lag lag{.bytes = out_.end.offset - std::min(position, out_.end.offset)};
    if (lag.bytes > kCounted) return lag;
    uint64_t records = 0;
    bool right = true;
    const auto count = [&](uint64_t, const Look& look, SegmentReader& reader) {
      right &= look.verdict != Verdict::kBad;
      records += Ordinals(look, reader);
      return right;
    };
    const auto walked = WalkWords(files_, position, out_.end.offset, count);
    if (walked.ok() && right) lag.records = records;
    return lag;
  }

  WaitsFor Waits(const format::ConsumerEntry& entry) const {
    if (entry.waits_for == format::kWaitsForSync) return WaitsFor::kSync;
    if (entry.waits_for != format::kWaitsForRecord || entry.position < out_.end.offset) return WaitsFor::kNothing;
    const bool claimed = !out_.claims.empty() && out_.claims.front().position.offset == entry.position;
    return claimed ? WaitsFor::kCommit : WaitsFor::kRecord;
  }

  void AddConsumers() {
    const auto page = std::make_unique<std::optional<format::SleepFile>>(sleep_.ok() ? sleep_->Get<format::SleepFile>(0)
                                                                                     : std::nullopt);
    if (!*page) return;
    uint32_t living = 0;
    for (uint32_t n = 0; n < format::kConsumerEntries; ++n) {
      const format::ConsumerEntry& entry = (*page)->consumers[n];
      const std::optional<bool> alive = Alive(sleep_, log::ConsumerByte(n));
      living += alive == true ? 1 : 0;
      if (entry.pid != 0 || alive == true)
        AddConsumer(entry, Identify(Holder(sleep_, log::ConsumerByte(n)), alive, entry.pid, TextOf(entry.name)));
    }
    out_.consumers_full = living == format::kConsumerEntries;
  }

  void AddConsumer(const format::ConsumerEntry& entry, ProcessId process) {
    const bool alive = process.alive.value_or(true);
    ProcessInfo info{.process = std::move(process), .role = ProcessRole::kConsumer};
    info.since = TimeOf(entry.since);
    info.position = Position{entry.position};
    info.lag = LagOf(entry.position);
    if (alive) info.waits_for = Waits(entry);
    if (alive && entry.idle != 0) info.waits_since = TimeOf(entry.idle);
    marks_.emplace_back(out_.processes.size(), entry.cursor);
    out_.processes.push_back(std::move(info));
  }

  void AddCursors() {
    const std::string directory = files_.path + "/cursors";
    auto names = platform::ListDirectory(directory);
    if (!names.ok()) return;
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      if (log::IsCursorName(name)) AddCursor(directory, name);
    }
  }

  void AddCursor(const std::string& directory, const std::string& name) {
    bool listed = false;
    for (const auto& [at, mark] : marks_) {
      if (mark != log::CursorMark(name)) continue;
      out_.processes[at].cursor = name;
      listed |= out_.processes[at].process.alive.value_or(true);
    }
    const auto lock = File::Open(fmt::format("{}/{}.lock", directory, name));
    if (listed || !lock.ok() || lock->Locked(format::kCursorByte) != true) return;
    const auto noted = lock->Get<format::CursorLockFile>(0).value_or(format::CursorLockFile());
    ProcessInfo info{.process = Identify(Holder(lock, format::kCursorByte), true, noted.pid),
                     .role = ProcessRole::kCursor,
                     .cursor = name};
    if (noted.since != 0) info.since = absl::FromUnixNanos(noted.since);
    const auto file = File::Open(fmt::format("{}/{}", directory, name));
    if (const auto position = file.ok() ? CommittedBy(*file) : std::nullopt) {
      info.position = Position{*position};
      info.lag = LagOf(*position);
    }
    out_.processes.push_back(std::move(info));
  }

  static std::optional<uint64_t> CommittedBy(const File& file) {
    const auto header = GetHeader<format::CursorHeader>(file, format::kCursorMagic);
    format::CursorRecord copies[2] = {};
    for (const int i : {0, 1}) {
      copies[i] = file.Get<format::CursorRecord>(format::kCursorCopyOffset[i]).value_or(format::CursorRecord());
    }
    const auto holding = header ? format::HoldingCopy(header->header.uuid, copies) : std::nullopt;
    return holding ? std::optional(copies[*holding].position) : std::nullopt;
  }

  // Who has the topic open, and nothing more is known.
  void AddOthers() {
    if (!files_.control_file) return;
    for (const AttachedProcess& process : attached_.processes) {
      const bool told = std::find(told_.begin(), told_.end(), process.pid) != told_.end();
      if (told || !process.Has(IdentityOf(*files_.control_file))) continue;
      out_.processes.push_back({.process = Identify(&process, true, 0), .role = ProcessRole::kAttached});
    }
  }

  void AddLockHolders() {
    if (Alive(locks_, format::kSyncByte) == true) {
      out_.syncing = Identify(Holder(locks_, format::kSyncByte), true, 0);
    }
    if (live_.attach_pid != 0 && Alive(locks_, format::kAttachByte) == true) {
      out_.recovering = Identify(Holder(locks_, format::kAttachByte), true, live_.attach_pid);
    }
  }

  const TopicFiles& files_;
  const Attached& attached_;
  const absl::StatusOr<File> locks_;
  const absl::StatusOr<File> sleep_;
  format::LiveWords live_ = {};
  std::vector<format::Slot> slots_;
  std::vector<std::pair<size_t, uint64_t>> marks_;  // consumers, and the marks of their cursors
  std::vector<uint64_t> told_;                      // processes that stand in the picture
  TopicProcesses out_;
};

}  // namespace
}  // namespace inspect

std::string_view ProcessRoleName(ProcessRole role) {
  constexpr std::array<std::string_view, 4> kNames = {"producer", "consumer", "cursor", "attached"};
  return kNames[static_cast<size_t>(role) % kNames.size()];
}

std::string_view WaitsForName(WaitsFor waits_for) {
  constexpr std::array<std::string_view, 4> kNames = {"", "record", "commit", "sync"};
  return kNames[static_cast<size_t>(waits_for) % kNames.size()];
}

absl::StatusOr<std::vector<TopicProcesses>> InspectProcesses(const std::string& bus, std::string_view topic) {
  LIBBUS_RETURN_IF_ERROR(inspect::ReadBusFile(bus).status());
  std::vector<std::string> names;
  if (topic.empty()) {
    LIBBUS_ASSIGN_OR_RETURN(names, inspect::ListTopicNames(bus));
  } else {
    LIBBUS_RETURN_IF_ERROR(inspect::CheckTopicName(topic));
    names.emplace_back(topic);
  }
  // Before any of these files is opened here: who only looks is not among those who have them open.
  std::vector<platform::FileIdentity> controls;
  for (const std::string& name : names) {
    const auto identity = platform::IdentifyPath(fmt::format("{}/{}/control", bus, name));
    if (identity.ok()) controls.push_back(*identity);
  }
  const inspect::Attached attached = inspect::FindAttached(controls);
  std::vector<TopicProcesses> all;
  for (const std::string& name : names) {
    const auto files = inspect::OpenTopicFiles(bus, name);
    if (topic.empty() && absl::IsNotFound(files.status())) continue;  // removed since it was listed
    LIBBUS_RETURN_IF_ERROR(files.status());
    LIBBUS_ASSIGN_OR_RETURN(TopicProcesses one, inspect::TopicPicture(*files, attached).Draw());
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace libbus
