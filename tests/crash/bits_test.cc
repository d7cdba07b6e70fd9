// Every single bit of a small topic is flipped in turn, on its own, and put back: of its segments (words, headers,
// attributes, payloads, batches, ENDs, what is behind them), of its control file, its cursor, its index, of the files
// that only hold locks and hints. The topic was closed in order, or its last writer was killed.
//
// After each flip:
//   - a consumer that may not write reads from the start, from positions, from sequences, from so many before the end
//     and from its cursor: no payload that was not published there; at most the record that is hit is lost; the gap
//     names just its bytes; sequences are right or unknown
//   - verify names the place first of all, and calls it damage if something is lost, or a header is damaged
//   - a look of `recover` accounts for every byte, and keeps every record that is not hit
//   - a writer opens the topic (and recovers it), reads all of it, publishes, and reads that
//   - `recover --apply` puts a bit of a header right
// The table of what may follow from a flip in which field is in bits_table.h: what is harmless is said there by name.
//
// Not modelled: two bits at once, and flips in memory while a process works on them: each opens the files anew.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/bits_table.h"

namespace libbus::test {
namespace {

constexpr double kTooSlowMs = 10'000;  // nothing here waits: an aim of a second, and ten times that

struct Flip {
  const Field* field;
  uint64_t offset;
  int bit;
};

// Flips the bits of one topic.
class BitFlips {
 public:
  BitFlips(SmallTopic::Left left, uint64_t seed, bool all, Figures& figures)
      : random_(seed), topic_(left), judge_(topic_, figures), fields_(AllFields(topic_)) {
    // As it is, everything is right: what follows comes from the flips.
    judge_.Check("before any flip", ReadAgain(), AllOf(topic_));
    flips_ = Choose(false);
    needed_ = flips_.size();
    if (all) flips_ = Choose(true);
  }

  // How many the short form flips, how many there are, and how many were flipped.
  uint64_t needed() const { return needed_; }
  uint64_t size() const { return flips_.size(); }
  uint64_t done() const { return std::min<uint64_t>(next_, flips_.size()); }
  std::string Summary() const { return judge_.Summary(); }

  void Next() {
    if (next_ < flips_.size()) Try(flips_[next_]);
    ++next_;
  }

 private:
  // In the short form all bits of words and of the live words that are believed, half of them in each topic; one bit of
  // each second byte of what checksums cover; and some of the rest. In the long form the others as well, mixed; of a
  // byte that nobody reads one bit will do.
  std::vector<Flip> Choose(bool all) {
    std::vector<Flip> flips;
    std::vector<Flip> later;
    for (const Field& field : fields_) {
      for (uint64_t offset = field.from; offset < field.to; ++offset) {
        const int picked = static_cast<int>(random_() % 8);
        for (int bit = 0; bit < 8; ++bit) {
          if (IsWanted(field, offset, bit, picked)) {
            flips.push_back({&field, offset, bit});
          } else if (field.effect != Effect::kNothing || field.part == Part::kAll || bit == picked) {
            later.push_back({&field, offset, bit});
          }
        }
      }
    }
    std::shuffle(later.begin(), later.end(), random_);
    if (all) flips.insert(flips.end(), later.begin(), later.end());
    return flips;
  }

  bool IsWanted(const Field& field, uint64_t offset, int bit, int picked) {
    const bool even = topic_.left() == SmallTopic::Left::kClosed;
    if (field.part == Part::kAll) return ((bit + offset) % 2 == 0) == even;
    if (bit != picked) return false;
    if (field.part == Part::kOneOfByte) return (offset % 2 == 0) == even;
    // The control file has 124 KiB that nobody uses.
    return random_() % (field.file.ends_with(".seg") ? 60 : field.file == "t/control" ? 4000 : 400) == 0;
  }

  void Try(const Flip& flip) {
    const auto start = std::chrono::steady_clock::now();
    const Field& field = *flip.field;
    judge_.Name(field.name, fmt::format("{} byte {} bit {}", field.file, flip.offset, flip.bit));
    const char was = topic_.files().at(field.file)[flip.offset];
    const char flipped = static_cast<char>(was ^ (1 << flip.bit));
    Overwrite(topic_.Path(field.file), flip.offset, {&flipped, 1});
    const Expected expected = ExpectedAfter(topic_, field);
    ReadOnly(field, expected);
    Verify(field, flip);
    Recover(field, flip);
    if (random_() % 3 == 0) {
      Write(field, expected);
    } else if (field.effect == Effect::kMended) {
      Mend(field, flip, was, expected);
    }
    topic_.PutBack();
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    judge_.figures().Slow(ms);
    if (ms > kTooSlowMs) judge_.Wrong(judge_.figures().stuck, "all of it", fmt::format("{} ms", ms));
    ++judge_.figures().images;
  }

  Readout ReadAgain() const {
    auto opened = OpenSmall(topic_, true);
    return opened.ok() ? ReadAll(*opened, {.gaps = Gaps::kAll}) : Readout{.opened = opened.status()};
  }

