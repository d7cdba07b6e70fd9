// A process is stopped at each change of shared bytes and each system call of what it does, for as long as others like,
// and then goes on. At which instruction is found by walking it with ptrace, as for deaths (step_test.cc), and again
// by the seam, which stops before and not behind, without ptrace.
//
// Claims: it is stopped inside a publish, a claim or a batch. Another process publishes and reads; the clock of that
// one moves on by what it sleeps, so claim_timeout is over at once. If the claim was open it becomes a gap, and nobody
// is blocked any more. Then the stopped one goes on: it fills what it had claimed, writes checksum and header, and its
// commit is refused, or it had committed before and is told so. It scribbles over every byte of the claim. Whoever
// reads then reads what was read before. Its handle goes on. On an exclusive topic nobody revokes anything: whoever
// reads waits, and the commit is not refused.
//
// Syncs: it is stopped inside a durable publish, with or without the sync lock. Another one that asks for durability
// has it after the bound of 50 ms at most, in real time.
//
// Not modelled: stops between two instructions that change nothing in between.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/crash/step_phases.h"
#include "tests/crash/step_scenarios.h"
#include "tests/support/proof.h"

namespace libbus::steps {
namespace {

using test::Budget;
using test::Child;
using test::Figures;
using test::Shared;

constexpr double kSyncBound = 50;  // ms
constexpr double kAim = 100;       // ms: until the others go on, once claim_timeout is over

std::string Parent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

// What the stopped one does, from where it may be stopped. `claimed`: where its bytes are, to scribble on.
using Operation = absl::Status (*)(World&, Bench&, const Draft&, std::span<std::byte>& claimed);

template <bool kDurable>
absl::Status Publishes(World& world, Bench& bench, const Draft& draft, std::span<std::byte>& /*claimed*/) {
  Draft wanted = draft;
  wanted.durable = kDurable;
  return world.Publish(*bench.producer, wanted);
}

absl::Status Claims(World& world, Bench& bench, const Draft& draft, std::span<std::byte>& claimed) {
  auto claim = bench.producer->Claim(draft.text.size() + 40, draft.options());
  if (!claim.ok()) return claim.status();
  claimed = claim->bytes();
  // In two halves, as somebody fills it who is stopped in between.
  const size_t half = draft.text.size() / 2;
  std::memcpy(claimed.data(), draft.text.data(), half);
  platform::SeamPoint();
  std::memcpy(claimed.data() + half, draft.text.data() + half, draft.text.size() - half);
  return world.Settle(draft.number, std::move(*claim).Commit(draft.text.size()));
}

absl::Status Batches(World& world, Bench& bench, const Draft& draft, std::span<std::byte>& /*claimed*/) {
  Batch batch = bench.producer->NewBatch();
  world.book().lines[draft.number].batch = draft.number;
  if (absl::Status status = batch.Add(draft.text, draft.options()); !status.ok()) return status;
  return world.Settle(draft.number, batch.Commit());
}

struct Stall {
  const char* name;
  Operation operation;
  uint32_t size = 200;  // of the record
  bool full = false;    // it does not fit the segment, and the next one is not prepared
  bool exclusive = false;
  bool disk = false;
};

constexpr Stall kClaims[] = {
    {.name = "publish", .operation = Publishes<false>},
    {.name = "claim", .operation = Claims},
    {.name = "batch", .operation = Batches},
    {.name = "roll", .operation = Publishes<false>, .full = true},
    {.name = "roll for a claim", .operation = Claims, .full = true},
    {.name = "oversized record", .operation = Publishes<false>, .size = 4070},
};

constexpr Stall kExclusive[] = {
    {.name = "exclusive publish", .operation = Publishes<false>, .exclusive = true},
    {.name = "exclusive claim", .operation = Claims, .exclusive = true},
    {.name = "exclusive roll for a claim", .operation = Claims, .full = true, .exclusive = true},
};

constexpr Stall kSyncs[] = {
    {.name = "durable publish", .operation = Publishes<true>, .disk = true},
    {.name = "durable roll", .operation = Publishes<true>, .full = true, .disk = true},
    {.name = "exclusive durable publish", .operation = Publishes<true>, .exclusive = true, .disk = true},
};

// What the processes of a round tell each other.
struct Notes {
  std::atomic<bool> over{false};     // what may be stopped is over
  std::atomic<bool> refused{false};  // ABORTED
  std::atomic<bool> waited{false};   // the other one found the claim open, and no end of it
  std::atomic<uint64_t> items{0};    // what the other one had read while it was stopped
  std::atomic<uint64_t> digest{0};
};

class Round {
 public:
  Round(const Stall& stall, uint64_t point)
      : stall_(stall), point_(point), world_(Parent(), SceneOf(stall)), pretend_(stall.disk) {}

  Book& book() { return world_.book(); }
  bool refused() const { return notes_->refused; }

