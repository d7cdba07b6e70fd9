#include <fmt/format.h>
#include <libbus/bus.h>
#include <libbus/inspect.h>

#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/values.h"

namespace bustool {
namespace {

struct InitOptions {
  std::string path;
  std::string access;
  bool if_missing = false;
};

int Init(const Tool& tool, const InitOptions& options) {
  libbus::OpenOptions open;
  open.create = true;
  if (!options.access.empty()) {
    const auto access = ParseAccess(options.access);
    BUS_FAIL_IF_ERROR(access.status());
    open.access = *access;
  }
  const bool exists = libbus::InspectBus(options.path).ok();
  if (exists && !options.if_missing) {
    return Tool::Fail(
        absl::AlreadyExistsError(fmt::format("{}: is a bus already: use another path, or --if-missing", options.path)));
  }
  const auto bus = libbus::Bus::Open(options.path, open);
  BUS_FAIL_IF_ERROR(bus.status());
  if (tool.json) {
    Stdout().Write(JsonObject().Add("path", bus->path()).Add("uuid", bus->uuid()).Add("made", !exists).Line());
  }
  tool.Detail(fmt::format("{}: {} bus {}", options.path, exists ? "found" : "made", bus->uuid()));
  return kOk;
}

}  // namespace

void AddInitCommand(CLI::App& app, Tool& tool) {
  auto options = std::make_shared<InitOptions>();
  CLI::App* command =
      Tool::AddCommand(app, {.name = "init",
                             .what = "make a bus",
                             .examples = {"bus init /var/tmp/orders.bus", "bus init bus --if-missing"}});
  command->add_option("PATH", options->path, "the directory to make")->required();
  command->add_option("--access", options->access, "who may read it; only its owner ever writes [owner]")
      ->type_name("owner|group|world");
  command->add_flag("--if-missing", options->if_missing, "a bus that is there already is fine");
  tool.OnRun(command, [&tool, options] { return Init(tool, *options); });
}

}  // namespace bustool
