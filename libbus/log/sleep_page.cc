#include "libbus/log/sleep_page.h"

#include "libbus/format/checksum.h"
#include "libbus/log/file_header.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

// OK with true: it has a flipped bit, and can be used all the same.
absl::StatusOr<bool> Check(const platform::File& file, const std::string& path, const format::Uuid& uuid) {
  std::optional<format::FlippedBit> flipped;
  LIBBUS_ASSIGN_OR_RETURN(const auto header,
                          ReadFileHeader<format::SleepFile>(file, path, format::kSleepMagic, "sleep page", &flipped));
  if (header.header.uuid == uuid) return flipped.has_value();
  return absl::DataLossError(fmt::format("{}: belongs to another topic ({})", path, UuidText(header.header.uuid)));
}

// What consumers made of the file does not stop a writer. Its blocks first: a mapped write must find them.
absl::Status Mend(const platform::File& file, const std::string& path, const format::Uuid& uuid) {
  if (const int error = platform::Seam::Allocate(file.fd(), format::kPageSize); error != 0) {
    return platform::ErrnoStatus(error, path, "cannot allocate a page");
  }
  return SleepPage::Write(file, path, uuid);
}

}  // namespace

absl::Status SleepPage::Write(const platform::File& file, const std::string& path, const format::Uuid& uuid) {
  // Mark and help stay as they are: somebody may be asleep.
  format::SleepFile page = {};
  page.header = MakeFileHeader(format::kSleepMagic, uuid);
  page.checksum = format::FileChecksum(page);
  return platform::WriteAt(file, path, 0, &page, offsetof(format::SleepFile, mark));
}

absl::Status SleepPage::Map(const platform::File& directory, const std::string& directory_path,
                            const format::Uuid& uuid, bool writable, platform::BusErrors bus_errors) {
  const std::string path = directory_path + "/sleep";
  LIBBUS_ASSIGN_OR_RETURN(const platform::File file, platform::OpenFileAt(directory, directory_path, "sleep", true));
  const absl::StatusOr<bool> flipped = Check(file, path, uuid);
  absl::Status status = flipped.status();
  if (writable && (!flipped.ok() || *flipped)) status = Mend(file, path, uuid);
  LIBBUS_RETURN_IF_ERROR(status);
  LIBBUS_ASSIGN_OR_RETURN(mapping_, platform::Mapping::Map(file, path, format::kPageSize, true, bus_errors));
  return absl::OkStatus();
}

absl::StatusOr<SleepPage> SleepPage::Open(const platform::File& directory, const std::string& path,
                                          const format::Uuid& uuid, bool writable, platform::BusErrors bus_errors) {
  SleepPage page;
  const absl::Status status = page.Map(directory, path, uuid, writable, bus_errors);
  if (status.ok()) return page;
  // Truncated once more since it was mended: that costs a writer his wake-ups, as if it happened later, and no more.
  if (writable && !absl::IsDataLoss(status)) return status;
  page.own_ = std::shared_ptr<uint64_t[]>(new uint64_t[format::kPageSize / 8]());
  return page;
}

void SleepPage::CallForHelp() const {
  help().Raise();
  platform::Seam::FutexWake(help().futex(), 1, true);
}

}  // namespace libbus::log
