// Texts that belong to no single command. bus(1) and libbus(7) are made from them too.
#ifndef LIBBUS_TOOLS_BUS_GUIDES_H_
#define LIBBUS_TOOLS_BUS_GUIDES_H_

#include <string>
#include <vector>

namespace bustool {

struct Section {
  std::string title;  // empty: none
  std::string text;   // as CommandText::details
};

struct Guide {
  std::string name;
  std::string what;
  std::vector<Section> sections;
};

// What `bus help` can explain beside the commands: ranges, formats, exit codes, ..., libbus.
const std::vector<Guide>& Guides();
// REQUIRES: there is one of this name.
const Guide& GuideOf(const std::string& name);

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_GUIDES_H_
