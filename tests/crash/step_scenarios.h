// What is walked through: each function prepares, calls world.Start(), does the one thing, and calls world.End().
#ifndef LIBBUS_TESTS_CRASH_STEP_SCENARIOS_H_
#define LIBBUS_TESTS_CRASH_STEP_SCENARIOS_H_

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "tests/crash/step_phases.h"
#include "tests/crash/step_world.h"

namespace libbus::steps {

// A topic and a producer of it, with some records in front.
struct Bench {
  explicit Bench(World& world, int records = 3) : world(world), topic(world.Open()) {
    if (topic.ok()) producer = topic->NewProducer({.name = "victim"});
    for (int i = 0; ok() && i < records; ++i) status = world.Publish(*producer, 30);
  }
  bool ok() const { return topic.ok() && producer.ok() && status.ok(); }

  World& world;
  absl::StatusOr<Topic> topic;
  absl::StatusOr<Producer> producer = absl::UnknownError("");
  absl::Status status;
};

// --- publishing ----------------------------------------------------------------------------------------------------

template <uint32_t kSize>
int PublishOne(World& world) {
  Bench bench(world);
  if (!bench.ok()) return 1;
  const Draft draft = world.Begin(kSize);
  world.Start();
  if (!world.Publish(*bench.producer, draft).ok()) return 2;
  return world.End();
}

template <uint32_t kSize>
int PublishDurably(World& world) {
  Bench bench(world);
  if (!bench.ok()) return 1;
  Draft draft = world.Begin(kSize);
  draft.durable = true;
  world.Start();
  if (!world.Publish(*bench.producer, draft).ok()) return 2;
  return world.End();
}

// Claims as many bytes as the record has and `more`; commits what it has.
template <uint32_t kMore>
int ClaimAndCommit(World& world) {
  Bench bench(world);
  if (!bench.ok()) return 1;
  const Draft draft = world.Begin(200);
  world.Start();
  auto claim = bench.producer->Claim(draft.text.size() + kMore, draft.options());
  if (!claim.ok()) return 2;
  std::memcpy(claim->bytes().data(), draft.text.data(), draft.text.size());
  if (!world.Settle(draft.number, std::move(*claim).Commit(draft.text.size())).ok()) return 3;
  return world.End();
}

inline int ClaimAndAbandon(World& world) {
  Bench bench(world);
  if (!bench.ok()) return 1;
  const Draft draft = world.Begin(200);
  world.book().lines[draft.number].fate = Fate::kAbandoned;
  world.Start();
  auto claim = bench.producer->Claim(draft.text.size(), draft.options());
  if (!claim.ok()) return 2;
  std::memcpy(claim->bytes().data(), draft.text.data(), draft.text.size());
  if (!std::move(*claim).Abandon().ok()) return 3;
  return world.End();
}

// Adds `count` records of a new batch.
inline bool Fill(World& world, Batch& batch, std::vector<uint32_t>& numbers, int count, uint32_t size, bool durable) {
  for (int i = 0; i < count; ++i) {
    const uint32_t first = numbers.empty() ? world.book().next.load() : numbers[0];
    Draft draft = world.Begin(size, first);
    draft.durable = durable;
    numbers.push_back(draft.number);
    if (!batch.Add(draft.text, draft.options()).ok()) return false;
  }
  return true;
}

template <uint32_t kSize, bool kDurable>
int PublishBatch(World& world) {
  Bench bench(world);
  if (!bench.ok()) return 1;
  Batch batch = bench.producer->NewBatch();
  std::vector<uint32_t> numbers;
  if (!Fill(world, batch, numbers, 3, kSize, kDurable)) return 2;
  world.Start();
  const auto position = batch.Commit();
  for (const uint32_t number : numbers) {
    if (!world.Settle(number, position).ok()) return 3;
  }
  return world.End();
}

// --- segments ------------------------------------------------------------------------------------------------------

// Publishes until fewer than `left` bytes of the segment are free.
inline bool FillSegment(World& world, Producer& producer, uint64_t left) {
  const uint64_t size = world.scene().segment_size;
  for (;;) {
    const uint32_t number = world.book().next;
    if (!world.Publish(producer, 100).ok()) return false;
    const uint64_t in = world.book().lines[number].position % size;
    if (size - in < left + 200) return true;
  }
}

template <bool kPrepared>
int Roll(World& world) {
  Bench bench(world, 0);
  if (!bench.ok() || !FillSegment(world, *bench.producer, 300)) return 1;
  if (kPrepared && !bench.topic->Maintain().ok()) return 2;
  const Draft draft = world.Begin(600);
  world.Start();
  if (!world.Publish(*bench.producer, draft).ok()) return 3;
  return world.End();
}

inline int Prepare(World& world) {
  Bench bench(world, 0);
  if (!bench.ok() || !FillSegment(world, *bench.producer, 1000)) return 1;
  world.Start();
  if (!bench.topic->Maintain().ok()) return 2;
  return world.End();
}

inline int SyncAll(World& world) {
  Bench bench(world, 2);
  if (!bench.ok() || !FillSegment(world, *bench.producer, 300) || !world.Publish(*bench.producer, 600).ok()) return 1;
  world.Start();
  if (!bench.topic->Sync().ok()) return 2;
  return world.End();
}

inline int Trim(World& world) {
  Bench bench(world, 0);
  if (!bench.ok()) return 1;
  for (int i = 0; i < 3; ++i) {
    if (!FillSegment(world, *bench.producer, 300) || !world.Publish(*bench.producer, 600).ok()) return 2;
  }
  const uint64_t before = world.book().lines[world.book().next - 1].position;
  if (seam_control.pretend_durable && !bench.topic->Sync().ok()) return 3;
  world.book().trimmed_to = before;
  world.Start();
  const auto trimmed = bench.topic->Trim(From::At({before}));
  if (!trimmed.ok()) return Fail(world, "trim", trimmed.status());
  if (trimmed->segments == 0) return 4;
  return world.End();
}

// --- coming, reading and going -------------------------------------------------------------------------------------

inline int Attach(World& world) {
  world.Start();
  Bench bench(world, 0);
  if (!bench.ok()) return 1;
  return world.End();
}

inline int OpenOnly(World& world) {
  world.Start();
  auto topic = world.Open();
  if (!topic.ok()) return 1;
  return world.End();
}

inline int TakeSlot(World& world) {
  auto topic = world.Open();
  if (!topic.ok()) return 1;
  world.Start();
  auto producer = topic->NewProducer({.name = "victim"});
  if (!producer.ok()) return 2;
  return world.End();
}

template <bool kClaim>
int Leave(World& world) {
  std::optional<Bench> bench(std::in_place, world);
  if (!bench->ok()) return 1;
  auto claim = kClaim ? bench->producer->Claim(50) : absl::StatusOr<ClaimedRecord>(absl::NotFoundError(""));
  world.Start();
  if (!bench->producer->Close().ok()) return 2;
  claim = absl::NotFoundError("");  // it would hold the topic open
  bench.reset();
  return world.End();
}

template <bool kDurable>
int CommitCursor(World& world) {
  Bench bench(world, 4);
  if (!bench.ok()) return 1;
  auto consumer = bench.topic->NewConsumer({.cursor = "c", .durable_commits = kDurable});
  if (!consumer.ok() || !consumer->Next(absl::Seconds(20)).ok() || !consumer->Commit().ok()) return 2;
  world.book().cursor = consumer->position().offset;
  if (!consumer->Next(absl::Seconds(20)).ok()) return 3;
  world.book().next_cursor = consumer->position().offset;
  world.book().has_cursor = true;
  world.Start();
  if (!consumer->Commit().ok()) return 4;
  world.book().cursor = consumer->position().offset;
  return world.End();
}

// It is at the first record, or not there at all: then made at the first record.
inline int MakeCursor(World& world) {
  Bench bench(world, 2);
  if (!bench.ok()) return 1;
  auto first = bench.topic->NewConsumer();
  if (!first.ok()) return 2;
  world.book().cursor = first->position().offset;
  world.book().next_cursor = first->position().offset;
  world.book().has_cursor = true;
  world.Start();
  auto consumer = bench.topic->NewConsumer({.cursor = "c"});
  if (!consumer.ok()) return 3;
  return world.End();
}

// --- what others left ----------------------------------------------------------------------------------------------

// Dies with two claims open, one of them behind all records, and a record in between.
inline int DieWithClaims(World& world) {
  Bench bench(world);
  auto other = bench.topic->NewProducer({.name = "also dead"});
  if (!bench.ok() || !other.ok()) return 1;
  auto first = bench.producer->Claim(100);
  if (!world.Publish(*other, 40).ok()) return 2;
  auto second = other->Claim(60);
  if (!first.ok() || !second.ok()) return 3;
  raise(SIGKILL);
  return 4;
}
inline int DieOwningAClaim(World& world) {
  Bench bench(world);
  auto claim = bench.producer->Claim(100);
  raise(SIGKILL);
  return claim.ok() ? 1 : 2;
}

// Reads over the claims of the dead: it may repair. Its sleeps end at once.
inline int RepairByReading(World& world) {
  auto topic = world.Open();
  if (!topic.ok()) return 1;
  auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) return 2;
  std::optional<absl::StatusOr<RecordView>> record;
  const auto is_gap = [&] { return record && record->ok() && (*record)->kind() == RecordKind::kGap; };
  // Up to the record in front of the claim.
  for (int i = 0; i < 5; ++i) {
    record.emplace(consumer->Next(absl::ZeroDuration()));
    if (!record->ok() || is_gap()) break;
  }
  if (is_gap()) return 3;
  seam_control.skip_sleeps = true;
  world.Start();
  do {
    record.emplace(consumer->Next(absl::Seconds(20)));
  } while (record->ok() && !is_gap());
  if (!is_gap()) return 4;
  return world.End();
}