  // False: it came to its end before that point.
  bool Run() {
    std::fflush(nullptr);
    Child victim([&] { return BeStopped(); });
    if (!victim.WaitStopped()) return CameToItsEnd();
    return GoOn([&] {
      victim.Signal(SIGCONT);
      return victim.Join();
    });
  }
  // The same by walking.
  bool Walk(test::Route& known) {
    walked_ = true;
    std::fflush(nullptr);
    test::Stepper victim(world_.bus(), book(), [&] { return BeStopped(); });
    if (!victim.started() || !victim.WalkTo(point_, known)) {
      if (point_ == test::Stepper::kToTheEnd) known = victim.route();
      victim.Release();
      return CameToItsEnd();
    }
    return GoOn([&] { return victim.Release(); });
  }

 private:
  struct Pretend {
    explicit Pretend(bool disk) { seam_control.pretend_durable = disk; }
    ~Pretend() { seam_control.pretend_durable = false; }
  };

  bool CameToItsEnd() {
    if (!notes_->over) Complain(book().failed, "the victim did not come to its end");
    return false;
  }

  // Now it stands; `release` lets it go on.
  bool GoOn(const std::function<int()>& release) {
    InProcess(world_, "other", false, [&] { return stall_.disk ? AskForSync() : GoPast(); });
    const int code = release();
    if (code != 0) Complain(book().failed, fmt::format("the stopped one ended with {}", code));
    CheckWhatCameOfIt();
    InProcess(world_, "reader", false, [&] { return ReadAgain(); });
    InProcess(world_, "newcomer", false, [&] { return OpenAndPublish(world_); });
    return true;
  }

  static Scene SceneOf(const Stall& stall) {
    Scene scene;
    scene.exclusive = stall.exclusive;
    scene.claim_timeout = std::nullopt;  // 10 s; on an exclusive topic none
    return scene;
  }

  int BeStopped() {
    world_.lane = 4;
    Bench bench(world_);
    if (!bench.ok() || (stall_.full && !FillSegment(world_, *bench.producer, 100))) return 1;
    const Draft draft = world_.Begin(stall_.size);
    std::span<std::byte> claimed;
    if (walked_) {
      test::Walker::Start();
    } else {
      seam_control.points = 0;
      seam_control.stop_at = point_;
    }
    const absl::Status status = stall_.operation(world_, bench, draft, claimed);
    seam_control.stop_at = 0;
    notes_->over = true;
    book().done = true;
    if (status.code() == absl::StatusCode::kAborted) {
      notes_->refused = true;
      book().lines[draft.number].fate = Fate::kAbandoned;
      // It owned these bytes; the log keeps them mapped.
      std::fill(claimed.begin(), claimed.end(), std::byte{0xee});
    } else if (!status.ok()) {
      return Fail(world_, "stopped one", status);
    }
    const absl::Status again = world_.Publish(*bench.producer, 50);
    return again.ok() ? 0 : Fail(world_, "stopped one, again", again);
  }

  // Publishes, where it may, and reads over whatever the stopped one left; its clock passes by sleeping.
  int GoPast() {
    world_.lane = 1;
    seam_control.skip_sleeps = true;
    seam_control.no_waitv = true;
    auto topic = world_.Open();
    if (!topic.ok()) return Fail(world_, "other", topic.status());
    auto consumer = topic->NewConsumer({.wait = Wait::kPark, .gaps = Gaps::kAll});
    if (!consumer.ok()) return Fail(world_, "other", consumer.status());
    std::vector<Item> items;
    if (stall_.exclusive) {
      ReadAsFarAsItGoes(*consumer, items);
    } else {
      const int64_t from = Now();
      const absl::Status status = PublishAndMeet(world_, *topic, *consumer, items);
      if (!status.ok()) return Fail(world_, "other", status);
      Note(Now() - from);
    }
    notes_->items = items.size();
    notes_->digest = DigestOf(items);
    return 0;
  }

  void ReadAsFarAsItGoes(Consumer& consumer, std::vector<Item>& items) {
    for (;;) {
      const auto record = consumer.Next(absl::Seconds(60));
      if (!record.ok()) {
        notes_->waited = record.status().message().find("not committed yet") != std::string_view::npos;
        return;
      }
      items.push_back(ItemOf(*record));
      if (items.back().gap) Complain(book().phantom, "a claim of a living owner on an exclusive topic became a gap");
    }
  }

  // In real time.
  int AskForSync() {
    world_.lane = 1;
    auto topic = world_.Open();
    if (!topic.ok()) return Fail(world_, "other", topic.status());
    if (stall_.exclusive) {
      const int64_t from = Now();
      const absl::Status status = topic->Sync();
      Note(Now() - from);
      return status.ok() ? 0 : Fail(world_, "other", status);
    }
    auto producer = topic->NewProducer();
    if (!producer.ok()) return Fail(world_, "other", producer.status());
    Draft draft = world_.Begin(30);
    draft.durable = true;
    const int64_t from = Now();
    const absl::Status status = world_.Publish(*producer, draft);
    Note(Now() - from);
    return status.ok() ? 0 : Fail(world_, "other", status);
  }

  void Note(int64_t ns) { book().slowest = std::max(book().slowest.load(), ns); }

