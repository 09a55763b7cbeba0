# find_package(rtcswarm [COMPONENTS shared static]) gives rtcswarm::rtcswarm (shared) and rtcswarm::static.

get_filename_component(_rtcswarm_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_rtcswarm_prefix "${_rtcswarm_lib}/@INCLUDE_FROM_LIB@" ABSOLUTE)
set(rtcswarm_shared_FOUND FALSE)
set(rtcswarm_static_FOUND FALSE)

if(EXISTS "${_rtcswarm_lib}/@SHARED@")
  set(rtcswarm_shared_FOUND TRUE)
  if(NOT TARGET rtcswarm::rtcswarm)
    add_library(rtcswarm::rtcswarm SHARED IMPORTED)
    set_target_properties(rtcswarm::rtcswarm PROPERTIES
      IMPORTED_LOCATION "${_rtcswarm_lib}/@SHARED@"
      IMPORTED_SONAME "@SONAME@"
      INTERFACE_INCLUDE_DIRECTORIES "${_rtcswarm_prefix}")
  endif()
endif()

if(EXISTS "${_rtcswarm_lib}/librtcswarm.a")
  set(rtcswarm_static_FOUND TRUE)
  if(NOT TARGET rtcswarm::static)
    add_library(rtcswarm::static STATIC IMPORTED)
    set_target_properties(rtcswarm::static PROPERTIES
      IMPORTED_LOCATION "${_rtcswarm_lib}/librtcswarm.a"
      INTERFACE_INCLUDE_DIRECTORIES "${_rtcswarm_prefix}"
      INTERFACE_LINK_LIBRARIES "@STATIC_LIBS@")
  endif()
endif()

foreach(_component IN LISTS rtcswarm_FIND_COMPONENTS)
  if(NOT rtcswarm_${_component}_FOUND AND rtcswarm_FIND_REQUIRED_${_component})
    set(rtcswarm_FOUND FALSE)
    set(rtcswarm_NOT_FOUND_MESSAGE "rtcswarm has no component ${_component} here")
  endif()
endforeach()
