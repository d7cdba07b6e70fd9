#include "libbus/log/new_topic.h"

#include <functional>

#include "libbus/format/control.h"
#include "libbus/log/access.h"
#include "libbus/log/cursor_directory.h"
#include "libbus/log/file_header.h"
#include "libbus/log/sleep_page.h"
#include "libbus/platform/status.h"

namespace libbus::log {
namespace {

using platform::File;

class SmallFiles {
 public:
  SmallFiles(const File& directory, const std::string& path, const NewTopic& topic)
      : directory_(directory), path_(path), topic_(topic) {}

  absl::Status Make() const {
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity locks, MakeLocks());
    LIBBUS_RETURN_IF_ERROR(MakeSleep());
    LIBBUS_RETURN_IF_ERROR(MakeCursorsDirectory(directory_, path_, access()));
    return Create("control", format::kControlSize, ModesOf(access()).file,
                  [&](const File& file, const std::string& path) { return FillControl(file, path, locks); })
        .status();
  }

 private:
  uint8_t access() const { return topic_.header->access; }
  const format::Uuid& uuid() const { return topic_.header->header.uuid; }

  absl::StatusOr<File> Create(const std::string& name, uint64_t size, uint32_t mode,
                              const std::function<absl::Status(const File&, const std::string&)>& fill) const {
    const std::string path = path_ + "/" + name;
    return platform::CreateWhole(directory_, path_, name, size, mode,
                                 [&](const File& file) { return fill(file, path); });
  }

  absl::StatusOr<platform::FileIdentity> MakeLocks() const {
    const auto fill = [&](const File& file, const std::string& path) {
      format::LocksFile locks = {};
      locks.header = MakeFileHeader(format::kLocksMagic, uuid());
      locks.checksum = format::FileChecksum(locks);
      return platform::WriteAt(file, path, 0, &locks, sizeof(locks));
    };
    LIBBUS_ASSIGN_OR_RETURN(const File file, Create("locks", format::kLocksSize, kLocksMode, fill));
    return platform::Identify(file, path_ + "/locks");
  }

  absl::Status MakeSleep() const {
    const auto fill = [&](const File& file, const std::string& path) { return SleepPage::Write(file, path, uuid()); };
    return Create("sleep", format::kPageSize, ModesOf(access()).sleep, fill).status();
  }

  absl::Status FillControl(const File& file, const std::string& path, const platform::FileIdentity& locks) const {
    LIBBUS_ASSIGN_OR_RETURN(const platform::FileIdentity identity, platform::Identify(file, path));
    const auto header = std::make_unique<format::ControlHeader>(*topic_.header);
    header->locks_device = locks.device;
    header->locks_inode = locks.inode;
    header->control_inode = identity.inode;
    header->checksum = format::FileChecksum(*header);
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, 0, header.get(), sizeof(*header)));
    const auto record = std::make_unique<format::ControlRecord>(*topic_.record);
    record->counter = 1;
    record->state_counter = 1;
    record->checksum = *format::ControlRecordChecksum(*record);
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, format::kLiveOffset, &topic_.live, sizeof(topic_.live)));
    LIBBUS_RETURN_IF_ERROR(platform::WriteAt(file, path, format::kControlCopyOffset[1], record.get(), sizeof(*record)));
    // The other one too: a place that was never written is not safe to write (platform::TakenForUnwritten).
    const auto none = std::make_unique<format::ControlRecord>();
    return platform::WriteAt(file, path, format::kControlCopyOffset[0], none.get(), sizeof(*none));
  }

  const File& directory_;
  const std::string& path_;
  const NewTopic& topic_;
};

}  // namespace

absl::Status MakeSmallFiles(const File& directory, const std::string& path, const NewTopic& topic) {
  return SmallFiles(directory, path, topic).Make();
}

}  // namespace libbus::log
