// The commands: one file <name>_command.cc each, one line in main.cc.
#ifndef LIBBUS_TOOLS_BUS_COMMANDS_H_
#define LIBBUS_TOOLS_BUS_COMMANDS_H_

#include <absl/status/statusor.h>
#include <libbus/bus.h>

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "tools/bus/tool.h"

namespace bustool {

void AddInitCommand(CLI::App& app, Tool& tool);
void AddTopicCommand(CLI::App& app, Tool& tool);  // topic create, ls, config, rm; ls, config
// Below topic and at the top: config is said in both ways.
void AddConfigCommand(CLI::App& app, Tool& tool, const std::string& example);
void AddPubCommand(CLI::App& app, Tool& tool);
void AddCatCommand(CLI::App& app, Tool& tool);  // cat, tail
void AddCursorCommand(CLI::App& app, Tool& tool);
void AddTrimCommand(CLI::App& app, Tool& tool);
void AddDumpCommand(CLI::App& app, Tool& tool);
void AddInfoCommand(CLI::App& app, Tool& tool);
void AddSegmentsCommand(CLI::App& app, Tool& tool);
void AddPsCommand(CLI::App& app, Tool& tool);
void AddStatCommand(CLI::App& app, Tool& tool);
void AddVerifyCommand(CLI::App& app, Tool& tool);
void AddRecoverCommand(CLI::App& app, Tool& tool);
void AddCopyCommand(CLI::App& app, Tool& tool);
void AddReplayCommand(CLI::App& app, Tool& tool);
void AddDoctorCommand(CLI::App& app, Tool& tool);
void AddBenchCommand(CLI::App& app, Tool& tool);
void AddCompletionCommand(CLI::App& app, Tool& tool);
void AddHelpCommand(CLI::App& app, Tool& tool);

// NOT_FOUND: the topic has no such cursor.
absl::StatusOr<libbus::CursorInfo> FindCursor(const libbus::Topic& topic, std::string_view name);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_COMMANDS_H_
