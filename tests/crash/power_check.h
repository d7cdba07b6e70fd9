// What must be true of a topic after a power cut, whatever the image.
#ifndef LIBBUS_TESTS_CRASH_POWER_CHECK_H_
#define LIBBUS_TESTS_CRASH_POWER_CHECK_H_

#include <absl/status/status.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "libbus/bus.h"
#include "tests/crash/power_control.h"
#include "tests/crash/power_ledger.h"
#include "tests/crash/power_reading.h"
#include "tests/crash/power_store.h"
#include "tests/crash/power_workload.h"

namespace libbus::test {

// What was counted, and what was wrong. Nothing but numbers: of several processes they are added up.
struct Counts {
  uint64_t drawn = 0;      // images
  uint64_t images = 0;     // of these, in which a sector was older than what was there at the cut: only these count
  uint64_t records = 0;    // read and compared
  uint64_t durable = 0;    // acknowledged as durable, and looked for
  uint64_t missing = 0;    // committed, not acknowledged as durable, and gone: allowed, if a gap says so
  uint64_t not_loss = 0;   // of these: the gap says that nothing was lost (a dead claim)
  uint64_t recut = 0;      // images of a power cut during or after the recovery from another
  uint64_t within = 0;     // of these: in the middle of that recovery
  uint64_t third = 0;      // images of the third power cut in a row
  uint64_t went_on = 0;    // power cuts behind which all producers went on before the next
  uint64_t epochs = 0;     // that rose
  uint64_t trimmed = 0;    // images in which the beginning was deleted
  uint64_t cursors = 0;    // looked at
  uint64_t in_gaps = 0;    // of these: stood in a gap
  uint64_t read_only = 0;  // images read before their recovery

  uint64_t batches = 0;     // looked for
  uint64_t no_batches = 0;  // of these: nothing of it is there

  uint64_t parted = 0;   // batches of which a part was read
  uint64_t lost = 0;     // acknowledged as durable, and gone or different
  uint64_t phantom = 0;  // read, and never published there
  uint64_t silent = 0;   // committed and gone, and no gap says so
  uint64_t changed = 0;  // read twice, and not the same
  uint64_t reused = 0;   // a position that was used twice
  uint64_t control = 0;  // the control record, or its list of epochs, was wrong
  uint64_t cursor = 0;   // a cursor stood, or went on, where it must not
  uint64_t refused = 0;  // something failed that must not

  uint64_t wrong() const { return parted + lost + phantom + silent + changed + reused + control + cursor + refused; }

  void Add(const Counts& other) {
    std::array<uint64_t, sizeof(Counts) / sizeof(uint64_t)> sum = {};
    auto more = sum;
    std::memcpy(sum.data(), this, sizeof(sum));
    std::memcpy(more.data(), &other, sizeof(more));
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
    std::memcpy(this, sum.data(), sizeof(sum));
  }
};
static_assert(std::is_trivially_copyable_v<Counts> && sizeof(Counts) % sizeof(uint64_t) == 0);

struct Tally : Counts {
  std::vector<std::string> messages;  // the first few of each kind of wrong
};

// For seam_control.boot_id: one that was not there since ForgetBoots().
uint32_t NextBoot();
void ForgetBoots();

// A power cut, or (same_boot) a kill, at some moment of a history.
struct Cut {
  const History& history;
  uint32_t boot;  // of that history
  Moment moment;
  Mix mix;
  bool same_boot = false;           // the kernel goes on: with Mix::kNew, a kill of all processes
  const Known& known;               // what is known at that moment
  const Reading* before = nullptr;  // what a recovery before that had left, if it was over
  std::string where = {};           // names it in messages
  int depth = 0;                    // cuts before it
  const Image* start = nullptr;     // in the middle of a recovery: what that found
};

// Puts the image of a cut in place, reads it, recovers it, goes on there for a while, and looks at everything.
class CutCheck {
 public:
  CutCheck(std::string bus_path, PowerStore& store, Random& random, Tally& tally)
      : bus_path_(std::move(bus_path)), store_(store), random_(random), tally_(tally) {}

  // False: the image is just what was there at the cut; nothing was checked (unless it is a cut after another).
  bool Check(const Cut& cut);

 private:
  absl::Status RecoverAndGoOn(const Cut& cut, const Image& image, bool again);
  absl::Status OpenAndRead(std::unique_ptr<Writer>& writer, Reading& reading);
  // What was read while nobody could write, is read after the recovery as well.
  absl::Status ReadOnly(const Cut& cut);
  void Judge(const Cut& cut);
  void JudgeBatches(const Facts& facts, const Reading& reading, std::string_view when);
  void JudgeMissing(uint64_t position, const Fact& fact);
  // The log begins where it may, and says what was deleted.
  absl::Status JudgeFirst(const Known& known, Topic& topic);
  // What stands on the disk, before anything else is done.
  void JudgeImage(const Cut& cut, const Image& image);
  // The control record behind the recovery, with what readers are told.
  void JudgeEpochs(const Cut& cut, const Image& image);
  void JudgeEntry(const format::EpochEntry& entry);
  absl::Status JudgeCursors(const Known& known, Topic& topic);
  // `fresh`: what stands there may be deleted.
  void JudgeCursor(const std::string& name, uint64_t position, bool fresh, Reading read);
  // What is known after the recovery.
  Known KnownAfter(const Cut& cut) const;
  absl::Status PublishMore(Writer& writer);
  // All producers and cursors go on for a while.
  absl::Status WorkOn(std::unique_ptr<Writer>& writer);
  void CheckUnused(const Facts& facts, const Published& record);
  void CheckNew(const Reading& reading, uint64_t first);
  void CutAgain(const Cut& cut, const Image& image, const History& history);
  void CutOnceMore(const Cut& cut, const Image& image, const History& history, Moment moment, bool same_boot);
  bool Chance(uint32_t of) { return random_() % of == 0; }
  void Wrong(uint64_t& count, std::string_view kind, const std::string& what);

  const std::string bus_path_;
  PowerStore& store_;
  Random& random_;
  Tally& tally_;
  std::string where_;

  Reading read_only_;        // read before the recovery
  Reading recovered_;        // read after it
  uint32_t boot_ = 0;        // in which it ran
  uint64_t first_ = 0;       // where the log began then
  ControlFacts control_;     // of then
  Known after_;              // what was known then
  Moment recovery_end_ = 0;  // when that was
  Ledger ledger_;            // published after that
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_CHECK_H_
