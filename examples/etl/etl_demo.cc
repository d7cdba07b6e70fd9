// The demo: runs the pipeline over real data, kills transform and load again and again in the middle of their work, and
// compares what came out with an answer computed from the input alone.
//
//   etl_demo [--durable] [--seed N] [--kills N] [--at-least N] [--dir DIR] [--status FILE] [--lists DIR] [--timeout S]
//            [FILE]
//
// With --durable nothing is acknowledged that a power loss could take back: each stage reads only what is durable, and
// SQLite syncs its transactions. It runs twice then, first without, and tells what durability cost.
//
// Without FILE the input is dpkg's status file and apt's package lists. An input that is too short to be killed in is
// read many times over. Exit codes: 0 all is right, 1 something differs or failed, 2 usage, 5 timed out, 130
// interrupted.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <random>

#include "examples/etl/pipeline.h"
#include "examples/etl/report.h"
#include "examples/etl/workspace.h"

namespace etl {
namespace {

constexpr const char* kUsage =
    "usage: etl_demo [--durable] [--seed N] [--kills N] [--at-least RECORDS] [--dir DIR] [--status FILE] [--lists DIR] "
    "[--timeout SECONDS] [FILE]";

constexpr absl::Duration kSyncInterval = absl::Milliseconds(10);

struct Options {
  bool durable = false;
  uint64_t seed = std::random_device()();
  uint64_t kills = 6;           // of each, transform and load
  uint64_t at_least = 200'000;  // records; the input is repeated until there are so many
  uint64_t timeout = 120;       // seconds
  std::string directory = Workspace::DefaultDirectory();
  std::string status{kDpkgStatus};
  std::string lists{kAptLists};
  std::string file;
};

[[noreturn]] void Usage(std::string_view problem) {
  fmt::print(stderr, "etl_demo: {}\n{}\n", problem, kUsage);
  std::exit(2);
}

uint64_t Number(std::string_view name, std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) Usage(fmt::format("{} {}: not a number", name, text));
  return value;
}

// False if there is no such option.
bool Take(std::string_view name, std::string_view value, Options& options) {
  if (name == "--seed") return options.seed = Number(name, value), true;
  if (name == "--kills") return options.kills = Number(name, value), true;
  if (name == "--at-least") return options.at_least = Number(name, value), true;
  if (name == "--timeout") return options.timeout = Number(name, value), true;
  if (name == "--dir") return options.directory = value, true;
  if (name == "--status") return options.status = value, true;
  if (name == "--lists") return options.lists = value, true;
  return false;
}

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--durable") {
      options.durable = true;
    } else if (!name.starts_with("--")) {
      if (!options.file.empty()) Usage("more than one FILE");
      options.file = name;
    } else if (i + 1 == argc || !Take(name, argv[++i], options)) {
      Usage(fmt::format("{}: no such option, or nothing behind it", name));
    }
  }
  return options;
}

std::string DirectoryOfPrograms() {
  std::string path(4096, '\0');
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  if (size < 0) Die("/proc/self/exe cannot be read: is /proc mounted?");
  path.resize(static_cast<size_t>(size));
  return path.substr(0, path.rfind('/'));
}

std::vector<std::string> Files(const Options& options) {
  if (!options.file.empty()) return {options.file};
  return Must(DefaultFiles(options.status, options.lists));
}

