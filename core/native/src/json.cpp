#include "json.h"

#include <cctype>
#include <cmath>
#include <locale>
#include <sstream>

#include "error.h"

namespace mlffd::json {
namespace {

constexpr int MAX_DEPTH = 64;  // recursion must end before the stack does, whatever the file holds

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Value document() {
    Value value = this->value(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the end of the document");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* reason) const {
    throw ArtifactError("not valid JSON at byte " + std::to_string(at_) + ": " + reason);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }

  void expect(char c) {
    skip_space();
    if (peek() != c) fail("unexpected character");
    ++at_;
  }

  bool accept(char c) {
    skip_space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  Value value(int depth) {
    if (depth > MAX_DEPTH) fail("nested too deeply");
    skip_space();
    switch (peek()) {
      case '{': return object(depth);
      case '[': return array(depth);
      case '"': return string_value();
      case 't': return word("true", Value::boolean, 1.0);
      case 'f': return word("false", Value::boolean, 0.0);
      case 'n': return word("null", Value::null, 0.0);
      default: return number();
    }
  }

  Value word(std::string_view expected, Value::Kind kind, double real) {
    if (text_.substr(at_, expected.size()) != expected) fail("unknown word");
    at_ += expected.size();
    Value value;
    value.kind = kind;
    value.real = real;
    return value;
  }

  Value object(int depth) {
    Value value;
    value.kind = Value::object;
    expect('{');
    if (accept('}')) return value;
    do {
      skip_space();
      std::string key = string();
      expect(':');
      value.members.emplace_back(std::move(key), this->value(depth + 1));
    } while (accept(','));
    expect('}');
    return value;
  }

  Value array(int depth) {
    Value value;
    value.kind = Value::array;
    expect('[');
    if (accept(']')) return value;
    do {
      value.items.push_back(this->value(depth + 1));
    } while (accept(','));
    expect(']');
    return value;
  }

  Value string_value() {
    Value value;
    value.kind = Value::string;
    value.text = string();
    return value;
  }

  std::string string() {
    if (peek() != '"') fail("expected a string");
    ++at_;
    std::string out;
    while (true) {
      if (at_ >= text_.size()) fail("a string without end");
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c == '\\')
        escape(out);
      else
        out += c;
    }
  }

  void escape(std::string& out) {
    const char c = peek();
    ++at_;
    switch (c) {
      case '"':
      case '\\':
      case '/': out += c; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': append_utf8(out, hexadecimal()); break;
      default: fail("unknown escape");
    }
  }

  unsigned hexadecimal() {
    if (at_ + 4 > text_.size()) fail("a string without end");
    unsigned code = 0;
    for (int k = 0; k < 4; ++k) {
      const char c = text_[at_++];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) fail("expected four hexadecimal digits");
      code = 16 * code + static_cast<unsigned>(digit);
    }
    return code;
  }

  // Surrogate pairs come out as two three-byte sequences: nothing that the engine looks up is outside the
  // basic plane.
  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xE0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  Value number() {
    const std::size_t start = at_;
    while (at_ < text_.size() &&
           (std::isdigit(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-' || text_[at_] == '+' ||
            text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E'))
      ++at_;
    std::istringstream digits{std::string(text_.substr(start, at_ - start))};
    digits.imbue(std::locale::classic());  // the program's own locale may have a decimal comma
    Value value;
    value.kind = Value::number;
    if (!(digits >> value.real) || !digits.eof() || !std::isfinite(value.real)) fail("expected a value");
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const Value* Value::find(std::string_view key) const {
  for (const auto& [name, value] : members)
    if (name == key) return &value;
  return nullptr;
}

Value parse(std::string_view text) { return Parser(text).document(); }

const Value& member(const Value& object, std::string_view key) {
  const Value* found = object.find(key);
  if (!found) throw ArtifactError("expected a member '" + std::string(key) + "'");
  return *found;
}

long long integer(const Value& value, long long low, long long high, std::string_view what) {
  const bool fits = value.kind == Value::number && value.real == std::floor(value.real) &&
                    value.real >= static_cast<double>(low) && value.real <= static_cast<double>(high);
  if (!fits)
    throw ArtifactError("expected " + std::string(what) + " as an integer within " + std::to_string(low) +
                        " … " + std::to_string(high));
  return static_cast<long long>(value.real);
}

}  // namespace mlffd::json
