// node build.mjs ../../wit/policy.wit OUT.wasm
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const [witPath, out] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath: fileURLToPath(new URL("guardrail.js", import.meta.url)),
  witPath,
  worldName: "guardrail-plugin",
  // A policy has no clock, randomness, network or terminal. Without these the component
  // imports nothing but the contract.
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
await writeFile(out, component);
