// Text of agents, tools and repositories: what is hidden in it is made visible, and escape
// sequences of terminals become classes or nothing.

/** A piece of text and how it is shown. */
export type Piece = string | { text: string; classes: string };

// Bidirectional controls, zero-width characters, and other characters that show nothing.
const HIDDEN = /[\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\u00ad]|[\u{e0000}-\u{e007f}]/gu;

/** Splits text at characters that would be invisible, and names them. */
export function reveal(text: string, out: Piece[] = [], classes = ""): Piece[] {
  const push = (part: string) => {
    if (part) out.push(classes ? { text: part, classes } : part);
  };
  let last = 0;
  for (const match of text.matchAll(HIDDEN)) {
    push(text.slice(last, match.index));
    const code = match[0].codePointAt(0) ?? 0;
    out.push({ text: `U+${code.toString(16).toUpperCase().padStart(4, "0")}`, classes: "hidden-char" });
    last = match.index + match[0].length;
  }
  push(text.slice(last));
  return out;
}

/** The same as plain text, for titles and labels. */
export const revealed = (text: string): string =>
  reveal(text)
    .map((piece) => (typeof piece === "string" ? piece : piece.classes === "hidden-char" ? `⟨${piece.text}⟩` : piece.text))
    .join("");

// CSI, OSC and other strings up to their end, two-byte sequences, and other control characters.
const ESCAPES =
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

class Style {
  fg = "";
  bg = "";
  readonly flags = new Set<string>();

  get classes(): string {
    const all = [...this.flags];
    if (this.fg) all.push(`fg-${this.fg}`);
    if (this.bg) all.push(`bg-${this.bg}`);
    return all.join(" ");
  }

  apply(parameters: string): void {
    const codes = parameters.split(/[;:]/).map((it) => (it === "" ? 0 : Number(it)));
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i] ?? 0;
      if (code === 0) {
        this.fg = this.bg = "";
        this.flags.clear();
      } else if (code === 1) this.flags.add("ansi-bold");
      else if (code === 2) this.flags.add("ansi-dim");
      else if (code === 3) this.flags.add("ansi-italic");
      else if (code === 4) this.flags.add("ansi-underline");
      else if (code === 9) this.flags.add("ansi-strike");
      else if (code === 22) {
        this.flags.delete("ansi-bold");
        this.flags.delete("ansi-dim");
      } else if (code === 23) this.flags.delete("ansi-italic");
      else if (code === 24) this.flags.delete("ansi-underline");
      else if (code === 29) this.flags.delete("ansi-strike");
      else if (code >= 30 && code <= 37) this.fg = COLOURS[code - 30] ?? "";
      else if (code >= 90 && code <= 97) this.fg = COLOURS[code - 90] ?? "";
      else if (code === 39) this.fg = "";
      else if (code >= 40 && code <= 47) this.bg = COLOURS[code - 40] ?? "";
      else if (code >= 100 && code <= 107) this.bg = COLOURS[code - 100] ?? "";
      else if (code === 49) this.bg = "";
      else if (code === 38 || code === 48) {
        // Of the 256 colours, the first 16 have names here; the others keep what is there.
        const named = codes[i + 1] === 5 ? COLOURS[(codes[i + 2] ?? 99) % 8] : undefined;
        if (named && (codes[i + 2] ?? 99) < 16) {
          if (code === 38) this.fg = named;
          else this.bg = named;
        }
        i += codes[i + 1] === 5 ? 2 : 4;
      }
    }
  }
}

/** Of each line that is written over, what was written last. */
function overwritten(text: string): string {
  if (!text.includes("\r")) return text;
  return text.split("\n").map((line) => {
    const end = line.replace(/\r+$/, "");
    return end.slice(end.lastIndexOf("\r") + 1);
  }).join("\n");
}

/** What a terminal would show of an output, in pieces. */
export function terminal(text: string): Piece[] {
  const out: Piece[] = [];
  const style = new Style();
  // A line that is written over shows what was written last.
  const lines = overwritten(text);
  let last = 0;
  for (const match of lines.matchAll(ESCAPES)) {
    reveal(lines.slice(last, match.index), out, style.classes);
    last = match.index + match[0].length;
    if (match[2] === "m" && !/[<-?]/.test(match[1] ?? "")) style.apply(match[1] ?? "");
  }
  reveal(lines.slice(last), out, style.classes);
  return out;
}

/** Text without escape sequences. */
export const plain = (text: string): string => text.replace(ESCAPES, "");

const MOST = 12_000;
const MOST_LINES = 400;

export interface Cut {
  head: string;
  /** Left out between head and tail: characters and lines. */
  left: number;
  tail: string;
}

/** The beginning and the end of a text that is too long to be shown whole. */
export function cut(text: string, most = MOST, lines = MOST_LINES): Cut {
  let end = Math.min(text.length, most);
  let at = -1;
  for (let n = 0; n < lines; n++) {
    const next = text.indexOf("\n", at + 1);
    if (next < 0 || next >= end) {
      at = -1;
      break;
    }
    at = next;
  }
  if (at >= 0) end = at;
  if (end >= text.length) return { head: text, left: 0, tail: "" };
  const rest = text.slice(end);
  let tail = rest.slice(-Math.floor(most / 6));
  const few = tail.split("\n").slice(-40).join("\n");
  if (few.length < tail.length) tail = few;
  if (tail.length + 200 >= rest.length) return { head: text, left: 0, tail: "" };
  return { head: text.slice(0, end), left: rest.length - tail.length, tail };
}

/** The last lines of a text that grows. */
export function lastLines(text: string, n: number): string {
  const end = text.endsWith("\n") ? text.slice(-8001, -1) : text.slice(-8000);
  return end.split("\n").slice(-n).join("\n");
}

/** A URL that may be a link: of a scheme that runs nothing here. */
export function safeUrl(url: string): string | null {
  try {
    const parsed = new URL(url);
    return ["http:", "https:", "mailto:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}
