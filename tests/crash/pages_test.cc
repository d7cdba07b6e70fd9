// Pages and sectors that a disk, a file system or a copy put in the wrong place, or left as they were earlier: each
// page of 4096 bytes and each sector of 512 of a small topic's files is replaced by
//   - zeros
//   - another page or sector of the same file, or of another segment
//   - one of a foreign topic that holds the same records at the same positions, under another UUID
//   - what stood there at an earlier moment of its life, with claims open and the log shorter
// and whole segments by another one, a foreign one, and their own older content. The topic was closed in order, or its
// last writer was killed; all that it holds was synced.
//
// After each: no record that was not published at that position; each record that no replaced byte belongs to is
// there, unless reading ends before it with an error; each one that is gone is in a gap that tells of a loss, or behind
// that error; verify finds damage if anything is gone; a look of `recover` accounts for every byte; a writer that
// opens the topic keeps what can be read, and what it publishes is read.
//
// Not modelled: a replaced page of a record that is not durable, behind which nothing stands. It is as if it had never
// been written, and nothing can tell.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/crash/spoiled.h"

namespace libbus::test {
namespace {

constexpr double kTooSlowMs = 10'000;                      // ten times the aim: nothing here waits
const absl::Duration kPatience = absl::Milliseconds(500);  // of a clock that sleeps move on
constexpr SmallTopic::Size kSize = {.segment = 16384, .rounds = 4, .synced = true};

// Bytes of a file that are replaced.
struct Spoil {
  std::string file;
  uint64_t offset = 0;
  std::string bytes;
  std::string what;
};

// What may be spoiled in one topic.
class Spoils {
 public:
  Spoils(const SmallTopic& topic, const SmallTopic& foreign) : topic_(topic), foreign_(foreign) {}

  std::vector<Spoil> All() {
    for (const auto& [file, bytes] : topic_.files()) {
      for (const uint64_t size : {4096, 512}) {
        for (uint64_t offset = 0; offset + size <= bytes.size(); offset += size) AddAt(file, offset, size);
      }
      if (file.ends_with(".seg")) AddWhole(file);
    }
    return std::move(spoils_);
  }

 private:
  void AddAt(const std::string& file, uint64_t offset, uint64_t size) {
    Add(file, offset, std::string(size, '\0'), "zeros");
    AddFrom(topic_.files(), file, offset, size, "from elsewhere");
    AddFrom(foreign_.files(), file, offset, size, "foreign");
    for (const auto& moment : topic_.earlier()) {
      const auto then = moment.find(file);
      if (then != moment.end()) Add(file, offset, then->second.substr(offset, size), "as it was earlier");
    }
  }

  // From every page of files of the same sort; of the control file, which has few that are used, from the near ones.
  void AddFrom(const std::map<std::string, std::string>& files, const std::string& file, uint64_t offset, uint64_t size,
               const std::string& what) {
    for (const auto& [other, bytes] : files) {
      const bool segments = file.ends_with(".seg") && other.ends_with(".seg");
      if (!segments && file != other) continue;
      for (uint64_t from = 0; from + size <= bytes.size(); from += size) {
        const uint64_t distance = from > offset ? from - offset : offset - from;
        if (segments || distance == 0 || distance == 16384 || distance == size) {
          Add(file, offset, bytes.substr(from, size), fmt::format("{}, {} at {}", what, other, from));
        }
      }
    }
  }

  void AddWhole(const std::string& file) {
    for (const auto& [other, bytes] : topic_.files()) {
      if (other.ends_with(".seg")) Add(file, 0, bytes, "all of another");
    }
    Add(file, 0, foreign_.files().at(file), "all of a foreign one");
    for (const auto& moment : topic_.earlier()) {
      const auto then = moment.find(file);
      if (then != moment.end()) Add(file, 0, then->second, "all as it was earlier");
    }
  }

  // Only what makes a difference.
  void Add(const std::string& file, uint64_t offset, std::string bytes, std::string what) {
    if (bytes.empty() || topic_.files().at(file).compare(offset, bytes.size(), bytes) == 0) return;
    spoils_.push_back({file, offset, std::move(bytes), std::move(what)});
  }

  const SmallTopic& topic_;
  const SmallTopic& foreign_;
  std::vector<Spoil> spoils_;
};

// Spoils one topic again and again.
class PageSpoiler {
 public:
  PageSpoiler(SmallTopic::Left left, const SmallTopic& foreign, uint64_t seed, Figures& figures)
      : random_(seed), topic_(left, kSize), strict_(topic_, figures), chance_(topic_, by_chance_) {
    judge_->Check("before anything", Read(From::Start()), AllOf(topic_));
    spoils_ = Spoils(topic_, foreign).All();
    std::shuffle(spoils_.begin(), spoils_.end(), random_);
  }

