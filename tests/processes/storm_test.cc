// Processes are killed at random moments while others go on. What was acknowledged is there, once and in order, for who
// lives through it and for who comes later; what was not acknowledged is there once or not at all; nobody gets stuck.
//
// In the long form 10,000 deaths, over as many topics as it takes (the ledger of one has room for some 1,500 deaths).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/processes/traffic.h"
#include "tests/seam/seam.h"
#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

using platform::seam_control;

constexpr uint32_t kProducers = 4;
constexpr uint32_t kSurvivors = 2;
constexpr uint32_t kVictims = 2;  // consumers that are killed and start again
constexpr uint64_t kForEver = ~uint64_t{0};
constexpr TrafficOptions kTraffic = {.big = true, .claims = true};

// Until somebody else was told that a record is published, and both survivors read on, after a death. With ten times as
// much one of them waits for the dead by the clock (claim_timeout, 10 s).
constexpr double kAim = 500;  // ms
constexpr uint32_t kMostKills = 1500;

const Budget budget;
Figures figures;

// The figures of all cases that this process runs, in one line.
class Total : public testing::Environment {
 public:
  void TearDown() override { Report("storm", figures); }
};
const auto* const total = testing::AddGlobalTestEnvironment(new Total);

// Keeps a run of processes and their ledger.
class Storm {
 public:
  Storm(const std::string& parent, bool read_only, uint64_t seed)
      : scratch_(parent),
        path_(scratch_ / "bus"),
        read_only_(read_only),
        on_disk_(parent != FastParent()),
        random_(seed) {}

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
    const uint64_t before = ledger_->Acknowledged();
    const uint64_t until = before + 1 + Random(most);
    const int64_t begin = platform::RealSeam::MonotonicNow();
    const uint64_t read[kSurvivors] = {Read(0), Read(1)};
    bool first = true;
    const bool moved = WaitUntil([&] {
      const uint64_t now = ledger_->Acknowledged();
      // A dead claim holds up those who read, not those who publish.
      if (first && now > before && Read(0) > read[0] && Read(1) > read[1]) {
        const double ms = static_cast<double>(platform::RealSeam::MonotonicNow() - begin) / 1e6;
        if (!on_disk_) figures.Slow(ms);
        first = false;
      }
      const bool enough = !first && now >= until;
      return enough || std::any_of(producers.begin(), producers.end(), HasEnded);
    });
    if (!moved) {
      ++figures.stuck;
      fmt::print(stderr, "nothing was acknowledged for 30 s:\n{}", ledger_->Describe());
    }
    const int64_t end = platform::RealSeam::MonotonicNow() + static_cast<int64_t>(Random(200'000));
    while (platform::RealSeam::MonotonicNow() < end) {
    }
    return moved;
  }

 private:
  // How many records a survivor has read.
  uint64_t Read(uint32_t survivor) { return ledger_->desks[kProducers + survivor].done; }

  const Scratch scratch_;
  const std::string path_;
  const bool read_only_;
  const bool on_disk_;  // a segment is made as slowly as the disk wants
  std::mt19937_64 random_;
  Shared<Ledger> ledger_;
};

// Kills it, or reaps it if it has killed itself. Any other end is a failure.
void KillOne(Child& child) {
  child.Signal(SIGKILL);
  EXPECT_EQ(child.Join(), -SIGKILL);
}

// A reader or producer that came to its end by itself: 0, or what it found is counted.
void ExpectEndsWell(int code) {
  EXPECT_EQ(code, 0);
  if (code == -1000) {
    ++figures.stuck;
  } else if (code != 0) {
    ++figures.lost;
  }
}

void EndStorm(Storm& storm, std::vector<Child>& producers, std::vector<Child>& survivors) {
  storm.ledger().stop = true;
  for (Child& producer : producers) {
    const int code = JoinWhileMoving(producer, storm.ledger());
    EXPECT_TRUE(code == 0 || code == -SIGKILL) << code;  // or its point came up while it was leaving
  }
  storm.ledger().stop = false;
  Child closer([&] { return CloserMain(storm.path(), storm.ledger(), kTraffic); });
  ExpectEndsWell(JoinWhileMoving(closer, storm.ledger()));
  for (Child& survivor : survivors) ExpectEndsWell(JoinWhileMoving(survivor, storm.ledger()));
  ExpectEndsWell(Child([&] { return AuditorMain(storm.path(), storm.ledger()); }).Join());
  figures.records += storm.ledger().Acknowledged() * (survivors.size() + 1);
}

void Tell(Storm& storm, const char* what, uint32_t kills) {
  uint64_t begun = 0;
  for (const Lane& lane : storm.ledger().lanes) begun += lane.next;
  fmt::print("{}: kills {}, records begun {}, acknowledged {}, slowest {:.1f} ms\n", what, kills, begun,
             storm.ledger().Acknowledged(), figures.slowest_ms);
  std::fflush(stdout);
  figures.executions += kills;
  EXPECT_LT(figures.slowest_ms, 10 * kAim);
}

uint64_t SeedOf(const char* what) {
  const uint64_t seed = FlushedSeed(what);
  if (figures.seed == 0) figures.seed = seed;
  return seed;
}

// Producers, and consumers that do not count, die one after the other and are replaced.
// Returns how many, at most so many or what the ledger has room for; over the time in the long form it is fewer.
uint32_t RunStorm(const char* what, const std::string& parent, bool read_only, uint64_t seed, uint64_t done,
                  uint64_t short_form, uint64_t long_form) {
  Storm storm(parent, read_only, seed);
  {
    auto made = OpenForWriting(storm.path(), kTraffic);
    EXPECT_TRUE(made.ok()) << made.status();
  }
  std::vector<Child> producers;
  std::vector<Child> survivors;
  std::vector<Child> victims;
  for (uint32_t i = 0; i < kProducers; ++i) producers.push_back(storm.StartProducer(i));
  for (uint32_t i = 0; i < kSurvivors; ++i) survivors.push_back(storm.StartSurvivor(i));
  for (uint32_t i = 0; i < kVictims; ++i) victims.push_back(storm.StartVictim(i));
  uint32_t kills = 0;
  while (kills < kMostKills && budget.More(done + kills, short_form, long_form) && !testing::Test::HasFailure()) {
    EXPECT_TRUE(storm.LetPass(600, producers));
    const uint32_t who = static_cast<uint32_t>(storm.Random(kProducers + kVictims));
    if (who < kProducers) {
      KillOne(producers[who]);
      producers[who] = storm.StartProducer(who);
    } else {
      KillOne(victims[who - kProducers]);
      victims[who - kProducers] = storm.StartVictim(who - kProducers);
    }
    ++kills;
    for (uint32_t i = 0; i < kProducers; ++i) {
      if (!HasEnded(producers[i])) continue;
      KillOne(producers[i]);
      producers[i] = storm.StartProducer(i);
      ++kills;
    }
    for (const Child& survivor : survivors) EXPECT_FALSE(HasEnded(survivor)) << "a survivor gave up";
  }
  EndStorm(storm, producers, survivors);
  for (Child& victim : victims) ExpectEndsWell(JoinWhileMoving(victim, storm.ledger()));
  Tell(storm, what, kills);
  return kills;
}

void RunStorms(const char* what, const std::string& parent, bool read_only, uint64_t short_form, uint64_t long_form) {
  const uint64_t seed = SeedOf(what);
  uint64_t done = 0;
  for (uint64_t round = 0; budget.More(done, short_form, long_form) && !testing::Test::HasFailure(); ++round) {
    done += RunStorm(what, parent, read_only, seed + round, done, short_form, long_form);
  }
}

TEST(Storm, ProducersAndConsumersDie) { RunStorms("storm", FastParent(), false, 300, 5000); }

TEST(Storm, OnTheUsualFileSystem) { RunStorms("usual storm", UsualParent(), false, 100, 1500); }

TEST(Storm, AllReadersAreReadOnly) { RunStorms("read-only storm", FastParent(), true, 300, 2500); }

// Everybody dies at once, as when a container is killed; then all come again.
TEST(Storm, EverybodyDies) {
  Storm storm(FastParent(), false, SeedOf("end of the world"));
  uint32_t kills = 0;
  while (budget.More(kills, 180, 1000) && !HasFailure()) {
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
    kills += kProducers + kVictims;
  }
  std::vector<Child> nobody;
  EndStorm(storm, nobody, nobody);
  Tell(storm, "end of the world", kills);
}

}  // namespace
}  // namespace libbus::test
