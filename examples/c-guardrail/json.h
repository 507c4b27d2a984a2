// Reads the JSON of settings: objects, texts, lists of texts and whole numbers, and nothing
// that is not JSON. Shared by the examples in C.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *at, *end;
} json_t;

typedef struct {
  uint8_t *bytes;
  size_t len;
} text_t;

typedef struct {
  text_t *items;
  size_t len;
} texts_t;

static inline bool text_is(text_t text, const char *name) {
  return text.len == strlen(name) && memcmp(text.bytes, name, text.len) == 0;
}

static inline bool texts_have(texts_t texts, const uint8_t *bytes, size_t len) {
  for (size_t i = 0; i < texts.len; i++)
    if (texts.items[i].len == len && memcmp(texts.items[i].bytes, bytes, len) == 0) return true;
  return false;
}

// What is wrong with a key that is not a setting, told until the next one is.
static inline const char *json_unknown(text_t key) {
  static char message[96];
  size_t shown = key.len < 64 ? key.len : 64;
  // Not through the middle of a character.
  while (shown < key.len && shown > 0 && (key.bytes[shown] & 0xC0) == 0x80) shown--;
  snprintf(message, sizeof message, "unknown setting `%.*s`", (int)shown, key.bytes);
  return message;
}

static inline void json_space(json_t *json) {
  while (json->at < json->end && strchr(" \t\r\n", *json->at) && *json->at) json->at++;
}

static inline bool json_take(json_t *json, char wanted) {
  json_space(json);
  if (json->at == json->end || *json->at != (uint8_t)wanted) return false;
  json->at++;
  return true;
}

static inline bool json_end(json_t *json) {
  json_space(json);
  return json->at == json->end;
}

static inline bool json_hex(json_t *json, uint32_t *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++, json->at++) {
    if (json->at == json->end) return false;
    uint8_t c = *json->at;
    uint32_t digit = c >= '0' && c <= '9' ? c - '0'
                   : c >= 'a' && c <= 'f' ? c - 'a' + 10
                   : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
    if (digit == 16) return false;
    *unit = *unit << 4 | digit;
  }
  return true;
}

// What follows a `\u`. A character beyond the first 65,536 takes two of them.
static inline bool json_unicode(json_t *json, text_t *text) {
  uint32_t c, low;
  if (!json_hex(json, &c)) return false;
  if (c >= 0xDC00 && c < 0xE000) return false;
  if (c >= 0xD800 && c < 0xDC00) {
    if (json->end - json->at < 6 || json->at[0] != '\\' || json->at[1] != 'u') return false;
    json->at += 2;
    if (!json_hex(json, &low) || low < 0xDC00 || low >= 0xE000) return false;
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
  }
  uint8_t *out = text->bytes + text->len;
  if (c < 0x80) {
    *out++ = c;
  } else if (c < 0x800) {
    *out++ = 0xC0 | c >> 6;
    *out++ = 0x80 | (c & 63);
  } else if (c < 0x10000) {
    *out++ = 0xE0 | c >> 12;
    *out++ = 0x80 | (c >> 6 & 63);
    *out++ = 0x80 | (c & 63);
  } else {
    *out++ = 0xF0 | c >> 18;
    *out++ = 0x80 | (c >> 12 & 63);
    *out++ = 0x80 | (c >> 6 & 63);
    *out++ = 0x80 | (c & 63);
  }
  text->len = out - text->bytes;
  return true;
}

static inline bool json_escape(json_t *json, text_t *text) {
  static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
  if (json->at == json->end) return false;
  uint8_t c = *json->at++;
  if (c == 'u') return json_unicode(json, text);
  const char *name = c ? strchr(names, c) : NULL;
  if (!name) return false;
  text->bytes[text->len++] = means[name - names];
  return true;
}

static inline bool json_text(json_t *json, text_t *text) {
  if (!json_take(json, '"')) return false;
  // An escape is never longer than what it is written as.
  text->bytes = malloc(json->end - json->at + 1);
  text->len = 0;
  if (!text->bytes) abort();
  while (json->at < json->end) {
    uint8_t c = *json->at++;
    if (c == '"') return true;
    if (c < 0x20) break;
    if (c != '\\') text->bytes[text->len++] = c;
    else if (!json_escape(json, text)) break;
  }
  free(text->bytes);
  return false;
}

static inline void texts_free(texts_t *texts) {
  for (size_t i = 0; i < texts->len; i++) free(texts->items[i].bytes);
  free(texts->items);
  *texts = (texts_t){0};
}

static inline bool json_texts(json_t *json, texts_t *texts) {
  *texts = (texts_t){0};
  if (!json_take(json, '[')) return false;
  if (json_take(json, ']')) return true;
  do {
    text_t text;
    if (!json_text(json, &text)) {
      texts_free(texts);
      return false;
    }
    texts->items = realloc(texts->items, (texts->len + 1) * sizeof text);
    if (!texts->items) abort();
    texts->items[texts->len++] = text;
  } while (json_take(json, ','));
  if (json_take(json, ']')) return true;
  texts_free(texts);
  return false;
}

static inline bool json_u32(json_t *json, uint32_t *number) {
  json_space(json);
  const uint8_t *start = json->at;
  uint64_t value = 0;
  for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++) {
    value = value * 10 + (*json->at - '0');
    if (value > UINT32_MAX) return false;
  }
  size_t digits = json->at - start;
  *number = (uint32_t)value;
  return digits == 1 || (digits > 1 && *start != '0');
}

#endif
