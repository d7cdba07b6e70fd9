#include "libbus/inspect/judge.h"

namespace libbus {

std::string_view DiagnosisLevelName(DiagnosisLevel level) {
  constexpr std::string_view kNames[] = {"ok", "cost", "broken"};
  return kNames[static_cast<size_t>(level)];
}

namespace inspect {

std::vector<Diagnosis> Judge(const Facts& facts) {
  std::vector<Diagnosis> out;
  JudgePlace(facts, out);
  JudgeMachine(facts, out);
  return out;
}

}  // namespace inspect

absl::StatusOr<std::vector<Diagnosis>> Diagnose(const std::string& path) {
  const auto facts = inspect::GatherFacts(path);
  if (!facts.ok()) return facts.status();
  return inspect::Judge(*facts);
}

}  // namespace libbus
