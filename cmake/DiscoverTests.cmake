# Read by ctest, not by CMake: asks a test program for its cases and registers each under <room>.<file>.<Case>, so that
# every case is a process of its own with a watchdog. Two suites of one file may share a case's name; the second is then
# <room>.<file>.<Suite>.<Case>.
cmake_policy(VERSION 3.25)

function(libbus_discover_cases program prefix label timeout)
  if(NOT EXISTS "${program}")
    add_test(${prefix}.NOT_BUILT ${program})
    return()
  endif()
  execute_process(COMMAND ${program} --gtest_list_tests OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    add_test(${prefix}.CANNOT_LIST ${program} --gtest_list_tests)
    return()
  endif()
  string(REGEX REPLACE " *#[^\n]*" "" output "${output}")
  string(REPLACE "\n" ";" lines "${output}")
  set(suite "")
  set(taken "")
  foreach(line IN LISTS lines)
    if(line MATCHES "^([^ ].*)\\.$")
      set(suite ${CMAKE_MATCH_1})
    elseif(line MATCHES "^  (.+)$")
      libbus_add_case(${program} ${prefix} ${suite} ${CMAKE_MATCH_1})
    endif()
  endforeach()
endfunction()

# Uses label and timeout of the caller, and keeps its list of names that are taken.
macro(libbus_add_case program prefix suite case)
  set(name ${prefix}.${case})
  if(name IN_LIST taken)
    set(name ${prefix}.${suite}.${case})
  endif()
  list(APPEND taken ${name})
  set(labels ${label})
  set(limit ${timeout})
  if("${suite}" MATCHES "Slow$")
    list(APPEND labels slow)
    set(limit 900)
  endif()
  add_test(${name} ${program} --gtest_filter=${suite}.${case})
  set_tests_properties(${name} PROPERTIES
    LABELS "${labels}"
    TIMEOUT ${limit}
    SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
endmacro()