  uint64_t size() const { return spoils_.size(); }
  std::string Summary() const { return strict_.Summary(); }
  // Of sectors of another log or place. The word check has 8 bits, and a gap has no other: one in 256 of the gaps there
  // passes for one of this log, and what stood there is gone without a word (docs/format.md, downsides).
  const Figures& by_chance() const { return by_chance_; }
  std::string ChanceSummary() const { return chance_.Summary(); }

  void Next() {
    if (next_ < spoils_.size()) Try(spoils_[next_]);
    ++next_;
  }

 private:
  void Try(const Spoil& spoil) {
    const auto start = std::chrono::steady_clock::now();
    const std::string sort = spoil.what.substr(0, spoil.what.find(','));
    const bool words_of_others = sort == "foreign" || sort == "from elsewhere";
    judge_ = spoil.file.ends_with(".seg") && words_of_others ? &chance_ : &strict_;
    judge_->Name(
        fmt::format("{}, {} bytes {}", spoil.file.ends_with(".seg") ? "segment" : spoil.file, spoil.bytes.size(), sort),
        fmt::format("{} at {}: {}", spoil.file, spoil.offset, spoil.what));
    Overwrite(topic_.Path(spoil.file), spoil.offset, spoil.bytes);
    const Expected kept = Kept(spoil);
    const Readout all = Read(From::Start());
    judge_->CheckKept("from the start", all, kept);
    if (!kept.refused) Seek(all, kept);
    Verify(spoil, all);
    Recover();
    if (random_() % 3 == 0) Write(kept);
    topic_.PutBack();
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    judge_->figures().Slow(ms);
    if (ms > kTooSlowMs) judge_->Wrong(judge_->figures().stuck, "all of it", fmt::format("{} ms", ms));
    ++judge_->figures().images;
  }

  // The records that no byte of which was replaced. Whoever cannot open a file that is spoiled says so: then nothing.
  Expected Kept(const Spoil& spoil) const {
    Expected kept;
    const bool segment = spoil.file.ends_with(".seg");
    kept.refused = spoil.offset == 0 && !segment && spoil.file != "t/index";
    kept.ends_bad = true;
    const uint64_t base = segment ? std::stoull(spoil.file.substr(2)) : 0;
    const uint64_t from = base + spoil.offset;
    const uint64_t to = from + spoil.bytes.size();
    for (const Unit& unit : topic_.units()) {
      const uint64_t begin = unit.frame != 0 ? unit.frame : unit.from;
      const bool hit = segment && begin < to && from < EndOf(unit);
      // Behind a segment whose header is gone nothing is read.
      const bool unreachable = segment && spoil.offset == 0 && unit.from >= base;
      if (!hit && !unreachable) kept.items.push_back(unit.record);
    }
    return kept;
  }

  uint64_t EndOf(const Unit& unit) const {
    uint64_t end = unit.to;
    for (const Unit& other : topic_.units()) {
      if (unit.frame != 0 && other.frame == unit.frame) end = other.to;
    }
    return end;
  }

  Readout Read(From from, const std::string& cursor = "") const {
    auto opened = OpenSmall(topic_, true);
    if (!opened.ok()) return {.opened = opened.status()};
    return ReadAll(*opened, {.from = from, .wait = Wait::kPark, .gaps = Gaps::kAll, .cursor = cursor}, kPatience);
  }

  // From elsewhere the same is read as from the start.
  void Seek(const Readout& all, const Expected& kept) {
    const auto some = [&](const std::string& how, const Readout& read) {
      // Behind the place where damage ends the reading from the start there may be more, and the end.
      const bool behind = read.items.empty() || read.items.front().position.offset >= all.at;
      if (TellsDamage(all.end) && read.opened.ok() && behind) return judge_->CheckPublished(how, read);
      judge_->Check(how, read, {.items = all.items, .refused = false, .ends_bad = TellsDamage(all.end)}, std::nullopt);
    };
    if (!all.opened.ok() || kept.items.empty() || all.items.empty()) return;
    const uint64_t n = random_() % kept.items.size();
    switch (next_ % 4) {
      case 0:
        return some("at a position", Read(From::At(all.items[random_() % all.items.size()].position)));
      case 1:
        return some("by sequence", Read(From::Sequence(n)));
      case 2:
        return some("from the end", Read(From::Last(n)));
      default:
        break;
    }
    Readout read = Read(From::Start(), "c");
    if (!TellsDamage(read.opened)) some("by the cursor", read);
  }

