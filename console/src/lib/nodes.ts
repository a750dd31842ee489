// What the worker makes of texts: trees of nodes, never HTML.

/** Text, or an element: its name, what belongs to it, and what is in it. */
export type Node = string | { tag: Tag; href?: string; lang?: string; classes?: string; start?: number; align?: string; checked?: boolean; children: Node[] };

/** Elements that Markdown and highlighted code may become. */
export type Tag =
  | "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "li" | "blockquote" | "hr" | "br"
  | "strong" | "em" | "del" | "code" | "pre" | "a" | "table" | "thead" | "tbody" | "tr" | "th" | "td" | "span" | "task";

export type Job =
  | { id: number; kind: "markdown"; text: string }
  | { id: number; kind: "highlight"; text: string; lang: string }
  | { id: number; kind: "diff"; before: string; after: string; path: string };

export interface MarkdownDone {
  /** The text's blocks, each with where it ends in the text. */
  blocks: { node: Node; end: number }[];
}

export type Done = { id: number; markdown?: MarkdownDone; nodes?: Node[]; diff?: string | null };
