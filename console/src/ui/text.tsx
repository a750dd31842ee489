// Texts of agents as nodes: Markdown, code, terminals, diffs.

import type { ComponentChildren, VNode } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Node } from "../lib/nodes";
import { type Piece, cut, plain, reveal, terminal } from "../lib/text";
import { highlight, markdown } from "../lib/worker-client";
import { CopyButton } from "./basics";
import { bytes } from "../lib/format";

export const pieces = (all: Piece[]): ComponentChildren =>
  all.map((piece) => (typeof piece === "string" ? piece : <span class={piece.classes}>{piece.text}</span>));

/** A path, a command or a title: what is hidden in it is shown. */
export const Exact = ({ text }: { text: string }) => <bdi>{pieces(reveal(text))}</bdi>;

function textOf(node: Node): string {
  if (typeof node === "string") return node;
  return node.children.map(textOf).join("");
}

/** Nodes of the worker as elements. It has bounded their depth. */
function element(node: Node, key?: number): ComponentChildren {
  if (typeof node === "string") return node;
  const children = node.children.map((child, n) => element(child, n));
  switch (node.tag) {
    case "pre":
      return <CodeBlock key={key} lang={node.lang ?? ""} text={textOf(node)}>{exact(node.children)}</CodeBlock>;
    case "a":
      return <a key={key} href={node.href} target="_blank" rel="noopener noreferrer nofollow">{children}</a>;
    case "code":
      return <code key={key}>{exact(node.children)}</code>;
    case "table":
      return <div key={key} class="table-wrap" tabIndex={0} role="region" aria-label="Table"><table>{children}</table></div>;
    case "task":
      return <input key={key} type="checkbox" checked={node.checked} disabled aria-label={node.checked ? "done" : "to do"} />;
    case "ol":
      return <ol key={key} start={node.start}>{children}</ol>;
    case "th":
    case "td": {
      const Cell = node.tag;
      return <Cell key={key} class={node.align ? `align-${node.align}` : undefined}>{children}</Cell>;
    }
    case "h1": case "h2": case "h3": case "h4": case "h5": case "h6": {
      // The page's own headings stay above those of an answer.
      return <div key={key} role="heading" aria-level={Math.min(6, Number(node.tag[1]) + 1)} class={`h h${node.tag[1]}`}>{children}</div>;
    }
    case "hr":
      return <hr key={key} />;
    case "br":
      return <br key={key} />;
    case "p": case "blockquote": case "ul": case "li": case "strong": case "em": case "del": case "thead": case "tbody": case "tr": {
      const Tag = node.tag;
      return <Tag key={key}>{children}</Tag>;
    }
    default:
      return <span key={key} class={node.classes}>{children}</span>;
  }
}

/** Code, coloured, with what is hidden in it shown. */
function exact(nodes: Node[]): ComponentChildren {
  return nodes.map((node) =>
    typeof node === "string" ? pieces(reveal(node)) : <span class={node.classes}>{exact(node.children)}</span>,
  );
}

function CodeBlock({ lang, text, children }: { lang: string; text: string; children: ComponentChildren }) {
  return (
    <div class="code-block">
      <div class="code-head"><span>{lang}</span><CopyButton text={text} label="Copy the code" /></div>
      <pre tabIndex={0}><code>{children}</code></pre>
    </div>
  );
}

interface Kept {
  text: string;
  /** Finished blocks, which are never read again. */
  done: ComponentChildren[];
  /** How much of the text they are. */
  offset: number;
  tail: ComponentChildren;
  shown: number;
  plain: boolean;
}
const kept = new WeakMap<object, Kept>();
const fresh = (): Kept => ({ text: "", done: [], offset: 0, tail: null, shown: 0, plain: false });

/** A Markdown text that may still grow. `owner` is what its nodes are kept with. */
export function Markdown({ text, done, owner }: { text: string; done: boolean; owner: object }) {
  const [, paint] = useState(0);
  let state = kept.get(owner);
  if (!state || !text.startsWith(state.text.slice(0, state.offset))) {
    state = fresh();
    kept.set(owner, state);
  }
  const busy = useRef(false);
  const latest = useRef(text);
  const finished = useRef(done);
  const alive = useRef(true);
  latest.current = text;
  finished.current = done;
  useEffect(() => () => { alive.current = false; }, []);
  const work = async () => {
    const now = state;
    if (busy.current || now.plain || (now.text === latest.current && now.shown === now.text.length)) return;
    busy.current = true;
    while (alive.current && !now.plain && (now.text !== latest.current || now.shown !== latest.current.length)) {
      const whole = latest.current;
      const read = await markdown(whole.slice(now.offset));
      now.text = whole;
      if (!read) {
        now.plain = true;
      } else {
        const blocks = read.blocks;
        const last = blocks.at(-1);
        for (const block of blocks.slice(0, -1)) now.done.push(element(block.node, now.done.length));
        now.tail = last ? element(last.node, now.done.length) : null;
        now.offset += blocks.at(-2)?.end ?? 0;
        now.shown = whole.length;
      }
      paint((n) => n + 1);
    }
    busy.current = false;
  };
  useLayoutEffect(() => { void work(); }, [text, done]);
  if (state.shown === 0 || state.plain) {
    return <div class="prose"><LongText text={state.plain ? text.slice(state.offset) : text} before={state.done} /></div>;
  }
  return <div class="prose" dir="auto">{state.done}{state.tail}</div>;
}

