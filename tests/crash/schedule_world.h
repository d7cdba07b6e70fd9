// What a scenario of the controlled scheduler happens in: a bus with one topic, some processes that have it open, an
// auditor who reads behind each execution what stands there, and the ledger of what was promised.
//
// All executions of a scenario begin with the same bytes: the files are put back behind each one, or, where one makes
// files, the whole bus is made anew.
#ifndef LIBBUS_TESTS_CRASH_SCHEDULE_WORLD_H_
#define LIBBUS_TESTS_CRASH_SCHEDULE_WORLD_H_

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/layout.h"
#include "tests/crash/scheduler.h"
#include "tests/support/disk.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {

struct WorldOptions {
  size_t processes = 2;
  uint32_t read_only = 0;  // bit i: process i
  bool exclusive = false;
  absl::Duration claim_timeout = absl::ZeroDuration();
  uint64_t segment_size = 16384;
  bool durable = false;  // the file system passes for a disk
  bool makes_files = false;
};

// What a consumer was handed.
struct ReadItem {
  uint64_t position = 0;
  std::string what;  // the text, or "gap" and the cause
  friend bool operator==(const ReadItem&, const ReadItem&) = default;
};

class World : public platform::SeamWatcher {
 public:
  struct Process {
    std::optional<Bus> bus;
    std::optional<Topic> topic;
    std::optional<Producer> producer;
    std::optional<Consumer> consumer;
    std::vector<ReadItem> read;
  };
  struct Promise {
    size_t process;
    uint64_t position;
    std::string text;
    bool durable;
  };

  World(Scheduler& scheduler, const WorldOptions& options)
      : scheduler_(scheduler), options_(options), scratch_(MemoryParent().empty() ? "/tmp" : MemoryParent()) {
    platform::seam_control.pretend_durable = options.durable;
    platform::seam_control.realtime = 1'000'000'000'000'000'000;
    platform::seam_control.watcher = this;
    Open();
  }
  ~World() override {
    Close();
    platform::seam_control.watcher = nullptr;
    platform::seam_control.realtime = 0;
    platform::seam_control.pretend_durable = false;
  }

  Process& at(size_t i) { return processes_[i]; }
  Scheduler& scheduler() { return scheduler_; }

  // --- what processes do ---

  void MakeProducer(size_t i) {
    auto made = at(i).topic->NewProducer();
    if (!made.ok()) return Wrong("no producer", made.status());
    at(i).producer.emplace(*std::move(made));
  }
  void MakeConsumer(size_t i) {
    auto made = at(i).topic->NewConsumer({.from = From::Start(), .wait = Wait::kPark, .gaps = Gaps::kAll});
    if (!made.ok()) return Wrong("no consumer", made.status());
    at(i).consumer.emplace(*std::move(made));
  }
  // `may_be_revoked`: a refusal is an answer.
  void Publish(size_t i, const std::string& text, bool durable = false, bool may_be_revoked = false) {
    Attempt(text);
    Note(i, text, durable, may_be_revoked, at(i).producer->Publish(text, {.durable = durable}));
  }
  void ClaimAndCommit(size_t i, const std::string& text, bool may_be_revoked = false) {
    Attempt(text);
    auto claim = at(i).producer->Claim(text.size());
    if (!claim.ok()) return Wrong("no claim", claim.status());
    std::memcpy(claim->bytes().data(), text.data(), text.size());
    Note(i, text, false, may_be_revoked, std::move(*claim).Commit());
  }
  void ClaimAndAbandon(size_t i) {
    auto claim = at(i).producer->Claim(16);
    if (!claim.ok()) return Wrong("no claim", claim.status());
    if (const absl::Status over = std::move(*claim).Abandon(); !over.ok()) Wrong("not abandoned", over);
  }
  // A claim that nobody will commit.
  void LeaveClaim(size_t i) {
    auto claim = at(i).producer->Claim(16);
    if (!claim.ok()) return Wrong("no claim", claim.status());
    left_.push_back(*std::move(claim));
  }
  void AbandonLeft() {
    for (ClaimedRecord& claim : left_) {
      if (const absl::Status over = std::move(claim).Abandon(); !over.ok()) Wrong("not abandoned", over);
    }
    left_.clear();
  }
  // Until `end` bytes of the segment are used.
  void Fill(size_t i, uint64_t end) {
    const std::string text(end - format::kSegmentHeaderSize - format::kRecordHeaderSize, 'f');
    Publish(i, text);
  }
  void AwaitEnd(size_t i) {
    scheduler_.Await(
        [this, i] { return scheduler_.state(i) == FiberState::kEnded || scheduler_.state(i) == FiberState::kDead; });
  }
  // What somebody's background thread does.
  void Maintain(size_t i) {
    const absl::Status status = at(i).topic->Maintain();
    if (!status.ok()) Wrong("not maintained", status);
  }
  // Reads and sleeps until the execution is over.
  void Consume(size_t i) {
    for (;;) {
      const auto record = at(i).consumer->Next();
      if (!Take(i, record)) return;
    }
  }
  // Looks once, without a wait.
  void Glance(size_t i) {
    const auto batch = at(i).consumer->Poll(1);
    if (!batch.ok()) return Wrong("no look", batch.status());
    for (const RecordView& record : *batch) at(i).read.push_back(Describe(record));
  }
  void SyncAll(size_t i) {
    const absl::Status status = at(i).topic->Sync();
    if (scheduler_.draining()) return;
    if (!status.ok()) return Wrong("no sync", status);
    CheckWatermark();
  }

