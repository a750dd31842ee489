// Reads Markdown, colours code and compares texts, away from the page: what takes too long here is
// ended from there.

import { structuredPatch } from "diff";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { lexer, type Token, type Tokens } from "marked";
import type { Done, Job, Node, Tag } from "./lib/nodes";
import { safeUrl } from "./lib/text";

const LANGUAGES = {
  bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, kotlin, php, python,
  ruby, rust, sql, typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** Code beyond this is not coloured. */
const HIGHLIGHT = 50_000;
/** Elements within one another; what is deeper is its text. */
const DEPTH = 32;
/** Milliseconds that a comparison may take. */
const DIFF = 50;

interface Emitted {
  scope?: string;
  children: (string | Emitted)[];
}

/** The classes and texts of coloured code: the library's tree, since its HTML is not used. */
function highlight(text: string, lang: string): Node[] {
  const name = lang.toLowerCase();
  if (text.length > HIGHLIGHT || !hljs.getLanguage(name)) return [text];
  const result = hljs.highlight(text, { language: name, ignoreIllegals: true });
  const root = (result as unknown as { _emitter: { rootNode: Emitted } })._emitter.rootNode;
  return walk(root.children, 0);
}

function walk(children: (string | Emitted)[], depth: number): Node[] {
  return children.map((child) => {
    if (typeof child === "string") return child;
    if (depth > DEPTH) return flat(child);
    const classes = (child.scope ?? "").split(".").filter((it) => /^[\w-]+$/.test(it)).map((it) => `hl-${it}`).join(" ");
    return { tag: "span", classes, children: walk(child.children, depth + 1) };
  });
}

function flat(node: Emitted): string {
  const waiting: (string | Emitted)[] = [node];
  let text = "";
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (typeof next === "string") text += next;
    else waiting.push(...next.children.toReversed());
  }
  return text;
}

const el = (tag: Tag, children: Node[], more: object = {}): Node => ({ tag, children, ...more });

function nodes(tokens: Token[] | undefined, depth: number): Node[] {
  return (tokens ?? []).map((token) => node(token, depth));
}

/** The node of a token. HTML is text, and an image is a link to it. */
function node(token: Token, depth: number): Node {
  if (depth > DEPTH) return token.raw;
  const inner = () => nodes((token as { tokens?: Token[] }).tokens, depth + 1);
  switch (token.type) {
    case "paragraph":
      return el("p", inner());
    case "heading":
      return el(`h${Math.min(6, Math.max(1, (token as Tokens.Heading).depth))}` as Tag, inner());
    case "text": {
      const parts = (token as Tokens.Text).tokens;
      return parts ? el("span", nodes(parts, depth + 1)) : entities((token as Tokens.Text).text);
    }
    case "escape":
      return (token as Tokens.Escape).text;
    case "strong":
    case "em":
    case "del":
      return el(token.type, inner());
    case "codespan":
      return el("code", [(token as Tokens.Codespan).text]);
    case "code": {
      const { text, lang } = token as Tokens.Code;
      const word = (lang ?? "").split(/\s/)[0] ?? "";
      return el("pre", highlight(text, word), { lang: word });
    }
    case "br":
      return el("br", []);
    case "hr":
      return el("hr", []);
    case "blockquote":
      return el("blockquote", inner());
    case "list": {
      const { ordered, start, items } = token as Tokens.List;
      const children = items.map((item) => el("li", listItem(item, depth + 1)));
      return el(ordered ? "ol" : "ul", children, ordered && start !== "" && start !== 1 ? { start } : {});
    }
    case "link": {
      const { href, text } = token as Tokens.Link;
      const url = safeUrl(href);
      return url ? el("a", inner(), { href: url }) : el("span", [...inner(), text === href ? "" : ` (${href})`]);
    }
    case "image": {
      const { href, text } = token as Tokens.Image;
      const url = safeUrl(href);
      const label = `image: ${text || href}`;
      return url ? el("a", [label], { href: url }) : label;
    }
    case "table": {
      const { header, rows, align } = token as Tokens.Table;
      const row = (cells: Tokens.TableCell[], tag: Tag) =>
        el("tr", cells.map((cell, n) => el(tag, nodes(cell.tokens, depth + 1), { align: align[n] ?? undefined })));
      return el("table", [el("thead", [row(header, "th")]), el("tbody", rows.map((cells) => row(cells, "td")))]);
    }
    case "space":
    case "def":
      return "";
    default:
      return token.raw;
  }
}

function listItem(item: Tokens.ListItem, depth: number): Node[] {
  const children = nodes(item.tokens, depth);
  return item.task ? [{ tag: "task", checked: item.checked === true, children: [] }, ...children] : children;
}

const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
/** Entities as the characters that they stand for. */
function entities(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w+));/gi, (all, decimal, hex, name) => {
    if (name) return NAMED[String(name).toLowerCase()] ?? all;
    const code = decimal ? Number(decimal) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : all;
  });
}

function work(job: Job): Done {
  switch (job.kind) {
    case "markdown": {
      let end = 0;
      const blocks = [];
      for (const token of lexer(job.text, { gfm: true })) {
        end += token.raw.length;
        blocks.push({ node: node(token, 0), end });
      }
      return { id: job.id, markdown: { blocks } };
    }
    case "highlight":
      return { id: job.id, nodes: highlight(job.text, job.lang) };
    case "diff": {
      const made = structuredPatch(job.path, job.path, job.before, job.after, "", "", { context: 3, timeout: DIFF });
      if (!made) return { id: job.id, diff: null };
      const hunks = made.hunks.flatMap((hunk) => [
        `@@ -${hunk.oldStart},${hunk.oldLines} +${hunk.newStart},${hunk.newLines} @@`,
        ...hunk.lines,
      ]);
      return { id: job.id, diff: hunks.join("\n") };
    }
  }
}

self.onmessage = ({ data }: MessageEvent<Job>) => {
  let done: Done;
  try {
    done = work(data);
  } catch {
    // What cannot be read is shown as it is.
    done = { id: data.id };
  }
  self.postMessage(done);
};
