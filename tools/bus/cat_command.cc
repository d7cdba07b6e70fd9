#include <absl/time/clock.h>
#include <fmt/format.h>
#include <libbus/bus.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/grep.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/record_format.h"
#include "tools/bus/signals.h"
#include "tools/bus/terminal.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct CatOptions {
  std::string topic;
  std::string range;
  std::string count;
  std::string grep;
  bool follow = false;
  std::string format;
  std::string gaps = "loss";
  std::string limit = "committed";
  std::string cursor;
  bool commit = false;
};

// With --commit: after so many records at the latest what was printed is committed.
constexpr uint64_t kCommitEvery = 1000;

// How soon it is noticed that nobody reads what is followed.
constexpr absl::Duration kLookForReader = absl::Milliseconds(500);

class Cat {
 public:
  Cat(const Tool& tool, const CatOptions& options) : tool_(tool), options_(options) {}

  int Run();

 private:
  absl::Status Parse();
  absl::Status ParseGrep(bool text);
  absl::StatusOr<libbus::Consumer> Open() const;
  absl::StatusOr<libbus::ConsumerOptions> Options(const libbus::Topic& topic) const;
  absl::Status Loop(libbus::Consumer& consumer);
  // Writes what was printed; what is written is committed.
  absl::Status Settle(libbus::Consumer& consumer);
  absl::StatusOr<libbus::RecordView> Next(libbus::Consumer& consumer);
  void Print(const libbus::RecordView& record);
  void PrintGap(const libbus::Gap& gap);
  int ExitCode(const absl::Status& status) const;
  bool Done() const { return stopped_ || (count_ && records_ >= *count_); }

  const Tool& tool_;
  const CatOptions& options_;
  std::optional<uint64_t> count_;
  Range range_;
  libbus::Gaps gaps_ = libbus::Gaps::kLoss;
  libbus::Limit limit_ = libbus::Limit::kCommitted;
  bool json_ = false;
  RecordFormat format_;
  std::optional<std::string_view> after_;  // AfterPayload of the format
  std::optional<Grep> grep_;
  std::string line_;
  uint64_t records_ = 0;
  uint64_t losses_ = 0;
  uint64_t uncommitted_ = 0;
  libbus::Position printed_;  // behind the last record that was printed, or did not match
  bool stopped_ = false;
};

absl::Status Cat::Parse() {
  const auto name = FormatName(tool_.json, options_.format);
  if (!name.ok()) return name.status();
  json_ = *name == "ndjson";
  auto format = ParseFormat(*name);
  if (!format.ok()) return format.status();
  format_ = *std::move(format);
  after_ = AfterPayload(*name);
  if (auto status = ParseGrep(*name == "text"); !status.ok()) return status;
  const auto gaps = ParseGaps(options_.gaps);
  if (!gaps.ok()) return gaps.status();
  gaps_ = *gaps;
  const auto limit = ParseLimit(options_.limit);
  if (!limit.ok()) return limit.status();
  limit_ = *limit;
  if (!options_.count.empty()) {
    const auto count = ParseNumber(options_.count);
    if (!count.ok()) return count.status();
    count_ = *count;
  }
  if (options_.commit && options_.cursor.empty()) return UsageError("--commit: of which cursor? name it by --cursor");
  const auto range = options_.range.empty() ? absl::StatusOr<Range>(Range()) : ParseRange(options_.range, absl::Now());
  if (!range.ok()) return range.status();
  range_ = *range;
  if (!options_.follow && !range_.to) range_.to = libbus::From::End();
  return absl::OkStatus();
}

absl::Status Cat::ParseGrep(bool text) {
  if (options_.grep.empty()) return absl::OkStatus();
  auto grep = Grep::Make(options_.grep);
  if (!grep.ok()) return grep.status();
  grep_.emplace(*std::move(grep));
  if (!text || !StdoutHasColours()) return absl::OkStatus();
  after_.reset();
  format_ = [this](const libbus::RecordView& record, std::string& out) {
    grep_->AppendPainted(record.text(), out);
    out += '\n';
  };
  return absl::OkStatus();
}

