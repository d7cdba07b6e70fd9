// A thin skin over SQLite, and the one table of the pipeline. Errors end the process, as with Must().
#ifndef EXAMPLES_ETL_DATABASE_H_
#define EXAMPLES_ETL_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace etl {

class Database;

// A prepared statement that is run again and again.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);

  // Parameters count from 1. A text must live until the next Step().
  Statement& Bind(int index, int64_t value);
  Statement& Bind(int index, std::string_view value);
  // True: there is a row, to be read by Int() and Text(). False: done, and ready to be run again.
  bool Step();
  int64_t Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::string Text(int column) const;

 private:
  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
};

class Database {
 public:
  // Opens the file, and makes it and its tables when they are not there.
  explicit Database(const std::string& path);

  void Run(const std::string& sql);
  sqlite3* get() const { return database_.get(); }

 private:
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> database_;
};

}  // namespace etl

#endif  // EXAMPLES_ETL_DATABASE_H_
