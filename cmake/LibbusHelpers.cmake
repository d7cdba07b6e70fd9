# What all targets of this tree share.

# The warnings of our own code; nothing of it reaches who uses the library. Options are meant for designated initialisers,
# where the fields left out are the point.
function(libbus_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wconversion -Wno-missing-field-initializers $<$<BOOL:${LIBBUS_WERROR}>:-Werror>)
endfunction()

# CRC32C in hardware. On the library it is PUBLIC, because its inline checksum stands in headers.
function(libbus_machine target)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(${target} PUBLIC -msse4.2)
  endif()
endfunction()

# A library from the sources of libbus/. Called once for the product, and once more for the tests that replace the seam.
function(libbus_library target)
  add_library(${target} STATIC ${ARGN})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target}
    PUBLIC absl::status absl::statusor absl::time
    PRIVATE fmt::fmt PkgConfig::isal Boost::headers Threads::Threads)
  libbus_warnings(${target})
  libbus_machine(${target})
endfunction()

# True in `result` if a line of `file` matches `regex`. Configures again when the file changes.
function(libbus_file_matches result file regex)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} lines REGEX "${regex}" LIMIT_COUNT 1)
  if(lines)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()
