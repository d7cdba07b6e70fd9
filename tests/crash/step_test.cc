// A process is killed behind each instruction of what it does at which the bytes that it shares with others have
// changed, or which was a system call: single-stepped by ptrace, one process for each death.
//
// Beside each death stands a process that was there before. It goes on publishing and reading; whoever would have to
// wait for the dead by the clock waits for ever here (claims are never revoked) and is found stuck. Then a process that
// comes anew does the same. Then all are killed, and the topic is recovered by a process that is killed, by another
// one, and by a third that closes it: each reads everything. What was acknowledged is there byte for byte, in order,
// once, where it was told to be. What was not is there whole or not at all, a batch all of it or nothing. Both
// recoveries find the same.
//
// Not modelled: the death of one thread among many (a process dies whole), and the copying of a payload in vector
// registers wider than those of this machine. The library is built over the seam, which cuts that copy in two.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>

#include "libbus/recovery.h"
#include "tests/crash/step_phases.h"
#include "tests/crash/step_scenarios.h"
#include "tests/support/proof.h"

namespace libbus::steps {
namespace {

using test::Budget;
using test::Figures;
using test::Route;
using test::Stepper;

constexpr double kAim = 100;  // ms: until the others go on
// How many points of each scenario the short form takes.
constexpr uint64_t kSample = 3;
// With more system calls than this a walk to the end is left to the long form.
constexpr uint64_t kManyCalls = 3;

// tmpfs where there is one: thousands of topics are made and synced.
std::string Parent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

// As the scenario wants the machine.
class Machine {
 public:
  explicit Machine(const Scenario& scenario) { seam_control.pretend_durable = scenario.disk; }
  ~Machine() {
    seam_control.pretend_durable = false;
    seam_control.boot_id = 0;
  }
};

// One process, one death.
class Round {
 public:
  using Walk = std::function<bool(Stepper&)>;

  // `walk`: true if it came as far as it was meant to.
  Round(const Scenario& scenario, uint64_t stop_partner_at, Walk walk)
      : scenario_(scenario),
        stop_partner_at_(stop_partner_at),
        walk_(std::move(walk)),
        machine_(scenario),
        world_(Parent(), {scenario.segment_size, scenario.exclusive}) {}

  Book& book() { return world_.book(); }
  bool killed() const { return killed_; }
  uint64_t steps() const { return steps_; }

  void Run() {
    std::fflush(nullptr);  // or each child would print it again
    std::optional<Survivor> survivor;
    if (scenario_.living) survivor.emplace(world_);
    if (scenario_.leave != nullptr) InProcess(world_, "predecessor", true, [&] { return Leave(); });
    if (scenario_.spoil != nullptr) scenario_.spoil(world_);
    seam_control.boot_id = scenario_.boot;
    if (scenario_.row != nullptr) InProcess(world_, "foreteller", false, [&] { return MeetsRow(); });
    Kill();
    if (survivor) {
      if (survivor->GoOn()) InProcess(world_, "newcomer", false, [&] { return OpenAndPublish(world_); });
      survivor.reset();
    }
    CheckAfterwards(world_);
  }

 private:
  int Leave() {
    world_.lane = 3;
    return scenario_.leave(world_);
  }

  // The case of recovery that is meant is the one that will be met.
  int MeetsRow() {
    bool met = false;
    const auto report =
        RecoverTopic(world_.bus(), "t", {}, [&](const RecoveryStep& step) { met = met || step.row == scenario_.row; });
    if (!report.ok()) return Fail(world_, "foreteller", report.status());
    if (met) return 0;
    Complain(book().failed, fmt::format("recovery does not meet the case \"{}\"", scenario_.row));
    return 1;
  }

  // Stops inside the same, somewhere else for each point.
  std::unique_ptr<test::Child> StartPartner() {
    auto partner = std::make_unique<test::Child>([&] {
      world_.lane = 5;
      world_.stop_at = stop_partner_at_;
      return scenario_.act(world_);
    });
    if (!partner->WaitStopped()) Complain(book().failed, "the second one did not begin");
    return partner;
  }

  void Kill() {
    const auto partner = scenario_.pair ? StartPartner() : nullptr;
    Stepper stepper(world_.bus(), book(), [&] {
      world_.lane = 4;
      world_.walked = true;
      const int code = scenario_.act(world_);
      fmt::print(stderr, "the victim failed with {}\n", code);
      return code;
    });
    killed_ = stepper.started() && walk_(stepper);
    if (partner) partner->Signal(SIGKILL);
    stepper.Kill();
    steps_ = stepper.route().steps;
    if (!killed_ && !book().done) Complain(book().failed, fmt::format("the victim ended with {}", stepper.code()));
  }

