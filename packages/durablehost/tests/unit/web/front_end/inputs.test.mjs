import assert from "node:assert/strict";
import test from "node:test";

const inputs = await import(`${process.env.STATIC}/inputs.mjs`);

const NOW = Date.UTC(2026, 2, 1, 10, 0, 0);

function answer(...texts) {
  return texts.map((input, number) => ({ id: `run-${number}`, created: `2026-03-01T09:0${number}:00Z`, input }));
}

function choices(...texts) {
  return inputs.choicesOf(answer(...texts), NOW, true);
}

test("an untouched form gets the newest input, and says of which instance it is", () => {
  const form = inputs.withChoices(inputs.newForm({ name: "Orch" }), choices("2", "1"));
  assert.deepEqual([form.input, form.from.id, form.choices.length], ["2", "run-0", 2]);
});

test("what somebody has typed, emptied or brought along is not overwritten", () => {
  const fresh = inputs.newForm({ name: "Orch" });
  const typed = inputs.changed(fresh, "input", "mine");
  const emptied = inputs.changed(inputs.withChoices(fresh, choices("2")), "input", "");
  const brought = inputs.newForm({ name: "Orch", input: "" });
  for (const [form, text] of [[typed, "mine"], [emptied, ""], [brought, ""]]) {
    const after = inputs.withChoices(form, choices("2", "1"));
    assert.deepEqual([after.input, after.from, after.choices.length], [text, null, 2]);
    const renamed = inputs.withChoices(inputs.changed(after, "name", "Other"), choices("3"));
    assert.equal(renamed.input, text);
  }
});

test("a choice fills the input, whatever was there, and the choice of none empties it", () => {
  const form = inputs.withChoices(inputs.newForm({ name: "Orch", input: "mine" }), choices("2", "1"));
  const chosen = inputs.changed(form, "last", "run-1");
  assert.deepEqual([chosen.input, chosen.from.id], ["1", "run-1"]);
  const none = inputs.changed(chosen, "last", "");
  assert.deepEqual([none.input, none.from], ["", null]);
  assert.equal(inputs.withChoices(none, choices("2")).input, "");
});

test("the input of an orchestrator is not kept for another one", () => {
  const form = inputs.withChoices(inputs.newForm({ name: "Orch" }), choices("2"));
  const same = inputs.changed(form, "name", " ORCH ");
  assert.deepEqual([same.input, same.choices.length], ["2", 1]);
  const other = inputs.changed(form, "name", "Other");
  assert.deepEqual([other.input, other.from, other.choices], ["", null, []]);
  assert.equal(inputs.withChoices(other, choices("3")).input, "3");
  assert.deepEqual([inputs.withChoices(form, []).input, inputs.changed(form, "id", "x").input], ["", "2"]);
});

test("inputs are asked for if the host knows the orchestrator, or none at all", () => {
  assert.equal(inputs.askedName(" orch ", ["Other", "Orch"]), "Orch");
  assert.equal(inputs.askedName("orc", ["Other", "Orch"]), null);
  assert.equal(inputs.askedName(" orc ", []), "orc");
  assert.equal(inputs.askedName(" ", []), null);
});

test("an object as JSON text is shown as that object if it means the same, and each text once", () => {
  const object = '{"a": 1}';
  const encoded = JSON.stringify(object);
  assert.deepEqual(choices(encoded, object).map(({ text }) => text), ['{\n  "a": 1\n}']);
  const unknown = inputs.choicesOf(answer(encoded, object), NOW, false).map(({ text }) => text);
  assert.deepEqual(unknown, [encoded, '{\n  "a": 1\n}']);
  // Those that are not objects mean something else.
  const others = ['"hello"', '"5"', '"[1]"', "5", "[1]"];
  assert.deepEqual(choices(...others).map(({ text }) => text.replace(/\s/g, "")), others);
});

test("an input that nobody has changed is sent as it was stored", () => {
  const encoded = JSON.stringify('{"a": 1}');
  const form = inputs.withChoices(inputs.newForm({ name: "Orch" }), choices(encoded));
  assert.equal(inputs.sentInput(form), encoded);
  assert.equal(inputs.sentInput(inputs.changed(form, "input", " 2 ")), "2");
  assert.equal(inputs.sentInput(inputs.changed(form, "input", " ")), undefined);
});

test("an input keeps its numbers, members and characters", () => {
  const [{ text }] = choices('{"id":12345678901234567890,"x":1.0,"b":[],"a":{},"a":[null,{"c":"\\u00e9,: {"}]}');
  assert.equal(text, [
    "{", '  "id": 12345678901234567890,', '  "x": 1.0,', '  "b": [],', '  "a": {},', '  "a": [', "    null,", "    {",
    '      "c": "é,: {"', "    }", "  ]", "}",
  ].join("\n"));
});

test("a text that is no JSON cannot be started again, and one of many levels stays as it is", () => {
  const deep = "[".repeat(5000) + "]".repeat(5000);
  assert.deepEqual(choices("{broken", "", deep).map(({ text }) => text), [deep]);
});

test("a choice has its time and the beginning of its input in one line", () => {
  const [short, long] = choices('{"a":1,"b":[2]}', JSON.stringify("x".repeat(500)));
  assert.equal(short.label, '09:00:00 · {"a": 1, "b": [2]}');
  assert.equal(long.label, `09:01:00 · "${"x".repeat(79)} …`);
});
