// The example masker: the cells of the columns named in the settings are replaced, one by
// one and all of them, by a fill.

#include "json.h"
#include "masker_plugin.h"

typedef masker_plugin_string_t string_t;
typedef exports_portcullis_policy_masker_cells_t cells_t;
typedef exports_portcullis_policy_masker_output_column_t column_t;
typedef exports_portcullis_policy_masker_mask_action_t action_t;
typedef exports_portcullis_policy_masker_masked_t masked_t;

typedef struct {
  text_t fill;
  texts_t columns;
} settings_t;

static text_t email = {(uint8_t *)"email", 5};
static const settings_t defaults = {{(uint8_t *)"***", 3}, {&email, 1}};
static settings_t settings = {{(uint8_t *)"***", 3}, {&email, 1}};

// What is returned is freed once the host has read it, so it must be a copy.
static string_t copy(const char *text) {
  string_t string;
  masker_plugin_string_dup(&string, text);
  return string;
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes);
  if (bytes && !memory) abort();
  return memory;
}

void exports_portcullis_policy_plugin_describe(
    exports_portcullis_policy_plugin_manifest_t *manifest) {
  *manifest = (exports_portcullis_policy_plugin_manifest_t){
      .name = copy("c-masker"),
      .version = copy("0.1.0"),
      .description = copy("Replaces the cells of named columns, in C"),
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
      else if (text_is(key, "fill")) wrong = json_text(json, &read.fill) ? NULL : "fill is not a text";
      else if (text_is(key, "columns"))
        wrong = json_texts(json, &read.columns) ? NULL : "columns is not a list of names";
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
  masker_plugin_string_free(text);
  if (!wrong) return true;
  error->tag = PORTCULLIS_POLICY_TYPES_PLUGIN_ERROR_INVALID_SETTINGS;
  error->val.invalid_settings = copy(wrong);
  return false;
}

static bool may_show(const column_t *column) {
  switch (column->derivation) {
    // A constant holds nothing of the table, a count tells how many and not what.
    case EXPORTS_PORTCULLIS_POLICY_MASKER_DERIVATION_NONE:
    case EXPORTS_PORTCULLIS_POLICY_MASKER_DERIVATION_COUNT:
      return false;
  }
  if (texts_have(settings.columns, column->name.ptr, column->name.len)) return true;
  for (size_t i = 0; i < column->sources.len; i++) {
    const string_t *source = &column->sources.ptr[i].column;
    if (texts_have(settings.columns, source->ptr, source->len)) return true;
  }
  return false;
}

bool exports_portcullis_policy_masker_plan(
    exports_portcullis_policy_masker_result_shape_t *shape,
    exports_portcullis_policy_masker_list_mask_action_t *plan,
    exports_portcullis_policy_masker_plugin_error_t *error) {
  (void)error;
  plan->len = shape->columns.len;
  plan->ptr = allocate(plan->len * sizeof(action_t));
  for (size_t i = 0; i < plan->len; i++) {
    plan->ptr[i] = (action_t){.tag = EXPORTS_PORTCULLIS_POLICY_MASKER_MASK_ACTION_PASS};
    if (may_show(&shape->columns.ptr[i])) {
      plan->ptr[i].tag = EXPORTS_PORTCULLIS_POLICY_MASKER_MASK_ACTION_CALL;
      plan->ptr[i].val.call.handle = i;
    }
  }
  exports_portcullis_policy_masker_result_shape_free(shape);
  return true;
}

static bool is_null(const cells_t *batch, size_t row) {
  return row / 8 < batch->nulls.len && (batch->nulls.ptr[row / 8] >> (row % 8) & 1);
}

// One span over the whole value of each row that has one.
static void fill_values(const cells_t *batch, masked_t *masked) {
  size_t rows = batch->ends.len, edits = 0;
  uint32_t *spans = allocate(rows * 3 * sizeof *spans);
  for (size_t row = 0; row < rows; row++) {
    if (is_null(batch, row)) continue;
    uint32_t start = row ? batch->ends.ptr[row - 1] : 0;
    spans[3 * edits] = row;
    spans[3 * edits + 1] = 0;
    spans[3 * edits + 2] = batch->ends.ptr[row] - start;
    edits++;
  }
  uint8_t *fill = allocate(settings.fill.len);
  memcpy(fill, settings.fill.bytes, settings.fill.len);
  masked->tag = EXPORTS_PORTCULLIS_POLICY_MASKER_MASKED_EDITS;
  masked->val.edits.spans.ptr = spans;
  masked->val.edits.spans.len = 3 * edits;
  masked->val.edits.fill.ptr = fill;
  masked->val.edits.fill.len = settings.fill.len;
}

bool exports_portcullis_policy_masker_mask(
    uint32_t handle, cells_t *batch, exports_portcullis_policy_masker_list_cells_t *also,
    masked_t *masked, exports_portcullis_policy_masker_plugin_error_t *error) {
  (void)handle, (void)error;
  fill_values(batch, masked);
  exports_portcullis_policy_masker_cells_free(batch);
  exports_portcullis_policy_masker_list_cells_free(also);
  return true;
}
