// A small JSON reader: enough for metadata.json and the header of a safetensors file, and never a crash.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlffd::json {

struct Value {
  enum Kind { null, boolean, number, string, array, object };
  Kind kind = null;
  double real = 0.0;  // of a number; 0 or 1 of a boolean
  std::string text;
  std::vector<Value> items;
  std::vector<std::pair<std::string, Value>> members;

  const Value* find(std::string_view key) const;  // null if this is no object or has no such member
};

// Throws ArtifactError, as do the functions below.
Value parse(std::string_view text);

const Value& member(const Value& object, std::string_view key);
long long integer(const Value& value, long long low, long long high, std::string_view what);

}  // namespace mlffd::json
