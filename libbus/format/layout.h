// Every byte that libbus puts on disk: the offset and the size of each field of each file. docs/format.md is the same
// in prose. All integers are little-endian. Nothing here is code: who reads a struct from a file or from shared memory
// treats every field as input.
#ifndef LIBBUS_FORMAT_LAYOUT_H_
#define LIBBUS_FORMAT_LAYOUT_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace libbus::format {

static_assert(std::endian::native == std::endian::little, "the log is shared as it lies in memory: little-endian");

// Bumped when an older library must not touch the file. Features that only newer readers understand are announced in
// `incompatible` (refuse if a bit is unknown) or `compatible` (go on).
inline constexpr uint16_t kFormatVersion = 1;
inline constexpr uint16_t kKnownIncompatible = 0;

inline constexpr uint64_t kPageSize = 4096;

struct Uuid {
  uint8_t bytes[16];
  friend bool operator==(const Uuid&, const Uuid&) = default;
};

// What every file begins with. The last four bytes of each file's header are the CRC32C of all bytes before them.
struct FileHeader {
  uint64_t magic;
  uint16_t version;
  uint16_t incompatible;
  uint16_t compatible;
  uint8_t cause;     // segments: why recovery made it (0: rolled); other files: 0
  uint8_t reserved;  // 0
  Uuid uuid;         // of the topic; in BUS/bus of the bus
};
static_assert(sizeof(FileHeader) == 32);
static_assert(offsetof(FileHeader, version) == 8);
static_assert(offsetof(FileHeader, incompatible) == 10);
static_assert(offsetof(FileHeader, compatible) == 12);
static_assert(offsetof(FileHeader, cause) == 14);
static_assert(offsetof(FileHeader, uuid) == 16);

// The magics read as text in a hex dump: "libbusID", "libbusCT", "libbusLK", "libbusSP", "libbusSG", "libbusCU", ....
inline constexpr uint64_t Magic(char a, char b) {
  return uint64_t{'l'} | uint64_t{'i'} << 8 | uint64_t{'b'} << 16 | uint64_t{'b'} << 24 | uint64_t{'u'} << 32 |
         uint64_t{'s'} << 40 | static_cast<uint64_t>(a) << 48 | static_cast<uint64_t>(b) << 56;
}
inline constexpr uint64_t kBusMagic = Magic('I', 'D');
inline constexpr uint64_t kControlMagic = Magic('C', 'T');
inline constexpr uint64_t kLocksMagic = Magic('L', 'K');
inline constexpr uint64_t kSleepMagic = Magic('S', 'P');
inline constexpr uint64_t kSegmentMagic = Magic('S', 'G');
inline constexpr uint64_t kSyncFailedMagic = Magic('S', 'F');
inline constexpr uint64_t kCursorMagic = Magic('C', 'U');
inline constexpr uint64_t kCursorLockMagic = Magic('C', 'L');
inline constexpr uint64_t kIndexMagic = Magic('I', 'X');

// --- BUS/bus: the identity -------------------------------------------------------------------------------------------
struct BusFile {
  FileHeader header;
  int64_t created;        // ns since 1970
  uint8_t access;         // 0 owner, 1 group, 2 world
  uint8_t reserved[211];  // 0
  uint32_t checksum;
};
static_assert(sizeof(BusFile) == 256);
static_assert(offsetof(BusFile, created) == 32);
static_assert(offsetof(BusFile, access) == 40);
static_assert(offsetof(BusFile, checksum) == 252);

// --- BUS/TOPIC/%020d.seg: a segment ----------------------------------------------------------------------------------
// Positions count the header: the first record of a segment stands at base + 64.
struct SegmentHeader {
  FileHeader header;
  uint64_t base;       // position of the file's first byte
  uint64_t file_size;  // whole pages
  uint64_t inode;      // of this very file, so that a copy is told from the original
  uint32_t epoch;      // in which it was made
  uint32_t checksum;
};
static_assert(sizeof(SegmentHeader) == 64);
static_assert(offsetof(SegmentHeader, base) == 32);
static_assert(offsetof(SegmentHeader, file_size) == 40);
static_assert(offsetof(SegmentHeader, inode) == 48);
static_assert(offsetof(SegmentHeader, epoch) == 56);
static_assert(offsetof(SegmentHeader, checksum) == 60);
inline constexpr uint64_t kSegmentHeaderSize = sizeof(SegmentHeader);

