// Only what was measured at one distance of the cores is compared.
#include "bench/lib/figures.h"

#include <gtest/gtest.h>

#include "bench/lib/report.h"

namespace libbus::bench {
namespace {

Sample At(uint32_t round, Distance distance, double rate) {
  Sample sample;
  sample.round = round;
  sample.travel = {distance == Distance::kFar ? 260u : 30u, distance};
  sample.rate = rate;
  sample.undisturbed = 2 * rate;
  sample.latency = {100, 200, 300, 400, 500, 600};
  return sample;
}

CaseResult Result() {
  CaseResult result;
  result.rounds = 3;
  result.records = 1000;
  result.contenders.push_back({.name = "libbus", .kind = Kind::kSubject});
  result.contenders.push_back({.name = "pipe", .kind = Kind::kPeer});
  result.contenders.push_back({.name = "journal", .kind = Kind::kReference});
  result.contenders.push_back({.name = "nng", .kind = Kind::kPeer, .refusal = "not built in"});
  result.contenders[0].unpaced = {At(0, Distance::kNear, 60), At(1, Distance::kFar, 20), At(2, Distance::kNear, 80)};
  result.contenders[1].unpaced = {At(0, Distance::kNear, 10), At(1, Distance::kNear, 1), At(2, Distance::kFar, 5)};
  result.contenders[2].unpaced = {At(0, Distance::kNear, 120), At(2, Distance::kNear, 80)};
  result.contenders[0].paced = {At(0, Distance::kNear, 0)};
  result.contenders[1].paced = {At(0, Distance::kNear, 0)};
  return result;
}

TEST(Figures, AreOfOneDistance) {
  const CaseResult result = Result();
  const Figures near = FiguresOf(result.Of("libbus"), Distance::kNear);
  EXPECT_EQ(near.rounds, 2u);
  EXPECT_EQ(near.rate, 70);
  EXPECT_EQ(near.lowest, 60);
  EXPECT_EQ(near.highest, 80);
  EXPECT_EQ(near.undisturbed, 140);
  EXPECT_EQ(near.latency->p9999_ns, 500u);
  EXPECT_EQ(FiguresOf(result.Of("libbus"), Distance::kFar).rate, 20);
  EXPECT_FALSE(FiguresOf(result.Of("libbus"), Distance::kFar).latency);
  EXPECT_EQ(FiguresOf(result.Of("libbus"), Distance::kOne).rounds, 0u);
  EXPECT_EQ(DistancesOf(result), (std::vector{Distance::kNear, Distance::kFar}));
  EXPECT_EQ(TravelOf(result, Distance::kFar), 260u);
}

TEST(Figures, CompareRoundsOfOneDistance) {
  const CaseResult result = Result();
  // Round 0 alone has both near.
  EXPECT_DOUBLE_EQ(RatioTo(result, "pipe", Distance::kNear)->end_to_end, 6);
  // No round has both far: medians, then.
  EXPECT_DOUBLE_EQ(RatioTo(result, "pipe", Distance::kFar)->end_to_end, 4);
  EXPECT_DOUBLE_EQ(RatioTo(result, "journal", Distance::kNear)->undisturbed, 0.75);
  EXPECT_FALSE(RatioTo(result, "journal", Distance::kFar));
}

TEST(Figures, NameTheBest) {
  const CaseResult result = Result();
  EXPECT_EQ(BestOf(result, Kind::kPeer, Distance::kNear)->name, "pipe");
  EXPECT_EQ(BestOf(result, Kind::kReference, Distance::kFar), nullptr);
  EXPECT_EQ(QuickestOf(result, Kind::kPeer, Distance::kNear)->name, "pipe");
  EXPECT_EQ(QuickestOf(result, Kind::kReference, Distance::kNear), nullptr);
}

TEST(Report, HasATableForEachDistanceAndSaysWhatIsMissing) {
  const std::string text = TextReport(Result());
  EXPECT_NE(text.find("near, 30 ns"), std::string::npos) << text;
  EXPECT_NE(text.find("far, 260 ns"), std::string::npos) << text;
  EXPECT_NE(text.find("nng             skipped: not built in\n"), std::string::npos) << text;
  EXPECT_NE(text.find("rate: 6.00 of the best peer, pipe (6.00 end to end)"), std::string::npos) << text;
  EXPECT_NE(text.find("rate: 0.75 of the limit, journal (0.75 end to end)"), std::string::npos) << text;
}

TEST(Report, HasTheKeysOfTheMoreFrequentDistance) {
  CaseResult result = Result();
  result.contenders[2].paced = {At(0, Distance::kNear, 0)};
  const std::string json = JsonReport(result);
  for (const char* part :
       {R"("class":"near")", R"("class_rounds":2)", R"("msgs_per_s":70)", R"("undisturbed_msgs_per_s":140)",
        R"("p50_ns":100)", R"("ratio_to_pipe":6.000)", R"("kind_of_pipe":"peer")", R"("skipped_nng":"not built in")"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
}

// Nothing of a contender at that distance: all keys are there, and the class says what they are of.
TEST(Report, SaysWhereRunsOfBothDistancesAreMixed) {
  CaseResult result = Result();
  result.contenders[2].paced = {At(0, Distance::kFar, 0)};
  const std::string json = JsonReport(result);
  for (const char* part : {R"("class":"mixed")", R"("class_rounds":3)", R"("msgs_per_s":60)", R"("journal_p50_ns":100)",
                           R"("ratio_to_pipe":16.000)", R"("ratio_to_journal":0.750)"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
}

}  // namespace
}  // namespace libbus::bench