  const Scenario& scenario_;
  const uint64_t stop_partner_at_;
  const Walk walk_;
  const Machine machine_;
  World world_;
  bool killed_ = false;
  uint64_t steps_ = 0;
};

class Step : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = test::WhyNoSteps(); !why.empty()) GTEST_SKIP() << why;
    if (figures_.seed != 0) return;
    figures_.seed = test::Seed("step");
    random_.seed(figures_.seed);
  }
  static void TearDownTestSuite() {
    test::Report("killed", figures_);
    fmt::print("instructions stepped {}\n", steps_);
  }

  void KillAll(std::span<const Scenario> scenarios) {
    for (const Scenario& scenario : scenarios) {
      if (const char* only = std::getenv("LIBBUS_ONLY"); only != nullptr && scenario.name != std::string_view(only)) {
        continue;
      }
      SCOPED_TRACE(scenario.name);
      KillEverywhere(scenario);
    }
  }

 private:
  static void KillEverywhere(const Scenario& scenario) {
    const double begin = budget_.Elapsed();
    // To the end: how many system calls there are.
    uint64_t calls = 0;
    if (!KillAfter(scenario, [&](Stepper& stepper) { return calls = stepper.CountCalls(), true; })) return;
    Route route;
    uint64_t done = 0;
    if (calls <= kManyCalls || budget_.More(0, 0, 1)) {
      if (!Explore(scenario, route, done)) return;
    } else if (!Sample(scenario, calls, done)) {
      return;
    }
    const std::string all =
        route.points == 0 ? "a sample" : fmt::format("{} points, {} instructions", route.points, route.steps);
    fmt::print("{}: {} system calls, {}, killed behind {} of them, {:.1f} s\n", scenario.name, calls, all, done,
               budget_.Elapsed() - begin);
  }

  // Walks to the end, which tells how many points there are; then dies at each of them, in an order that is spread
  // over all.
  static bool Explore(const Scenario& scenario, Route& route, uint64_t& done) {
    const auto look = [&](Stepper& stepper) {
      stepper.WalkTo(Stepper::kToTheEnd);
      route = stepper.route();
      return true;
    };
    if (!KillAfter(scenario, look)) return false;
    EXPECT_GT(route.points, 0u);
    if (route.points == 0) return false;
    const uint64_t stride = Stride(route.points);
    while (done < route.points && budget_.More(done, std::min(kSample, route.points), route.points)) {
      const uint64_t point = 1 + (figures_.seed + done * stride) % route.points;
      ++done;
      const auto walk = [&](Stepper& stepper) { return stepper.WalkTo(point, route); };
      SCOPED_TRACE(fmt::format("killed behind point {}", point));
      if (!KillAfter(scenario, walk)) return false;
    }
    return true;
  }

  // Dies a few points behind one of its system calls.
  static bool Sample(const Scenario& scenario, uint64_t calls, uint64_t& done) {
    while (done < kSample) {
      const uint64_t freely = random_() % calls;
      const uint64_t points = 1 + random_() % 4;
      ++done;
      const auto walk = [&](Stepper& stepper) { return stepper.WalkPast(freely, points); };
      SCOPED_TRACE(fmt::format("killed behind system call {} and {} points more", freely, points));
      if (!KillAfter(scenario, walk)) return false;
    }
    return true;
  }

  // Prime to `points`, and about five eighths of it.
  static uint64_t Stride(uint64_t points) {
    uint64_t stride = std::max<uint64_t>(points * 5 / 8, 1);
    while (std::gcd(stride, points) != 1) ++stride;
    return stride;
  }

  static bool KillAfter(const Scenario& scenario, const Round::Walk& walk) {
    Round round(scenario, 1 + random_() % 60, walk);
    round.Run();
    Book& book = round.book();
    figures_.points += round.killed() ? 1 : 0;
    figures_.executions += 1;
    steps_ += round.steps();
    figures_.records += book.records;
    figures_.lost += book.lost;
    figures_.phantom += book.phantom;
    figures_.stuck += book.stuck;
    figures_.silent += book.silent;
    figures_.Slow(static_cast<double>(book.slowest) / 1e6);
    EXPECT_EQ(book.wrong(), 0u) << scenario.name;
    EXPECT_LT(figures_.slowest_ms, 10 * kAim);
    return !HasFailure();
  }

  static inline const Budget budget_ = Budget(1);
  static inline Figures figures_;
  static inline std::mt19937_64 random_;
  static inline uint64_t steps_ = 0;
};

TEST_F(Step, Publishing) { KillAll(kPublishing); }
TEST_F(Step, ComingAndGoing) { KillAll(kComingAndGoing); }
TEST_F(Step, WhileItRepairsAnother) { KillAll(kRepair); }
TEST_F(Step, Recovering) { KillAll(kRecovery); }
TEST_F(Step, TwoAtOnce) { KillAll(kTwoAtOnce); }

}  // namespace
}  // namespace libbus::steps