  void CheckWhatCameOfIt() {
    if (stall_.exclusive && notes_->refused) {
      Complain(book().lost, "a commit was refused on an exclusive topic whose owner lived");
    }
  }

  // What was read while it was stopped stands as it stood, and everything else is there.
  int ReadAgain() {
    auto topic = world_.Open(true);
    if (!topic.ok()) return Fail(world_, "reader", topic.status());
    std::vector<Item> items;
    if (absl::Status status = ReadAll(*topic, items); !status.ok()) return Fail(world_, "reader", status);
    Verdict(items, book()).Give(true);
    if (items.size() < notes_->items) {
      Complain(book().lost, "less can be read than before");
      return 1;
    }
    items.resize(notes_->items);
    if (notes_->items == 0 || DigestOf(items) == notes_->digest) return 0;
    Complain(book().phantom, "what had been read reads otherwise");
    return 1;
  }

  const Stall& stall_;
  const uint64_t point_;
  World world_;
  const Pretend pretend_;
  bool walked_ = false;
  Shared<Notes> notes_;
};

class Stalled : public testing::Test {
 protected:
  void SetUp() override {
    if (figures_.seed == 0) figures_.seed = test::Seed("stalls");
  }
  static void TearDownTestSuite() { test::Report("stalls", figures_); }

  struct Tally {
    uint64_t stops = 0;
    uint64_t refused = 0;
  };

  // How many of them were refused.
  static uint64_t StopEverywhere(const Stall& stall, double bound) {
    SCOPED_TRACE(stall.name);
    Tally tally;
    for (uint64_t point = 1; !HasFailure(); ++point) {
      SCOPED_TRACE(fmt::format("stopped before point {}", point));
      Round round(stall, point);
      const bool stopped = round.Run();
      if (!Count(round, stopped, bound, tally)) break;
    }
    Tell(stall.name, "at the seam", tally);
    return tally.refused;
  }

  // Once to the end, which tells how many points there are.
  static void WalkEverywhere(const Stall& stall) {
    SCOPED_TRACE(stall.name);
    test::Route route;
    Tally tally;
    EXPECT_FALSE(Round(stall, test::Stepper::kToTheEnd).Walk(route));
    for (uint64_t point = 1; point <= route.points && budget_.More(tally.stops, route.points, route.points); ++point) {
      SCOPED_TRACE(fmt::format("stopped behind point {}", point));
      Round round(stall, point);
      const bool stopped = round.Walk(route);
      if (!Count(round, stopped, kAim, tally)) break;
    }
    Tell(stall.name, "walked", tally);
    EXPECT_EQ(tally.refused > 0, !stall.exclusive);
  }

  // The short form leaves out what takes long.
  static bool InThisForm(const Stall& stall) { return budget_.long_form() || (!stall.full && stall.size < 4000); }

 private:
  // False: nothing more to do.
  static bool Count(Round& round, bool stopped, double bound, Tally& tally) {
    const Book& book = round.book();
    figures_.executions += 1;
    figures_.records += book.records;
    figures_.lost += book.lost;
    figures_.phantom += book.phantom;
    figures_.stuck += book.stuck;
    figures_.silent += book.silent;
    const double ms = static_cast<double>(book.slowest) / 1e6;
    figures_.Slow(ms);
    EXPECT_EQ(book.wrong(), 0u);
    EXPECT_LT(ms, 10 * bound);
    tally.stops += stopped ? 1 : 0;
    tally.refused += round.refused() ? 1 : 0;
    return stopped && !HasFailure();
  }

  static void Tell(const char* name, const char* how, const Tally& tally) {
    fmt::print("{}, {}: stopped at {} points, {} refused\n", name, how, tally.stops, tally.refused);
    EXPECT_GT(tally.stops, 0u);
    figures_.points += tally.stops;
  }

  static inline const Budget budget_ = Budget(1);
  static inline Figures figures_;
};

TEST_F(Stalled, AClaimIsRevokedAndItsCommitRefused) {
  for (const Stall& stall : kClaims) EXPECT_GT(StopEverywhere(stall, kAim), 0u) << stall.name;
}

TEST_F(Stalled, OnAnExclusiveTopicNothingIsRevoked) {
  for (const Stall& stall : kExclusive) EXPECT_EQ(StopEverywhere(stall, kAim), 0u) << stall.name;
}

TEST_F(Stalled, AtEachInstruction) {
  if (const std::string why = test::WhyNoSteps(); !why.empty()) GTEST_SKIP() << why;
  for (const std::span<const Stall> stalls : {std::span<const Stall>(kClaims), std::span<const Stall>(kExclusive)}) {
    for (const Stall& stall : stalls) {
      if (InThisForm(stall)) WalkEverywhere(stall);
    }
  }
}

TEST_F(Stalled, AStoppedSyncDelaysOthersByItsBound) {
  for (const Stall& stall : kSyncs) StopEverywhere(stall, kSyncBound);
}

}  // namespace
}  // namespace libbus::steps
