# Read by CMake right after llama.cpp's own project() call (CMAKE_PROJECT_llama.cpp_INCLUDE).
#
# llama-cpp-python forces LLAMA_BUILD_COMMON into the cache, yet never loads libllama-common: it holds the
# command-line tools' code (argument parsing, chat parsers, an HTTP client) and costs 57 of 193 build steps. A
# plain variable of the same name hides the cached one inside llama.cpp.
set(LLAMA_BUILD_COMMON OFF)
