// Processes are killed at random moments while others go on. What was acknowledged is there, once and in order, for who
// lives through it and for who comes later; what was not acknowledged is there once or not at all; nobody gets stuck.
//
// LIBBUS_STORM_KILLS: how many deaths in each case.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr uint32_t kProducers = 4;
constexpr uint32_t kSurvivors = 2;
constexpr uint32_t kVictims = 2;  // consumers that are killed and start again
constexpr uint64_t kForEver = ~uint64_t{0};
constexpr TrafficOptions kTraffic = {.big = true, .claims = true};

uint32_t KillsWanted(uint32_t otherwise) {
  const char* given = std::getenv("LIBBUS_STORM_KILLS");
  return given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10)) : otherwise;
}

// Keeps a run of processes and their ledger.
class Storm {
 public:
  Storm(const std::string& parent, bool read_only, uint64_t seed)
      : scratch_(parent), path_(scratch_ / "bus"), read_only_(read_only), random_(seed) {}

  Ledger& ledger() { return *ledger_; }
  const std::string& path() const { return path_; }
  uint64_t Random(uint64_t below) { return random_() % below; }

  // A producer for `lane`. One in two is told beforehand at which change of shared bytes it will die; the others are
  // killed from outside.
  Child StartProducer(uint32_t lane) {
    const uint64_t seed = random_();
    const uint64_t point = Random(2) == 0 ? 0 : 1 + Random(Random(2) == 0 ? 150 : 20'000);
    return Child([this, lane, seed, point] {
      seam_control.points = 0;
      seam_control.kill_at = point;
      return ProducerMain(path_, *ledger_, lane, lane, kTraffic, seed, kForEver);
    });
  }

  // A consumer that reads from the start to the last record.
  Child StartSurvivor(uint32_t number) {
    const Wait wait = number % 2 == 0 ? Wait::kPark : Wait::kSpinThenPark;
    return Child([this, number, wait] {
      return ConsumerMain(path_, *ledger_, kProducers + number, read_only_, {.wait = wait, .gaps = Gaps::kAll});
    });
  }

  // A consumer that starts somewhere. Never at the end: one that comes up after the last record would wait for ever.
  Child StartVictim(uint32_t number) {
    const From from = From::Last(1 + Random(500));
    return Child([this, number, from] {
      const bool read_only = read_only_ || number % 2 == 0;
      return ConsumerMain(path_, *ledger_, kProducers + kSurvivors + number, read_only,
                          {.from = from, .wait = Wait::kPark, .gaps = Gaps::kAll});
    });
  }

  // Lets some records pass (or a producer die), then a few microseconds more, so that deaths fall anywhere. False:
  // nothing moves.
  bool LetPass(uint64_t most, const std::vector<Child>& producers) {
    const uint64_t until = ledger_->Acknowledged() + Random(most);
    const bool moved = WaitUntil(
        [&] { return ledger_->Acknowledged() >= until || std::any_of(producers.begin(), producers.end(), HasEnded); });
    if (!moved) fmt::print(stderr, "nothing was acknowledged for 30 s:\n{}", ledger_->Describe());
    const int64_t end = platform::RealSeam::MonotonicNow() + static_cast<int64_t>(Random(200'000));
    while (platform::RealSeam::MonotonicNow() < end) {
    }
    return moved;
  }

 private:
  const Scratch scratch_;
  const std::string path_;
  const bool read_only_;
  std::mt19937_64 random_;
  Shared<Ledger> ledger_;
};

// Kills it, or reaps it if it has killed itself. Any other end is a failure.
void KillOne(Child& child) {
  child.Signal(SIGKILL);
  EXPECT_EQ(child.Join(), -SIGKILL);
}

void EndStorm(Storm& storm, std::vector<Child>& producers, std::vector<Child>& survivors) {
  storm.ledger().stop = true;
  for (Child& producer : producers) {
    const int code = JoinWhileMoving(producer, storm.ledger());
    EXPECT_TRUE(code == 0 || code == -SIGKILL) << code;  // or its point came up while it was leaving
  }
  storm.ledger().stop = false;
  Child closer([&] { return CloserMain(storm.path(), storm.ledger(), kTraffic); });
  EXPECT_EQ(JoinWhileMoving(closer, storm.ledger()), 0);
  for (Child& survivor : survivors) EXPECT_EQ(JoinWhileMoving(survivor, storm.ledger()), 0);
  EXPECT_EQ(Child([&] { return AuditorMain(storm.path(), storm.ledger()); }).Join(), 0);
}

void Report(Storm& storm, const char* what, uint32_t kills) {
  uint64_t begun = 0;
  for (const Lane& lane : storm.ledger().lanes) begun += lane.next;
  fmt::print("{}: kills {}, records begun {}, acknowledged {}, lost 0\n", what, kills, begun,
             storm.ledger().Acknowledged());
}

// Producers, and consumers that do not count, die one after the other and are replaced.
void RunStorm(const char* what, const std::string& parent, bool read_only, uint32_t kills) {
  Storm storm(parent, read_only, FlushedSeed(what));
  {
    auto made = OpenForWriting(storm.path(), kTraffic);
    ASSERT_TRUE(made.ok()) << made.status();
  }
  std::vector<Child> producers;
  std::vector<Child> survivors;
  std::vector<Child> victims;
  for (uint32_t i = 0; i < kProducers; ++i) producers.push_back(storm.StartProducer(i));
  for (uint32_t i = 0; i < kSurvivors; ++i) survivors.push_back(storm.StartSurvivor(i));
  for (uint32_t i = 0; i < kVictims; ++i) victims.push_back(storm.StartVictim(i));
  for (uint32_t kill = 0; kill < kills && !testing::Test::HasFailure(); ++kill) {
    ASSERT_TRUE(storm.LetPass(600, producers));
    const uint32_t who = static_cast<uint32_t>(storm.Random(kProducers + kVictims));
    if (who < kProducers) {
      KillOne(producers[who]);
      producers[who] = storm.StartProducer(who);
    } else {
      KillOne(victims[who - kProducers]);
      victims[who - kProducers] = storm.StartVictim(who - kProducers);
    }
    for (uint32_t i = 0; i < kProducers; ++i) {
      if (!HasEnded(producers[i])) continue;
      KillOne(producers[i]);
      producers[i] = storm.StartProducer(i);
      ++kill;
    }
    for (const Child& survivor : survivors) EXPECT_FALSE(HasEnded(survivor)) << "a survivor gave up";
  }
  EndStorm(storm, producers, survivors);
  for (Child& victim : victims) EXPECT_EQ(JoinWhileMoving(victim, storm.ledger()), 0);
  Report(storm, what, kills);
}

TEST(Storm, ProducersAndConsumersDie) { RunStorm("storm", FastParent(), false, KillsWanted(300)); }

TEST(Storm, OnTheUsualFileSystem) { RunStorm("usual storm", UsualParent(), false, KillsWanted(100)); }

TEST(Storm, AllReadersAreReadOnly) { RunStorm("read-only storm", FastParent(), true, KillsWanted(300)); }

// Everybody dies at once, as when a container is killed; then all come again.
TEST(Storm, EverybodyDies) {
  const uint32_t rounds = KillsWanted(180) / (kProducers + kVictims);
  Storm storm(FastParent(), false, FlushedSeed("end of the world"));
  for (uint32_t round = 0; round < rounds && !HasFailure(); ++round) {
    std::vector<Child> all;
    for (uint32_t i = 0; i < kProducers; ++i) all.push_back(storm.StartProducer(i));
    ASSERT_TRUE(WaitUntil([&] { return access((storm.path() + "/t").c_str(), F_OK) == 0; }));
    for (uint32_t i = 0; i < kVictims; ++i) all.push_back(storm.StartVictim(i));
    const uint64_t until = storm.ledger().Acknowledged() + 1 + storm.Random(2000);
    const auto enough = [&] {
      return storm.ledger().Acknowledged() >= until || std::all_of(all.begin(), all.begin() + kProducers, HasEnded);
    };
    EXPECT_TRUE(WaitUntil(enough)) << storm.ledger().Describe();
    for (const Child& child : all) child.Signal(SIGKILL);
    for (Child& child : all) EXPECT_EQ(child.Join(), -SIGKILL);
  }
  std::vector<Child> nobody;
  EndStorm(storm, nobody, nobody);
  Report(storm, "end of the world", rounds * (kProducers + kVictims));
}

TEST(StormSlow, ManyDeaths) { RunStorm("long storm", FastParent(), false, KillsWanted(1500)); }

}  // namespace
}  // namespace libbus::test
