// The example guardrail: the same rule in every language. It denies a statement that calls a
// blocked function, or that uses more relations than allowed.

let settings = read("{}");

function read(json) {
  const { max_relations = 3, blocked_functions = ["pg_sleep"], ...unknown } = object(json);
  const [key] = Object.keys(unknown);
  if (key !== undefined) {
    refuse(`unknown setting \`${key}\``);
  }
  if (!Number.isInteger(max_relations) || max_relations < 0 || max_relations > 0xffffffff) {
    refuse("max_relations is not a whole number");
  }
  if (!Array.isArray(blocked_functions) || blocked_functions.some((f) => typeof f !== "string")) {
    refuse("blocked_functions is not a list of names");
  }
  return { max_relations, blocked_functions: new Set(blocked_functions) };
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

function verdict(decision) {
  return { decision, limitRows: undefined, notice: undefined, tags: [] };
}

function deny(reason) {
  return verdict({ tag: "deny", val: { reason, hint: undefined } });
}

export const plugin = {
  describe() {
    return {
      name: "javascript-guardrail",
      version: "0.1.0",
      description: "Limits relations and blocks functions, in JavaScript",
      settingsSchema: undefined,
    };
  },
  configure(json) {
    settings = read(json);
  },
};

export const guardrail = {
  judge({ statement }) {
    const { max_relations, blocked_functions } = settings;
    const blocked = statement.functions.find((name) => blocked_functions.has(name));
    if (blocked !== undefined) {
      return deny(`function ${blocked} is blocked`);
    }
    const used = new Set(statement.relations.map((relation) => relation.name)).size;
    if (used > max_relations) {
      return deny(`uses ${used} relations, at most ${max_relations} are allowed`);
    }
    return verdict({ tag: "allow" });
  },
};