// --- records ---------------------------------------------------------------------------------------------------------
struct RecordHeader {
  uint64_t word;      // see format/word.h
  uint32_t checksum;  // see format/record.h
  uint32_t type;      // the user's
  int64_t timestamp;  // ns since 1970, 0 where the topic stores none
};
static_assert(sizeof(RecordHeader) == 24);
static_assert(offsetof(RecordHeader, checksum) == 8);
static_assert(offsetof(RecordHeader, type) == 12);
static_assert(offsetof(RecordHeader, timestamp) == 16);
inline constexpr uint64_t kRecordHeaderSize = sizeof(RecordHeader);
inline constexpr uint64_t kWordSize = 8;
inline constexpr uint64_t kRecordAlignment = 8;

// Attributes stand between header and payload when the word's kHasAttributes says so: this header, the fixed fields
// whose bits are set in the order of the bits, then the variable ones likewise, then zeros to a multiple of 8.
struct AttributesHeader {
  uint32_t size;    // of all attributes, this header and the padding included; a multiple of 8
  uint32_t fields;  // bits below; unknown higher bits stand behind the known ones and are skipped by size
};
static_assert(sizeof(AttributesHeader) == 8);
inline constexpr uint32_t kFieldPayloadLength = 1u << 0;  // u64: the payload's length, where slack may follow (claims)
inline constexpr uint32_t kFieldSource = 1u << 1;         // u64: position in another topic
inline constexpr uint32_t kFieldProducer = 1u << 2;       // u64 sequence, u32 length, name, padding to 8
inline constexpr uint32_t kFieldKey = 1u << 3;            // u32 length, bytes, padding to 8
inline constexpr uint32_t kFieldHeaders =
    1u << 4;  // u32 bytes, u32 count, then {u32, u32, name, value} each, padding to 8
inline constexpr uint32_t kKnownFields = (1u << 5) - 1;

// A batch is one record whose body is this header, a table of `count` entries, and that many inner records: see
// format/batch.h.
struct BatchHeader {
  uint32_t count;     // of inner records, at least 1
  uint32_t reserved;  // 0
};
static_assert(sizeof(BatchHeader) == 8);
struct BatchEntry {
  uint32_t offset;    // of the inner record, from the start of the frame; a multiple of 8
  uint32_t checksum;  // of the inner record
};
static_assert(sizeof(BatchEntry) == 8);

// --- BUS/TOPIC/control -----------------------------------------------------------------------------------------------
// page 0         ControlHeader: what is fixed when the topic is made
// 16 KiB .. 32   ControlRecord, copy A    two checksummed copies with a counter: the valid one with the higher counter
// 32 KiB .. 48   ControlRecord, copy B    holds; a write goes to the other one and is on disk before the next begins
// 48 KiB         LiveWords                plain shared words, rebuilt by who attaches alone
// 64 KiB         Slot[1024]               slot 0 is never used: owner 0 is nobody
struct ControlHeader {
  FileHeader header;
  int64_t created;        // ns since 1970
  uint64_t segment_size;  // bytes, whole pages
  int64_t claim_timeout;  // ns, 0: never revoke
  uint64_t locks_device;  // the locks file made with the topic
  uint64_t locks_inode;
  uint64_t control_inode;  // of this file
  uint8_t mode;            // kMode...
  uint8_t timestamps;      // 0 coarse, 1 precise, 2 none
  uint8_t checksums;       // 0 on, 1 off (volatile topics only)
  uint8_t sync_policy;     // 0 none, 1 each, 2 by time, 3 by bytes
  uint8_t access;          // 0 owner, 1 group, 2 world
  uint8_t reserved0[3];    // 0
  uint64_t sync_every;     // ns or bytes, as sync_policy says
  uint64_t retain_bytes;   // 0: all
  int64_t retain_age;      // ns, 0: all
  uint8_t reserved[3980];  // 0
  uint32_t checksum;
};
inline constexpr uint8_t kModeShared = 0;     // many producers
inline constexpr uint8_t kModeExclusive = 1;  // one at a time, in slot 1
static_assert(offsetof(ControlHeader, created) == 32);
static_assert(offsetof(ControlHeader, segment_size) == 40);
static_assert(offsetof(ControlHeader, claim_timeout) == 48);
static_assert(offsetof(ControlHeader, locks_device) == 56);
static_assert(offsetof(ControlHeader, locks_inode) == 64);
static_assert(offsetof(ControlHeader, control_inode) == 72);
static_assert(offsetof(ControlHeader, mode) == 80);
static_assert(offsetof(ControlHeader, timestamps) == 81);
static_assert(offsetof(ControlHeader, sync_every) == 88);
static_assert(offsetof(ControlHeader, retain_bytes) == 96);
static_assert(offsetof(ControlHeader, retain_age) == 104);
static_assert(offsetof(ControlHeader, checksum) == 4092);
static_assert(sizeof(ControlHeader) == kPageSize);

