// The suite: libbus beside references and peers. `./dev bench` runs it.
#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "bench/suite/suite.h"

namespace {

namespace bench = libbus::bench;

volatile sig_atomic_t interrupted = 0;

struct Arguments {
  bool full = false;
  std::string only;
  std::string output;
  uint64_t minutes = 0;
  bench::SuiteOptions suite;
};

void Parse(CLI::App& app, Arguments& arguments) {
  app.add_flag("--full", arguments.full,
               "every size, topology, wait and rate, in hours; else the headline, in minutes");
  app.add_option("--only", arguments.only, "this table alone")->type_name("TABLE");
  app.add_option("--dir", arguments.suite.directory, "where the files lie while it runs [.]")->type_name("PATH");
  app.add_option("--rounds", arguments.suite.rounds, "how often all take their turn [5]")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  app.add_option("--attempts", arguments.suite.attempts, "at a run in which others took the cores [3]")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  app.add_option("--records", arguments.suite.records, "of each run [as many as make sense]")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));  // the largest are 1 MiB
  app.add_option("--minutes", arguments.minutes,
                 "after which there are fewer rounds; at least one each [8; --full: none]")
      ->type_name("N");
  app.add_option("--output", arguments.output, "a file for lines of JSON, one for each case")->type_name("FILE");
}

int Run(Arguments& arguments) {
  bench::Plan plan = arguments.full ? bench::Full() : bench::Headline();
  if (!arguments.only.empty()) {
    std::erase_if(plan.tables, [&](const auto& table) { return table.name != arguments.only; });
    if (plan.tables.empty()) {
      fmt::print(stderr, "bench_suite: --only {}: no such table\n", arguments.only);
      return 2;
    }
  }
  arguments.suite.text = stdout;
  arguments.suite.json = nullptr;
  arguments.suite.minutes = arguments.minutes > 0 || arguments.full ? arguments.minutes : 8;
  arguments.suite.stopped = [] { return interrupted != 0; };
  if (!arguments.output.empty()) {
    arguments.suite.json = std::fopen(arguments.output.c_str(), "we");
    if (arguments.suite.json == nullptr) {
      fmt::print(stderr, "bench_suite: {}: {}\n", arguments.output, std::strerror(errno));
      return 1;
    }
  }
  const int failed = bench::RunSuite(plan, arguments.suite);
  if (arguments.suite.json != nullptr) std::fclose(arguments.suite.json);
  return failed < 0 ? 130 : failed > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("libbus beside references and peers, on this machine", "bench_suite");
  Arguments arguments;
  Parse(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return Run(arguments);
}