  void ReadOnly(const Field& field, const Expected& expected) {
    auto opened = OpenSmall(topic_, true);
    if (!opened.ok()) return judge_.Check("read only", {.opened = opened.status()}, expected);
    judge_.Check("from the start", Read(*opened, field, From::Start()), expected);
    if (expected.refused || expected.items.empty()) return;
    Seek(*opened, field, expected);
  }

  static Readout Read(Topic& topic, const Field& field, From from, const std::string& cursor = "") {
    Readout reading = ReadAll(topic, {.from = from, .gaps = Gaps::kAll, .cursor = cursor});
    // It may warn that records are missing behind the end.
    if (field.effect == Effect::kAlarm && TellsDamage(reading.end)) reading.end = absl::DeadlineExceededError("");
    return reading;
  }

  void Seek(Topic& topic, const Field& field, const Expected& expected) {
    const auto& items = expected.items;
    // The place that is hit, or one that is not, by its position; what is around it by sequence and from the end.
    size_t at = next_ % items.size();
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].kind == RecordKind::kGap && items[i].gap.cause == GapCause::kDamage) at = i;
    }
    judge_.Check("at the position", Read(topic, field, From::At(items[at].position)), expected, at);
    if (at + 1 < items.size() && next_ % 2 == 0) {
      judge_.Check("behind it", Read(topic, field, From::At(items[at + 1].position)), expected, at + 1);
    }
    const bool counts =
        field.effect != Effect::kWord && field.effect != Effect::kEnd && !field.name.ends_with("of a batch");
    const uint64_t n = topic_.units().size();
    const uint64_t some = random_() % n;
    const auto exact = counts ? std::optional<size_t>(some) : std::nullopt;
    if (next_ % 2 == 0) {
      judge_.Check("by sequence", Read(topic, field, From::Sequence(some)), expected, exact);
    } else {
      judge_.Check("from the end", Read(topic, field, From::Last(n - some)), expected, exact);
    }
    if (next_ % 2 == 1 || field.effect == Effect::kCursor) {
      ByCursor(Read(topic, field, From::Start(), "c"), field, expected);
    }
  }

  void ByCursor(const Readout& read, const Field& field, const Expected& expected) {
    if (field.effect == Effect::kCursor && TellsDamage(read.opened)) return;
    std::optional<size_t> at;
    for (size_t i = 0; i < expected.items.size(); ++i) {
      const OwnedRecord& item = expected.items[i];
      const bool holds = item.position.offset <= topic_.cursor() && topic_.cursor() < item.next_position.offset;
      if (holds) at = i;
    }
    // Where it stood when it was last synced: records come again, none is skipped.
    const bool earlier =
        field.effect == Effect::kCursor && !read.items.empty() && read.items.front().position.offset < topic_.cursor();
    judge_.Check("by the cursor", read, expected, earlier ? std::nullopt : at);
  }

  // Words and records by their position, everything else by its file.
  void Verify(const Field& field, const Flip& flip) {
    const Verified verified = VerifyAll(topic_);
    const Finding* const damage = verified.FirstDamage();
    uint64_t& silent = judge_.figures().silent;
    const std::string path = topic_.Path(field.file);
    const bool in_error = !verified.status.ok() && verified.status.message().find(path) != absl::string_view::npos;
    const std::string said = damage != nullptr ? fmt::format("{}: {}", damage->file, damage->what)
                                               : fmt::format("no damage, {}", verified.status.ToString());
    const auto by_file = [&](const Finding& finding) { return finding.file == path; };
    const bool named = std::any_of(verified.findings.begin(), verified.findings.end(), by_file);
    switch (field.effect) {
      case Effect::kRecord:
      case Effect::kWord:
      case Effect::kEnd:
      case Effect::kTail:
      case Effect::kBehind:
        if (damage == nullptr || !damage->position || damage->position->offset != field.unit_from) {
          judge_.Wrong(silent, "verify", said);
        }
        break;
      case Effect::kMended:
        if (damage == nullptr || damage->file != path || damage->offset != flip.offset) {
          judge_.Wrong(silent, "verify", said);
        }
        break;
      case Effect::kTold:
      case Effect::kCursor:
        if (!in_error && !named) judge_.Wrong(silent, "verify", fmt::format("nothing of byte {}", flip.offset));
        break;
      case Effect::kNothing:
      case Effect::kAlarm:
        if (damage != nullptr || !verified.status.ok()) judge_.Wrong(silent, "verify", said);
        break;
    }
  }

  absl::StatusOr<RecoveryReport> Recovered() const { return RecoverTopic(topic_.bus(), "t"); }

  // Says which bit it is.
  static bool Names(const RecoveryReport& report, const std::string& path, const Flip& flip) {
    return report.flipped.size() == 1 && report.flipped[0].file == path && report.flipped[0].offset == flip.offset &&
           report.flipped[0].bit == static_cast<uint32_t>(flip.bit);
  }

  void Recover(const Field& field, const Flip& flip) {
    const auto report = Recovered();
    Figures& figures = judge_.figures();
    if (!report.ok()) {
      return judge_.Wrong(figures.lost, "recover", report.status().ToString());
    }
    if (field.effect == Effect::kMended ? !Names(*report, topic_.Path(field.file), flip) : !report->flipped.empty()) {
      judge_.Wrong(figures.silent, "recover", fmt::format("{} flipped bits of headers", report->flipped.size()));
    }
    const uint64_t bytes = report->clean ? 0 : topic_.end_of_files() - report->from.offset;
    if (report->bytes() != bytes) {
      judge_.Wrong(figures.silent, "recover", fmt::format("{} bytes instead of {}", report->bytes(), bytes));
    }
    if (report->clean) return;
    uint64_t hit = 0;
    uint64_t kept = 0;
    const bool loses = field.effect == Effect::kRecord || field.effect == Effect::kWord;
    for (const Unit& unit : topic_.units()) {
      if (unit.kind == Unit::Kind::kGap || unit.from < report->from.offset) continue;
      ++(loses && field.unit_from <= unit.from && unit.from < field.unit_to ? hit : kept);
    }
    if (report->records.count != kept) {
      judge_.Wrong(figures.lost, "recover", fmt::format("{} records instead of {}", report->records.count, kept));
    }
    const uint64_t told = report->rotten.bytes + report->skipped.bytes + report->cut.bytes + report->torn.bytes;
    if (hit > 0 && told < field.unit_to - field.unit_from) {
      judge_.Wrong(figures.silent, "recover", fmt::format("{} bytes lost", told));
    }
  }

  // `recover --apply`: the byte is as it was, nothing else is damaged, and everything is read.
  void Mend(const Field& field, const Flip& flip, char was, const Expected& expected) {
    Figures& figures = judge_.figures();
    const auto report = RecoverTopic(topic_.bus(), "t", {.apply = true});
    if (!report.ok()) return judge_.Wrong(figures.lost, "mend", report.status().ToString());
    if (FileText(topic_.Path(field.file))[flip.offset] != was) {
      judge_.Wrong(figures.lost, "mend", fmt::format("byte {} is as wrong as before", flip.offset));
    }
    const Verified verified = VerifyAll(topic_);
    if (verified.FirstDamage() != nullptr) judge_.Wrong(figures.lost, "mend", verified.FirstDamage()->what);
    judge_.CheckKept("mended", ReadAgain(), expected);
  }

  // Who may write repairs, and goes on behind everything that was there.
  void Write(const Field& field, const Expected& expected) {
    auto topic = OpenSmall(topic_, false);
    if (!topic.ok()) {
      if (!expected.ends_bad) judge_.Wrong(judge_.figures().lost, "write", topic.status().ToString());
      return;
    }
    judge_.CheckKept("by who writes", ReadAll(*topic, {.gaps = Gaps::kAll}), expected);
    auto producer = topic->NewProducer();
    auto position = producer.ok() ? producer->Publish("written later") : producer.status();
    if (!position.ok()) {
      const bool bad = field.effect == Effect::kWord || field.effect == Effect::kEnd || field.effect == Effect::kTail;
      if (!bad || !TellsDamage(position.status())) {
        judge_.Wrong(judge_.figures().stuck, "publish", position.status().ToString());
      }
      return;
    }
    const Readout last = ReadAll(*topic, {.from = From::Last(1)});
    const bool there =
        last.items.size() == 1 && last.items[0].payload == "written later" && last.items[0].position == *position;
    if (!there) judge_.Wrong(judge_.figures().lost, "publish", "it is not there");
    if (position->offset < topic_.tail()) judge_.Wrong(judge_.figures().lost, "publish", "over what was there");
    judge_.CheckKept("after a publish", ReadAll(*topic, {.gaps = Gaps::kAll}), expected);
  }

  std::mt19937_64 random_;
  SmallTopic topic_;
  Judge judge_;
  const std::vector<Field> fields_;
  std::vector<Flip> flips_;
  uint64_t needed_ = 0;
  uint64_t next_ = 0;
};

TEST(BitsTest, EveryBit) {
  const Budget budget;
  Figures figures;
  figures.seed = Seed("BitsTest.EveryBit");
  BitFlips closed(SmallTopic::Left::kClosed, 1, budget.long_form(), figures);
  BitFlips killed(SmallTopic::Left::kKilled, figures.seed, budget.long_form(), figures);
  const uint64_t short_form = std::max(closed.needed(), killed.needed());
  const uint64_t long_form = std::max(closed.size(), killed.size());
  for (uint64_t done = 0; budget.More(done, short_form, long_form); ++done) {
    closed.Next();
    killed.Next();
  }
  fmt::print("bits: {} of {} closed, {} of {} killed\n", closed.done(), closed.size(), killed.done(), killed.size());
  EXPECT_EQ(closed.Summary(), "");
  EXPECT_EQ(killed.Summary(), "");
  Report("bits", figures);
  EXPECT_EQ(figures.wrong(), 0u);
}

}  // namespace
}  // namespace libbus::test
