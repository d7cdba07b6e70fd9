#include "tests/crash/power_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "libbus/platform/status.h"
#include "tests/seam/seam.h"

namespace libbus::test {
namespace {

constexpr uint64_t kMessages = 3;
constexpr int kMostCuts = 3;  // of which each meets the recovery from the one before

uint32_t last_boot = 0;

}  // namespace

uint32_t NextBoot() { return ++last_boot; }
void ForgetBoots() { last_boot = 0; }

void CutCheck::Wrong(uint64_t& count, std::string_view kind, const std::string& what) {
  if (++count <= kMessages) tally_.messages.push_back(fmt::format("{}: {}: {}", where_, kind, what));
}

bool CutCheck::Check(const Cut& cut) {
  where_ = fmt::format("{} cut at {} of {}, mix {}{}", cut.where, cut.moment, cut.history.now(),
                       static_cast<int>(cut.mix), cut.same_boot ? ", a kill" : "");
  const Image image = cut.history.Draw(cut.moment, cut.mix, random_);
  ++tally_.drawn;
  if (image.stale == 0 && cut.depth == 0) return false;
  JudgeImage(cut, image);
  store_.Restore(image);
  boot_ = cut.same_boot ? cut.boot : NextBoot();
  platform::seam_control.boot_id = boot_;
  if (image.stale > 0) {
    ++tally_.images;
    tally_.recut += cut.depth > 0 ? 1 : 0;
    tally_.within += cut.start != nullptr ? 1 : 0;
    tally_.third += cut.depth == kMostCuts - 1 ? 1 : 0;
  }
  const absl::Status read = Chance(2) ? ReadOnly(cut) : absl::OkStatus();
  if (!read.ok()) Wrong(tally_.refused, "refused", "read-only: " + read.ToString());
  const bool again = cut.depth + 1 < kMostCuts && Chance(4);
  if (again) store_.Start();
  const absl::Status status = RecoverAndGoOn(cut, image, again);
  if (!status.ok()) Wrong(tally_.refused, "refused", status.ToString());
  if (again) {
    const History history = store_.Stop();
    if (status.ok()) CutAgain(cut, image, history);
  }
  return true;
}

absl::Status CutCheck::ReadOnly(const Cut& cut) {
  LIBBUS_ASSIGN_OR_RETURN(Bus bus, Bus::Open(bus_path_, {.read_only = true}));
  auto topic = bus.OpenTopic("t");
  if (topic.status().code() == absl::StatusCode::kFailedPrecondition) return absl::OkStatus();
  LIBBUS_RETURN_IF_ERROR(topic.status());
  const absl::Status status = ReadAll(*topic, "", read_only_, first_);
  for (const Seen& seen : read_only_) {
    const auto fact = cut.known.records.find(seen.position);
    if (seen.gap || (fact != cut.known.records.end() && fact->second.may)) continue;
    Wrong(tally_.phantom, "phantom", "read-only: " + Text(seen));
  }
  JudgeBatches(cut.known.records, read_only_, "read-only");
  ++tally_.read_only;
  return status.code() == absl::StatusCode::kFailedPrecondition ? absl::OkStatus() : status;
}

absl::Status CutCheck::OpenAndRead(std::unique_ptr<Writer>& writer, Reading& reading) {
  LIBBUS_ASSIGN_OR_RETURN(writer, Writer::Open(bus_path_, 1));
  return ReadAll(writer->topic(), "", reading, first_);
}

absl::Status CutCheck::RecoverAndGoOn(const Cut& cut, const Image& image, bool again) {
  std::unique_ptr<Writer> writer;
  LIBBUS_RETURN_IF_ERROR(OpenAndRead(writer, recovered_));
  recovery_end_ = store_.now();
  Judge(cut);
  JudgeEpochs(cut, image);
  LIBBUS_RETURN_IF_ERROR(JudgeFirst(cut.known, writer->topic()));
  after_ = KnownAfter(cut);
  LIBBUS_RETURN_IF_ERROR(JudgeCursors(cut.known, writer->topic()));
  LIBBUS_RETURN_IF_ERROR(again && Chance(2) ? WorkOn(writer) : PublishMore(*writer));
  for (const Published& record : ledger_.all()) CheckUnused(after_.records, record);
  Reading more;
  LIBBUS_RETURN_IF_ERROR(ReadAll(writer->topic(), "", more, first_));
  CheckNew(more, first_);
  if (Chance(2)) return absl::OkStatus();
  // Recovery twice is recovery once.
  store_.Kill([&] { writer.reset(); });
  Reading twice;
  LIBBUS_RETURN_IF_ERROR(OpenAndRead(writer, twice));
  if (twice != more) Wrong(tally_.changed, "changed", "recovered twice: " + Difference(more, twice));
  return absl::OkStatus();
}

// --- what was read ---------------------------------------------------------------------------------------------------

void CutCheck::Judge(const Cut& cut) {
  for (const Seen& seen : recovered_) {
    if (seen.gap) continue;
    ++tally_.records;
    const auto fact = cut.known.records.find(seen.position);
    if (fact == cut.known.records.end() || !fact->second.may) {
      Wrong(tally_.phantom, "phantom", Text(seen));
    } else if (fact->second.payload != seen.payload) {
      Wrong(tally_.phantom, "phantom", Text(seen) + ": another payload");
      if (fact->second.must) Wrong(tally_.lost, "lost", Text(seen) + ": another payload");
    }
  }
  for (const auto& [position, fact] : cut.known.records) {
    if (position < first_) continue;
    tally_.durable += fact.must ? 1 : 0;
    const Seen* const seen = Find(recovered_, position);
    if (seen == nullptr || seen->gap) JudgeMissing(position, fact);
  }
  for (const DurableGap& gap : cut.known.gaps) {
    if (IsGap(recovered_, std::max(gap.from, first_), gap.to)) continue;
    Wrong(tally_.changed, "changed", fmt::format("{}..{} was a gap, and durable", gap.from, gap.to));
  }
  JudgeBatches(cut.known.records, recovered_, "recovered");
  const std::string read = DiffersFromPrefix(read_only_, recovered_, first_);
  if (!read.empty()) Wrong(tally_.changed, "changed", "since it was read before the recovery: " + read);
  if (cut.before == nullptr) return;
  const std::string differs = DiffersFromPrefix(*cut.before, recovered_, first_);
  if (!differs.empty()) Wrong(tally_.changed, "changed", "recovered again: " + differs);
}

void CutCheck::JudgeBatches(const Facts& facts, const Reading& reading, std::string_view when) {
  struct Count {
    uint64_t position = 0;  // of one of its records
    uint64_t read = 0;
    uint64_t missing = 0;
  };
  std::map<uint64_t, Count> batches;
  for (const auto& [position, fact] : facts) {
    if (fact.batch == 0 || position < first_) continue;
    const Seen* const seen = Find(reading, position);
    Count& count = batches[fact.batch];
    count.position = position;
    ++(seen != nullptr && !seen->gap ? count.read : count.missing);
  }
  for (const auto& [number, count] : batches) {
    ++tally_.batches;
    tally_.no_batches += count.read == 0 ? 1 : 0;
    if (count.read == 0 || count.missing == 0) continue;
    Wrong(tally_.parted, "parted",
          fmt::format("{}: {} of {} records of the batch with the one at {}", when, count.read,
                      count.read + count.missing, count.position));
  }
}

void CutCheck::JudgeMissing(uint64_t position, const Fact& fact) {
  if (fact.must)
    return Wrong(tally_.lost, "lost", fmt::format("record of {} bytes at {}", fact.payload.size(), position));
  if (!fact.told) return;
  for (const Seen& seen : recovered_) {
    if (!seen.gap || position < seen.position || position >= seen.next) continue;
    ++tally_.missing;
    tally_.not_loss += seen.loss ? 0 : 1;
    return;
  }
  Wrong(tally_.silent, "silent", fmt::format("record of {} bytes at {}", fact.payload.size(), position));
}

Known CutCheck::KnownAfter(const Cut& cut) const {
  Known after = cut.known;
  after.first_least = after.first_most = first_;
  after.epoch = control_.epoch;
  after.epochs = control_.epochs;
  for (auto& [position, fact] : after.records) {
    const Seen* const seen = Find(recovered_, position);
    const bool there = seen != nullptr && !seen->gap;
    // A recovery from a power cut leaves nothing that is not durable, and nothing comes back that it had not found.
    fact.must = there && (fact.must || !cut.same_boot);
    fact.may = there;
    fact.told = there || fact.told;
  }
  return after;
}

// --- going on --------------------------------------------------------------------------------------------------------

absl::Status CutCheck::WorkOn(std::unique_ptr<Writer>& writer) {
  const bool each = writer->topic().options().sync == SyncPolicy::Each();
  if (Chance(2)) {
    store_.Kill([&] { writer.reset(); });
  } else {
    writer.reset();
  }
  {
    Workload workload(bus_path_, store_, random_, each, ledger_);
    LIBBUS_RETURN_IF_ERROR(workload.Run(1 + static_cast<int>(random_() % 30)));
  }
  ++tally_.went_on;
  LIBBUS_ASSIGN_OR_RETURN(writer, Writer::Open(bus_path_, 1));
  return absl::OkStatus();
}

absl::Status CutCheck::PublishMore(Writer& writer) {
  const bool each = writer.topic().options().sync == SyncPolicy::Each();
  Publisher publisher(store_, ledger_, random_, each);
  Writer::Hand& hand = writer.hands().front();
  for (uint64_t n = 1 + random_() % 4; n > 0; --n) {
    if (Chance(4)) {
      LIBBUS_RETURN_IF_ERROR(publisher.PublishBatch(hand.producer, Chance(2)));
    } else if (Chance(3)) {
      LIBBUS_RETURN_IF_ERROR(publisher.OpenClaim(hand));
      LIBBUS_RETURN_IF_ERROR(publisher.CommitClaim(hand));
    } else {
      LIBBUS_RETURN_IF_ERROR(publisher.Publish(hand.producer, Chance(2)));
    }
  }
  return absl::OkStatus();
}

void CutCheck::CheckUnused(const Facts& facts, const Published& record) {
  const uint64_t end = record.position + 24 + record.payload.size();
  auto fact = facts.lower_bound(record.position);
  if (fact != facts.begin()) --fact;
  for (; fact != facts.end() && fact->first < end; ++fact) {
    const uint64_t fact_end = fact->first + 24 + fact->second.payload.size();
    if (fact->second.told && fact_end > record.position) {
      Wrong(tally_.reused, "reused",
            fmt::format("position {}, where a record stood at {}", record.position, fact->first));
    }
  }
}

void CutCheck::CheckNew(const Reading& reading, uint64_t first) {
  const std::string differs = DiffersFromPrefix(recovered_, reading, first);
  if (!differs.empty()) Wrong(tally_.changed, "changed", "after publishing: " + differs);
  std::set<uint64_t> published;
  for (const Published& record : ledger_.all()) published.insert(record.position);
  for (const Seen& seen : reading) {
    if (seen.gap || Find(recovered_, seen.position) != nullptr || published.count(seen.position) != 0) continue;
    Wrong(tally_.phantom, "phantom", "after publishing: " + Text(seen));
  }
  for (const Published& record : ledger_.all()) {
    if (record.position < first) continue;
    const Seen* const seen = Find(reading, record.position);
    if (seen == nullptr || seen->payload != record.payload) {
      Wrong(tally_.lost, "lost",
            fmt::format("record of {} bytes at {}, with no cut", record.payload.size(), record.position));
    }
  }
}

// Cuts while the recovery ran, just when it was over, and behind it.
void CutCheck::CutAgain(const Cut& cut, const Image& image, const History& history) {
  const auto within = [&](Moment from, Moment to) { return from + random_() % (to - from + 1); };
  CutOnceMore(cut, image, history, within(0, recovery_end_), false);
  CutOnceMore(cut, image, history, Chance(2) ? recovery_end_ : within(recovery_end_, history.now()), false);
  if (Chance(2)) CutOnceMore(cut, image, history, within(0, history.now()), true);
}

void CutCheck::CutOnceMore(const Cut& cut, const Image& image, const History& history, Moment moment, bool same_boot) {
  const bool recovered = moment >= recovery_end_;
  Known known = recovered ? after_ : cut.known;
  // That was not known then.
  if (recovered) ledger_.AddTo(known, moment);
  Mix mix = same_boot ? Mix::kNew : static_cast<Mix>(random_() % kMixes);
  if (moment == recovery_end_ && !same_boot) mix = Chance(2) ? Mix::kOld : Mix::kNew;
  CutCheck check(bus_path_, store_, random_, tally_);
  check.Check({.history = history,
               .boot = boot_,
               .moment = moment,
               .mix = mix,
               .same_boot = same_boot,
               .known = known,
               .before = recovered && !cut.same_boot ? &recovered_ : cut.before,
               .where = where_ + ";",
               .depth = cut.depth + 1,
               .start = recovered ? nullptr : &image});
}

}  // namespace libbus::test
