// All schedules with up to two preemptions of small scenarios, under a controlled scheduler (tests/crash/scheduler.h):
// producers, consumers, deaths, stops and revocations, with every access to a shared word a place to switch.
//
// Behind each schedule: everything acknowledged is there once, in order, and was read by who reads; nobody who could go
// on is left waiting; no word ever changed in another way than it may; D is never beyond an open claim, nor beyond what
// is on the disk; what was told durable is on the disk.
//
// A schedule that goes wrong is printed: who was left for whom at which step. The order of schedules is always the
// same: LIBBUS_SCENARIO=NAME comes to it again, alone. The short form tries up to one preemption in every scenario and
// as much of two as fits; the long form (LIBBUS_BUDGET) all of it.
#include <gtest/gtest.h>

#include "tests/crash/schedule_world.h"
#include "tests/support/processes.h"

namespace libbus::test {
namespace {

// One decision in so many is taken by chance where the order is random.
constexpr uint32_t kRarity = 12;

struct Scenario {
  const char* name;
  WorldOptions world;
  uint32_t readers = 0;  // bit i: process i reads until the end
  ScheduleRules rules;
  std::function<void(World&)> prepare;
  std::vector<std::function<void(World&)>> processes;
};

// One execution, judged. "": all is well.
std::string RunOnce(World& world, const Scenario& scenario, const ScheduleRules& rules) {
  Scheduler& scheduler = world.scheduler();
  world.BeginExecution();
  scenario.prepare(world);
  std::vector<std::function<void()>> bodies;
  for (const auto& process : scenario.processes) bodies.push_back([&world, &process] { process(world); });
  scheduler.Execute(rules, std::move(bodies));
  world.CheckEnded(scenario.readers);
  world.Check(scenario.readers);
  if (scheduler.Continue()) {
    world.CheckEnded(scenario.readers);
    world.Check(scenario.readers);
  }
  ++world.figures().executions;
  const std::string problem = world.TakeProblem();
  const std::string how = fmt::format("{}: {} [schedule{}; decisions {}]", scenario.name, problem, scheduler.trace(),
                                      scheduler.Decisions());
  world.Reset();
  return problem.empty() ? "" : how;
}

void Add(Figures& all, const Figures& part) {
  all.executions += part.executions;
  all.records += part.records;
  all.lost += part.lost;
  all.phantom += part.phantom;
  all.stuck += part.stuck;
}

// All schedules with up to `preemptions` of them, or, with a seed, `most` by chance.
void Explore(const Scenario& scenario, int preemptions, std::optional<uint64_t> seed, uint64_t most, Figures& figures) {
  Scheduler scheduler;
  World world(scheduler, scenario.world);
  ScheduleRules rules = scenario.rules;
  rules.preemptions = preemptions;
  if (seed) scheduler.Random(*seed, kRarity);
  const Budget clock;
  bool more = true;
  do {
    const std::string problem = RunOnce(world, scenario, rules);
    if (!problem.empty()) {
      ADD_FAILURE() << problem;
      break;
    }
    more = scheduler.Next();
  } while (more && world.figures().executions < most);
  fmt::print("{}: {} schedules with up to {} preemptions{}, {:.1f} s\n", scenario.name, world.figures().executions,
             preemptions, more ? "" : ", all", clock.Elapsed());
  Add(figures, world.figures());
}

void PublishN(World& world, size_t i, int n, bool may_be_revoked = false) {
  for (int k = 0; k < n; ++k) world.Publish(i, fmt::format("p{} {}", i, k), false, may_be_revoked);
}

void Producers(World& world, std::initializer_list<size_t> which) {
  for (const size_t i : which) {
    world.scheduler().As(i, [&] { world.MakeProducer(i); });
  }
}
void Consumers(World& world, std::initializer_list<size_t> which) {
  for (const size_t i : which) {
    world.scheduler().As(i, [&] { world.MakeConsumer(i); });
  }
}

std::function<void(World&)> Publisher(size_t i, int n, bool may_be_revoked = false) {
  return [=](World& world) { PublishN(world, i, n, may_be_revoked); };
}
std::function<void(World&)> Reading(size_t i) {
  return [=](World& world) { world.Consume(i); };
}

constexpr absl::Duration kClaimTimeout = absl::Milliseconds(5);

// Two and three at the same FREE word, and one who sleeps on it: without bounds a lost wake-up is for ever.
Scenario TwoProducers() {
  return {.name = "two-producers",
          .world = {.processes = 3},
          .readers = 0b100,
          .prepare =
              [](World& world) {
                Producers(world, {0, 1}), Consumers(world, {2});
              },
          .processes = {Publisher(0, 2), Publisher(1, 1), Reading(2)}};
}
Scenario ThreeProducers() {
  return {.name = "three-producers",
          .world = {.processes = 4},
          .readers = 0b1000,
          .prepare =
              [](World& world) {
                Producers(world, {0, 1, 2}), Consumers(world, {3});
              },
          .processes = {Publisher(0, 1), Publisher(1, 1), Publisher(2, 1), Reading(3)}};
}

// Anybody dies anywhere; who reads may write, and repairs what it waits for.
Scenario Death() {
  return {.name = "death",
          .world = {.processes = 3},
          .readers = 0b100,
          .rules = {.may_die = 0b111, .bounds = true},
          .prepare =
              [](World& world) {
                Producers(world, {0, 1}), Consumers(world, {2});
              },
          .processes = {Publisher(0, 1), Publisher(1, 1), Reading(2)}};
}

// One is stopped anywhere and goes on when all others are through: nobody waits for it longer than claim_timeout, and
// its late commit is refused.
Scenario Stop() {
  return {.name = "stop",
          .world = {.processes = 3, .claim_timeout = kClaimTimeout},
          .readers = 0b100,
          .rules = {.may_stop = 0b011, .bounds = true},
          .prepare =
              [](World& world) {
                Producers(world, {0, 1}), Consumers(world, {2});
              },
          .processes = {Publisher(0, 2, true), Publisher(1, 1, true), Reading(2)}};
}

// Who revokes, step by step, against who commits late. The clock jumps between its looks.
void LookAndRevoke(World& world, size_t i) {
  for (int look = 0; look < 4; ++look) {
    world.Glance(i);
    world.scheduler().Advance(absl::ToInt64Nanoseconds(kClaimTimeout));
  }
}
Scenario Revocation() {
  return {.name = "revocation",
          .world = {.processes = 3, .claim_timeout = kClaimTimeout},
          .readers = 0b100,
          .prepare =
              [](World& world) {
                Producers(world, {0}), Consumers(world, {1, 2});
              },
          .processes = {Publisher(0, 2, true), [](World& world) { LookAndRevoke(world, 1); }, Reading(2)}};
}
// On an exclusive topic nobody is revoked, however long he takes.
Scenario ExclusiveIsNotRevoked() {
  Scenario scenario = Revocation();
  scenario.name = "exclusive-revocation";
  scenario.world.exclusive = true;
  scenario.processes[0] = Publisher(0, 2, false);
  return scenario;
}

// Two asleep on the same word, which becomes DATA, a GAP, an END: one is woken, and passes it on.
Scenario SleepersOnData() {
  return {.name = "sleepers-data",
          .world = {.processes = 3},
          .readers = 0b110,
          .prepare =
              [](World& world) {
                Producers(world, {0}), Consumers(world, {1, 2});
              },
          .processes = {Publisher(0, 1), Reading(1), Reading(2)}};
}
Scenario SleepersOnGap() {
  Scenario scenario = SleepersOnData();
  scenario.name = "sleepers-gap";
  scenario.processes[0] = [](World& world) { world.ClaimAndAbandon(0); };
  return scenario;
}
// Of who is dead already: the one who finds that out wakes the other.
Scenario SleepersOnDeadClaim() {
  Scenario scenario = SleepersOnData();
  scenario.name = "sleepers-dead-claim";
  scenario.world.processes = 4;
  scenario.prepare = [](World& world) {
    Producers(world, {3}), Consumers(world, {0, 1, 2});
    world.scheduler().As(3, [&] { world.LeaveClaim(3); });
    world.scheduler().KillNow(3);
  };
  // One looks now and then without ever sleeping; without bounds nothing else wakes the two.
  scenario.processes[0] = [](World& world) { LookAndRevoke(world, 0); };
  return scenario;
}
Scenario SleepersOnEnd() {
  Scenario scenario = SleepersOnData();
  scenario.name = "sleepers-end";
  scenario.world.segment_size = 4096;
  scenario.world.makes_files = true;
  scenario.prepare = [](World& world) {
    Producers(world, {0}), Consumers(world, {1, 2});
    world.scheduler().As(0, [&] { world.Fill(0, 4000); });
  };
  // The record behind the END wakes nobody who sleeps before it.
  scenario.processes[0] = [](World& world) { world.Publish(0, std::string(64, 'x')); };
  return scenario;
}

// Two find the segment full at once: one END, one next segment, and both records behind it.
Scenario Roll() {
  return {.name = "roll",
          .world = {.processes = 3, .segment_size = 4096, .makes_files = true},
          .readers = 0b100,
          .prepare =
              [](World& world) {
                Producers(world, {0, 1}), Consumers(world, {2});
                world.scheduler().As(0, [&] { world.Fill(0, 3960); });
              },
          .processes = {[](World& world) { world.Publish(0, std::string(64, 'a')); },
                        // Fits before the END, if it comes first.
                        [](World& world) { world.Publish(1, "small"); }, Reading(2)}};
}

// Group commit: one syncs, the other rides on it or does it himself.
Scenario GroupCommit() {
  return {.name = "group-commit",
          .world = {.processes = 2, .durable = true},
          .prepare =
              [](World& world) {
                Producers(world, {0, 1});
              },
          .processes = {[](World& world) { world.Publish(0, "p0", true); },
                        [](World& world) { world.Publish(1, "p1", true); }}};
}
Scenario GroupCommitDeath() {
  Scenario scenario = GroupCommit();
  scenario.name = "group-commit-death";
  // What a process knows of its own syncs would outlive its death.
  scenario.world.makes_files = true;
  scenario.rules = {.may_die = 0b11, .bounds = true};
  return scenario;
}
Scenario GroupCommitStop() {
  Scenario scenario = GroupCommit();
  scenario.name = "group-commit-stop";
  scenario.rules = {.may_stop = 0b11, .bounds = true};
  return scenario;
}
// Whose claim stood open all the time.
void AbandonsAfterBoth(World& world) {
  world.AwaitEnd(0);
  world.AwaitEnd(1);
  world.AbandonLeft();
}
// An open claim before both: no sync raises D, and who waits for one is told so all the same.
Scenario GroupCommitBehindClaim() {
  Scenario scenario = GroupCommit();
  scenario.name = "group-commit-claim";
  scenario.world.processes = 3;
  scenario.prepare = [](World& world) {
    Producers(world, {2, 0, 1});
    world.scheduler().As(2, [&] { world.LeaveClaim(2); });
  };
  scenario.processes.push_back(AbandonsAfterBoth);
  return scenario;
}
// D against a claim that is open: a sync between reserve and commit of another.
Scenario SyncAgainstClaim() {
  return {.name = "sync-claim",
          .world = {.processes = 2, .durable = true},
          .prepare = [](World& world) { Producers(world, {0}); },
          .processes = {Publisher(0, 2), [](World& world) { world.SyncAll(1); }}};
}

// A slot whose holder died with a claim open: whoever cleans up after it, against who takes the slot and claims.
Scenario SlotReuse() {
  return {.name = "slot-reuse",
          .world = {.processes = 4, .durable = true},
          .readers = 0b1000,
          .rules = {.bounds = true},
          .prepare =
              [](World& world) {
                Producers(world, {0}), Consumers(world, {3});
                world.scheduler().As(0, [&] { world.LeaveClaim(0); });
                world.scheduler().KillNow(0);
              },
          .processes = {[](World&) {},
                        [](World& world) {
                          world.MakeProducer(1);
                          world.Publish(1, "p1");
                        },
                        [](World& world) {
                          world.Maintain(2);
                          world.SyncAll(2);
                        },
                        Reading(3)}};
}
// The same with nobody else there: few enough to try all of them.
Scenario SlotCleaned() {
  return {.name = "slot-cleaned",
          .world = {.processes = 3, .durable = true},
          .prepare =
              [](World& world) {
                Producers(world, {2});
                world.scheduler().As(2, [&] { world.LeaveClaim(2); });
                world.scheduler().KillNow(2);
              },
          .processes = {[](World& world) {
                          world.MakeProducer(0);
                          world.Publish(0, "p0");
                        },
                        [](World& world) {
                          world.Maintain(1);
                          world.SyncAll(1);
                        }}};
}
// Nobody but the taker of the slot may repair: the reader cannot write, and nothing is ever revoked.
Scenario SlotTaken() {
  return {.name = "slot-taken",
          .world = {.processes = 3, .read_only = 0b100},
          .readers = 0b100,
          .rules = {.may_die = 0b001, .bounds = true},
          .prepare = [](World& world) { Producers(world, {0}), Consumers(world, {2}); },
          .processes = {[](World& world) {
                          world.Publish(0, "p0");
                          (void)world.at(0).producer->Close();
                        },
                        [](World& world) {
                          world.AwaitEnd(0);
                          world.MakeProducer(1);
                          world.Publish(1, "p1");
                        },
                        Reading(2)}};
}
// A slot is taken and claimed with while somebody looks after claims: the living are not taken for dead.
Scenario Newcomer() {
  return {.name = "newcomer",
          .world = {.processes = 2, .claim_timeout = absl::Hours(1)},
          .prepare = [](World& world) { Consumers(world, {1}); },
          .processes = {[](World& world) {
                          world.MakeProducer(0);
                          world.Publish(0, "p0");
                        },
                        [](World& world) { LookAndRevoke(world, 1); }}};
}

// The same behind a claim that somebody looks after already, and looks on from there.
Scenario NewcomerBehindClaim() {
  Scenario scenario = Newcomer();
  scenario.name = "newcomer-claim";
  scenario.world.processes = 3;
  scenario.prepare = [](World& world) {
    Producers(world, {2}), Consumers(world, {1});
    world.scheduler().As(2, [&] { world.LeaveClaim(2); });
  };
  scenario.processes.push_back(AbandonsAfterBoth);
  return scenario;
}
// The same beside a producer: who takes a slot touches no claim of the living.
Scenario NewcomerBeside() {
  return {.name = "newcomer-beside",
          .world = {.processes = 2},
          .prepare = [](World& world) { Producers(world, {1}); },
          .processes = {[](World& world) {
                          world.MakeProducer(0);
                          world.Publish(0, "p0");
                        },
                        Publisher(1, 1)}};
}

// The owner of an exclusive topic dies or leaves; the next one takes over, and goes on at the tail.
Scenario TakeOver() {
  return {.name = "take-over",
          .world = {.processes = 3, .exclusive = true},
          .readers = 0b100,
          .rules = {.may_die = 0b001, .bounds = true},
          .prepare = [](World& world) { Producers(world, {0}), Consumers(world, {2}); },
          .processes = {[](World& world) {
                          PublishN(world, 0, 2);
                          (void)world.at(0).producer->Close();
                        },
                        [](World& world) {
                          world.AwaitEnd(0);
                          world.MakeProducer(1);
                          world.Publish(1, "p1");
                        },
                        Reading(2)}};
}
Scenario ExclusiveSleepers() {
  Scenario scenario = SleepersOnData();
  scenario.name = "exclusive-sleepers";
  scenario.world.exclusive = true;
  return scenario;
}

std::vector<Scenario> AllScenarios() {
  return {TwoProducers(),
          ThreeProducers(),
          Death(),
          Stop(),
          Revocation(),
          ExclusiveIsNotRevoked(),
          SleepersOnData(),
          SleepersOnGap(),
          SleepersOnDeadClaim(),
          SleepersOnEnd(),
          Roll(),
          GroupCommit(),
          GroupCommitDeath(),
          GroupCommitStop(),
          GroupCommitBehindClaim(),
          SyncAgainstClaim(),
          SlotReuse(),
          SlotCleaned(),
          SlotTaken(),
          Newcomer(),
          NewcomerBehindClaim(),
          NewcomerBeside(),
          TakeOver(),
          ExclusiveSleepers()};
}

// LIBBUS_SCENARIO: this one and no other.
bool IsWanted(const Scenario& scenario) {
  const char* const given = std::getenv("LIBBUS_SCENARIO");
  return given == nullptr || std::string_view(given) == scenario.name;
}

// The short form: one preemption, or as many of these schedules as come first.
TEST(Schedule, EveryScheduleWithTwoPreemptions) {
  const Budget budget;
  Figures figures;
  for (const Scenario& scenario : AllScenarios()) {
    if (!IsWanted(scenario) || testing::Test::HasFailure()) continue;
    if (budget.long_form() && budget.More(figures.executions, 0, UINT64_MAX)) {
      Explore(scenario, 2, {}, UINT64_MAX, figures);
    } else {
      Explore(scenario, 1, {}, 600, figures);
    }
  }
  Report("interleave", figures);
  EXPECT_EQ(figures.wrong(), 0u);
}

// More preemptions than can be tried out, by chance.
void ByChance(uint64_t seed) {
  const Budget budget;
  Figures figures;
  figures.seed = seed;
  for (const Scenario& scenario : AllScenarios()) {
    if (!IsWanted(scenario) || testing::Test::HasFailure()) continue;
    Explore(scenario, 4, seed, budget.long_form() ? 20'000 : 60, figures);
  }
  Report("interleave-random", figures);
  EXPECT_EQ(figures.wrong(), 0u);
}
TEST(Schedule, FourPreemptionsFixedSeed) { ByChance(1); }
TEST(Schedule, FourPreemptionsRandomSeed) { ByChance(Seed("schedule")); }

}  // namespace
}  // namespace libbus::test
