// A small topic with one of everything, what must be read of it, and its files as bytes that can be spoiled and put
// back. Shared by the proofs that spoil files.
//
// The topic is made in a process of its own, which closes it (CLEAN) or is killed (OPEN, with records behind D). What
// it holds is known from what was published alone: nothing that the library reads decides what is right.
#ifndef LIBBUS_TESTS_CRASH_SMALL_TOPIC_H_
#define LIBBUS_TESTS_CRASH_SMALL_TOPIC_H_

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/index.h"
#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "libbus/inspect.h"
#include "libbus/recovery.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {

// What stands between two words, and what a reader gets there.
struct Unit {
  enum class Kind : uint8_t { kRecord, kInner, kGap };
  Kind kind = Kind::kRecord;
  uint64_t from = 0;     // its word
  uint64_t to = 0;       // where the next one stands
  uint64_t covered = 0;  // the first byte behind its word that no checksum covers
  uint64_t frame = 0;    // of the batch that holds it; 0: none
  OwnedRecord record;    // as it was published, with its sequence
};

// A reader's way through a topic.
struct Readout {
  std::vector<OwnedRecord> items;
  absl::Status opened;  // bus, topic and consumer
  absl::Status end;     // why it ended
  uint64_t at = 0;      // and where
};

inline bool SameRecord(const OwnedRecord& a, const OwnedRecord& b) {
  return a.kind == b.kind && a.position == b.position && a.next_position == b.next_position && a.payload == b.payload &&
         a.key == b.key && a.headers == b.headers && a.type == b.type && a.timestamp == b.timestamp &&
         a.source == b.source && a.producer == b.producer && a.producer_sequence == b.producer_sequence &&
         (a.kind == RecordKind::kData || a.gap == b.gap);
}

inline std::string FileText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void Overwrite(const std::string& path, uint64_t offset, std::string_view bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool done = fd >= 0 && pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
                                   static_cast<ssize_t>(bytes.size());
  if (fd >= 0) close(fd);
  if (!done) ADD_FAILURE() << "cannot write " << path;
}

class SmallTopic {
 public:
  enum class Left : uint8_t { kClosed, kKilled };

  // How large, and how far it is durable. Each round publishes about 9 KiB.
  struct Size {
    uint64_t segment = 4096;
    uint64_t rounds = 1;
    bool synced = false;  // D is the end; else, if the writer is killed, the fourth record is the last durable one
  };

  // Its file system passes for a disk, so that there is a D. Until the end of this object.
  explicit SmallTopic(Left left) : SmallTopic(left, Size()) {}
  SmallTopic(Left left, const Size& size)
      : scratch_(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"), left_(left), size_(size) {
    platform::seam_control.pretend_durable = true;
    const int code = Child([&] { return Publish(); }).Join();
    EXPECT_EQ(code, left == Left::kKilled ? -SIGKILL : 0);
    MakeIndex();
    Learn();
    Take();
    TakeEarlier();
  }
  ~SmallTopic() { platform::seam_control.pretend_durable = false; }

  Left left() const { return left_; }
  std::string bus() const { return scratch_ / "bus"; }
  std::string Path(const std::string& file) const { return bus() + "/" + file; }
  // What a reader gets, in order.
  const std::vector<Unit>& units() const { return units_; }
  // Of the batches: where they begin, and how many of their bytes the table's checksum covers.
  const std::map<uint64_t, uint64_t>& frames() const { return frames_; }
  uint64_t tail() const { return units_.back().to; }
  uint64_t end_of_files() const { return end_of_files_; }
  // By their names below the bus.
  const std::map<std::string, std::string>& files() const { return files_; }
  uint64_t segment_size() const { return size_.segment; }
  uint64_t BaseOf(uint64_t position) const { return position / size_.segment * size_.segment; }
  std::string SegmentFile(uint64_t position) const { return fmt::format("t/{:020}.seg", BaseOf(position)); }
  // Segment files as they were at moments before, oldest first: with claims open, and the log shorter.
  const std::vector<std::map<std::string, std::string>>& earlier() const { return earlier_; }
  // Where the cursor stands.
  uint64_t cursor() const { return cursor_; }