// Without --commit a cursor is looked at, not held: somebody may be at work with it.
absl::StatusOr<libbus::ConsumerOptions> Cat::Options(const libbus::Topic& topic) const {
  libbus::ConsumerOptions options = {
      .from = range_.from, .to = range_.to, .wait = libbus::Wait::kSpinThenPark, .gaps = gaps_, .limit = limit_};
  if (options_.commit) options.cursor = options_.cursor;
  if (options_.commit || options_.cursor.empty()) return options;
  const auto cursor = FindCursor(topic, options_.cursor);
  if (!cursor.ok()) return cursor.status();
  if (!cursor->problem.ok()) return cursor->problem;
  options.from = libbus::From::At(cursor->position);
  return options;
}

absl::StatusOr<libbus::Consumer> Cat::Open() const {
  auto topic = tool_.OpenTopic(options_.topic);
  if (!topic.ok()) return topic.status();
  const auto options = Options(*topic);
  if (!options.ok()) return options.status();
  return topic->NewConsumer(*options);
}

absl::Status Cat::Settle(libbus::Consumer& consumer) {
  if (!Stdout().Flush()) return absl::CancelledError("stdout: nobody reads it");
  if (!options_.commit || uncommitted_ == 0) return absl::OkStatus();
  uncommitted_ = 0;
  // Not all that was handed out: an error (--gaps error) was not printed, and comes again.
  return consumer.Commit(printed_);
}

// What is at hand is printed before there is a wait.
absl::StatusOr<libbus::RecordView> Cat::Next(libbus::Consumer& consumer) {
  if (options_.commit && uncommitted_ >= kCommitEvery) {
    if (absl::Status status = Settle(consumer); !status.ok()) return status;
  }
  auto record = consumer.Next(absl::ZeroDuration());
  if (!absl::IsDeadlineExceeded(record.status()) || !options_.follow) return record;
  if (absl::Status status = Settle(consumer); !status.ok()) return status;
  // Who reads this may go away while nothing comes: nobody says so to who does not write.
  do {
    if (Stdout().ReaderIsGone()) return absl::CancelledError("stdout: nobody reads it");
    record = consumer.Next(kLookForReader);
  } while (absl::IsDeadlineExceeded(record.status()));
  return record;
}

absl::Status Cat::Loop(libbus::Consumer& consumer) {
  const InterruptsConsumer interrupts(consumer);
  while (!Done() && !Interrupted()) {
    const auto record = Next(consumer);
    if (!record.ok()) return record.status();
    ++uncommitted_;
    printed_ = record->next_position();
    Print(*record);
  }
  return absl::OkStatus();
}

void Cat::Print(const libbus::RecordView& record) {
  if (record.kind() == libbus::RecordKind::kGap) return PrintGap(record.gap());
  if (grep_ && !grep_->Matches(record.text())) return;
  ++records_;
  if (after_) {
    Stdout().Write(record.text());
    stopped_ = !Stdout().Write(*after_);
    return;
  }
  line_.clear();
  format_(record, line_);
  stopped_ = !Stdout().Write(line_);
}

void Cat::PrintGap(const libbus::Gap& gap) {
  if (json_) stopped_ = !Stdout().Write(GapJson(gap));
  if (gap.loss()) ++losses_;
  const std::string owner = gap.owner ? fmt::format(", producer slot {}", *gap.owner) : "";
  tool_.Note(fmt::format("{}: gap from {} to {} ({}{}): {}", options_.topic, gap.from.offset, gap.to.offset,
                         libbus::GapCauseName(gap.cause), owner,
                         gap.loss() ? "records may be lost: see bus verify" : "nothing is lost"));
}

