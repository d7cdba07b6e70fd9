#include "examples/etl/database.h"

#include <fmt/format.h>

#include "examples/etl/common.h"

namespace etl {
namespace {

// WAL with synchronous=NORMAL: a transaction survives kill -9 the moment it is committed.
// `records` has no unique number on purpose: a row that came twice would be seen.
constexpr const char* kSchema = R"sql(
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS records(
  id INTEGER PRIMARY KEY,       -- in the order in which they were loaded
  number INTEGER NOT NULL,      -- of the input's record
  generation INTEGER NOT NULL,  -- how often the input had been repeated before
  key TEXT NOT NULL,
  body TEXT NOT NULL);          -- JSON
CREATE TABLE IF NOT EXISTS state(
  one INTEGER PRIMARY KEY CHECK (one = 1),
  position INTEGER NOT NULL,    -- in the topic clean: the next record to load
  finished INTEGER NOT NULL);   -- the end of the input was reached
)sql";

void Check(sqlite3* database, int result) {
  if (result != SQLITE_OK) Die(fmt::format("{}: {}", sqlite3_db_filename(database, "main"), sqlite3_errmsg(database)));
}

sqlite3* OpenFile(const std::string& path) {
  sqlite3* database = nullptr;
  Check(database, sqlite3_open(path.c_str(), &database));
  // Whoever reads beside us holds the file for moments only.
  Check(database, sqlite3_busy_timeout(database, 10'000));
  return database;
}

sqlite3_stmt* Prepare(sqlite3* database, std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  Check(database, sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement, nullptr));
  return statement;
}

}  // namespace

Statement::Statement(Database& database, std::string_view sql)
    : database_(database.get()), statement_(Prepare(database.get(), sql), sqlite3_finalize) {}

Statement& Statement::Bind(int index, int64_t value) {
  Check(database_, sqlite3_bind_int64(statement_.get(), index, value));
  return *this;
}

Statement& Statement::Bind(int index, std::string_view value) {
  const char* text = value.empty() ? "" : value.data();  // a view of nothing would be NULL
  Check(database_, sqlite3_bind_text(statement_.get(), index, text, static_cast<int>(value.size()), SQLITE_STATIC));
  return *this;
}

bool Statement::Step() {
  if (sqlite3_step(statement_.get()) == SQLITE_ROW) return true;
  Check(database_, sqlite3_reset(statement_.get()));
  return false;
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return std::string(text == nullptr ? "" : text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

Database::Database(const std::string& path) : database_(OpenFile(path), sqlite3_close) { Run(kSchema); }

void Database::Run(const std::string& sql) {
  Check(database_.get(), sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr));
}

}  // namespace etl
