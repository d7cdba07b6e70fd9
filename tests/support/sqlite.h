// A SQLite database, for tests that compare: errors are told as a status.
#ifndef LIBBUS_TESTS_SUPPORT_SQLITE_H_
#define LIBBUS_TESTS_SUPPORT_SQLITE_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace libbus::test {

// One connection. Not thread-safe.
class Sqlite {
 public:
  static absl::StatusOr<std::unique_ptr<Sqlite>> Open(const std::string& path) {
    std::unique_ptr<Sqlite> made(new Sqlite);
    if (sqlite3_open(path.c_str(), &made->handle_) != SQLITE_OK) return made->Error("open " + path);
    return made;
  }
  ~Sqlite() { sqlite3_close(handle_); }
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;

  // What a column of a result row has, as text (or bytes).
  using Row = std::vector<std::string>;

  // Runs one statement; `?1` is `number`, `?2` is `bytes`. Each row of its result goes to `row`.
  absl::Status Run(const char* sql, int64_t number = 0, std::string_view bytes = {},
                   const std::function<void(const Row&)>& row = {}) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(handle_, sql, -1, &statement, nullptr) != SQLITE_OK) return Error(sql);
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, &sqlite3_finalize);
    const int parameters = sqlite3_bind_parameter_count(statement);
    if (parameters > 0) sqlite3_bind_int64(statement, 1, number);
    if (parameters > 1) {
      sqlite3_bind_blob(statement, 2, bytes.empty() ? "" : bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
    }
    int result = SQLITE_ROW;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
      if (row) row(Columns(statement));
    }
    return result == SQLITE_DONE ? absl::OkStatus() : Error(sql);
  }

 private:
  Sqlite() = default;

  absl::Status Error(const std::string& what) const {
    return absl::InternalError("SQLite: " + what + ": " + sqlite3_errmsg(handle_));
  }
  static Row Columns(sqlite3_stmt* statement) {
    Row row;
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(statement, i));
      row.emplace_back(bytes == nullptr ? "" : bytes, static_cast<size_t>(sqlite3_column_bytes(statement, i)));
    }
    return row;
  }

  sqlite3* handle_ = nullptr;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_SQLITE_H_
