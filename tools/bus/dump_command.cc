#include <fmt/format.h>
#include <libbus/inspect.h>
#include <sys/stat.h>

#include <memory>
#include <optional>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/signals.h"
#include "tools/bus/terminal.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct DumpArguments {
  std::string what;
  std::string position;
  std::string count;
  std::string around;
};

std::string WordJson(const libbus::DumpWord& word) {
  return JsonObject()
      .Add("state", word.state)
      .Add("flags", word.flags)
      .Add("owner", word.owner)
      .Add("length", word.length)
      .Add("check_stored", word.check_stored)
      .Add("check_computed", word.check_computed)
      .Object();
}

std::string FieldJson(const libbus::DumpField& field) {
  std::string hex;
  for (const char byte : field.bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  JsonObject object;
  object.Add("name", field.name)
      .Add("role", libbus::DumpRoleName(field.role))
      .Add("offset", field.offset)
      .Add("size", field.bytes.size() + field.zeros)
      .Add("hex", hex)
      .Add("meaning", field.meaning)
      .Add("right", field.right);
  if (field.zeros != 0) object.Add("zeros", field.zeros);
  if (field.computed) object.Add("computed", *field.computed);
  return object.Object();
}

std::string OwnerJson(const libbus::DumpOwner& owner) {
  JsonObject object;
  object.Add("slot", owner.slot).Add("pid", owner.pid).Add("name", owner.name).Add("since", owner.since);
  if (owner.alive) object.Add("alive", *owner.alive);
  return object.Object();
}

std::string ItemJson(const libbus::DumpItem& item) {
  JsonObject object;
  object.Add("kind", libbus::DumpKindName(item.kind)).Add("file", item.file).Add("offset", item.offset);
  object.Add("size", item.size);
  if (item.position) object.Add("position", item.position->offset);
  if (item.word) object.AddRaw("word", WordJson(*item.word));
  object.Add("summary", item.summary).Add("damaged", item.damaged);
  if (item.marked) object.Add("marked", true);
  if (item.owner) object.AddRaw("owner", OwnerJson(*item.owner));
  if (item.resume) object.Add("resumes_at", item.resume->position.offset).Add("resumes_with", item.resume->what);
  std::vector<std::string> fields;
  for (const libbus::DumpField& field : item.fields) fields.push_back(FieldJson(field));
  return object.AddArray("fields", fields).Line();
}

std::string PaintRole(libbus::DumpRole role, std::string_view text) {
  using libbus::DumpRole;
  switch (role) {
    case DumpRole::kHeadline:
    case DumpRole::kMark:
      return Paint(Colour::kBold, text);
    case DumpRole::kDamage:
      return Paint(Colour::kRed, text);
    case DumpRole::kWord:
    case DumpRole::kTable:
      return Paint(Colour::kYellow, text);
    case DumpRole::kChecksum:
    case DumpRole::kIdentity:
      return Paint(Colour::kMagenta, text);
    case DumpRole::kType:
    case DumpRole::kTime:
    case DumpRole::kPosition:
      return Paint(Colour::kCyan, text);
    case DumpRole::kAttribute:
      return Paint(Colour::kBlue, text);
    case DumpRole::kPayload:
      return Paint(Colour::kGreen, text);
    case DumpRole::kSlack:
    case DumpRole::kZeros:
    case DumpRole::kUnread:
      return Paint(Colour::kDim, text);
    case DumpRole::kNumber:
    case DumpRole::kBytes:
      break;
  }
  return std::string(text);
}

std::string ItemText(const libbus::DumpItem& item) {
  return StdoutHasColours() ? libbus::DumpText(item, PaintRole) : libbus::DumpText(item);
}

bool IsFile(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

// A word with a slash is a file; any other is a topic, unless there is none and a file has that name.
bool MeansFile(const Tool& tool, const std::string& what) {
  if (what.find('/') != std::string::npos) return true;
  if (!IsFile(what)) return false;
  const auto bus = tool.BusPath();
  return !bus.ok() || !libbus::InspectTopic(*bus, what).ok();
}

absl::StatusOr<libbus::DumpSummary> DumpAny(const Tool& tool, const std::string& what,
                                            const libbus::DumpOptions& options, const libbus::DumpSink& sink) {
  if (MeansFile(tool, what)) return libbus::DumpFile(what, options, sink);
  const auto bus = tool.BusPath();
  if (!bus.ok()) return bus.status();
  auto summary = libbus::DumpTopic(*bus, what, options, sink);
  if (!summary.ok()) return tool.DidYouMean(what, summary.status());
  return summary;
}

int Dump(const Tool& tool, const DumpArguments& arguments) {
  libbus::DumpOptions options;
  if (!arguments.count.empty()) {
    const auto count = ParseNumber(arguments.count);
    BUS_FAIL_IF_ERROR(count.status());
    options.count = *count;
  }
  if (!arguments.position.empty()) {
    const auto position = ParseNumber(arguments.position);
    BUS_FAIL_IF_ERROR(position.status());
    options.from = libbus::Position{*position};
  }
  if (!arguments.around.empty()) {
    const auto position = ParseNumber(arguments.around);
    BUS_FAIL_IF_ERROR(position.status());
    options.around = libbus::Position{*position};
  }
  Stdout().Page();
  const auto sink = [&](const libbus::DumpItem& item) {
    if (Interrupted()) return false;
    return !Interrupted() && Stdout().Write(tool.json ? ItemJson(item) : ItemText(item));
  };
  const auto summary = DumpAny(tool, arguments.what, options, sink);
  BUS_FAIL_IF_ERROR(summary.status());
  tool.Detail(fmt::format("{}: {}, {} damaged", arguments.what, Count(summary->records, "record"), summary->damaged));
  return summary->damaged == 0 ? kOk : kDamage;
}

}  // namespace

void AddDumpCommand(CLI::App& app, Tool& tool) {
  auto arguments = std::make_shared<DumpArguments>();
  CLI::App* command = Tool::AddCommand(
      app,
      {.name = "dump",
       .what = "show the bytes of a topic or a file and what they mean; never writes",
       .details =
           "A word with a slash is a file, any other a topic, unless there is none and a file has that name. The file "
           "may be damaged, cut off, copied, or none of a bus at all.",
       .examples = {"bus dump orders 64 -n 3", "bus dump orders.bus/orders/control"}});
  command->add_option("T|FILE", arguments->what, "a topic, or a file (damaged or foreign ones too)")->required();
  auto* position = command->add_option("POSITION", arguments->position,
                                       "begin at the record there (in a foreign file: at that byte)");
  command->add_option("-n,--count", arguments->count, "so many records (in a foreign file: lines of 16 bytes)")
      ->type_name("N");
  command
      ->add_option("--around", arguments->around, "show the record that holds this position, and N (3) on both sides")
      ->type_name("POSITION")
      ->excludes(position);
  tool.OnRun(command, [&tool, arguments] { return Dump(tool, *arguments); });
}

}  // namespace bustool
