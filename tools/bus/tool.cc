#include "tools/bus/tool.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "tools/bus/output.h"
#include "tools/bus/progress.h"
#include "tools/bus/text.h"

namespace bustool {
namespace {

constexpr char kUsageMark[] = "libbus/usage";

// Whatever a path or a library says, an error is one line.
void Say(std::string_view text) {
  Progress::Hide();
  Stdout().Flush();  // what was said before comes before
  ToStderr(fmt::format("bus: {}\n", Plain(text)));
}

// Letters to put in, leave out, change, or swap with the next one.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  std::iota(rows[0].begin(), rows[0].end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    rows[i][0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({change, rows[i - 1][j] + 1, rows[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

bool IsDirectory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

}  // namespace

CLI::App* Tool::AddCommand(CLI::App& app, CommandText text) {
  return app.add_subcommand(std::make_shared<Command>(std::move(text)));
}

void Tool::OnRun(CLI::App* command, std::function<int()> action) {
  command->callback([this, action = std::move(action)] { run = action; });
}

absl::StatusOr<std::string> Tool::BusPath() const {
  if (!bus_option.empty()) return bus_option;
  if (const char* path = std::getenv("BUS_PATH"); path != nullptr && *path != '\0') return std::string(path);
  if (IsDirectory("bus")) return std::string("bus");
  return UsageError("no bus is named: use --bus PATH, set BUS_PATH, or make one here with \"bus init bus\"");
}

absl::StatusOr<libbus::Bus> Tool::OpenBus(bool read_only) const {
  const auto path = BusPath();
  if (!path.ok()) return path.status();
  return libbus::Bus::Open(*path, {.read_only = read_only});
}

absl::StatusOr<libbus::Topic> Tool::OpenTopic(std::string_view name) const {
  auto bus = OpenBus(true);
  if (!bus.ok()) return bus.status();
  auto topic = bus->OpenTopic(name);
  if (!topic.ok()) return DidYouMean(name, topic.status());
  return topic;
}

absl::Status Tool::DidYouMean(std::string_view topic, const absl::Status& status) const {
  if (!absl::IsNotFound(status)) return status;
  const auto bus = OpenBus(true);
  if (!bus.ok()) return status;
  const auto topics = bus->ListTopics();
  if (!topics.ok()) return status;
  const std::string near = Nearest(topic, *topics);
  if (near.empty() || near == topic) return status;
  return absl::NotFoundError(fmt::format("{}/{}: no such topic: did you mean {}?", bus->path(), topic, near));
}

int Tool::Fail(const absl::Status& status) {
  Say(std::string(status.message()));
  if (status.GetPayload(kUsageMark).has_value()) return kUsage;
  switch (status.code()) {
    case absl::StatusCode::kDataLoss:
      return kDamage;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimedOut;
    case absl::StatusCode::kCancelled:
      return kInterrupted;
    default:
      return kFailed;
  }
}

void Tool::Note(std::string_view text) const {
  if (!quiet) Say(text);
}

void Tool::Detail(std::string_view text) const {
  if (verbose) Say(text);
}

absl::Status UsageError(std::string_view text) {
  absl::Status status = absl::InvalidArgumentError(std::string(text));
  status.SetPayload(kUsageMark, absl::Cord());
  return status;
}

std::string Count(uint64_t n, std::string_view what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  const size_t letters = word.size() - std::min(word.find_first_not_of('-'), word.size());
  size_t best_distance = std::max<size_t>(letters / 2, 1) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = Distance(word, candidate);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

}  // namespace bustool