  void Verify(const Spoil& spoil, const Readout& all) {
    const Verified verified = VerifyAll(topic_);
    // The live words of the control file are nobody's truth: nonsense there may make a reader that has everything warn,
    // at the end, that more was committed.
    const bool ends = absl::IsDeadlineExceeded(all.end) || spoil.file == "t/control";
    const bool whole = all.opened.ok() && ends && all.items.size() == topic_.units().size() &&
                       std::none_of(all.items.begin(), all.items.end(), [](const OwnedRecord& item) {
                         return item.kind == RecordKind::kGap && item.gap.loss();
                       });
    if (whole || !verified.status.ok()) return;
    const Finding* const damage = verified.FirstDamage();
    if (damage == nullptr) return judge_->Wrong(judge_->figures().silent, "verify", "no damage");
    const bool here = damage->file == topic_.Path(spoil.file);
    // Beside a control file of another topic all others are those of another.
    const bool control = spoil.file == "t/control" && spoil.offset == 0;
    const bool log = control || damage->file.ends_with(".seg") || damage->file == topic_.Path("t");
    if (!here && !log) judge_->Wrong(judge_->figures().silent, "verify", damage->file + ": " + damage->what);
  }

  void Recover() {
    const auto report = RecoverTopic(topic_.bus(), "t");
    if (!report.ok()) {
      if (!TellsDamage(report.status())) {
        judge_->Wrong(judge_->figures().lost, "recover", report.status().ToString());
      }
      return;
    }
    const uint64_t bytes = report->bytes() == 0 && report->clean ? 0 : topic_.end_of_files() - report->from.offset;
    if (report->bytes() != bytes) {
      judge_->Wrong(judge_->figures().silent, "recover", fmt::format("{} bytes instead of {}", report->bytes(), bytes));
    }
  }

  void Write(const Expected& kept) {
    auto topic = OpenSmall(topic_, false);
    if (!topic.ok()) return judge_->CheckKept("by who writes", {.opened = topic.status()}, kept);
    judge_->CheckKept("by who writes", ReadAll(*topic, {.wait = Wait::kPark, .gaps = Gaps::kAll}, kPatience), kept);
    auto producer = topic->NewProducer();
    const auto position = producer.ok() ? producer->Publish("written later") : producer.status();
    if (!position.ok()) {
      if (!TellsDamage(position.status())) {
        judge_->Wrong(judge_->figures().stuck, "publish", position.status().ToString());
      }
      return;
    }
    if (position->offset < topic_.tail()) {
      judge_->Wrong(judge_->figures().lost, "publish", fmt::format("over what was there, at {}", position->offset));
    }
    judge_->CheckKept("after a publish", ReadAll(*topic, {.wait = Wait::kPark, .gaps = Gaps::kAll}, kPatience), kept);
  }

  std::mt19937_64 random_;
  SmallTopic topic_;
  Figures by_chance_;
  Judge strict_;
  Judge chance_;
  Judge* judge_ = &strict_;
  std::vector<Spoil> spoils_;
  uint64_t next_ = 0;
};

TEST(PagesTest, StaleAndMisdirected) {
  const Budget budget;
  Figures figures;
  figures.seed = Seed("PagesTest.StaleAndMisdirected");
  const SmallTopic foreign(SmallTopic::Left::kClosed, kSize);
  PageSpoiler closed(SmallTopic::Left::kClosed, foreign, 1, figures);
  PageSpoiler killed(SmallTopic::Left::kKilled, foreign, figures.seed, figures);
  const uint64_t most = std::max(closed.size(), killed.size());
  for (uint64_t done = 0; budget.More(done, std::min<uint64_t>(most, 1000), most); ++done) {
    closed.Next();
    killed.Next();
  }
  fmt::print("pages: of {} closed and {} killed\n", closed.size(), killed.size());
  EXPECT_EQ(closed.Summary(), "");
  EXPECT_EQ(killed.Summary(), "");
  for (const PageSpoiler* spoiler : {&closed, &killed}) {
    const Figures& chance = spoiler->by_chance();
    EXPECT_EQ(chance.phantom + chance.stuck, 0u) << spoiler->ChanceSummary();
    EXPECT_LE(chance.lost + chance.silent, 6 + chance.images / 200) << spoiler->ChanceSummary();
    fmt::print("pages: words of others: {} of {} images met by chance\n{}", chance.lost + chance.silent, chance.images,
               spoiler->ChanceSummary());
    figures.images += chance.images;
    figures.records += chance.records;
  }
  Report("pages", figures);
  EXPECT_EQ(figures.wrong(), 0u);
}

}  // namespace
}  // namespace libbus::test
