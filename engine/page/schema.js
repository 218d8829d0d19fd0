// What an OpenAPI document says of values: their types in words, their fields, and an example of each.

const DEPTH_MAX = 6;
/** What a text of this name looks like, where the document says no more. */
const EXAMPLES = { symbol: "RELIANCE", user_id: "alice", strategy_id: "s1", id: "s1", price: "2500.00", quantity: "10", side: "LONG", status: "RUNNING" };

/** The name of a schema that is referred to; null where it stands there itself. */
export const named = (schema) => schema?.$ref?.slice(schema.$ref.lastIndexOf("/") + 1) ?? null;

/** The schema itself. */
export const found = (document, schema) => (named(schema) ? (document.components.schemas[named(schema)] ?? {}) : (schema ?? {}));

const WORDS = { string: "text", object: "object", integer: "whole number", number: "number", boolean: "true or false", null: "null" };

/** The type in words, with the names of the schemas in it: `["array of ", {schema: "Order"}]`. */
export function type(schema) {
  if (named(schema)) return [{ schema: named(schema) }];
  const either = schema?.oneOf ?? schema?.anyOf;
  if (either) return either.flatMap((one, at) => (at ? [" or ", ...type(one)] : type(one)));
  if (schema?.enum) return [schema.enum.join(", ")];
  const types = [schema?.type ?? "object"].flat();
  return types.flatMap((name, at) => {
    const words = name === "array" ? ["array of ", ...type(schema.items)] : name === "object" && schema?.additionalProperties ? ["object of ", ...type(schema.additionalProperties)] : [WORDS[name] ?? name];
    return at ? [" or ", ...words] : words;
  });
}

/** The fields of an object: `{name, schema, required}`. */
export function fields(schema) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, of]) => ({ name, schema: of, required: required.has(name) }));
}

/** A value that the schema allows. */
export function example(document, schema, name = "", depth = 0) {
  if (schema?.example !== undefined) return schema.example;
  if (schema?.examples?.length) return schema.examples[0];
  if (named(schema)) return depth < DEPTH_MAX ? example(document, found(document, schema), name, depth + 1) : {};
  const either = schema?.oneOf ?? schema?.anyOf;
  if (either) return example(document, either[0], name, depth + 1);
  switch ([schema?.type ?? "object"].flat()[0]) {
    case "string":
      return schema.enum?.[0] ?? EXAMPLES[name] ?? "text";
    case "integer":
    case "number":
      return schema.minimum ?? 1;
    case "boolean":
      return true;
    case "array":
      return [example(document, schema.items, name, depth + 1)];
    default:
      return Object.fromEntries(fields(schema ?? {}).map((field) => [field.name, example(document, field.schema, field.name, depth + 1)]));
  }
}
