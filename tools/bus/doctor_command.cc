#include <fmt/format.h>
#include <libbus/doctor.h>

#include <algorithm>
#include <memory>

#include "tools/bus/commands.h"
#include "tools/bus/json.h"
#include "tools/bus/output.h"
#include "tools/bus/terminal.h"
#include "tools/bus/text.h"

namespace bustool {
namespace {

using libbus::Diagnosis;
using libbus::DiagnosisLevel;

std::string DiagnosisJson(const Diagnosis& diagnosis) {
  JsonObject object;
  object.Add("level", libbus::DiagnosisLevelName(diagnosis.level)).Add("check", diagnosis.check);
  object.Add("what", diagnosis.what);
  if (!diagnosis.cure.empty()) object.Add("cure", diagnosis.cure);
  return object.Line();
}

Colour ColourOf(DiagnosisLevel level) {
  if (level == DiagnosisLevel::kOk) return Colour::kGreen;
  return level == DiagnosisLevel::kCost ? Colour::kYellow : Colour::kRed;
}

std::string DiagnosisText(const Diagnosis& diagnosis) {
  const std::string level = fmt::format("{:<6}", libbus::DiagnosisLevelName(diagnosis.level));
  std::string out =
      fmt::format("{}  {:<17}  {}\n", Paint(ColourOf(diagnosis.level), level), diagnosis.check, Plain(diagnosis.what));
  if (!diagnosis.cure.empty()) out += fmt::format("{:<27}cure: {}\n", "", Plain(diagnosis.cure));
  return out;
}

// The place that is named, else the bus as every command finds it.
absl::StatusOr<std::string> Place(const Tool& tool, const std::string& path) {
  return path.empty() ? tool.BusPath() : absl::StatusOr<std::string>(path);
}

int Doctor(const Tool& tool, const std::string& path) {
  const auto place = Place(tool, path);
  BUS_FAIL_IF_ERROR(place.status());
  const auto diagnoses = libbus::Diagnose(*place);
  BUS_FAIL_IF_ERROR(diagnoses.status());
  for (const Diagnosis& diagnosis : *diagnoses) {
    Stdout().Write(tool.json ? DiagnosisJson(diagnosis) : DiagnosisText(diagnosis));
  }
  const bool broken = std::any_of(diagnoses->begin(), diagnoses->end(),
                                  [](const Diagnosis& one) { return one.level == DiagnosisLevel::kBroken; });
  return broken ? kFailed : kOk;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Tool& tool) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = Tool::AddCommand(
      app,
      {.name = "doctor",
       .what = "say what a place and the machine mean for a bus",
       .details =
           "Each check is ok, cost (it works, at a price) or broken (something promised does not hold there), with the "
           "cure. Exit code 1 if something is broken. Nothing is changed.",
       .examples = {"bus doctor", "bus doctor /srv/orders.bus --json"}});
  command->add_option("PATH", *path, "a bus, or where one is to be made; none: the bus")->type_name("PATH");
  tool.OnRun(command, [&tool, path] { return Doctor(tool, *path); });
}

}  // namespace bustool
