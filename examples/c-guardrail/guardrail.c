// The example guardrail: the same rule in every language. It denies a statement that calls a
// blocked function, or that uses more relations than allowed.

#include "guardrail_plugin.h"
#include "json.h"

typedef guardrail_plugin_string_t string_t;
typedef exports_portcullis_policy_guardrail_verdict_t verdict_t;
typedef portcullis_policy_types_relation_use_t relation_t;

typedef struct {
  uint32_t max_relations;
  texts_t blocked_functions;
} settings_t;

static text_t pg_sleep = {(uint8_t *)"pg_sleep", 8};
static const settings_t defaults = {3, {&pg_sleep, 1}};
static settings_t settings = {3, {&pg_sleep, 1}};

// What is returned is freed once the host has read it, so it must be a copy.
static string_t copy(const char *text) {
  string_t string;
  guardrail_plugin_string_dup(&string, text);
  return string;
}

void exports_portcullis_policy_plugin_describe(
    exports_portcullis_policy_plugin_manifest_t *manifest) {
  *manifest = (exports_portcullis_policy_plugin_manifest_t){
      .name = copy("c-guardrail"),
      .version = copy("0.1.0"),
      .description = copy("Limits relations and blocks functions, in C"),
  };
}

static const char *configure(json_t *json) {
  settings_t read = defaults;
  const char *wrong = NULL;
  if (!json_take(json, '{')) return "the settings are not an object";
  if (!json_take(json, '}')) {
    do {
      text_t key;
      if (!json_text(json, &key)) return "a key is not a text";
      if (!json_take(json, ':')) wrong = "a key has no value";
      else if (text_is(key, "max_relations"))
        wrong = json_u32(json, &read.max_relations) ? NULL : "max_relations is not a whole number";
      else if (text_is(key, "blocked_functions"))
        wrong = json_texts(json, &read.blocked_functions) ? NULL : "blocked_functions is not a list of names";
      else wrong = json_unknown(key);
      free(key.bytes);
      if (wrong) return wrong;
    } while (json_take(json, ','));
    if (!json_take(json, '}')) return "the settings do not end";
  }
  if (!json_end(json)) return "something follows the settings";
  settings = read;
  return NULL;
}

bool exports_portcullis_policy_plugin_configure(
    string_t *text, exports_portcullis_policy_plugin_plugin_error_t *error) {
  json_t json = {text->ptr, text->ptr + text->len};
  const char *wrong = configure(&json);
  guardrail_plugin_string_free(text);
  if (!wrong) return true;
  error->tag = PORTCULLIS_POLICY_TYPES_PLUGIN_ERROR_INVALID_SETTINGS;
  error->val.invalid_settings = copy(wrong);
  return false;
}

static void deny(verdict_t *verdict, string_t reason) {
  verdict->decision.tag = EXPORTS_PORTCULLIS_POLICY_GUARDRAIL_DECISION_DENY;
  verdict->decision.val.deny.reason = reason;
}

static const string_t *blocked_function(const guardrail_plugin_list_string_t *functions) {
  for (size_t i = 0; i < functions->len; i++) {
    const string_t *name = &functions->ptr[i];
    if (texts_have(settings.blocked_functions, name->ptr, name->len)) return name;
  }
  return NULL;
}

static bool same_name(const relation_t *a, const relation_t *b) {
  return a->name.len == b->name.len && memcmp(a->name.ptr, b->name.ptr, a->name.len) == 0;
}

// A relation that is read and written comes twice. A statement has few of them.
static uint32_t relations_used(const portcullis_policy_types_list_relation_use_t *relations) {
  uint32_t used = 0;
  for (size_t i = 0; i < relations->len; i++) {
    size_t before = 0;
    while (before < i && !same_name(&relations->ptr[before], &relations->ptr[i])) before++;
    used += before == i;
  }
  return used;
}

static void judge(const portcullis_policy_types_statement_t *statement, verdict_t *verdict) {
  const string_t *blocked = blocked_function(&statement->functions);
  if (blocked) {
    size_t capacity = blocked->len + sizeof "function  is blocked";
    char *reason = malloc(capacity);
    if (!reason) abort();
    int len = snprintf(reason, capacity, "function %.*s is blocked", (int)blocked->len, blocked->ptr);
    deny(verdict, (string_t){(uint8_t *)reason, len});
    return;
  }
  uint32_t used = relations_used(&statement->relations);
  if (used > settings.max_relations) {
    char reason[80];
    snprintf(reason, sizeof reason, "uses %u relations, at most %u are allowed", (unsigned)used,
             (unsigned)settings.max_relations);
    deny(verdict, copy(reason));
  }
}

bool exports_portcullis_policy_guardrail_judge(
    exports_portcullis_policy_guardrail_request_t *request, verdict_t *verdict,
    exports_portcullis_policy_guardrail_plugin_error_t *error) {
  (void)error;
  *verdict = (verdict_t){.decision.tag = EXPORTS_PORTCULLIS_POLICY_GUARDRAIL_DECISION_ALLOW};
  judge(&request->statement, verdict);
  exports_portcullis_policy_guardrail_request_free(request);
  return true;
}
