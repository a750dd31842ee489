// Tables of the pages.

import type { ComponentChildren } from "preact";
import { ago, moment } from "../lib/format";

/** A table, whose rows begin with their keys. On a phone each row is a list of what its cells are;
    a column without a name has what can be done. */
export const Table = ({ label, head, rows }: { label: string; head: string[]; rows: [string, ...ComponentChildren[]][] }) => (
  <div class="table-wrap" tabIndex={0} role="region" aria-label={label}>
    <table class="list stack">
      <thead><tr>{head.map((it) => <th key={it}>{it || <span class="sr-only">Actions</span>}</th>)}</tr></thead>
      <tbody>{rows.map(([key, ...cells]) => <tr key={key}>{cells.map((it, n) => <td key={n} data-label={head[n]}>{it}</td>)}</tr>)}</tbody>
    </table>
  </div>
);

/** How long ago something was, and when. */
export const Ago = ({ at }: { at: string }) => <span class="when" title={moment(at)}>{ago(at)}</span>;