enum class ControlState : uint32_t { kNone = 0, kRecovering = 1, kOpen = 2, kClean = 3 };

struct EpochEntry {
  uint32_t number;
  uint8_t cause;
  uint8_t reserved[3];
  uint64_t from;  // the range that recovery sealed off
  uint64_t to;
};
static_assert(sizeof(EpochEntry) == 24);

inline constexpr uint32_t kMaxEpochEntries = 674;
struct ControlRecord {
  uint64_t counter;         // 0: never written
  uint32_t state;           // ControlState
  uint32_t epoch;           // the current one, from 1
  uint64_t tail;            // T of the last CLEAN or recovery
  uint64_t durable;         // D when this was written: a lower bound
  uint8_t boot_id[16];      // binary form of /proc/sys/kernel/random/boot_id when OPEN was written
  uint64_t device;          // st_dev of the topic's files then
  uint64_t mount;           // unique mount id then, 0 where the kernel tells none
  uint64_t first_position;  // retention: the oldest record kept, 0: nothing was ever deleted
  uint64_t first_sequence;  // and its ordinal, with kCountedOverDamage perhaps
  uint64_t state_counter;   // the counter of the last write that changed more than `durable`
  uint32_t cause;           // RECOVERING: the kEnd... cause with which it seals; 0: it has continuity
  uint32_t was_clean;       // RECOVERING of an adopted copy: 1 if its record said CLEAN, with this T
  uint64_t reserved[10];    // 0
  uint32_t epoch_entries;
  uint32_t checksum;  // over all before it, and the first epoch_entries entries
  EpochEntry epochs[kMaxEpochEntries];
  uint8_t padding[24];
};
static_assert(offsetof(ControlRecord, state) == 8);
static_assert(offsetof(ControlRecord, epoch) == 12);
static_assert(offsetof(ControlRecord, tail) == 16);
static_assert(offsetof(ControlRecord, durable) == 24);
static_assert(offsetof(ControlRecord, boot_id) == 32);
static_assert(offsetof(ControlRecord, device) == 48);
static_assert(offsetof(ControlRecord, mount) == 56);
static_assert(offsetof(ControlRecord, epoch_entries) == 176);
static_assert(offsetof(ControlRecord, checksum) == 180);
static_assert(offsetof(ControlRecord, epochs) == 184);

inline constexpr uint64_t kControlCopyOffset[2] = {16384, 32768};
inline constexpr uint64_t kControlCopySize = 16384;
static_assert(offsetof(ControlRecord, first_position) == 64);
static_assert(offsetof(ControlRecord, first_sequence) == 72);
static_assert(offsetof(ControlRecord, state_counter) == 80);
static_assert(offsetof(ControlRecord, cause) == 88);
static_assert(sizeof(ControlRecord) == kControlCopySize);

