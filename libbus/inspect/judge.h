// What facts mean for who uses a bus there. Pure: nothing is read but the facts.
#ifndef LIBBUS_INSPECT_JUDGE_H_
#define LIBBUS_INSPECT_JUDGE_H_

#include <vector>

#include "libbus/doctor.h"
#include "libbus/inspect/facts.h"

namespace libbus::inspect {

// In the order of docs/doctor.md.
std::vector<Diagnosis> Judge(const Facts& facts);

// --- its two halves ---
void JudgePlace(const Facts& facts, std::vector<Diagnosis>& out);
void JudgeMachine(const Facts& facts, std::vector<Diagnosis>& out);

}  // namespace libbus::inspect

#endif  // LIBBUS_INSPECT_JUDGE_H_