std::string Size(size_t bytes) {
  if (bytes < 10'000) return fmt::format("{} bytes", Grouped(bytes));
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

void PrintInput(const std::vector<std::string>& files, const Input& input, uint64_t generations,
                const Options& options) {
  fmt::print(
      "libbus demo: extract -> transform -> load, three programs joined by topics, and somebody who kills them\n\n");
  fmt::print("  input  {}{}\n", files.front(), files.size() > 1 ? fmt::format(" and {} more", files.size() - 1) : "");
  fmt::print("         {} record{}, {} of {}", Grouped(input.records.size()), input.records.size() == 1 ? "" : "s",
             Size(input.bytes), FormName(input.form));
  if (generations > 1) {
    fmt::print("; read {} times: {} records", Grouped(generations), Grouped(input.records.size() * generations));
  }
  fmt::print("\n  seed   {}\n  log    {}\n", options.seed, options.directory);
  std::fflush(stdout);
}

std::vector<uint64_t> Numbers(const Stream& stream) {
  std::vector<uint64_t> numbers;
  for (const Item& item : stream.items) numbers.push_back(item.number);
  return numbers;
}

PipelineOptions MakePipelineOptions(const Options& options, const Workspace& workspace, const Answer& answer,
                                    const std::vector<std::string>& files, uint64_t generations) {
  PipelineOptions pipeline;
  pipeline.bus = workspace.bus();
  pipeline.database = workspace.database();
  pipeline.directory = workspace.directory();
  pipeline.programs = DirectoryOfPrograms();
  pipeline.input = {"--generations", std::to_string(generations)};
  pipeline.input.insert(pipeline.input.end(), files.begin(), files.end());
  pipeline.records = answer.in.items.size();
  pipeline.out_numbers = Numbers(answer.out);
  pipeline.dead_numbers = Numbers(answer.dead);
  pipeline.kills = options.kills;
  pipeline.seed = options.seed;
  pipeline.timeout = absl::Seconds(static_cast<int64_t>(options.timeout));
  return pipeline;
}

// The bus with its topics, opened read_only: the demo looks on. What is only told to who watches need not be durable.
libbus::Bus MakeBus(const std::string& path, const libbus::SyncPolicy& policy) {
  libbus::Bus bus = Must(libbus::Bus::Open(path, {.create = true}));
  for (std::string_view name : {kRaw, kClean, kDeadLetters, kProgress}) {
    const libbus::SyncPolicy sync = name == kProgress ? libbus::SyncPolicy::None() : policy;
    Must(bus.OpenTopic(name, {.create = true, .segment_size = 16 << 20, .sync = sync}).status());
  }
  return Must(libbus::Bus::Open(path, {.read_only = true}));
}

int GiveUp(const absl::Status& status, const Workspace& workspace) {
  fmt::print(stderr, "etl_demo: {}; the log lies in {}\n", std::string(status.message()), workspace.bus());
  if (absl::IsCancelled(status)) return 130;
  return absl::IsDeadlineExceeded(status) ? 5 : 1;
}

// The last line, and whether all is right.
bool PrintVerdict(const Difference& difference, const Answer& answer, const Pipeline& pipeline, const Stream& in,
                  const Stream& out, const Stream& dead, const Options& options) {
  const uint64_t kills = pipeline.kills().size();
  const double rate = static_cast<double>(answer.in.items.size()) / absl::ToDoubleSeconds(pipeline.elapsed());
  if (difference.altered + difference.unexpected > 0) {
    fmt::print("altered {}, unexpected {}\n", difference.altered, difference.unexpected);
  }
  if (kills < 2 * options.kills) {
    fmt::print("only {} of {} kills hit a stage in the middle of its work: try --at-least {}\n", kills,
               2 * options.kills, 2 * answer.in.items.size());
  }
  fmt::print(
      "demo: in {}, out {}, dead-lettered {}, lost {}, duplicated {}, out of order {}, kills {}, seed {}, {:.0f} "
      "records/s\n",
      in.items.size(), out.items.size(), dead.items.size(), difference.lost, difference.duplicated,
      difference.out_of_order, kills, options.seed, rate);
  return difference.none() && kills == 2 * options.kills;
}

// `plain`: how long it took without durability, where it was asked for.
int Report(libbus::Bus& bus, const Options& options, const Workspace& workspace, Form form, const Answer& answer,
           const Pipeline& pipeline, std::optional<absl::Duration> plain) {
  const Stream in = ReadTopic(bus, kRaw);
  const Stream out = ReadDatabase(workspace.database());
  const Stream dead = ReadTopic(bus, kDeadLetters);
  Difference difference = Compare(answer.in.items, in.items);
  difference += Compare(answer.out.items, out.items);
  difference += Compare(answer.dead.items, dead.items);
  PrintData(workspace.database(), form);
  PrintReasons(answer, dead);
  PrintPipeline(pipeline, answer, in.unfinished + dead.unfinished + ReadTopic(bus, kClean).unfinished);
  PrintCheck(answer, in, out, dead);
  if (plain) PrintDurability(workspace.bus(), answer, *plain, pipeline.elapsed(), kSyncInterval);
  PrintWhereNext(DirectoryOfPrograms(), workspace.bus(), workspace.database(), form, dead);
  return PrintVerdict(difference, answer, pipeline, in, out, dead, options) ? 0 : 1;
}

// The same work with the same kills, to be compared with; nothing is left of it. Returns how long it took.
absl::StatusOr<absl::Duration> RunPlain(const Workspace& workspace, const PipelineOptions& plan) {
  absl::Duration elapsed;
  {
    libbus::Bus bus = MakeBus(workspace.bus(), libbus::SyncPolicy::None());
    Pipeline pipeline(bus, plan);
    if (const absl::Status status = pipeline.Run(); !status.ok()) return status;
    elapsed = pipeline.elapsed();
  }
  workspace.Clear();
  return elapsed;
}

int Demo(Options options) {
  const std::vector<std::string> files = Files(options);
  const Input input = Must(ReadInput(files));
  const uint64_t size = input.records.size();
  const uint64_t generations = std::max<uint64_t>(1, (options.at_least + size - 1) / size);
  const Workspace workspace = Must(Workspace::Prepare(options.directory));
  options.directory = workspace.directory();
  CatchSignals();
  PrintInput(files, input, generations, options);
  const Answer answer = ComputeAnswer(input, generations);
  const PipelineOptions plan = MakePipelineOptions(options, workspace, answer, files, generations);
  std::optional<absl::Duration> plain;
  if (options.durable) {
    const absl::StatusOr<absl::Duration> elapsed = RunPlain(workspace, plan);
    if (!elapsed.ok()) return GiveUp(elapsed.status(), workspace);
    plain = *elapsed;
  }
  const auto policy = options.durable ? libbus::SyncPolicy::Every(kSyncInterval) : libbus::SyncPolicy::None();
  libbus::Bus bus = MakeBus(workspace.bus(), policy);
  Pipeline pipeline(bus, plan);
  if (const absl::Status status = pipeline.Run(); !status.ok()) return GiveUp(status, workspace);
  return Report(bus, options, workspace, input.form, answer, pipeline, plain);
}

}  // namespace
}  // namespace etl

int main(int argc, char** argv) { return etl::Demo(etl::ReadOptions(argc, argv)); }
