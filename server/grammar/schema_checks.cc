// One look at each subschema. A list of what is enforced, not of what is not: what the compiler
// would drop in silence is refused here.
#include "server/grammar/schema_checks.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "server/grammar/schema_parts.h"
#include "server/grammar/spec_checks.h"

namespace sluice {
namespace {

using Object = JsonValue::Object;

template <size_t n>
bool listed(const std::array<std::string_view, n>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

constexpr std::array<std::string_view, 13> kNotes = {
    "title", "description", "default",         "examples", "$schema",
    "$id",   "$comment",    "deprecated",      "readOnly", "writeOnly",
    "$defs", "definitions", "contentEncoding",
};
// One of these says all about a value; nothing beside it is looked at.
constexpr std::array<std::string_view, 6> kWhole = {"$ref",  "const", "enum",
                                                    "anyOf", "oneOf", "allOf"};
constexpr std::array<std::string_view, 18> kOfTypes = {
    "type",       "properties",  "required",         "additionalProperties",
    "items",      "minItems",    "maxItems",         "prefixItems",
    "minLength",  "maxLength",   "pattern",          "format",
    "minimum",    "maximum",     "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "uniqueItems",
};
constexpr std::array<std::string_view, 24> kNotEnforced = {
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "dependentRequired",
    "dependencies",
    "$anchor",
    "minProperties",
    "dependentSchemas",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "unevaluatedProperties",
    "$recursiveAnchor",
    "additionalItems",
    "contentSchema",
    "$vocabulary",
};
constexpr std::array<std::string_view, 7> kTypes = {"null",   "boolean", "integer", "number",
                                                    "string", "array",   "object"};
constexpr std::array<std::string_view, 14> kFormats = {
    "email",         "date",
    "time",          "date-time",
    "duration",      "ipv4",
    "ipv6",          "hostname",
    "uuid",          "uri",
    "uri-reference", "uri-template",
    "json-pointer",  "relative-json-pointer",
};

// The types that a value may have; several for a number without a fraction.
bool has_type(const JsonValue& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.as_bool() != nullptr;
  if (type == "integer") return value.as_integer() != nullptr;
  if (type == "number") return value.as_integer() != nullptr || value.as_float() != nullptr;
  if (type == "string") return value.as_string() != nullptr;
  return type == "array" ? value.as_array() != nullptr : value.as_object() != nullptr;
}

class Checker {
 public:
  Checker(const JsonValue& root, const std::string& field) : root_(root), field_(field) {}

  Status check(const JsonValue& schema, const std::string& place) {
    if (++num_schemas_ > kMaxSchemas) {
      return refuse("", str("has more than ", kMaxSchemas, " schemas in it"));
    }
    if (schema.as_bool() != nullptr) {
      return *schema.as_bool() ? Status() : refuse(place, "is false, which nothing fits");
    }
    const Object* object = schema.as_object();
    if (object == nullptr) return refuse(place, "is no schema: it must be an object or true");
    SLUICE_RETURN_IF_ERROR(check_words(*object, place));
    for (const char* name : {"$defs", "definitions"}) {
      SLUICE_RETURN_IF_ERROR(check_members(schema, name, place));
    }
    const auto whole = std::ranges::find_if(
        *object, [](const auto& member) { return listed(kWhole, member.first); });
    return whole == object->end() ? check_types(schema, place)
                                  : check_whole(schema, whole->first, whole->second, place);
  }

 private:
  Status refuse(const std::string& place, const std::string& what) const {
    return invalid_argument(
        str(field_, ": the schema", place.empty() ? "" : " at ", place, ' ', what), field_);
  }

  // Each word alone, and those that may not stand together.
  Status check_words(const Object& object, const std::string& place) const {
    std::string_view whole;
    for (const auto& [word, value] : object) {
      if (listed(kNotEnforced, word)) {
        return refuse(place, str("uses \"", word, "\", which is not enforced; leave it out"));
      }
      if (!listed(kWhole, word)) continue;
      if (!whole.empty()) return refuse(place, str("has both \"", whole, "\" and \"", word, '"'));
      whole = word;
    }
    if (whole.empty()) return {};
    for (const auto& [word, value] : object) {
      const bool type_of_values = word == "type" && (whole == "enum" || whole == "const");
      if (!listed(kOfTypes, word) || type_of_values) continue;
      return refuse(place, str("has \"", word, "\" beside \"", whole,
                               "\", where it is not enforced; put it into the schemas there"));
    }
    return {};
  }

  Status check_members(const JsonValue& schema, const char* name, const std::string& place) {
    const JsonValue* members = schema.find(name);
    if (members == nullptr) return {};
    if (members->as_object() == nullptr)
      return refuse(place, str("has a \"", name, "\" that is no object"));
    for (const auto& [key, member] : *members->as_object()) {
      SLUICE_RETURN_IF_ERROR(check(member, str(place, '/', name, '/', key)));
    }
    return {};
  }

  Status check_list(const JsonValue& list, const std::string& place) {
    const JsonValue::Array* schemas = list.as_array();
    if (schemas == nullptr || schemas->empty()) return refuse(place, "must be an array of schemas");
    for (size_t i = 0; i < schemas->size(); ++i) {
      SLUICE_RETURN_IF_ERROR(check((*schemas)[i], str(place, '/', i)));
    }
    return {};
  }

  Status check_whole(const JsonValue& schema, const std::string& word, const JsonValue& value,
                     const std::string& place) {
    const std::string inner = str(place, '/', word);
    if (word == "$ref") return check_ref(value, place);
    if (word == "const") return check_values(schema, {&value, 1}, place);
    if (word == "enum") {
      const JsonValue::Array* values = value.as_array();
      if (values == nullptr || values->empty()) return refuse(inner, "must be an array of values");
      num_values_ += values->size();
      if (num_values_ > kMaxEnumValues) {
        return refuse("", str("lists more than ", kMaxEnumValues, " values in its enums"));
      }
      return check_values(schema, *values, place);
    }
    SLUICE_RETURN_IF_ERROR(check_list(value, inner));
    const JsonValue::Array& schemas = *value.as_array();
    if (word == "allOf" && schemas.size() > 1) {
      return refuse(inner, "has several schemas, which are not enforced together; merge them");
    }
    if (word == "oneOf" && !exclude_each_other(schemas, root_)) {
      return refuse(inner,
                    "has schemas that a value could fit several of; use \"anyOf\", or give each "
                    "a type or a required constant property of its own");
    }
    return {};
  }

  // With a "type" beside them, values must have it, since only they are enforced.
  Status check_values(const JsonValue& schema, std::span<const JsonValue> values,
                      const std::string& place) const {
    if (schema.find("type") == nullptr) return {};
    const std::vector<std::string_view> types = types_of(schema);
    for (const JsonValue& value : values) {
      if (std::ranges::any_of(types, [&](auto type) { return has_type(value, type); })) continue;
      return refuse(place, str("lists ", value.describe(), ", which does not have its type"));
    }
    return {};
  }

  Status check_ref(const JsonValue& value, const std::string& place) const {
    const std::string* path = value.as_string();
    if (path != nullptr && (*path == "#" || resolve_ref(root_, *path) != nullptr)) return {};
    return refuse(place, str("refers to ", value.describe(),
                             "; only \"#\" and what stands in \"#/$defs/\" or \"#/definitions/\" "
                             "of the same schema can be referred to"));
  }

  Status check_types(const JsonValue& schema, const std::string& place) {
    const JsonValue* type = schema.find("type");
    const std::vector<std::string_view> types = types_of(schema);
    if (type != nullptr &&
        (types.empty() || !std::ranges::all_of(types, [](auto t) { return listed(kTypes, t); }))) {
      return refuse(place, "has a \"type\" that JSON Schema does not know");
    }
    if (type == nullptr) SLUICE_RETURN_IF_ERROR(check_untyped(*schema.as_object(), place));
    SLUICE_RETURN_IF_ERROR(check_text(schema, place));
    SLUICE_RETURN_IF_ERROR(check_number(schema, types, place));
    SLUICE_RETURN_IF_ERROR(check_array(schema, place));
    return check_object(schema, place);
  }

  // Without a type, properties make an object and items an array; other words say nothing.
  Status check_untyped(const Object& object, const std::string& place) const {
    const auto has = [&](auto... words) {
      return std::ranges::any_of(
          object, [&](const auto& member) { return ((member.first == words) || ...); });
    };
    const bool is_object = has("properties", "additionalProperties");
    const bool is_array = has("items", "prefixItems");
    for (const auto& [word, value] : object) {
      if (!listed(kOfTypes, word)) continue;
      constexpr std::array<std::string_view, 3> kOfObjects = {"properties", "required",
                                                              "additionalProperties"};
      constexpr std::array<std::string_view, 5> kOfArrays = {"items", "prefixItems", "minItems",
                                                             "maxItems", "uniqueItems"};
      if (is_object && listed(kOfObjects, word)) continue;
      if (!is_object && is_array && listed(kOfArrays, word)) continue;
      return refuse(place, str("has \"", word, "\" without a \"type\", where it is not enforced"));
    }
    return {};
  }

  Status check_text(const JsonValue& schema, const std::string& place) const {
    const bool has_pattern = schema.find("pattern") != nullptr;
    const JsonValue* format = schema.find("format");
    const bool has_length =
        schema.find("minLength") != nullptr || schema.find("maxLength") != nullptr;
    const std::vector<std::string_view> types = types_of(schema);
    const bool is_text = std::ranges::find(types, "string") != types.end();
    if (format != nullptr && is_text &&
        (format->as_string() == nullptr || !listed(kFormats, *format->as_string()))) {
      return refuse(place, str("has the format ", format->describe(), ", which is not enforced"));
    }
    if ((has_pattern && format != nullptr) || ((has_pattern || format != nullptr) && has_length)) {
      return refuse(place,
                    "has more than one of \"pattern\", \"format\" and lengths, which are not "
                    "enforced together");
    }
    return {};
  }

  Status check_number(const JsonValue& schema, const std::vector<std::string_view>& types,
                      const std::string& place) const {
    const JsonValue* factor = schema.find("multipleOf");
    if (factor == nullptr) return {};
    constexpr int64_t kLargestFactor = 100;
    const bool small = factor->as_integer() != nullptr && *factor->as_integer() > 0 &&
                       *factor->as_integer() <= kLargestFactor;
    const bool integers = std::ranges::find(types, "number") == types.end();
    bool bounded = false;
    for (const char* bound : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
      bounded |= schema.find(bound) != nullptr;
    if (small && integers && !bounded) return {};
    return refuse(place, str("has a \"multipleOf\" that is not enforced; only one of 1 to ",
                             kLargestFactor, " of integers without bounds is"));
  }

  Status check_array(const JsonValue& schema, const std::string& place) {
    if (const JsonValue* unique = schema.find("uniqueItems");
        unique != nullptr && (unique->as_bool() == nullptr || *unique->as_bool())) {
      return refuse(place, "has \"uniqueItems\", which is not enforced; leave it out");
    }
    if (const JsonValue* items = schema.find("prefixItems")) {
      SLUICE_RETURN_IF_ERROR(check_list(*items, place + "/prefixItems"));
    }
    const JsonValue* items = schema.find("items");
    if (items == nullptr || (items->as_bool() != nullptr && !*items->as_bool())) return {};
    return check(*items, place + "/items");
  }

  Status check_object(const JsonValue& schema, const std::string& place) {
    SLUICE_RETURN_IF_ERROR(check_members(schema, "properties", place));
    const JsonValue* properties = schema.find("properties");
    if (const JsonValue* required = schema.find("required")) {
      if (required->as_array() == nullptr)
        return refuse(place, "has a \"required\" that is no array");
      for (const JsonValue& name : *required->as_array()) {
        const bool known = name.as_string() != nullptr && properties != nullptr &&
                           properties->find(*name.as_string()) != nullptr;
        if (known) continue;
        return refuse(place,
                      str("requires ", name.describe(),
                          ", which is none of its \"properties\" and would not be enforced"));
      }
    }
    const JsonValue* more = schema.find("additionalProperties");
    if (more == nullptr || more->as_bool() != nullptr) return {};
    return check(*more, place + "/additionalProperties");
  }

  const JsonValue& root_;
  const std::string& field_;
  size_t num_schemas_ = 0;
  size_t num_values_ = 0;
};

}  // namespace

Status check_schema(const JsonValue& schema, const std::string& field) {
  return Checker(schema, field).check(schema, "");
}

}  // namespace sluice