  // All files as they were, with their own inodes: the library tells a copy by these.
  void PutBack() {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(bus())) {
      if (!entry.is_regular_file()) continue;
      if (!files_.contains(Name(entry.path()))) std::filesystem::remove(entry.path());
    }
    for (const auto& [name, bytes] : files_) PutBackFile(name, bytes);
  }

 private:
  static constexpr int64_t kTime = 1'700'000'000'000'000'000;
  static absl::Time TimeOf(uint64_t n) { return absl::FromUnixNanos(kTime + static_cast<int64_t>(n) * 1000); }
  static constexpr size_t kDecoy = 96;  // bytes of a decoy: no other payload has so many
  static std::string PayloadOf(uint64_t n, size_t size) {
    std::string payload = fmt::format("payload {} ", n);
    while (payload.size() < size) payload += static_cast<char>('a' + (n * 7 + payload.size() * 31) % 26);
    payload.resize(size);
    return payload;
  }

  // A payload full of words that are right where they stand, as if records began there that reach far behind it; but no
  // checksum of such a record is.
  static std::string DecoyAt(format::TopicSeed seed, uint64_t position) {
    std::string payload;
    for (uint64_t at = position + format::kRecordHeaderSize; payload.size() < kDecoy; at += 8) {
      const uint64_t bits = format::MakeWord(seed, at, format::State::kData, 0, 1, 300).bits();
      payload.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
    }
    return payload;
  }

  struct Publisher {
    Producer producer;
    std::function<void()> keep;  // called while a claim is open
    format::TopicSeed seed;
    uint64_t n = 0;
    uint64_t next = 0;  // behind the last plain record

    bool Plain(size_t size, const RecordOptions& more = {}) {
      RecordOptions options = more;
      options.timestamp = TimeOf(n);
      const auto position = producer.Publish(PayloadOf(n, size), options);
      if (!position.ok()) return false;
      next = position->offset + format::AlignUp(format::kRecordHeaderSize + size, format::kRecordAlignment);
      return ++n, true;
    }
    // REQUIRES: a plain record without attributes was the last.
    bool Decoy() {
      const auto position = producer.Publish(DecoyAt(seed, next), {.timestamp = TimeOf(n)});
      return ++n, position.ok() && position->offset == next;
    }
    bool Attributed(size_t size) {
      const Header headers[] = {{"name", "value"}, {"n", ""}};
      return Plain(size, {.key = "a key", .headers = headers, .type = 7});
    }
    bool Sourced() { return Plain(90, {.source = Position{4711}, .producer = "made by", .producer_sequence = 12}); }
    // Fewer bytes than were claimed: slack behind the payload.
    bool Short() {
      auto claim = producer.Claim(64, {.timestamp = TimeOf(n)});
      if (!claim.ok()) return false;
      keep();
      const std::string payload = PayloadOf(n, 41);
      std::memcpy(claim->bytes().data(), payload.data(), payload.size());
      const bool ok = std::move(*claim).Commit(payload.size()).ok();
      return ++n, ok;
    }
    bool Aborted() {
      auto claim = producer.Claim(40);
      if (!claim.ok()) return false;
      std::memset(claim->bytes().data(), 'x', 40);
      const bool ok = std::move(*claim).Abandon().ok();
      return ++n, ok;
    }
    bool InBatch() {
      Batch batch = producer.NewBatch();
      bool ok = batch.Add(PayloadOf(n, 30), {.timestamp = TimeOf(n)}).ok();
      ok &= batch.Add(PayloadOf(n + 1, 3), {.key = "k", .timestamp = TimeOf(n + 1)}).ok();
      ok &= batch.Add(PayloadOf(n + 2, 50), {.type = 9, .timestamp = TimeOf(n + 2)}).ok();
      n += 3;
      return ok && batch.Commit().ok();
    }
  };

  format::TopicSeed Seed() const {
    format::FileHeader control;
    std::memcpy(&control, FileText(Path("t/control")).data(), sizeof(control));
    return format::TopicSeed::Of(control.uuid);
  }

  // In the child. Three segments, the last one not full; D is in the first one if the child is killed.
  int Publish() {
    auto bus = Bus::Open(this->bus(), {.create = true, .background = false});
    if (!bus.ok()) return 1;
    auto topic = bus->OpenTopic("t", {.create = true, .segment_size = size_.segment});
    if (!topic.ok()) return 2;
    auto producer = topic->NewProducer({.name = "filler"});
    if (!producer.ok()) return 3;
    Publisher p{*std::move(producer), [this] { Keep(); }, Seed()};
    auto consumer = topic->NewConsumer({.cursor = "c"});
    bool ok = consumer.ok() && Round(p, true);
    const auto commit = [&] {
      for (int i = 0; i < 4 && ok; ++i) ok = consumer->Next(absl::ZeroDuration()).ok();
      return ok && consumer->Commit().ok();
    };
    ok = ok && commit() && commit();
    for (uint64_t round = 1; round < size_.rounds; ++round) ok = ok && Round(p, false);
    if (ok && size_.synced) ok = topic->Sync().ok();
    if (ok && left_ == Left::kKilled) raise(SIGKILL);
    return ok ? 0 : 4;
  }

  // Copies of the segments as they are now.
  void Keep() const {
    const std::string kept = scratch_ / "earlier";
    std::filesystem::create_directory(kept);
    const auto many = std::distance(std::filesystem::directory_iterator(kept), {});
    std::filesystem::copy(Path("t"), fmt::format("{}/{:04}", kept, many));
  }

  static bool Round(Publisher& p, bool durable) {
    bool ok = p.Plain(0) && p.Attributed(100) && p.Aborted() && p.Plain(33, {.durable = durable});
    ok =
        ok && p.Decoy() && p.InBatch() && p.Short() && p.Plain(900) && p.Aborted() && p.Plain(900) && p.Attributed(800);
    ok = ok && p.Plain(700) && p.Sourced() && p.InBatch() && p.Plain(1500) && p.Short() && p.Plain(1000);
    ok = ok && p.Aborted() && p.Plain(300) && p.Attributed(20) && p.Plain(600);
    return ok && p.InBatch() && p.Aborted() && p.Plain(70) && p.Short() && p.Plain(17);
  }

  // What was published, in order; Walk adds the positions.
  std::vector<OwnedRecord> Published() const {
    std::vector<OwnedRecord> all;
    uint64_t n = 0;
    for (uint64_t round = 0; round < size_.rounds; ++round) PublishedInRound(all, n);
    return all;
  }

  static void PublishedInRound(std::vector<OwnedRecord>& all, uint64_t& n) {
    const auto plain = [&](size_t size) {
      OwnedRecord& record = all.emplace_back();
      record.payload = PayloadOf(n, size);
      record.timestamp = TimeOf(n++);
    };
    const auto attributed = [&](size_t size) {
      plain(size);
      all.back().key = "a key";
      all.back().headers = {{"name", "value"}, {"n", ""}};
      all.back().type = 7;
    };
    const auto sourced = [&] {
      plain(90);
      all.back().source = Position{4711};
      all.back().producer = "made by";
      all.back().producer_sequence = 12;
    };
    const auto aborted = [&] {
      all.emplace_back().kind = RecordKind::kGap;
      ++n;
    };
    const auto batch = [&] {
      plain(30), plain(3), plain(50);
      all[all.size() - 2].key = "k";
      all.back().type = 9;
    };
    plain(0), attributed(100), aborted(), plain(33);
    plain(kDecoy), batch(), plain(41), plain(900), aborted(), plain(900), attributed(800);
    plain(700), sourced(), batch(), plain(1500), plain(41), plain(1000);
    aborted(), plain(300), attributed(20), plain(600);
    batch(), aborted(), plain(70), plain(41), plain(17);
  }

  // An index as a writer would make it, had it so many entries for so little log.
  void MakeIndex() {
    const std::string path = Path("t/index");
    std::ofstream(path).flush();
    struct stat status = {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    format::FileHeader control;
    std::memcpy(&control, FileText(Path("t/control")).data(), sizeof(control));
    format::IndexHeader header = {};
    header.header = control;
    header.header.magic = format::kIndexMagic;
    header.inode = status.st_ino;
    header.checksum = format::FileChecksum(header);
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    const auto seed = format::TopicSeed::Of(control.uuid);
    uint64_t ordinal = 0;
    const auto units = Walk();
    for (const size_t i : {3, 8, 13}) {
      int64_t before = INT64_MIN;
      for (size_t k = 0; k < i; ++k) {
        if (units[k].kind != Unit::Kind::kGap) before = std::max(before, absl::ToUnixNanos(units[k].record.timestamp));
      }
      const uint64_t at = units[i].frame != 0 ? units[i].frame : units[i].from;
      format::IndexEntry entry = {at, i, before, 0, 0};
      entry.checksum = format::IndexChecksum(seed, ordinal++, entry);
      bytes.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
    }
    Overwrite(path, 0, bytes);
  }

  // Lays what was published over the words in the files.
  std::vector<Unit> Walk() {
    std::vector<Unit> units;
    uint64_t at = format::kSegmentHeaderSize;
    const auto get = [&](auto& value, uint64_t position) {
      const std::string bytes = FileText(Path(SegmentFile(position)));
      std::memcpy(&value, bytes.data() + position % size_.segment, sizeof(value));
    };
    const format::TopicSeed seed = Seed();
    uint64_t frame = 0;
    uint64_t frame_end = 0;
    for (OwnedRecord& record : Published()) {
      uint64_t bits = 0;
      get(bits, at);
      while (format::Word(bits).state() == format::State::kEnd) {
        at = BaseOf(at) + size_.segment + format::kSegmentHeaderSize;
        get(bits, at);
      }
      format::Word word(bits);
      if (word.state() == format::State::kData && word.is_batch()) {
        format::BatchHeader batch;
        get(batch, at + format::kRecordHeaderSize);
        frame = at;
        frame_end = at + word.size();
        frames_[at] = format::kRecordHeaderSize + sizeof(batch) + batch.count * sizeof(format::BatchEntry);
        at += frames_[at];
        get(bits, at);
        word = format::Word(bits);
      }
      Unit unit;
      unit.from = at;
      unit.frame = at < frame_end ? frame : 0;
      unit.to = at + word.size();
      unit.kind = record.kind == RecordKind::kGap ? Unit::Kind::kGap
                  : unit.frame != 0               ? Unit::Kind::kInner
                                                  : Unit::Kind::kRecord;
      if (unit.frame != 0 && word.state() != format::State::kInner) ADD_FAILURE() << "no inner record at " << at;
      format::AttributesHeader attributes = {};
      if ((word.flags() & format::kHasAttributes) != 0) get(attributes, at + format::kRecordHeaderSize);
      if (record.payload.size() == kDecoy) record.payload = DecoyAt(seed, at);
      unit.covered = unit.kind == Unit::Kind::kGap
                         ? at + format::kWordSize
                         : at + format::kRecordHeaderSize + attributes.size + record.payload.size();
      record.position = {unit.from};
      record.next_position = {unit.to};
      record.sequence = units.size();
      if (unit.kind == Unit::Kind::kGap) {
        record.gap = {GapCause::kAborted, record.position, record.next_position, word.owner()};
      }
      at = unit.to;
      unit.record = std::move(record);
      units.push_back(std::move(unit));
    }
    return units;
  }

  void Learn() {
    units_ = Walk();
    ASSERT_GT(tail(), 2 * size_.segment);
    ASSERT_LT(tail(), 3 * size_.segment);
    // Claims that were given up are not handed out.
    cursor_ = units_[9].from;
  }

  std::string Name(const std::filesystem::path& path) const { return path.lexically_relative(bus()); }

  void Take() {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(bus())) {
      if (!entry.is_regular_file()) continue;
      files_[Name(entry.path())] = FileText(entry.path());
      if (entry.path().extension() == ".seg") {
        end_of_files_ = std::max<uint64_t>(end_of_files_, std::stoull(entry.path().stem()) + size_.segment);
      }
    }
  }

  void TakeEarlier() {
    std::vector<std::string> moments;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_ / "earlier")) moments.push_back(entry.path());
    std::sort(moments.begin(), moments.end());
    for (const std::string& moment : moments) {
      auto& files = earlier_.emplace_back();
      for (const auto& entry : std::filesystem::directory_iterator(moment)) {
        files["t/" + entry.path().filename().string()] = FileText(entry.path());
      }
    }
  }

  void PutBackFile(const std::string& name, const std::string& bytes) const {
    const int fd = open(Path(name).c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(fd, 0) << name;
    struct stat status = {};
    fstat(fd, &status);
    const auto size = static_cast<off_t>(bytes.size());
    EXPECT_TRUE(status.st_size == size || ftruncate(fd, size) == 0);
    std::string now(bytes.size(), '\0');
    EXPECT_EQ(pread(fd, now.data(), now.size(), 0), size);
    for (size_t page = 0; page < bytes.size(); page += 4096) {
      const size_t part = std::min<size_t>(4096, bytes.size() - page);
      if (std::memcmp(now.data() + page, bytes.data() + page, part) == 0) continue;
      EXPECT_EQ(pwrite(fd, bytes.data() + page, part, static_cast<off_t>(page)), static_cast<ssize_t>(part));
    }
    close(fd);
  }

  Scratch scratch_;
  const Left left_;
  const Size size_;
  std::vector<Unit> units_;
  std::map<uint64_t, uint64_t> frames_;
  std::map<std::string, std::string> files_;
  std::vector<std::map<std::string, std::string>> earlier_;
  uint64_t end_of_files_ = 0;
  uint64_t cursor_ = 0;
};

// Reads from where `options` says to the end. `patience`: how long it waits there; the time is not real. Only who waits
// at a FREE word looks whether more was committed behind it.
inline Readout ReadAll(Topic& topic, const ConsumerOptions& options, absl::Duration patience = absl::ZeroDuration()) {
  Readout reading;
  auto consumer = topic.NewConsumer(options);
  if (!consumer.ok()) return reading.opened = consumer.status(), reading;
  while (reading.end.ok() && reading.items.size() < 1000) {
    platform::seam_control.skip_sleeps = platform::seam_control.no_waitv = patience > absl::ZeroDuration();
    const auto view = consumer->Next(patience);
    platform::seam_control.skip_sleeps = platform::seam_control.no_waitv = false;
    if (view.ok()) {
      reading.items.push_back(view->ToOwned());
    } else {
      reading.end = view.status();
    }
  }
  reading.at = consumer->position().offset;
  return reading;
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_SMALL_TOPIC_H_