inline int RepairBehind(World& world) {
  auto topic = world.Open();
  if (!topic.ok()) return 1;
  world.Start();
  if (!topic->Maintain().ok()) return 2;
  return world.End();
}

// --- what recovery finds -------------------------------------------------------------------------------------------

// Over two segments, then killed.
inline int DieInSecondSegment(World& world) {
  Bench bench(world, 0);
  if (!bench.ok() || !FillSegment(world, *bench.producer, 300)) return 1;
  for (int i = 0; i < 5; ++i) {
    if (!world.Publish(*bench.producer, 200).ok()) return 2;
  }
  raise(SIGKILL);
  return 3;
}
inline int DieSynced(World& world) {
  Bench bench(world, 6);
  if (!bench.ok() || !bench.topic->Sync().ok()) return 1;
  raise(SIGKILL);
  return 2;
}
inline int DieAtEndOfSegment(World& world) {
  Bench bench(world, 0);
  if (!bench.ok() || !FillSegment(world, *bench.producer, 300) || !world.Publish(*bench.producer, 600).ok()) return 1;
  // The record that rolled is taken away with its segment: as if it had died before that.
  world.book().lines[world.book().next - 1].fate = Fate::kBegun;
  raise(SIGKILL);
  return 2;
}
inline int DieWithABatch(World& world) {
  Bench bench(world, 2);
  Batch batch = bench.producer->NewBatch();
  std::vector<uint32_t> numbers;
  if (!bench.ok() || !Fill(world, batch, numbers, 3, 100, false)) return 1;
  const auto position = batch.Commit();
  for (const uint32_t number : numbers) {
    if (!world.Settle(number, position).ok()) return 2;
  }
  if (!world.Publish(*bench.producer, 50).ok()) return 3;
  raise(SIGKILL);
  return 4;
}