function LongText({ text, before }: { text: string; before: ComponentChildren }) {
  const { head, left, tail } = cut(text, 20_000, 2000);
  return <>{before}<div class="plain-text">{pieces(reveal(head))}{left > 0 ? <em class="dim">{`\n… ${bytes(left)} left out …\n`}</em> : null}{pieces(reveal(tail))}</div>{left > 0 ? <SaveButton text={text} name="text.txt" /> : null}</>;
}

/** The output of a command: what a terminal would show, without what would harm. */
export function Output({ text, onWhole, label = "Output" }: { text: string; onWhole?: () => void; label?: string }) {
  const [more, setMore] = useState(1);
  const { head, left, tail } = cut(text, 12_000 * more, 400 * more);
  return (
    <div class="output">
      <pre tabIndex={0} aria-label={label}>
        {pieces(terminal(head))}
        {left > 0 ? <span class="left-out">{`\n… ${bytes(left)} left out …\n`}</span> : null}
        {tail ? pieces(terminal(tail)) : null}
      </pre>
      <div class="output-tools">
        {left > 0 && more < 4 ? <button type="button" class="quiet small" onClick={() => setMore(more * 2)}>Show more</button> : null}
        {onWhole ? <button type="button" class="quiet small" onClick={onWhole}>Load all of it</button> : null}
        {left > 0 ? <SaveButton text={text} name="output.txt" /> : null}
        <CopyButton text={() => plain(text)} label={`Copy the ${label.toLowerCase()}`} />
      </div>
    </div>
  );
}

/** Saves a text as a file. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
const SaveButton = ({ text, name }: { text: string; name: string }) => (
  <button type="button" class="quiet small" onClick={() => save(new Blob([text]), name)}>Save</button>
);

/** Code of a file, coloured by its name where it is short enough. */
export function Code({ text, lang }: { text: string; lang: string }) {
  const [nodes, setNodes] = useState<Node[] | null>(null);
  const { head, left } = cut(text, 200_000, 5000);
  useEffect(() => {
    let alive = true;
    setNodes(null);
    if (lang && head.length < 50_000) void highlight(head, lang).then((it) => alive && setNodes(it));
    return () => { alive = false; };
  }, [head, lang]);
  return <pre class="code" tabIndex={0}><code>{nodes ? exact(nodes) : pieces(reveal(head))}</code>{left > 0 ? <em class="dim">{`\n… ${bytes(left)} left out: download the file to see all of it`}</em> : null}</pre>;
}

export interface DiffCount {
  added: number;
  removed: number;
}
export function countDiff(unified: string): DiffCount {
  let added = 0;
  let removed = 0;
  for (const line of unified.split("\n")) {
    if (line.startsWith("+") && !line.startsWith("+++ ")) added++;
    else if (line.startsWith("-") && !line.startsWith("--- ")) removed++;
  }
  return { added, removed };
}
export const Counted = ({ added, removed }: DiffCount) => <span class="counted"><span class="add">+{added}</span> <span class="del">−{removed}</span></span>;

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;

const HEAD = /^(diff --git |index |--- |\+\+\+ |new file|deleted file|similarity |rename |old mode|new mode)/;

/** A unified diff, with the numbers of lines. */
export function DiffView({ unified, most = 40 }: { unified: string; most?: number }) {
  const [limit, setLimit] = useState(most);
  const all = useMemo(() => unified.replace(/\n$/, "").split("\n"), [unified]);
  const rows: VNode[] = [];
  let before = 0;
  let after = 0;
  let numbered = false;
  let n = 0;
  for (const line of all) {
    if (n >= limit) break;
    const hunk = HUNK.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      numbered = true;
      rows.push(<tr key={n++} class="hunk"><td colSpan={3}>{pieces(reveal(line))}</td></tr>);
      continue;
    }
    if (line.startsWith("diff --git ")) numbered = false;
    if (!numbered && HEAD.test(line)) continue;
    const sign = line[0] ?? " ";
    const kind = sign === "+" ? "add" : sign === "-" ? "del" : sign === "\\" ? "meta" : "same";
    const left = kind === "add" || kind === "meta" ? "" : numbered ? String(before++) : "";
    const right = kind === "del" || kind === "meta" ? "" : numbered ? String(after++) : "";
    const shown = line.length > 2000 ? `${line.slice(1, 2000)} …` : line.slice(1);
    rows.push(
      <tr key={n++} class={kind}>
        <td class="ln" data-n={left} /><td class="ln" data-n={right} />
        <td class="dl"><span class="sign" aria-label={kind === "add" ? "added" : kind === "del" ? "removed" : undefined}>{kind === "same" ? " " : sign}</span>{pieces(reveal(shown))}</td>
      </tr>,
    );
  }
  const left = all.length - limit;
  return (
    <div class="diff" tabIndex={0} role="region" aria-label="Changes">
      <table><tbody>{rows}</tbody></table>
      {left > 0 ? <button type="button" class="quiet small" onClick={() => setLimit(limit + 1000)}>Show {left > 1000 ? "1000" : left} more lines</button> : null}
    </div>
  );
}

export const pretty = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "");
  return text;
};
