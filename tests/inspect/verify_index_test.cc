// What verify says of an index, made byte by byte.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "libbus/format/index.h"
#include "tests/inspect/fixture.h"

namespace libbus::testing {
namespace {

constexpr int64_t kTime = 1'700'000'000'000'000'000;  // of all records of the fixture
constexpr std::string_view kNotUsed =
    ": it is not used: the next writer makes it anew, or delete it: nothing else is lost";

class VerifyIndexTest : public BusFixture {
 protected:
  // Three records and the index of the second and the third.
  void SetUp() override {
    BusFixture::SetUp();
    SegmentBytes segment(uuid_, 0);
    segment.Data("one");
    second_ = segment.Data("two");
    third_ = segment.Data("three");
    Put(segment, 0);
    PutControl(format::ControlState::kClean, segment.position());
    entries_ = {{second_, 1, kTime, 0, 0}, {third_, 2, kTime, 0, 0}};
    PutIndex();
  }

  // Writes entries_, with right checksums. `change` is done to the header before that gets its own.
  void PutIndex(const std::function<void(format::IndexHeader&)>& change = nullptr) {
    PutFile(Index(), "");
    struct stat status;
    ASSERT_EQ(::stat(Index().c_str(), &status), 0);
    format::IndexHeader header = {};
    header.header.magic = format::kIndexMagic;
    header.header.version = format::kFormatVersion;
    header.header.uuid = uuid_;
    header.inode = status.st_ino;
    if (change) change(header);
    header.checksum = format::FileChecksum(header);
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    const auto seed = format::TopicSeed::Of(uuid_);
    for (size_t i = 0; i < entries_.size(); ++i) {
      format::IndexEntry entry = entries_[i];
      entry.checksum = format::IndexChecksum(seed, i, entry);
      bytes.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
    }
    PutFile(Index(), bytes);
  }

  std::string Index() const { return TopicPath("index"); }

  void ExpectOne(bool damage, const std::string& what) {
    SCOPED_TRACE(what);
    const auto findings = Verify();
    ASSERT_EQ(findings.size(), 1u);
    EXPECT_EQ(findings[0].damage, damage);
    EXPECT_EQ(findings[0].file, Index());
    EXPECT_EQ(findings[0].what, what);
  }

  std::vector<format::IndexEntry> entries_;
  uint64_t second_ = 0;
  uint64_t third_ = 0;
};

TEST_F(VerifyIndexTest, ARightOneHasNoFindings) {
  EXPECT_TRUE(Verify().empty());
  entries_[0].before = INT64_MAX;
  PutIndex();
  EXPECT_TRUE(Verify().empty()) << "later than need be: a search only begins earlier, and that is right";
}

TEST_F(VerifyIndexTest, AnotherSequenceIsDamage) {
  entries_[1].sequence = 3;
  PutIndex();
  ExpectOne(true, fmt::format("its entry for position {} says sequence 3, and it is 2: delete the index", third_));
  EXPECT_EQ(Verify()[0].reader, "a search may lead to another record; the log itself is whole");
  EXPECT_EQ(Verify()[0].position->offset, third_);
  entries_[1].sequence |= format::kCountedOverDamage;
  PutIndex();
  EXPECT_TRUE(Verify().empty()) << "counted over damage, and says so: no promise";
}

TEST_F(VerifyIndexTest, ALaterTimestampBeforeItIsDamage) {
  entries_[0].before = kTime - 1;
  PutIndex();
  ExpectOne(true,
            fmt::format("its entry for position {} says nothing before it is later than {}, and {} is: delete the "
                        "index",
                        second_, kTime - 1, kTime));
}

TEST_F(VerifyIndexTest, EntriesOutOfOrderAreComparedAllTheSame) {
  std::swap(entries_[0], entries_[1]);
  PutIndex();
  EXPECT_TRUE(Verify().empty());
  entries_[0].sequence = 9;
  PutIndex();
  EXPECT_EQ(Damages().size(), 1u);
}

TEST_F(VerifyIndexTest, EntriesThatLeadNowhereAreANote) {
  entries_[0].position += 8;
  entries_.push_back({uint64_t{1} << 40, 99, kTime, 0, 0});
  PutIndex();
  ExpectOne(false, "2 entries lead to no record (deleted, or damaged since): they are passed over");
}

TEST_F(VerifyIndexTest, OneEntryThatLeadsNowhereIsSaidOfOne) {
  entries_[0].position += 8;
  PutIndex();
  ExpectOne(false, "1 entry leads to no record (deleted, or damaged since): it is passed over");
}

TEST_F(VerifyIndexTest, EntriesThatDoNotVerifyAreANote) {
  Patch(Index(), 64 + 8, "X");
  ExpectOne(false, "1 of 2 entries do not verify: the next writer makes it anew, or delete it: nothing else is lost");
  PutIndex();
  const std::string bytes = GetFile(Index());
  PutFile(Index(), bytes.substr(0, 64) + bytes.substr(96, 32) + bytes.substr(64, 32));
  ExpectOne(false, "2 of 2 entries do not verify: the next writer makes it anew, or delete it: nothing else is lost");
}

TEST_F(VerifyIndexTest, APartOfAnEntryIsNothing) {
  PutFile(Index(), GetFile(Index()).substr(0, 64 + 32 + 31));
  EXPECT_TRUE(Verify().empty());
}

TEST_F(VerifyIndexTest, OneThatIsNotUsedIsANoteWhateverItSays) {
  entries_[1].sequence = 3;  // would be damage
  const auto not_used = [&](const std::string& why) { ExpectOne(false, why + std::string(kNotUsed)); };
  PutIndex([](auto& header) { ++header.inode; });
  not_used("a copy");
  PutIndex([](auto& header) { header.header.uuid.bytes[0] ^= 1; });
  not_used("of another topic");
  PutIndex();
  Patch(Index(), 40, "X");
  not_used("the header's checksum is wrong");
  PutFile(Index(), "");
  not_used("too short for a header");
  PutFile(Index(), std::string(128, '\0'));
  not_used("begins with zeros");
}

TEST_F(VerifyIndexTest, OfANewerVersionIsAnError) {
  PutIndex([](auto& header) { header.header.version = format::kFormatVersion + 1; });
  const auto result = VerifyTopic(directory_, "t", [](const Finding&) { return true; });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnimplemented) << result.status();
}

}  // namespace
}  // namespace libbus::testing
