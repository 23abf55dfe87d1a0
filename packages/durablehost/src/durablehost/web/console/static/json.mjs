// JSON as text for people: with indents, or on one line. Pure.
//
// Rule of this file: unlike JSON.parse and JSON.stringify, it keeps the digits of long numbers, and members of the same name.

// Deeper, the indents would be longer than the text.
const MOST_LEVELS = 50;
const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** JSON text with indents; as it is, if it is too deep for them. */
export function indented(text) {
  const tokens = text.match(TOKENS);
  let shown = "";
  let level = 0;
  for (const [index, token] of tokens.entries()) {
    const isEmpty = "}]".includes(tokens[index + 1] ?? " ");
    if ("{[".includes(token)) {
      level += 1;
      shown += isEmpty ? token : token + lineAt(level);
    } else if ("}]".includes(token)) {
      level -= 1;
      shown += "{[".includes(tokens[index - 1]) ? token : lineAt(level) + token;
    } else if (token === ",") shown += token + lineAt(level);
    else if (token === ":") shown += ": ";
    else shown += plain(token);
    if (level > MOST_LEVELS) return text;
  }
  return shown;
}

/** JSON text on one line, without spaces. */
export function compacted(text) {
  return text.match(TOKENS).map(plain).join("");
}

/** A token, with the characters of a text instead of escapes. */
function plain(token) {
  return token.startsWith('"') ? JSON.stringify(JSON.parse(token)) : token;
}

function lineAt(level) {
  return `\n${"  ".repeat(level)}`;
}
