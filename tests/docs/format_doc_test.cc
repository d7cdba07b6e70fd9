// docs/format.md and the code say the same: every byte table of the page is compared with the compiled structs, every
// list of values with the constants, and the example is decoded by a reader written from the page alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "libbus/format/control.h"
#include "libbus/format/layout.h"
#include "libbus/format/word.h"
#include "tests/docs/format_page.h"
#include "tests/docs/format_reader.h"

namespace libbus::format {
namespace {

struct Field {
  std::string name;
  uint64_t offset;
  uint64_t size;
  friend bool operator==(const Field&, const Field&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Field& f) {
    return out << f.name << " at " << f.offset << ", " << f.size << " bytes";
  }
};

struct Struct {
  uint64_t size = 0;
  std::vector<Field> fields;
};
using Structs = std::map<std::string, Struct>;

// --- as compiled -----------------------------------------------------------------------------------------------------

#define FIELD(s, f) \
  Field { #f, offsetof(s, f), sizeof(s::f) }

Structs CompiledStructs() {
  Structs all;
  all["FileHeader"] = {
      sizeof(FileHeader),
      {FIELD(FileHeader, magic), FIELD(FileHeader, version), FIELD(FileHeader, incompatible),
       FIELD(FileHeader, compatible), FIELD(FileHeader, cause), FIELD(FileHeader, reserved), FIELD(FileHeader, uuid)}};
  all["BusFile"] = {sizeof(BusFile),
                    {FIELD(BusFile, header), FIELD(BusFile, created), FIELD(BusFile, access), FIELD(BusFile, reserved),
                     FIELD(BusFile, checksum)}};
  all["SegmentHeader"] = {sizeof(SegmentHeader),
                          {FIELD(SegmentHeader, header), FIELD(SegmentHeader, base), FIELD(SegmentHeader, file_size),
                           FIELD(SegmentHeader, inode), FIELD(SegmentHeader, epoch), FIELD(SegmentHeader, checksum)}};
  all["RecordHeader"] = {sizeof(RecordHeader),
                         {FIELD(RecordHeader, word), FIELD(RecordHeader, checksum), FIELD(RecordHeader, type),
                          FIELD(RecordHeader, timestamp)}};
  all["AttributesHeader"] = {sizeof(AttributesHeader),
                             {FIELD(AttributesHeader, size), FIELD(AttributesHeader, fields)}};
  all["BatchHeader"] = {sizeof(BatchHeader), {FIELD(BatchHeader, count), FIELD(BatchHeader, reserved)}};
  all["BatchEntry"] = {sizeof(BatchEntry), {FIELD(BatchEntry, offset), FIELD(BatchEntry, checksum)}};
  all["ControlHeader"] = {
      sizeof(ControlHeader),
      {FIELD(ControlHeader, header), FIELD(ControlHeader, created), FIELD(ControlHeader, segment_size),
       FIELD(ControlHeader, claim_timeout), FIELD(ControlHeader, locks_device), FIELD(ControlHeader, locks_inode),
       FIELD(ControlHeader, control_inode), FIELD(ControlHeader, mode), FIELD(ControlHeader, timestamps),
       FIELD(ControlHeader, checksums), FIELD(ControlHeader, sync_policy), FIELD(ControlHeader, access),
       FIELD(ControlHeader, reserved0), FIELD(ControlHeader, sync_every), FIELD(ControlHeader, retain_bytes),
       FIELD(ControlHeader, retain_age), FIELD(ControlHeader, reserved), FIELD(ControlHeader, checksum)}};
  all["ControlRecord"] = {
      sizeof(ControlRecord),
      {FIELD(ControlRecord, counter), FIELD(ControlRecord, state), FIELD(ControlRecord, epoch),
       FIELD(ControlRecord, tail), FIELD(ControlRecord, durable), FIELD(ControlRecord, boot_id),
       FIELD(ControlRecord, device), FIELD(ControlRecord, mount), FIELD(ControlRecord, first_position),
       FIELD(ControlRecord, first_sequence), FIELD(ControlRecord, state_counter), FIELD(ControlRecord, cause),
       FIELD(ControlRecord, was_clean), FIELD(ControlRecord, reserved), FIELD(ControlRecord, epoch_entries),
       FIELD(ControlRecord, checksum), FIELD(ControlRecord, epochs), FIELD(ControlRecord, padding)}};
  all["EpochEntry"] = {sizeof(EpochEntry),
                       {FIELD(EpochEntry, number), FIELD(EpochEntry, cause), FIELD(EpochEntry, reserved),
                        FIELD(EpochEntry, from), FIELD(EpochEntry, to)}};
  all["LiveWords"] = {sizeof(LiveWords),
                      {FIELD(LiveWords, tail_hint), FIELD(LiveWords, durable), FIELD(LiveWords, sync_started),
                       FIELD(LiveWords, sync_done), FIELD(LiveWords, known_tail), FIELD(LiveWords, sync_event),
                       FIELD(LiveWords, owner_generation), FIELD(LiveWords, name_durable), FIELD(LiveWords, attach_pid),
                       FIELD(LiveWords, sync_failed), FIELD(LiveWords, wakes), FIELD(LiveWords, woken),
                       FIELD(LiveWords, gaps), FIELD(LiveWords, repairs), FIELD(LiveWords, measured_syncs),
                       FIELD(LiveWords, measured_bytes), FIELD(LiveWords, reserved)}};
  all["Slot"] = {sizeof(Slot),
                 {FIELD(Slot, floor), FIELD(Slot, keep_alive), FIELD(Slot, pid), FIELD(Slot, since), FIELD(Slot, name),
                  FIELD(Slot, fences)}};
  all["LocksFile"] = {sizeof(LocksFile),
                      {FIELD(LocksFile, header), FIELD(LocksFile, reserved), FIELD(LocksFile, checksum)}};
  all["SyncFailedFile"] = {
      sizeof(SyncFailedFile),
      {FIELD(SyncFailedFile, header), FIELD(SyncFailedFile, base), FIELD(SyncFailedFile, time),
       FIELD(SyncFailedFile, error), FIELD(SyncFailedFile, reserved), FIELD(SyncFailedFile, checksum)}};
  all["IndexHeader"] = {sizeof(IndexHeader),
                        {FIELD(IndexHeader, header), FIELD(IndexHeader, inode), FIELD(IndexHeader, reserved),
                         FIELD(IndexHeader, checksum)}};
  all["IndexEntry"] = {sizeof(IndexEntry),
                       {FIELD(IndexEntry, position), FIELD(IndexEntry, sequence), FIELD(IndexEntry, before),
                        FIELD(IndexEntry, reserved), FIELD(IndexEntry, checksum)}};
  all["SleepFile"] = {
      sizeof(SleepFile),
      {FIELD(SleepFile, header), FIELD(SleepFile, reserved0), FIELD(SleepFile, checksum), FIELD(SleepFile, mark),
       FIELD(SleepFile, help), FIELD(SleepFile, sleeps), FIELD(SleepFile, unlisted), FIELD(SleepFile, consumers)}};
  all["ConsumerEntry"] = {sizeof(ConsumerEntry),
                          {FIELD(ConsumerEntry, pid), FIELD(ConsumerEntry, since), FIELD(ConsumerEntry, position),
                           FIELD(ConsumerEntry, idle), FIELD(ConsumerEntry, waits_for), FIELD(ConsumerEntry, cursor),
                           FIELD(ConsumerEntry, name)}};
  all["CursorHeader"] = {sizeof(CursorHeader),
                         {FIELD(CursorHeader, header), FIELD(CursorHeader, created), FIELD(CursorHeader, reserved),
                          FIELD(CursorHeader, checksum)}};
  all["CursorRecord"] = {sizeof(CursorRecord),
                         {FIELD(CursorRecord, counter), FIELD(CursorRecord, position), FIELD(CursorRecord, sequence),
                          FIELD(CursorRecord, time), FIELD(CursorRecord, epoch), FIELD(CursorRecord, checksum)}};
  all["CursorLockFile"] = {sizeof(CursorLockFile),
                           {FIELD(CursorLockFile, header), FIELD(CursorLockFile, pid), FIELD(CursorLockFile, since),
                            FIELD(CursorLockFile, reserved), FIELD(CursorLockFile, checksum)}};
  return all;
}

#undef FIELD

// --- as declared: the names in layout.h, so that a field added there is missed here
// -----------------------------------

// "  uint8_t name[3];  // why" as "name"; empty for any other line.
std::string MemberName(std::string line) {
  line = line.substr(0, line.find("//"));
  if (const size_t at = line.find("alignas(64) "); at != std::string::npos) line.erase(0, at + 12);
  std::istringstream in(line);
  std::string type, name, more;
  in >> type >> name;
  if (in >> more || name.find(';') == std::string::npos || type.find('(') != std::string::npos) return "";
  return name.substr(0, name.find_first_of("[;"));
}

std::map<std::string, std::vector<std::string>> DeclaredNames() {
  std::map<std::string, std::vector<std::string>> all;
  std::string current;
  for (const std::string& line : SourceLines("libbus/format/layout.h")) {
    char name[64];
    if (std::sscanf(line.c_str(), "struct %63[A-Za-z] {", name) == 1) current = name;
    if (line.starts_with("};")) current.clear();
    if (current.empty() || !line.starts_with("  ")) continue;
    if (const std::string member = MemberName(line); !member.empty()) all[current].push_back(member);
  }
  all.erase("Uuid");
  return all;
}

// --- as documented ---------------------------------------------------------------------------------------------------

bool IsNumber(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

// Tables under a heading "### `Name` (N bytes)". Rows named "-" are padding.
Structs DocumentedStructs() {
  Structs all;
  std::string current;
  for (const std::string& line : PageLines()) {
    char name[64];
    unsigned long long size = 0;
    if (line.starts_with("#")) current.clear();
    if (std::sscanf(line.c_str(), "### `%63[A-Za-z]` (%llu bytes)", name, &size) == 2) {
      current = name;
      all[current].size = size;
    }
    const std::vector<std::string> cells = Cells(line);
    if (current.empty() || cells.size() < 3 || !IsNumber(cells[0]) || !IsNumber(cells[1])) continue;
    all[current].fields.push_back({cells[2], std::stoull(cells[0]), std::stoull(cells[1])});
  }
  return all;
}

TEST(FormatDocTest, EveryStructHasItsTable) {
  std::vector<std::string> declared, compiled, documented;
  for (const auto& [name, names] : DeclaredNames()) declared.push_back(name);
  for (const auto& [name, bytes] : CompiledStructs()) compiled.push_back(name);
  for (const auto& [name, bytes] : DocumentedStructs()) documented.push_back(name);
  EXPECT_EQ(compiled, declared);
  EXPECT_EQ(documented, declared);
}

TEST(FormatDocTest, ThisTestKnowsEveryField) {
  const auto declared = DeclaredNames();
  for (const auto& [name, bytes] : CompiledStructs()) {
    std::vector<std::string> names;
    for (const Field& field : bytes.fields) names.push_back(field.name);
    ASSERT_TRUE(declared.count(name)) << name;
    EXPECT_EQ(names, declared.at(name)) << name;
  }
}

TEST(FormatDocTest, ByteTablesAreThoseOfTheCode) {
  const Structs documented = DocumentedStructs();
  for (const auto& [name, bytes] : CompiledStructs()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(documented.count(name));
    EXPECT_EQ(documented.at(name).size, bytes.size);
    std::vector<Field> named = documented.at(name).fields;
    std::erase_if(named, [](const Field& field) { return field.name == "-"; });
    EXPECT_EQ(named, bytes.fields);
  }
}

TEST(FormatDocTest, ByteTablesLeaveNothingOut) {
  for (const auto& [name, bytes] : DocumentedStructs()) {
    uint64_t at = 0;
    for (const Field& field : bytes.fields) {
      EXPECT_EQ(field.offset, at) << name << ": " << field;
      at = field.offset + field.size;
    }
    EXPECT_EQ(at, bytes.size) << name;
  }
}

// --- values ----------------------------------------------------------------------------------------------------------

std::string Hex(State state) {
  char text[3];
  std::snprintf(text, sizeof(text), "%02X", static_cast<unsigned>(state));
  return text;
}

TEST(FormatDocTest, States) {
  const Rows expected = {{"FREE", Hex(State::kFree)}, {"RESERVED", Hex(State::kReserved)},
                         {"DATA", Hex(State::kData)}, {"GAP", Hex(State::kGap)},
                         {"END", Hex(State::kEnd)},   {"INNER", Hex(State::kInner)}};
  EXPECT_EQ(Table("state"), expected);
}

TEST(FormatDocTest, FlagsAndAttributes) {
  const auto bit = [](uint32_t mask) { return std::to_string(std::countr_zero(mask)); };
  const Rows flags = {{"attributes", bit(kHasAttributes)}, {"batch", bit(kBatch)}};
  EXPECT_EQ(Table("flag"), flags);
  const Rows fields = {{"payload length", bit(kFieldPayloadLength)},
                       {"source", bit(kFieldSource)},
                       {"producer", bit(kFieldProducer)},
                       {"key", bit(kFieldKey)},
                       {"headers", bit(kFieldHeaders)}};
  EXPECT_EQ(Table("attribute"), fields);
  EXPECT_EQ(kKnownFields, 31u);
  for (int flags = 0; flags < 64; ++flags) {
    const bool known = flags == 0 || flags == kHasAttributes || flags == kBatch;
    EXPECT_EQ(MakeWord({1}, 64, State::kData, static_cast<uint8_t>(flags), 1, 0).is_newer(), !known) << flags;
  }
}

TEST(FormatDocTest, Causes) {
  const auto number = [](uint8_t cause) { return std::to_string(cause); };
  const Rows gaps = {{"dead", number(kGapDead)},
                     {"revoked", number(kGapRevoked)},
                     {"aborted", number(kGapAborted)},
                     {"torn", number(kGapTorn)}};
  EXPECT_EQ(Table("gap cause"), gaps);
  const Rows ends = {{"rolled", number(kEndRolled)}, {"power loss", number(kEndPowerLoss)},
                     {"copied", number(kEndCopied)}, {"other mount", number(kEndOtherMount)},
                     {"damage", number(kEndDamage)}, {"sync failed", number(kEndSyncFailed)}};
  EXPECT_EQ(Table("end cause"), ends);
}

TEST(FormatDocTest, ControlStates) {
  const auto number = [](ControlState state) { return std::to_string(static_cast<uint32_t>(state)); };
  const Rows expected = {{"NONE", number(ControlState::kNone)},
                         {"RECOVERING", number(ControlState::kRecovering)},
                         {"OPEN", number(ControlState::kOpen)},
                         {"CLEAN", number(ControlState::kClean)}};
  EXPECT_EQ(Table("control state"), expected);
}

TEST(FormatDocTest, Magics) {
  std::vector<std::string> documented;
  for (const auto& [magic, file] : Table("magic")) documented.push_back(magic);
  std::vector<std::string> compiled;
  for (uint64_t magic : {kBusMagic, kControlMagic, kLocksMagic, kSleepMagic, kSegmentMagic, kIndexMagic, kCursorMagic,
                         kCursorLockMagic, kSyncFailedMagic}) {
    compiled.emplace_back(reinterpret_cast<const char*>(&magic), 8);
  }
  EXPECT_EQ(documented, compiled);
}

TEST(FormatDocTest, PartsOfTheControlFile) {
  const auto row = [](uint64_t from, uint64_t to) { return std::pair{std::to_string(from), std::to_string(to)}; };
  const Rows expected = {row(0, sizeof(ControlHeader)),
                         row(sizeof(ControlHeader), kControlCopyOffset[0]),
                         row(kControlCopyOffset[0], kControlCopyOffset[0] + kControlCopySize),
                         row(kControlCopyOffset[1], kControlCopyOffset[1] + kControlCopySize),
                         row(kLiveOffset, kLiveOffset + sizeof(LiveWords)),
                         row(kLiveOffset + sizeof(LiveWords), kSlotsOffset),
                         row(kSlotsOffset, kControlSize)};
  EXPECT_EQ(Table("from"), expected);
}

TEST(FormatDocTest, BytesOfTheLocksFile) {
  const Rows table = Table("byte");
  ASSERT_EQ(table.size(), 5u);
  EXPECT_EQ(table[4].first, std::to_string(kIndexByte));
  EXPECT_EQ(table[3].first, std::to_string(kOpenByte));
  EXPECT_EQ(table[0].first, std::to_string(kAttachByte));
  EXPECT_EQ(table[1].first, "1 to " + std::to_string(kMaxOwner));
  EXPECT_EQ(table[2].first, std::to_string(kSyncByte));
}

// Each bit of the word belongs to the field of whose range it is.
TEST(FormatDocTest, BitsOfTheWord) {
  const std::map<std::string, uint64_t (*)(Word)> fields = {
      {"state", [](Word w) { return uint64_t(w.state()); }},   {"flags", [](Word w) { return uint64_t{w.flags()}; }},
      {"owner", [](Word w) { return uint64_t{w.owner()}; }},   {"check", [](Word w) { return uint64_t{w.check()}; }},
      {"length", [](Word w) { return uint64_t{w.length()}; }},
  };
  int bits = 0;
  for (const auto& [range, name] : Table("bits")) {
    ASSERT_TRUE(fields.count(name)) << name;
    const int first = std::stoi(range);
    const int last = std::stoi(range.substr(range.find('-') + 1));
    for (int bit = first; bit <= last; ++bit, ++bits) {
      for (const auto& [other, get] : fields) {
        EXPECT_EQ(get(Word(uint64_t{1} << bit)), other == name ? uint64_t{1} << (bit - first) : 0)
            << other << ' ' << bit;
      }
    }
  }
  EXPECT_EQ(bits, 64);
}

TEST(FormatDocTest, CheckValueOfTheCrc) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%08X", Crc32c(~0u, "123456789", 9));
  EXPECT_NE(Page().find(std::string("\"123456789\") = ") + text), std::string::npos) << text;
}

// --- the example -----------------------------------------------------------------------------------------------------

constexpr const char* kExampleFile = "tests/golden/v1/events/00000000000000000000.seg";

TEST(FormatDocTest, ExampleIsARealFile) {
  const ReaderOutcome hex = RunReader("hex", SourcePath(kExampleFile));
  ASSERT_EQ(hex.exit_code, 0) << hex.output;
  EXPECT_EQ(Block("hexdump"), hex.output) << "see tests/golden/make_golden_main.cc";
}

TEST(FormatDocTest, ExampleSaysWhatThePageSays) {
  const ReaderOutcome found = RunReader("example", SourcePath("docs/format.md"));
  ASSERT_EQ(found.exit_code, 0) << found.output;
  EXPECT_EQ(found.output, Block("json"));
}

std::string FromHex(const std::string& text) {
  std::istringstream in(text);
  std::string bytes;
  for (unsigned byte; in >> std::hex >> byte;) bytes.push_back(static_cast<char>(byte));
  return bytes;
}

TEST(FormatDocTest, ExampleByteByByte) {
  std::ifstream in(SourcePath(kExampleFile), std::ios::binary);
  const std::string file(std::istreambuf_iterator<char>(in), {});
  size_t at = 0;
  for (const auto& [offset, hex] : Table("at")) {
    const std::string bytes = FromHex(hex);
    EXPECT_EQ(std::stoul(offset, nullptr, 16), at);
    EXPECT_EQ(file.substr(at, bytes.size()), bytes) << "at " << offset;
    at += bytes.size();
  }
  EXPECT_EQ(at, 0x200u);
  EXPECT_EQ(file.find_first_not_of('\0', at), std::string::npos) << "and zeros to the end";
}

constexpr const char* kBatchFile = "tests/golden/v1-batch/batches/00000000000000000000.seg";

TEST(FormatDocTest, ExampleOfABatchIsARealFile) {
  const ReaderOutcome hex = RunReader("hex", SourcePath(kBatchFile));
  ASSERT_EQ(hex.exit_code, 0) << hex.output;
  EXPECT_EQ(Block("batch-hexdump"), hex.output) << "see tests/golden/make_golden_batch_main.cc";
}

TEST(FormatDocTest, ExampleOfABatchByteByByte) {
  std::ifstream in(SourcePath(kBatchFile), std::ios::binary);
  const std::string file(std::istreambuf_iterator<char>(in), {});
  size_t at = 0x60;
  for (const auto& [offset, hex] : Table("batch at")) {
    const std::string bytes = FromHex(hex);
    EXPECT_EQ(std::stoul(offset, nullptr, 16), at);
    EXPECT_EQ(file.substr(at, bytes.size()), bytes) << "at " << offset;
    at += bytes.size();
  }
  EXPECT_EQ(at, 0x130u);
}

// Each line "result = crc(register, bytes)  what", and that the results are those of the record.
TEST(FormatDocTest, ExampleStepByStep) {
  std::vector<uint32_t> results;
  for (const std::string& line : PageLines()) {
    unsigned result = 0, start = 0;
    int read = 0;
    if (std::sscanf(line.c_str(), "%8x = crc(%8x, %n", &result, &start, &read) != 2) continue;
    const std::string text = line.substr(static_cast<size_t>(read), line.find(") ") - static_cast<size_t>(read));
    const std::string bytes = text.starts_with('"') ? text.substr(1, text.size() - 2) : FromHex(text);
    results.push_back(Crc32c(start, bytes.data(), bytes.size()));
    EXPECT_EQ(results.back(), result) << line;
  }
  ASSERT_EQ(results.size(), 7u);
  const TopicSeed seed{results[0]};
  EXPECT_EQ(MakeWord(seed, 88, State::kData, 0, 1, 12).bits(), 0x0000000c84004033u);
  EXPECT_EQ(static_cast<uint8_t>(results[2] ^ results[2] >> 7 ^ results[2] >> 22), 0x84);
  EXPECT_EQ(results[6], 0x6c5a59e6u);
}

TEST(FormatDocTest, EveryLinkLeadsToAHeading) {
  std::vector<std::string> anchors;
  for (const std::string& line : PageLines()) {
    if (!line.starts_with("#")) continue;
    std::string anchor;
    for (const char c : line.substr(line.find(' ') + 1)) {
      if (c == ' ') anchor += '-';
      if (std::isalnum(static_cast<unsigned char>(c)) || c == '-') anchor += static_cast<char>(std::tolower(c));
    }
    anchors.push_back(anchor);
  }
  const std::string page = Page();
  int links = 0;
  for (size_t at = page.find("](#"); at != std::string::npos; at = page.find("](#", at + 1), ++links) {
    const std::string target = page.substr(at + 3, page.find(')', at) - at - 3);
    EXPECT_NE(std::find(anchors.begin(), anchors.end(), target), anchors.end()) << target;
  }
  EXPECT_GT(links, 15);
}

}  // namespace
}  // namespace libbus::format
