// The protocol as models (tests/crash/model/*.pml), searched by SPIN: every state that they can reach, with deaths,
// stops, revocations and failing syncs wherever they like. What each checks stands at its top. Each fault that can be
// planted must be found, or a search proves nothing.
//
// What is not shown: that the code does what the model says (that is what the other proofs are for); more processes
// than a search can hold; a weaker memory than the one step that -DNO_FENCE lets overtake.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/proof.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

struct Search {
  const char* model;
  const char* flags;
};

constexpr Search kSound[] = {
    {"tail", ""},
    {"tail", "-DABANDONS -DREVOKES"},
    {"tail", "-DP=1 -DC=2 -DABANDONS"},
    {"tail", "-DROLLS"},
    {"tail", "-DDIES -DKEEPS"},
    {"sync", ""},
    {"sync", "-DDIES"},
    {"sync", "-DSTOPS"},
    {"sync", "-DFAILS"},
};
// Of the long form: minutes, and a GiB.
constexpr Search kLarge[] = {
    {"tail", "-DC=2"},
    {"tail", "-DDIES -DABANDONS -DREVOKES"},
    {"sync", "-DP=3"},
    {"sync", "-DDIES -DSTOPS -DFAILS"},
};
constexpr Search kPlanted[] = {
    {"tail", "-DNO_FENCE"},
    {"tail", "-DMARK_LATE"},
    {"tail", "-DROLLS -DEND_WAKES_NOBODY"},
    {"tail", "-DABANDONS -DGAP_WAKES_NOBODY"},
    {"tail", "-DP=1 -DC=2 -DNOT_PASSED_ON"},
    {"tail", "-DREVOKES -DPLAIN_COMMIT"},
    {"tail", "-DPROBE_FIRST"},
    {"tail", "-DDIES -DKEEPS -DSLOT_UNRESOLVED"},
    {"sync", "-DSLEEP_ON_WATERMARK"},
    {"sync", "-DEARLIER_SYNC"},
    {"sync", "-DFLOOR_EARLY"},
    {"sync", "-DFLOORS_FIRST"},
    {"sync", "-DEVENT_LATE"},
    {"sync", "-DFAILS -DFAILED_WAKES_NOBODY"},
    {"sync", "-DSTOPS -DPATIENT_FOR_EVER"},
};

std::string Run(const std::string& command) {
  std::string output;
  std::FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "cannot start a shell";
  std::array<char, 4096> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), n);
  pclose(pipe);
  return output;
}

bool IsThere(const char* program) { return !Run(fmt::format("command -v {}", program)).empty(); }

// The number that stands before `what`, or behind it; nothing: it is not there.
std::optional<uint64_t> NumberBefore(const std::string& text, const std::string& what) {
  const size_t at = text.find(what);
  if (at == std::string::npos) return std::nullopt;
  size_t begin = at;
  while (begin > 0 && std::isdigit(static_cast<unsigned char>(text[begin - 1])) != 0) --begin;
  return std::strtoull(text.c_str() + begin, nullptr, 10);
}

struct Outcome {
  uint64_t states = 0;
  bool complete = false;  // all of them, and no error
  bool found = false;     // an assertion does not hold
  std::string output;
};

Outcome RunSearch(const Search& search, const char* optimise) {
  const Scratch scratch;
  const std::string source = fmt::format("{}/tests/crash/model/{}.pml", LIBBUS_SOURCE_DIR, search.model);
  const std::string in = fmt::format("cd {} && ", scratch.path());
  Outcome outcome;
  outcome.output = Run(fmt::format("{}spin {} -a {}", in, search.flags, source));
  outcome.output += Run(fmt::format("{}cc -w {} -DSAFETY -DCOLLAPSE -DMEMLIM=4096 -o pan pan.c", in, optimise));
  // Invalid end states are the model's own to judge: it knows who may sleep.
  outcome.output += Run(in + "./pan -E -m200000 -w20");
  const auto states = NumberBefore(outcome.output, " states, stored");
  outcome.states = states.value_or(0);
  outcome.complete = states && outcome.output.find("errors: 0") != std::string::npos &&
                     outcome.output.find("Search not completed") == std::string::npos &&
                     outcome.output.find("max search depth too small") == std::string::npos;
  outcome.found = outcome.output.find("assertion violated") != std::string::npos;
  return outcome;
}

// What is missing, or "".
std::string Missing() {
  for (const char* program : {"spin", "cc"}) {
    if (!IsThere(program)) return fmt::format("{} is missing: the models cannot be searched", program);
  }
  return "";
}

void SearchSound(const Search& search, Figures& figures) {
  const Budget clock;
  const Outcome outcome = RunSearch(search, "-O1");
  EXPECT_TRUE(outcome.complete) << search.model << " " << search.flags << "\n" << outcome.output;
  fmt::print("{} {}: {} states, {:.1f} s\n", search.model, search.flags, outcome.states, clock.Elapsed());
  figures.executions += outcome.states;
}

TEST(Model, HoldsInEveryState) {
  if (const std::string missing = Missing(); !missing.empty()) GTEST_SKIP() << missing;
  const Budget budget;
  Figures figures;
  for (const Search& search : kSound) SearchSound(search, figures);
  for (const Search& search : kLarge) {
    if (budget.long_form() && budget.More(figures.executions, 0, UINT64_MAX)) SearchSound(search, figures);
  }
  Report("model", figures);
}

// Each must be found.
void SearchPlanted(const std::string& model) {
  for (const Search& search : kPlanted) {
    if (model != search.model) continue;
    const Outcome outcome = RunSearch(search, "-O0");
    EXPECT_TRUE(outcome.found) << search.model << " " << search.flags << "\n" << outcome.output;
  }
}
TEST(Model, FindsEachFaultPlantedInTheTail) {
  if (const std::string missing = Missing(); !missing.empty()) GTEST_SKIP() << missing;
  SearchPlanted("tail");
}
TEST(Model, FindsEachFaultPlantedInTheSync) {
  if (const std::string missing = Missing(); !missing.empty()) GTEST_SKIP() << missing;
  SearchPlanted("sync");
}

}  // namespace
}  // namespace libbus::test