// Words that many processes change while they run; each on a cache line of its own unless one process writes both.
// None is trusted without a check, none matters after the last process is gone.
inline constexpr uint64_t kLiveOffset = 49152;
struct LiveWords {
  alignas(64) uint64_t tail_hint;  // start of a committed record
  alignas(64) uint64_t durable;    // D
  uint64_t sync_started;
  uint64_t sync_done;
  uint64_t known_tail;                    // the highest tail that a sync has found: no word before it is FREE
  alignas(64) uint64_t sync_event;        // futex (low half): raised after every sync, failed ones too
  alignas(64) uint64_t owner_generation;  // exclusive topics: +1 whenever a producer takes the topic
  alignas(64) uint64_t name_durable;      // base of the newest segment whose name is on disk
  alignas(64) uint64_t attach_pid;        // who recovers, 0: nobody
  alignas(64) uint64_t sync_failed;       // base + 1 of the oldest segment whose sync failed, 0: none
  // Counts since the topic was made, for people: nothing hangs on them, and anything may stand there.
  alignas(64) uint64_t wakes;  // wake-ups called for sleepers on a record word, whether or not anybody slept
  uint64_t woken;              // ... that found a sleeper
  uint64_t gaps;               // claims that became gaps
  uint64_t repairs;            // ... because their owner was dead or stalled, those of recoveries included
  uint64_t measured_syncs;     // syncs of which it is known how much they wrote
  uint64_t measured_bytes;     // what they wrote of the segments
  uint64_t reserved[2];
};
static_assert(offsetof(LiveWords, durable) == 64);
static_assert(offsetof(LiveWords, sync_started) == 72);
static_assert(offsetof(LiveWords, sync_done) == 80);
static_assert(offsetof(LiveWords, known_tail) == 88);
static_assert(offsetof(LiveWords, sync_event) == 128);
static_assert(offsetof(LiveWords, owner_generation) == 192);
static_assert(offsetof(LiveWords, name_durable) == 256);
static_assert(offsetof(LiveWords, attach_pid) == 320);
static_assert(offsetof(LiveWords, sync_failed) == 384);
static_assert(offsetof(LiveWords, wakes) == 448);
static_assert(offsetof(LiveWords, woken) == 456);
static_assert(offsetof(LiveWords, gaps) == 464);
static_assert(offsetof(LiveWords, repairs) == 472);
static_assert(offsetof(LiveWords, measured_syncs) == 480);
static_assert(offsetof(LiveWords, measured_bytes) == 488);
static_assert(sizeof(LiveWords) == 512);

// One producer handle. The holder of byte `owner` of the locks file writes it.
inline constexpr uint32_t kSlots = 1024;
inline constexpr uint64_t kSlotsOffset = 65536;
struct Slot {
  uint64_t floor;       // where its open walk or claim began, 0: none (no record stands at 0)
  uint64_t keep_alive;  // counts ClaimedRecord::KeepAlive
  uint64_t pid;         // in the holder's own pid namespace: for people, never for proof
  uint64_t since;       // ns since 1970
  uint64_t name[3];     // ProducerOptions::name, padded with zeros
  uint64_t fences;      // exclusive topics: 1: its holder fences each commit itself, 0: sleepers have to (membarrier)
};
static_assert(sizeof(Slot) == 64);
static_assert(offsetof(Slot, keep_alive) == 8);
static_assert(offsetof(Slot, pid) == 16);
static_assert(offsetof(Slot, since) == 24);
static_assert(offsetof(Slot, name) == 32);
static_assert(offsetof(Slot, fences) == 56);

// Exclusive topics have this slot and no other.
inline constexpr uint32_t kExclusiveOwner = 1;

inline constexpr uint64_t kControlSize = kSlotsOffset + kSlots * sizeof(Slot);
static_assert(kControlSize == 131072);

// --- BUS/TOPIC/locks: only the locks on its bytes matter, and its inode
// ------------------------------------------------
inline constexpr int64_t kAttachByte = 0;    // read lock: a writer is attached; write lock: alone
                                             // 1 .. 1023: the holder of that slot
