// What transform does with one record of the input: exactly one of three things. Pure: the answer depends on the record
// and on the description of the input alone, so that a record read twice after a kill gives the same answer twice.
//
//   form    becomes                                 left out (filtered)             put aside (dead letter)
//   dpkg    names split and tidied, sizes numbers   not installed; sections debug,  not a paragraph; without name,
//   version,
//                                                   oldlibs                         size, e-mail of who maintains it; a
//                                                                                   homepage that no browser opens
//   ndjson  the object without white space          blank lines, empty objects      what does not parse, is no object
//   csv     an object, cells trimmed, empty: null   blank lines, '#' comments       another number of cells, stray
//   quotes text    the line, white space run together      blank lines                     bytes that are no UTF-8,
//   control bytes
#ifndef EXAMPLES_ETL_PARSE_H_
#define EXAMPLES_ETL_PARSE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "examples/etl/split.h"

namespace etl {

struct Outcome {
  enum Kind { kOut, kFiltered, kDead };

  static Outcome Out(std::string key, std::string body) { return {kOut, std::move(key), std::move(body), ""}; }
  static Outcome Filtered(std::string reason) { return {kFiltered, "", "", std::move(reason)}; }
  static Outcome Dead(std::string reason) { return {kDead, "", "", std::move(reason)}; }

  Kind kind = kDead;
  std::string key;
  std::string body;    // kOut: a JSON object in one line
  std::string reason;  // kFiltered, kDead: a few words, the same for all records of its kind
};

class Parser {
 public:
  virtual ~Parser() = default;
  virtual Outcome Parse(std::string_view record) = 0;
};

// `columns`: the line that names the columns of a CSV.
std::unique_ptr<Parser> MakeParser(Form form, std::string_view columns);

std::unique_ptr<Parser> MakeDpkgParser();
std::unique_ptr<Parser> MakeNdjsonParser();
std::unique_ptr<Parser> MakeCsvParser(std::string_view columns);
std::unique_ptr<Parser> MakeTextParser();

// Writes one JSON object.
class JsonObject {
 public:
  JsonObject& Add(std::string_view name, std::string_view value);
  JsonObject& Add(std::string_view name, uint64_t value);
  JsonObject& AddNull(std::string_view name);
  std::string Finish();

 private:
  void Name(std::string_view name);
  std::string text_ = "{";
};

}  // namespace etl

#endif  // EXAMPLES_ETL_PARSE_H_
