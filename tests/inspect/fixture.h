// A bus made by hand, byte by byte, with the functions of format/ alone: what a writer leaves, and what must not be.
#ifndef LIBBUS_TESTS_INSPECT_FIXTURE_H_
#define LIBBUS_TESTS_INSPECT_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/format/batch.h"
#include "libbus/format/record.h"
#include "libbus/format/word.h"
#include "libbus/inspect.h"

namespace libbus::testing {

inline constexpr uint64_t kTestSegmentSize = 4096;

using Spec = format::AttributesSpec<Header>;
inline Spec WithKey(std::string_view key) {
  Spec spec;
  spec.key = key;
  return spec;
}

// The bytes of one segment, appended to record by record.
class SegmentBytes {
 public:
  SegmentBytes(const format::Uuid& uuid, uint64_t base, uint64_t size = kTestSegmentSize);

  // Each returns the position of what it appended.
  uint64_t Data(std::string_view payload, const Spec& spec = {}, uint32_t type = 0);
  // Whatever the flags mean; the checksum covers all of the body.
  uint64_t DataOf(uint8_t flags, std::string_view body);
  // Of a batch: where its frame begins. `inner` gets the positions of its records.
  uint64_t Batch(const std::vector<std::string>& payloads, std::vector<uint64_t>* inner = nullptr);
  uint64_t Reserved(uint32_t length, uint32_t owner);
  uint64_t Gap(uint32_t length, uint32_t owner, uint8_t cause);
  uint64_t End(uint8_t cause = format::kEndRolled);

  // Where the next one will stand.
  uint64_t position() const { return base_ + offset_; }
  std::string& bytes() { return bytes_; }
  // The header names this inode.
  std::string WithInode(uint64_t inode) const;

 private:
  uint64_t PutWord(format::Word word);

  format::TopicSeed seed_;
  uint64_t base_;
  uint64_t offset_ = format::kSegmentHeaderSize;
  std::string bytes_;
};

// A directory of its own with a bus and a topic "t"; removed at the end.
class BusFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::string Path(std::string_view name) const { return directory_ + "/" + std::string(name); }
  std::string TopicPath(std::string_view name) const { return Path("t/") + std::string(name); }
  static std::string SegmentName(uint64_t base);

  // Writes the segment under its name, with the inode of that file.
  void Put(const SegmentBytes& segment, uint64_t base);
  void PutFile(const std::string& path, std::string_view bytes);
  std::string GetFile(const std::string& path);
  // Changes bytes of a file in place.
  void Patch(const std::string& path, uint64_t offset, std::string_view bytes);
  // Writes the control file anew. `change` is done to its record before that gets its checksum.
  void PutControl(format::ControlState state, uint64_t tail,
                  const std::function<void(format::ControlRecord&)>& change = nullptr);
  // One record that counts and two in a range that was sealed off; the END before that range has rotted. Returns where
  // the range begins.
  uint64_t PutSealedOff();
  // Its record names one range that recovery sealed off.
  void PutControlWithEpoch(uint64_t from, uint64_t to, uint8_t cause = format::kEndPowerLoss);

  // The bytes of a mark that a failed sync of the first segment left.
  std::string SyncFailedMark(uint32_t error) const;

  std::vector<Finding> Verify(VerifyReport* report = nullptr);
  std::vector<Finding> Damages();
  std::vector<DumpItem> Dump(const DumpOptions& options = {});
  std::vector<DumpItem> DumpOf(const std::string& file, const DumpOptions& options = {});

  std::string directory_;
  format::Uuid uuid_ = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
};

}  // namespace libbus::testing

#endif  // LIBBUS_TESTS_INSPECT_FIXTURE_H_