  // --- what is checked ---

  // D is never beyond an open claim.
  void CheckWatermark() {
    const uint64_t durable = at(0).topic->durable().offset;
    for (const auto& [position, word] : Words(ReadFile(FirstSegment()))) {
      if (position < durable && word.state() == format::State::kReserved) {
        Wrong(fmt::format("D is {} beyond an open claim at {}", durable, position));
      }
      if (position < durable && word.state() == format::State::kData && durable_.count(position) == 0) {
        ++figures_.lost;
        Wrong(fmt::format("D is {} and the record at {} is not on the disk", durable, position));
      }
    }
  }

  // Behind an execution: what was promised is there once, in order, and everybody who reads has read it. `readers`: who
  // must have; with a dead or stopped reader it is not among them.
  void Check(uint32_t readers) {
    if (auto complaint = scheduler_.TakeComplaint(); !complaint.empty()) Wrong(complaint);
    if (!SomebodyRepairs(readers)) Repair();
    const std::vector<ReadItem> all = Audit();
    figures_.records += all.size();
    std::map<std::string, size_t> met;
    for (const ReadItem& item : all) CheckItem(item, met);
    for (const Promise& promise : promises_) {
      // Behind a claim that only its stopped owner ends nothing can be read yet; it will be, when he goes on.
      if (StandsStill() && options_.claim_timeout == absl::ZeroDuration()) break;
      const ReadItem wanted = {promise.position, promise.text};
      if (std::find(all.begin(), all.end(), wanted) != all.end()) continue;
      ++figures_.lost;
      Wrong(fmt::format("acknowledged at {} and not there: {}", promise.position, promise.text));
    }
    CheckOrder();
    for (size_t i = 0; i < options_.processes; ++i) {
      if ((readers >> i & 1) == 0 || scheduler_.Died(i) || scheduler_.state(i) == FiberState::kStopped) continue;
      CheckReader(i, all);
    }
    if (options_.durable) CheckWatermark();
  }
  // Everybody but the dead, the stopped and `readers`, who sleep at the end, is done.
  void CheckEnded(uint32_t readers) {
    for (size_t i = 0; i < options_.processes; ++i) {
      const FiberState state = scheduler_.state(i);
      if ((readers >> i & 1) != 0 || state == FiberState::kEnded || state == FiberState::kDead) continue;
      if (state == FiberState::kStopped) continue;
      ++figures_.stuck;
      Wrong(fmt::format("process {} is stuck", i));
    }
  }

  // --- around executions ---

  // Nothing of the execution stays.
  void Reset() {
    for (auto& process : processes_) {
      if (process.consumer) process.consumer->Interrupt();
    }
    scheduler_.Drain();
    promises_.clear();
    attempted_.clear();
    durable_.clear();
    pending_.clear();
    left_.clear();
    for (auto& process : processes_) {
      process.read.clear();
      process.consumer.reset();
      process.producer.reset();
    }
    if (options_.makes_files) {
      Close();
      Open();
      return;
    }
    for (const auto& [name, bytes] : snapshot_) WriteFile(name, bytes);
  }
  void BeginExecution() { scheduler_.MarkTemporary(true); }