// The end of the range, of the log, of the reader and of the user's patience are all good ends.
int Cat::ExitCode(const absl::Status& status) const {
  const bool good =
      status.ok() || absl::IsOutOfRange(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
  if (!good) {
    const int code = Tool::Fail(status);
    return gaps_ == libbus::Gaps::kError && absl::IsDataLoss(status) ? kLoss : code;
  }
  tool_.Detail(fmt::format("{}: {}", options_.topic, Count(records_, "record")));
  return losses_ == 0 ? kOk : kLoss;
}

int Cat::Run() {
  BUS_FAIL_IF_ERROR(Parse());
  auto consumer = Open();
  BUS_FAIL_IF_ERROR(consumer.status());
  const absl::Status status = Loop(*consumer);
  // What could not be written is not committed; main says why.
  const absl::Status settled = stopped_ ? absl::OkStatus() : Settle(*consumer);
  BUS_FAIL_IF_ERROR(absl::IsCancelled(settled) ? absl::OkStatus() : settled);
  return ExitCode(status);
}

constexpr char kDetails[] =
    "cat ends at the end as it was when it began, with -f it waits for more. A gap in which records may be missing is "
    "told on "
    "stderr and makes the exit code 3. --cursor without --commit only looks: somebody may be at work with the cursor. "
    "With "
    "--commit it is held, and moved past what was written to stdout.\n\n"
    "See bus help ranges and bus help formats.";

void AddOptions(CLI::App* command, CatOptions& options) {
  command->add_option("T", options.topic, "the topic")->required();
  command
      ->add_option("-o,--offset", options.range,
                   "which records: A:B or A, of start, end, N (position), +N, -N, @TIME: see bus help ranges")
      ->type_name("RANGE");
  command->add_option("-n,--count", options.count, "stop after so many records were printed")->type_name("N");
  command->add_option("--grep", options.grep, "only records whose payload matches this regular expression (RE2)")
      ->type_name("RE");
  command->add_flag("-f,--follow", options.follow, "wait for more at the end");
  command->add_option("--format", options.format, "how: see bus help formats [text]")
      ->type_name("text|ndjson|hex|raw|PATTERN");
  command->add_option("--gaps", options.gaps, "which gaps are told: loss, all, or error: stop at the first [loss]")
      ->type_name("loss|all|error");
  command
      ->add_option("--limit", options.limit,
                   "how far is read: committed, or durable: what no power loss takes back [committed]")
      ->type_name("committed|durable");
  command->add_option("--cursor", options.cursor, "begin where this cursor stands")->type_name("C");
  command->add_flag("--commit", options.commit,
                    "move the cursor past what was printed; one that is not there is made where -o begins");
}

}  // namespace

void AddCatCommand(CLI::App& app, Tool& tool) {
  auto cat_options = std::make_shared<CatOptions>();
  CLI::App* cat = Tool::AddCommand(app, {.name = "cat",
                                         .what = "print records",
                                         .details = kDetails,
                                         .examples = {"bus cat orders -o -10 --format '%p %t %k %s\\n'",
                                                      "bus cat orders -o @-1h --json | jq .payload",
                                                      "bus cat orders --cursor load --commit -n 100"}});
  AddOptions(cat, *cat_options);
  tool.OnRun(cat, [&tool, cat_options] { return Cat(tool, *cat_options).Run(); });

  auto tail_options = std::make_shared<CatOptions>();
  tail_options->range = "-10";
  CLI::App* tail = Tool::AddCommand(
      app, {.name = "tail",
            .what = "print the last records and follow: cat -f -o -10",
            .details = "See bus help cat. SIGINT ends it; with --commit the cursor is moved past what was printed.",
            .examples = {"bus tail orders", "bus tail orders -o end --limit durable"}});
  AddOptions(tail, *tail_options);
  tool.OnRun(tail, [&tool, tail_options] {
    tail_options->follow = true;
    return Cat(tool, *tail_options).Run();
  });
}

}  // namespace bustool