inline constexpr int64_t kSyncByte = 1024;   // write lock: syncs for all who wait
inline constexpr int64_t kOpenByte = 1025;   // read lock: attached, and the log was found or made whole
inline constexpr int64_t kIndexByte = 1026;  // write lock: appends to the index
struct LocksFile {
  FileHeader header;
  uint8_t reserved[28];
  uint32_t checksum;
};
static_assert(sizeof(LocksFile) == 64);
static_assert(offsetof(LocksFile, checksum) == 60);
inline constexpr uint64_t kLocksSize = kPageSize;

// --- BUS/TOPIC/sleep: what consumers may write. Nothing in it is believed
// ----------------------------------------------
// A consumer, for people. A write lock on the first byte of an entry says that its consumer lives; who holds it writes
// the entry. See log/consumer_table.h.
struct ConsumerEntry {
  uint64_t pid;        // in its own pid namespace; 0: nobody
  uint64_t since;      // when it was opened, ns since 1970
  uint64_t position;   // up to where it has read, or a little less
  uint64_t idle;       // since when it finds nothing to read there, ns since 1970; 0: it finds something
  uint64_t waits_for;  // kWaitsFor...
  uint64_t cursor;     // low half: CRC32C of its cursor's name, high half: its length; 0: none
  uint64_t name[2];    // what its process is called, padded with zeros
};
static_assert(sizeof(ConsumerEntry) == 64);
static_assert(offsetof(ConsumerEntry, since) == 8);
static_assert(offsetof(ConsumerEntry, position) == 16);
static_assert(offsetof(ConsumerEntry, idle) == 24);
static_assert(offsetof(ConsumerEntry, waits_for) == 32);
static_assert(offsetof(ConsumerEntry, cursor) == 40);
static_assert(offsetof(ConsumerEntry, name) == 48);
inline constexpr uint64_t kWaitsForNothing = 0;  // it is not inside a call that waits
inline constexpr uint64_t kWaitsForRecord = 1;
inline constexpr uint64_t kWaitsForSync = 2;

inline constexpr uint32_t kConsumerEntries = 60;
struct SleepFile {
  FileHeader header;
  uint8_t reserved0[28];
  uint32_t checksum;            // of the 60 bytes before it
  alignas(64) uint64_t mark;    // the highest position anyone slept on; never lowered
  alignas(64) uint64_t help;    // futex (low half): raised by read-only consumers that wait for somebody
  alignas(64) uint64_t sleeps;  // how often a consumer went to sleep in the kernel
  uint64_t unlisted;            // how many consumers found no free entry
  alignas(64) ConsumerEntry consumers[kConsumerEntries];
};
static_assert(sizeof(SleepFile) == kPageSize);
static_assert(offsetof(SleepFile, checksum) == 60);
static_assert(offsetof(SleepFile, mark) == 64);
static_assert(offsetof(SleepFile, help) == 128);
static_assert(offsetof(SleepFile, sleeps) == 192);
static_assert(offsetof(SleepFile, unlisted) == 200);
static_assert(offsetof(SleepFile, consumers) == 256);

// --- BUS/TOPIC/%020d.failed: the segment of that base could not be synced
// ----------------------------------------------
struct SyncFailedFile {
  FileHeader header;
  uint64_t base;   // of the segment
  int64_t time;    // ns since 1970
  uint32_t error;  // errno of the sync that failed; 0: what was written does not stand there any more
  uint8_t reserved[8];
  uint32_t checksum;
};
static_assert(sizeof(SyncFailedFile) == 64);
static_assert(offsetof(SyncFailedFile, base) == 32);
static_assert(offsetof(SyncFailedFile, time) == 40);
static_assert(offsetof(SyncFailedFile, error) == 48);
static_assert(offsetof(SyncFailedFile, checksum) == 60);

