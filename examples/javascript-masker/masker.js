// The example masker: the cells of the columns named in the settings are replaced, one by
// one and all of them, by a fill.

let settings = read("{}");

function read(json) {
  const { fill = "***", columns = ["email"], ...unknown } = object(json);
  const [key] = Object.keys(unknown);
  if (key !== undefined) {
    refuse(`unknown setting \`${key}\``);
  }
  if (typeof fill !== "string") {
    refuse("fill is not a text");
  }
  if (!Array.isArray(columns) || columns.some((name) => typeof name !== "string")) {
    refuse("columns is not a list of names");
  }
  return { fill: new TextEncoder().encode(fill), columns: new Set(columns) };
}

function object(json) {
  let value;
  try {
    value = JSON.parse(json);
  } catch (error) {
    refuse(error.message);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    refuse("the settings are not an object");
  }
  return value;
}

// What is thrown is the error of the contract.
function refuse(reason) {
  throw { tag: "invalid-settings", val: reason };
}

function mayShow(column) {
  switch (column.derivation) {
    // A constant holds nothing of the table, a count tells how many and not what.
    case "none":
    case "count":
      return false;
    default:
      return [column.name, ...column.sources.map((source) => source.column)].some((name) =>
        settings.columns.has(name),
      );
  }
}

export const plugin = {
  describe() {
    return {
      name: "javascript-masker",
      version: "0.1.0",
      description: "Replaces the cells of named columns, in JavaScript",
      settingsSchema: undefined,
    };
  },
  configure(json) {
    settings = read(json);
  },
};

export const masker = {
  plan({ columns }) {
    return columns.map((column, handle) =>
      mayShow(column) ? { tag: "call", val: { handle, also: [] } } : { tag: "pass" },
    );
  },
  mask(_handle, { ends, nulls }, _also) {
    const { fill } = settings;
    const isNull = (row) => ((nulls[row >> 3] ?? 0) >> (row & 7)) & 1;
    const replaced = new Uint32Array(ends.length);
    let end = 0;
    for (let row = 0; row < ends.length; row++) {
      end += isNull(row) ? 0 : fill.length;
      replaced[row] = end;
    }
    const data = new Uint8Array(end);
    for (let at = 0; at < end && fill.length > 0; at += fill.length) {
      data.set(fill, at);
    }
    return { tag: "replaced", val: { data, ends: replaced, nulls } };
  },
};
