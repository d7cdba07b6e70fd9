// What is in the data, asked of the database that load has written.
#include <fmt/format.h>

#include <algorithm>

#include "examples/etl/database.h"
#include "examples/etl/report.h"

namespace etl {
namespace {

// So many rows are looked at: enough for a picture.
constexpr int kSample = 100'000;

constexpr const char* kPackages = R"sql(
CREATE VIEW IF NOT EXISTS packages AS SELECT
  number, generation, key AS package,
  json_extract(body, '$.version') AS version, json_extract(body, '$.architecture') AS architecture,
  json_extract(body, '$.section') AS section, json_extract(body, '$.installed_kib') AS installed_kib,
  json_extract(body, '$.maintainer') AS maintainer, json_extract(body, '$.email') AS email,
  json_extract(body, '$.depends') AS depends, json_extract(body, '$.synopsis') AS synopsis
FROM records;
CREATE TEMP TABLE sample AS SELECT * FROM packages WHERE generation = 0;
)sql";

// A package may stand in more than one list.
constexpr const char* kSums = R"sql(
SELECT count(*), count(DISTINCT package), (SELECT sum(kib) FROM
  (SELECT max(installed_kib) AS kib FROM sample GROUP BY package)), count(DISTINCT email) FROM sample)sql";
constexpr const char* kSections = R"sql(
SELECT section, count(*), printf('%.1f GiB', sum(installed_kib) / 1048576.0) FROM sample
WHERE section <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 8)sql";
constexpr const char* kBiggest = R"sql(
SELECT package || ' ' || version, max(installed_kib) / 1024, synopsis FROM sample
GROUP BY package ORDER BY 2 DESC, 1 LIMIT 5)sql";
constexpr const char* kNeedy = R"sql(
SELECT package, max(depends), synopsis FROM sample GROUP BY package ORDER BY 2 DESC, 1 LIMIT 3)sql";
constexpr const char* kMaintainers = R"sql(
SELECT maintainer, count(*), '' FROM sample GROUP BY email ORDER BY 2 DESC, 1 LIMIT 5)sql";
constexpr const char* kFields = R"sql(
SELECT each.key, count(*), 'for example ' || coalesce(max(each.value), 'null') FROM sample, json_each(sample.body) AS each
GROUP BY 1 ORDER BY 2 DESC, min(each.id) LIMIT 12)sql";
constexpr const char* kLongest = R"sql(
SELECT json_extract(body, '$.text'), json_extract(body, '$.words'), '' FROM sample ORDER BY 2 DESC, number LIMIT 5)sql";

// A text that may be longer than its column, cut between characters.
std::string Cut(const std::string& raw, size_t width) {
  std::string text = Printable(raw);
  if (text.size() <= width) return text;
  size_t end = width - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

uint64_t Most(const std::vector<uint64_t>& counts) {
  return counts.empty() ? 1 : std::max<uint64_t>(counts.front(), 1);
}

// Prints the rows label, count, note of a query; the first has the highest count.
void PrintQuery(Database& database, std::string_view title, const char* sql) {
  Statement query(database, sql);
  std::vector<uint64_t> counts;
  fmt::print("\n  {}\n", title);
  while (query.Step()) {
    counts.push_back(static_cast<uint64_t>(query.Int(1)));
    const auto bar = static_cast<size_t>(16 * counts.back() / Most(counts));
    PrintLine(fmt::format("    {:<40} {:>9}  {:<16}  {}", Cut(query.Text(0), 40), Grouped(counts.back()),
                          std::string(bar, '#'), Cut(query.Text(2), 44)));
  }
}

void PrintPackages(Database& database) {
  database.Run(kPackages);
  Statement sums(database, kSums);
  sums.Step();
  fmt::print("\n  {} paragraphs about {} packages by {} maintainers; installed, all of them take {:.1f} GiB\n",
             Grouped(static_cast<uint64_t>(sums.Int(0))), Grouped(static_cast<uint64_t>(sums.Int(1))),
             Grouped(static_cast<uint64_t>(sums.Int(3))), static_cast<double>(sums.Int(2)) / 1048576.0);
  PrintQuery(database, "sections by number of packages", kSections);
  PrintQuery(database, "the biggest packages, in MiB", kBiggest);
  PrintQuery(database, "those that depend on most others", kNeedy);
  PrintQuery(database, "the busiest maintainers, in packages", kMaintainers);
}

void PrintSampled(Database& database, std::string_view title, const char* sql) {
  database.Run(fmt::format("CREATE TEMP TABLE sample AS SELECT number, body FROM records WHERE generation = 0 LIMIT {}",
                           kSample));
  PrintQuery(database, title, sql);
}

}  // namespace

void PrintData(const std::string& path, Form form) {
  Database database(path);
  fmt::print("\nWhat is in the data\n");
  if (form == Form::kDpkg) return PrintPackages(database);
  if (form == Form::kText) return PrintSampled(database, "the lines with most words", kLongest);
  PrintSampled(database, "fields, and in how many records they stand", kFields);
}

}  // namespace etl