inline std::string SegmentOf(const World& world, uint64_t base) { return world.File(fmt::format("{:020}.seg", base)); }

inline void Overwrite(World& world, uint64_t position, const std::string& bytes) {
  const uint64_t base = position / world.scene().segment_size * world.scene().segment_size;
  std::fstream file(SegmentOf(world, base), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(position - base));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// What may be gone.
inline void Spoil(World& world, uint64_t from, uint64_t to) {
  world.book().spoiled_from = from;
  world.book().spoiled_to = to;
}
inline uint64_t PlaceOf(World& world, uint32_t number) { return world.book().lines[number].position; }
inline uint32_t LastNumber(World& world) { return world.book().next - 1; }
inline uint64_t SizeOf(World& world, uint32_t number) { return 24 + (world.book().lines[number].size + 7) / 8 * 8; }
inline uint64_t TailOf(World& world) {
  const uint32_t last = LastNumber(world);
  return PlaceOf(world, last) + SizeOf(world, last);
}

inline void RotARecord(World& world) {
  const uint64_t place = PlaceOf(world, 3);
  Spoil(world, place, place + 8);
  Overwrite(world, place + 30, "rot");
}
inline void LoseAWord(World& world) {
  const uint64_t place = PlaceOf(world, 3);
  Spoil(world, place, place + 8);
  Overwrite(world, place, std::string(8, '\0'));
}
// From the last but one record of the first segment to its end.
inline void LoseTheEndOfASegment(World& world) {
  const uint64_t end = world.scene().segment_size;
  uint64_t from = end;
  for (uint32_t n = 1; n <= LastNumber(world); ++n) {
    if (PlaceOf(world, n) < end && PlaceOf(world, n) + 300 > end) from = std::min(from, PlaceOf(world, n));
  }
  if (from == end) from = PlaceOf(world, 20);
  Spoil(world, from, end);
  Overwrite(world, from, std::string(end - from, '\0'));
}
// The newest file, and the one before if that was a prepared one.
inline void RemoveTheNewest(World& world) {
  for (uint64_t i = 1; i < 5; ++i) unlink(SegmentOf(world, i * world.scene().segment_size).c_str());
}
inline void RemoveAndCutThePower(World& world) {
  Spoil(world, TailOf(world), ~uint64_t{0});
  RemoveTheNewest(world);
}
inline void RotTheTail(World& world) {
  Spoil(world, TailOf(world), world.scene().segment_size);
  Overwrite(world, TailOf(world), "rotten!!");
}
inline void LeaveDebris(World& world) {
  Spoil(world, TailOf(world), world.scene().segment_size);
  Overwrite(world, TailOf(world) + 64, "debris");
}
inline void LoseWhatWasDurable(World& world) {
  const uint64_t end = world.scene().segment_size;
  Spoil(world, PlaceOf(world, 4), end);
  Overwrite(world, PlaceOf(world, 4), std::string(end - PlaceOf(world, 4), '\0'));
}
inline void RotInABatch(World& world) {
  const uint64_t place = PlaceOf(world, 3);
  Spoil(world, place, place + 8);
  Overwrite(world, place + 24 + 220, "rot");
}
inline void CutThePower(World& world) { Spoil(world, TailOf(world), ~uint64_t{0}); }
inline void CutThePowerInABatch(World& world) {
  RotInABatch(world);
  world.book().spoiled_to = ~uint64_t{0};
}

// --- the table -----------------------------------------------------------------------------------------------------

using Act = int (*)(World&);

struct Scenario {
  const char* name;
  Act act;
  bool living = true;               // a process stands beside it, and goes on when it is dead
  Act leave = nullptr;              // a process that died before
  void (*spoil)(World&) = nullptr;  // what then happened to the files
  const char* row = nullptr;        // of the table of recovery: must be met
  bool exclusive = false;
  bool disk = false;  // the file system passes for a disk
  uint32_t boot = 0;  // how many boots ago that process died
  bool pair = false;  // another process does the same, stops somewhere inside, and is killed as well
  uint64_t segment_size = 4096;
};

inline constexpr Scenario kPublishing[] = {
    {.name = "publish 0 bytes", .act = PublishOne<0>},
    {.name = "publish 8 bytes", .act = PublishOne<8>},
    {.name = "publish 200 bytes", .act = PublishOne<200>},
    {.name = "publish 4096 bytes", .act = PublishOne<4096>, .segment_size = 16384},
    {.name = "claim and commit", .act = ClaimAndCommit<0>},
    {.name = "claim and commit fewer bytes", .act = ClaimAndCommit<100>},
    {.name = "claim and abandon", .act = ClaimAndAbandon},
    {.name = "batch", .act = PublishBatch<60, false>},
    {.name = "batch larger than a segment", .act = PublishBatch<1300, false>},
    {.name = "oversized record", .act = PublishOne<4070>},
    {.name = "roll", .act = Roll<true>},
    {.name = "roll and prepare", .act = Roll<false>},
    {.name = "prepare", .act = Prepare},
    {.name = "exclusive publish", .act = PublishOne<200>, .exclusive = true},
    {.name = "exclusive claim", .act = ClaimAndCommit<100>, .exclusive = true},
    {.name = "exclusive abandon", .act = ClaimAndAbandon, .exclusive = true},
    {.name = "exclusive batch", .act = PublishBatch<60, false>, .exclusive = true},
    {.name = "exclusive roll", .act = Roll<false>, .exclusive = true},
    {.name = "durable publish", .act = PublishDurably<200>, .disk = true},
    {.name = "durable batch", .act = PublishBatch<60, true>, .disk = true},
    {.name = "exclusive durable publish", .act = PublishDurably<200>, .exclusive = true, .disk = true},
    {.name = "sync over two segments", .act = SyncAll, .disk = true},
};

inline constexpr Scenario kComingAndGoing[] = {
    {.name = "make a bus", .act = Attach, .living = false},
    {.name = "attach", .act = Attach},
    {.name = "take a slot", .act = TakeSlot},
    {.name = "cursor commit", .act = CommitCursor<false>},
    {.name = "durable cursor commit", .act = CommitCursor<true>, .disk = true},
    {.name = "make a cursor", .act = MakeCursor},
    {.name = "trim", .act = Trim},
    {.name = "trim what is durable", .act = Trim, .disk = true},
    {.name = "leave", .act = Leave<false>},
    {.name = "leave with a claim", .act = Leave<true>},
    {.name = "leave as the last", .act = Leave<false>, .living = false},
    {.name = "leave a disk as the last", .act = Leave<true>, .living = false, .disk = true},
    {.name = "leave an exclusive topic as the last", .act = Leave<true>, .living = false, .exclusive = true},
};

inline constexpr Scenario kRepair[] = {
    {.name = "take a dead slot", .act = TakeSlot, .leave = DieWithClaims},
    {.name = "repair by reading", .act = RepairByReading, .leave = DieWithClaims},
    {.name = "repair in the background", .act = RepairBehind, .leave = DieWithClaims},
    {.name = "take over", .act = TakeSlot, .leave = DieOwningAClaim, .exclusive = true},
};

inline constexpr Scenario kRecovery[] = {
    {.name = "recover: dead claims", .act = OpenOnly, .living = false, .leave = DieWithClaims, .row = "dead claim"},
    {.name = "recover: exclusive",
     .act = OpenOnly,
     .living = false,
     .leave = DieOwningAClaim,
     .row = "dead claim",
     .exclusive = true},
    {.name = "recover: end, tail", .act = OpenOnly, .living = false, .leave = DieInSecondSegment, .row = "tail"},
    {.name = "recover: rotten record",
     .act = OpenOnly,
     .living = false,
     .leave = DieInSecondSegment,
     .spoil = RotARecord,
     .row = "rotten record"},
    {.name = "recover: hole, record follows",
     .act = OpenOnly,
     .living = false,
     .leave = DieInSecondSegment,
     .spoil = LoseAWord,
     .row = "hole, record follows"},
    {.name = "recover: hole, segment follows",
     .act = OpenOnly,
     .living = false,
     .leave = DieInSecondSegment,
     .spoil = LoseTheEndOfASegment,
     .row = "hole, segment follows"},
    {.name = "recover: end without next",
     .act = OpenOnly,
     .living = false,
     .leave = DieAtEndOfSegment,
     .spoil = RemoveTheNewest,
     .row = "end without next"},
    {.name = "recover: end without next, no continuity",
     .act = OpenOnly,
     .living = false,
     .leave = DieAtEndOfSegment,
     .spoil = RemoveAndCutThePower,
     .row = "end without next, no continuity",
     .boot = 1},
    {.name = "recover: damaged tail",
     .act = OpenOnly,
     .living = false,
     .leave = DieSynced,
     .spoil = RotTheTail,
     .row = "damaged tail",
     .disk = true},
    {.name = "recover: debris",
     .act = OpenOnly,
     .living = false,
     .leave = DieSynced,
     .spoil = LeaveDebris,
     .row = "debris",
     .disk = true},
    {.name = "recover: lost",
     .act = OpenOnly,
     .living = false,
     .leave = DieSynced,
     .spoil = LoseWhatWasDurable,
     .row = "lost",
     .disk = true},
    {.name = "recover: rotten in a batch",
     .act = OpenOnly,
     .living = false,
     .leave = DieWithABatch,
     .spoil = RotInABatch,
     .row = "rotten in a batch"},
    {.name = "recover: torn batch, cut",
     .act = OpenOnly,
     .living = false,
     .leave = DieWithABatch,
     .spoil = CutThePowerInABatch,
     .row = "torn batch",
     .boot = 1},
    {.name = "recover: torn claims, cut",
     .act = OpenOnly,
     .living = false,
     .leave = DieWithClaims,
     .spoil = CutThePower,
     .row = "torn claim",
     .boot = 1},
    {.name = "recover: cut over two segments",
     .act = OpenOnly,
     .living = false,
     .leave = DieInSecondSegment,
     .spoil = CutThePower,
     .row = "cut",
     .disk = true,
     .boot = 1},
};

inline constexpr Scenario kTwoAtOnce[] = {
    {.name = "two publish", .act = PublishOne<200>, .pair = true},
    {.name = "two claim", .act = ClaimAndCommit<100>, .pair = true},
    {.name = "two roll and prepare", .act = Roll<false>, .pair = true},
    {.name = "two publish batches", .act = PublishBatch<60, false>, .pair = true},
    {.name = "two take dead slots", .act = TakeSlot, .leave = DieWithClaims, .pair = true},
    {.name = "two repair", .act = RepairBehind, .leave = DieWithClaims, .pair = true},
    {.name = "two attach", .act = Attach, .pair = true},
    {.name = "two publish durably", .act = PublishDurably<200>, .disk = true, .pair = true},
    {.name = "two leave", .act = Leave<true>, .pair = true},
};

}  // namespace libbus::steps

#endif  // LIBBUS_TESTS_CRASH_STEP_SCENARIOS_H_
