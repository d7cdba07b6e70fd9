#include "libbus/log/recovery_table.h"

#include <algorithm>
#include <array>

namespace libbus::log {
namespace {

const std::array kCases = {
    RecoveryCase{"record", {Standing::kData}, {}, {}, Action::kKeep, "a committed record", "kept"},
    RecoveryCase{"rotten record",
                 {Standing::kDataRotten},
                 {},
                 {},
                 Action::kNote,
                 "the word survived and the bytes did not: bit rot, or from D on a page that was not written in time",
                 "kept as it is, stepped over by its length; every reader reports it as a gap (damage)"},
    RecoveryCase{"rotten in a batch",
                 {Standing::kBatchTorn},
                 {Trust::kDurable, Trust::kMet, Trust::kContinuity},
                 {},
                 Action::kNote,
                 "bit rot: the word and the table of a batch survived, and the bytes of a record in it did not",
                 "kept as it is; every reader reports that record alone as a gap (damage)"},
    RecoveryCase{"torn batch",
                 {Standing::kBatchTorn},
                 {Trust::kNone},
                 {},
                 Action::kMakeTorn,
                 "a power loss before all pages of a batch were written: its table is whole, a record in it is not",
                 "DATA -> GAP(torn): all of it, because a batch that was not durable counts whole or not at all; every "
                 "reader reports it as a possible loss"},
    RecoveryCase{"gap", {Standing::kGap}, {}, {}, Action::kKeep, "a claim that was given up", "kept"},
    RecoveryCase{"end",
                 {Standing::kEndLinked},
                 {},
                 {},
                 Action::kNext,
                 "a full or sealed segment",
                 "the walk goes on in the next one"},
    RecoveryCase{"end without next",
                 {Standing::kEndUnlinked},
                 {Trust::kDurable, Trust::kMet, Trust::kContinuity},
                 {},
                 Action::kTail,
                 "the newest segment file was removed by hand",
                 "the tail is here; the next producer makes the segment"},
    RecoveryCase{"end without next, no continuity",
                 {Standing::kEndUnlinked},
                 {Trust::kNone},
                 {},
                 Action::kRoll,
                 "a power loss between the end of a segment and the name of the next, or a copy without it",
                 "sealed already: the log goes on in a new segment"},
    RecoveryCase{"dead claim",
                 {Standing::kReserved},
                 {Trust::kMet, Trust::kContinuity},
                 {},
                 Action::kMakeDead,
                 "a producer died between reserve and commit",
                 "RESERVED -> GAP(dead): nothing was acknowledged, nothing is lost"},
    RecoveryCase{"torn claim",
                 {Standing::kReserved},
                 {Trust::kDurable, Trust::kNone},
                 {},
                 Action::kMakeTorn,
                 "a producer died between reserve and commit, or the disk has an older state of a committed record",
                 "RESERVED -> GAP(torn): every reader reports it as a possible loss"},
    RecoveryCase{"tail",
                 {Standing::kFree},
                 {Trust::kContinuity},
                 {Rest::kZeros},
                 Action::kTail,
                 "where the log ends after a kill",
                 "the tail is here: appending goes on in place"},
    RecoveryCase{"hole, record follows",
                 {Standing::kFree, Standing::kBad},
                 {Trust::kDurable, Trust::kMet, Trust::kContinuity},
                 {Rest::kRecord},
                 Action::kSkip,
                 "damage in the middle of a segment: a kill tears nothing, so something else did",
                 "the bytes stay; every reader reports them as a gap (damage); the walk goes on at the record"},
    RecoveryCase{"hole, segment follows",
                 {Standing::kFree, Standing::kBad},
                 {Trust::kDurable, Trust::kMet, Trust::kContinuity},
                 {Rest::kSegment},
                 Action::kSkip,
                 "damage behind the last good record of a segment that was left for the next one",
                 "the bytes stay; every reader reports them as a gap (damage); the walk goes on in the next segment"},
    RecoveryCase{
        "lost",
        {Standing::kFree, Standing::kBad},
        {Trust::kDurable, Trust::kMet},
        {Rest::kZeros, Rest::kDebris},
        Action::kSeal,
        "the disk lost what it had confirmed, a page that it refused was dropped, or somebody overwrote the end of the "
        "log",
        "END(damage): from here to the end of the segment every reader reports a gap; the log goes on in a new "
        "segment"},
    RecoveryCase{"damaged tail",
                 {Standing::kBad},
                 {Trust::kContinuity},
                 {Rest::kZeros},
                 Action::kSeal,
                 "the word at the tail rotted",
                 "END(damage) over it: the log goes on in a new segment"},
    RecoveryCase{"debris",
                 {Standing::kFree, Standing::kBad},
                 {Trust::kContinuity},
                 {Rest::kDebris},
                 Action::kSeal,
                 "bytes behind the tail that are no record",
                 "END(damage): nothing is appended over bytes; the log goes on in a new segment"},
    RecoveryCase{
        "cut",
        {Standing::kFree, Standing::kBad},
        {Trust::kNone},
        {},
        Action::kSeal,
        "where the log ends after a power loss, a lost mount or in a copy: what was not durable may be missing "
        "from here on, and old bytes may come back",
        "END(cause), over a bad word too: from here to the end of the segment every reader reports a gap; the "
        "log goes on in a new segment"},
};

template <typename T>
bool Has(const std::vector<T>& list, T value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

bool Takes(const RecoveryCase& row, Standing standing, Trust trust, Rest rest) {
  return Has(row.standing, standing) && (row.trust.empty() || Has(row.trust, trust)) &&
         (row.rest.empty() || Has(row.rest, rest));
}

}  // namespace

std::span<const RecoveryCase> RecoveryCases() { return kCases; }

const RecoveryCase& FindCase(Standing standing, Trust trust, Rest rest) {
  return *std::find_if(kCases.begin(), kCases.end(),
                       [&](const RecoveryCase& row) { return Takes(row, standing, trust, rest); });
}

}  // namespace libbus::log