// --- BUS/TOPIC/cursors/NAME: a named read position -------------------------------------------------------------------
// page 0   CursorHeader             written once, when the cursor is made
// page 1   CursorRecord, copy A     two checksummed copies with a counter: the valid one with the higher counter holds.
// page 2   CursorRecord, copy B     What is not synced goes to the copy that is not the one known to be on disk
struct CursorHeader {
  FileHeader header;
  int64_t created;         // ns since 1970
  uint8_t reserved[4052];  // 0
  uint32_t checksum;
};
static_assert(sizeof(CursorHeader) == kPageSize);
static_assert(offsetof(CursorHeader, created) == 32);
static_assert(offsetof(CursorHeader, checksum) == 4092);

inline constexpr uint64_t kUnknownSequence = UINT64_MAX;
struct CursorRecord {
  uint64_t counter;   // of commits; 0: never written
  uint64_t position;  // where the next record will be read
  uint64_t sequence;  // its ordinal, or kUnknownSequence
  int64_t time;       // of the commit, ns since 1970
  uint32_t epoch;     // in which the ordinal was counted: in another one it may be another
  uint32_t checksum;  // see format/cursor.h
};
static_assert(sizeof(CursorRecord) == 40);
static_assert(offsetof(CursorRecord, position) == 8);
static_assert(offsetof(CursorRecord, sequence) == 16);
static_assert(offsetof(CursorRecord, time) == 24);
static_assert(offsetof(CursorRecord, epoch) == 32);
static_assert(offsetof(CursorRecord, checksum) == 36);

inline constexpr uint64_t kCursorCopyOffset[2] = {4096, 8192};
inline constexpr uint64_t kCursorSize = 12288;

// --- BUS/TOPIC/cursors/NAME.lock: the lock on its first byte matters; the rest is for people -------------------------
inline constexpr int64_t kCursorByte = 0;  // write lock: the consumer that holds the cursor
struct CursorLockFile {
  FileHeader header;
  uint64_t pid;   // in the holder's own pid namespace: for people, never for proof
  int64_t since;  // ns since 1970
  uint8_t reserved[12];
  uint32_t checksum;
};
static_assert(sizeof(CursorLockFile) == 64);
static_assert(offsetof(CursorLockFile, pid) == 32);
static_assert(offsetof(CursorLockFile, since) == 40);
static_assert(offsetof(CursorLockFile, checksum) == 60);
// --- BUS/TOPIC/index: what stands at some of the positions below D ---------------------------------------------------
// So that not every search reads the whole log. Behind the header one IndexEntry after the other, in the order of their
// positions, about every 64 KiB of log.
// A cache: whoever finds anything wrong in it goes on without it.
struct IndexHeader {
  FileHeader header;
  uint64_t inode;  // of this very file: an index that was copied tells of another log
  uint8_t reserved[20];
  uint32_t checksum;
};
static_assert(sizeof(IndexHeader) == 64);
static_assert(offsetof(IndexHeader, inode) == 32);
static_assert(offsetof(IndexHeader, checksum) == 60);

// Set in a stored sequence: somewhere before it damage hides how many records there were, and counts as one.
inline constexpr uint64_t kCountedOverDamage = uint64_t{1} << 63;

struct IndexEntry {
  uint64_t position;  // of a DATA or GAP word
  uint64_t sequence;  // of what stands there, with kCountedOverDamage perhaps
  int64_t before;     // the highest timestamp of all records before it; INT64_MIN: there is none
  uint32_t reserved;  // 0
  uint32_t checksum;  // see format/index.h
};
static_assert(sizeof(IndexEntry) == 32);
static_assert(offsetof(IndexEntry, sequence) == 8);
static_assert(offsetof(IndexEntry, before) == 16);
static_assert(offsetof(IndexEntry, checksum) == 28);

// Lengths.
inline constexpr uint64_t kMaxLength = 0xFFFFFFFF;  // of attributes, payload and slack together
// Of a batch frame, its header included: each offset in its table has 32 bits.
inline constexpr uint64_t kMaxBatchSize = 0xFFFFFFF8;

inline constexpr uint64_t AlignUp(uint64_t n, uint64_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }

}  // namespace libbus::format

#endif  // LIBBUS_FORMAT_LAYOUT_H_