  std::string TakeProblem() { return std::exchange(problem_, {}); }
  Figures& figures() { return figures_; }
  void Wrong(const std::string& what) {
    if (scheduler_.draining()) return;
    if (problem_.empty()) problem_ = what;
  }
  void Wrong(const std::string& what, const absl::Status& status) { Wrong(what + ": " + status.ToString()); }

  // --- SeamWatcher: what is on the disk ---
  void BeforeSync(int fd) override {
    if (!options_.durable) return;
    std::vector<char> bytes(options_.segment_size);
    struct stat info;
    if (fstat(fd, &info) != 0 || pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return;
    if (std::memcmp(bytes.data(), &format::kSegmentMagic, sizeof(format::kSegmentMagic)) != 0) return;
    pending_[fd] = std::move(bytes);
  }
  void AfterSync(int fd, int error) override {
    const auto found = pending_.find(fd);
    if (found == pending_.end()) return;
    if (error == 0) {
      for (const auto& [position, word] : Words(found->second)) {
        if (word.state() == format::State::kData) durable_.insert(position);
      }
    }
    pending_.erase(found);
  }

 private:
  void Open() {
    scheduler_.MarkTemporary(false);
    bus_ = scratch_ / fmt::format("bus{}", ++buses_);
    processes_ = std::vector<Process>(options_.processes);
    for (size_t i = 0; i < options_.processes; ++i) {
      scheduler_.As(i, [&] { OpenOne(processes_[i], (options_.read_only >> i & 1) != 0); });
    }
    OpenOne(auditor_, true);
    if (!options_.makes_files) TakeSnapshot();
  }
  void OpenOne(Process& process, bool read_only) {
    OpenOptions open = {.create = !read_only, .read_only = read_only, .background = false};
    TopicOptions topic = {.create = !read_only};
    if (!read_only) {
      topic.segment_size = options_.segment_size;
      topic.exclusive = options_.exclusive;
      if (!options_.exclusive) topic.claim_timeout = options_.claim_timeout;
    }
    auto bus = Bus::Open(bus_, open);
    if (!bus.ok()) return Wrong("no bus", bus.status());
    auto opened = bus->OpenTopic("t", topic);
    if (!opened.ok()) return Wrong("no topic", opened.status());
    process.bus.emplace(*std::move(bus));
    process.topic.emplace(*std::move(opened));
  }
  void Close() {
    processes_.clear();
    auditor_ = {};
    std::error_code ignored;
    std::filesystem::remove_all(bus_, ignored);
  }
  std::string PathOf(const std::string& name) const { return bus_ + "/t/" + name; }
  std::string FirstSegment() const { return PathOf(fmt::format("{:020}.seg", 0)); }
  static std::vector<char> ReadFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::vector<char>(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  static void WriteFile(const std::string& path, const std::vector<char>& bytes) {
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
    close(fd);
  }
  void TakeSnapshot() {
    snapshot_.clear();
    // Prepared ahead, so that no execution does it.
    if (const absl::Status status = processes_[0].topic->Maintain(); !status.ok()) Wrong("not prepared", status);
    for (const auto& entry : std::filesystem::directory_iterator(bus_ + "/t")) {
      if (entry.is_regular_file()) snapshot_[entry.path()] = ReadFile(entry.path());
    }
  }

  // Position and word of each record of the first segment, up to the first FREE one.
  static std::vector<std::pair<uint64_t, format::Word>> Words(const std::vector<char>& bytes) {
    std::vector<std::pair<uint64_t, format::Word>> words;
    for (uint64_t at = format::kSegmentHeaderSize; at + 8 <= bytes.size();) {
      uint64_t bits;
      std::memcpy(&bits, bytes.data() + at, sizeof(bits));
      const format::Word word(bits);
      if (word.is_free()) break;
      words.emplace_back(at, word);
      if (word.state() == format::State::kEnd) break;
      at += word.size();
    }
    return words;
  }

  void Attempt(const std::string& text) { attempted_.insert(text); }
  void Note(size_t i, const std::string& text, bool durable, bool may_be_revoked,
            const absl::StatusOr<Position>& result) {
    // What the dead are told counts for nothing.
    if (scheduler_.draining()) return;
    if (!result.ok()) {
      if (!may_be_revoked || !absl::IsAborted(result.status())) Wrong("not published", result.status());
      return;
    }
    promises_.push_back({i, result->offset, text, durable});
    if (!durable || durable_.count(result->offset) != 0) return;
    ++figures_.lost;
    Wrong(fmt::format("told durable at {} and not on the disk: {}", result->offset, text));
  }
  bool Take(size_t i, const absl::StatusOr<RecordView>& record) {
    if (scheduler_.draining()) return false;
    if (!record.ok()) {
      Wrong("not read", record.status());
      return false;
    }
    at(i).read.push_back(Describe(*record));
    return true;
  }
  static ReadItem Describe(const RecordView& record) {
    if (record.kind() == RecordKind::kData) return {record.position().offset, std::string(record.text())};
    return {record.position().offset, fmt::format("gap {}", static_cast<int>(record.gap().cause))};
  }

  bool StandsStill() const {
    for (size_t i = 0; i < options_.processes; ++i) {
      if (scheduler_.state(i) == FiberState::kStopped) return true;
    }
    return false;
  }
  bool SomebodyRepairs(uint32_t readers) const {
    for (size_t i = 0; i < options_.processes; ++i) {
      if (((readers & ~options_.read_only) >> i & 1) != 0 && !scheduler_.Died(i)) return true;
    }
    return false;
  }
  // Where nobody is left who reads and may repair, a survivor looks once.
  void Repair() {
    for (size_t i = 0; i < options_.processes; ++i) {
      if (!scheduler_.Died(i) && (options_.read_only >> i & 1) == 0) return Maintain(i);
    }
  }

  std::vector<ReadItem> Audit() {
    std::vector<ReadItem> all;
    auto consumer = auditor_.topic->NewConsumer({.from = From::Start(), .gaps = Gaps::kAll});
    if (!consumer.ok()) return Wrong("no audit", consumer.status()), all;
    for (;;) {
      const auto batch = consumer->Poll(100);
      if (!batch.ok()) return Wrong("no audit", batch.status()), all;
      if (batch->empty()) return all;
      for (const RecordView& record : *batch) {
        if (record.kind() == RecordKind::kGap && record.gap().loss()) {
          ++figures_.lost;
          Wrong(fmt::format("damage at {}", record.position().offset));
        }
        all.push_back(Describe(record));
      }
    }
  }
  void CheckItem(const ReadItem& item, std::map<std::string, size_t>& met) {
    if (item.what.starts_with("gap ")) return;
    if (attempted_.count(item.what) == 0) {
      ++figures_.phantom;
      Wrong(fmt::format("a phantom at {}: {}", item.position, item.what));
    }
    if (++met[item.what] > 1) {
      ++figures_.phantom;
      Wrong(fmt::format("twice, again at {}: {}", item.position, item.what));
    }
  }
  void CheckOrder() {
    std::map<size_t, uint64_t> last;
    for (const Promise& promise : promises_) {
      if (promise.position < last[promise.process]) Wrong(fmt::format("out of order: {}", promise.text));
      last[promise.process] = promise.position;
    }
  }
  void CheckReader(size_t i, const std::vector<ReadItem>& all) {
    const std::vector<ReadItem>& read = at(i).read;
    const size_t same =
        static_cast<size_t>(std::mismatch(read.begin(), read.end(), all.begin(), all.end()).first - read.begin());
    if (same < read.size()) {
      ++figures_.phantom;
      Wrong(fmt::format("process {} has read at {}: {}, and that is not what stands there", i, read[same].position,
                        read[same].what));
    } else if (read.size() < all.size()) {
      ++figures_.stuck;
      Wrong(fmt::format("process {} has read {} of {} and sleeps", i, read.size(), all.size()));
    }
  }

  Scheduler& scheduler_;
  const WorldOptions options_;
  const Scratch scratch_;
  std::string bus_;
  int buses_ = 0;
  std::vector<Process> processes_;
  Process auditor_;
  std::map<std::string, std::vector<char>> snapshot_;  // by path

  std::vector<ClaimedRecord> left_;
  std::vector<Promise> promises_;
  std::set<std::string> attempted_;
  std::set<uint64_t> durable_;                // records of the first segment that are on the disk
  std::map<int, std::vector<char>> pending_;  // by descriptor: what a sync writes
  std::string problem_;
  Figures figures_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_SCHEDULE_WORLD_H_
