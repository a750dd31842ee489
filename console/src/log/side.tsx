// Beside the conversation: changes, files, the list of things to do, details.

import { signal } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import { get } from "../lib/api";
import { bytes, cost, count, duration, moment } from "../lib/format";
import type { Listing } from "../lib/types";
import { CopyButton, Empty, ErrorNote, Loading, attempt } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Counted, DiffView, Exact, countDiff, pretty } from "../ui/text";
import { Files } from "./files";
import { TodoItems } from "../pages/session";
import { current } from "../pages/session";
import type { SessionLog } from "./session";

export type Tab = "changes" | "files" | "todo" | "details";
export const sideTab = signal<Tab>("changes");
const TABS: [Tab, string][] = [["changes", "Changes"], ["files", "Files"], ["todo", "Todo"], ["details", "Details"]];

export function Side({ log, file, onFile, onClose }: { log: SessionLog; file: string | null; onFile: (path: string | null) => void; onClose: () => void }) {
  const tab = sideTab.value;
  return (
    <aside class="side" aria-label="Changes, files, details">
      <div class="side-tabs"><div class="row" role="tablist" aria-label="Beside the conversation" onKeyDown={(event) => {
        const at = TABS.findIndex(([name]) => name === tab);
        const next = event.key === "ArrowRight" ? at + 1 : event.key === "ArrowLeft" ? at + TABS.length - 1 : -1;
        if (next < 0) return;
        sideTab.value = TABS[next % TABS.length]?.[0] ?? "changes";
        requestAnimationFrame(() => document.querySelector<HTMLElement>(".side-tabs [aria-selected=true]")?.focus());
      }}>
        {TABS.map(([name, label]) => <button type="button" role="tab" key={name} id={`tab-${name}`} aria-selected={tab === name} aria-controls="side-panel" tabIndex={tab === name ? 0 : -1} onClick={() => (sideTab.value = name)}>{label}</button>)}
        </div>
        <span class="grow" />
        <button type="button" class="quiet icon-only" aria-label="Close" onClick={onClose}><Icon name="cross" /></button>
      </div>
      <div class="side-body" role="tabpanel" id="side-panel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === "changes" ? <Changes log={log} /> : tab === "files" ? <Files log={log} path={file} onPath={onFile} /> : tab === "todo" ? <TodoTab log={log} /> : <Details log={log} />}
      </div>
    </aside>
  );
}

interface RepositoryDiff { repository: string; url: string; base: string | null; head: string | null; diff: string; truncated: boolean; error: string | null }

/** The files of a unified diff, each with its part. */
export function splitDiff(diff: string): { path: string; unified: string }[] {
  const parts = diff.split(/^(?=diff --git )/m).filter((it) => it.trim());
  return parts.map((unified) => {
    const named = /^\+\+\+ b\/(.+)$/m.exec(unified)?.[1] ?? /^--- a\/(.+)$/m.exec(unified)?.[1] ?? /^diff --git a\/.+ b\/(.+)$/m.exec(unified)?.[1] ?? "file";
    return { path: named, unified };
  });
}

function Changes({ log }: { log: SessionLog }) {
  const [diffs, setDiffs] = useState<RepositoryDiff[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const split = useMemo(() => diffs?.map((it) => ({ ...it, files: splitDiff(it.diff) })), [diffs]);
  const turn = log.session.value?.updated_at;
  const load = () => {
    setError(null);
    get<Listing<RepositoryDiff>>(`${log.path}/diff`).then((it) => setDiffs(it.data)).catch(setError);
  };
  useEffect(load, [log, turn]);
  if (!diffs && !error) return <Loading />;
  return (
    <>
      <ErrorNote error={error} retry={load} />
      {(split ?? []).map((it) => (
        <section key={it.repository}>
          <h2><Exact text={it.repository || it.url} /> {it.diff ? <Counted {...countDiff(it.diff)} /> : null}</h2>
          {it.error ? <p class="problem">{it.error}</p> : null}
          {!it.error && it.files.length === 0 ? <p class="dim">Nothing has changed since it was cloned.</p> : null}
          {it.files.map((file) => <FileDiff key={file.path} path={file.path} unified={file.unified} />)}
          {it.truncated ? <p class="dim">The diff is too long and was cut: download the files to see all of it.</p> : null}
        </section>
      ))}
      <TurnDiffs log={log} hasRepository={(diffs ?? []).length > 0} />
    </>
  );
}

interface TurnChanges { turn: number; data: { path: string; kind: string; diff?: string }[]; truncated: boolean }

/** What a turn changed in the workspace, whether its CLI told so or not; what was told where the
    turn's checkpoints are not there. */
function TurnDiffs({ log, hasRepository }: { log: SessionLog; hasRepository: boolean }) {
  const ended = [...log.turns.value.values()].filter((it) => it.ended_at && it.outcome !== null).map((it) => it.turn_number);
  const [chosen, setChosen] = useState<number | null>(null);
  const turn = chosen ?? ended.at(-1);
  const [found, setFound] = useState<TurnChanges | null>(null);
  useEffect(() => {
    let alive = true;
    setFound(null);
    // Where checkpoints are off or gone, that is no error to be shown.
    if (turn !== undefined) get<TurnChanges>(`${log.path}/changes?turn=${turn}`).then((it) => alive && setFound(it), () => undefined);
    return () => { alive = false; };
  }, [log, turn]);
  if (log.isRunning && chosen === null && log.fold.edits.length > 0 && !hasRepository) return <Told log={log} />;
  const choose = ended.length > 1 ? (
    <label class="row wrap"><span class="dim">What changed in</span><select value={turn} onChange={(event) => setChosen(Number(event.currentTarget.value))}>{ended.map((it) => <option key={it} value={it}>turn {it}</option>)}</select></label>
  ) : null;
  if (!found) return hasRepository ? choose : <>{choose}<Told log={log} /></>;
  return (
    <section>
      <h2>Changed by turn {found.turn}</h2>
      {choose}
      {found.data.length === 0 ? <p class="dim">It changed no files.</p> : null}
      {found.data.map((it) => it.diff ? <FileDiff key={it.path} path={it.path} unified={it.diff} /> : <p key={it.path}><Icon name="file" /> <Exact text={it.path} /> <span class="dim">{it.kind}</span></p>)}
      {found.truncated ? <p class="dim">There is more than is shown.</p> : null}
    </section>
  );
}

/** The most edits that are shown at once. */
const EDITS = 200;

/** What the agent told of its edits: without a repository, that is all there is. */
function Told({ log }: { log: SessionLog }) {
  const { fold } = log;
  void fold.changes.changed.value;
  if (fold.changedFiles.size === 0) return <Empty title="No changes yet"><p class="dim">Edits of the agent are shown here. With a repository, it is the diff against what was cloned.</p></Empty>;
  const edited = new Set(fold.edits.map((it) => it.path));
  const left = fold.edits.length - EDITS;
  return (
    <section>
      <h2>Edits told by the agent</h2>
      {left > 0 ? <p class="dim">The last {EDITS} of {fold.edits.length}: earlier ones stand in the conversation.</p> : null}
      {fold.edits.slice(-EDITS).map((file, n) => <FileDiff key={Math.max(left, 0) + n} path={file.path} unified={file.unified} />)}
      {[...fold.changedFiles].filter((path) => !edited.has(path)).slice(-EDITS).map((path) => <p key={path}><Icon name="file" /> <Exact text={path} /></p>)}
    </section>
  );
}

function FileDiff({ path, unified }: { path: string; unified: string }) {
  const lines = useMemo(() => unified.split("\n").length, [unified]);
  const [split, setSplit] = useState(false);
  return (
    <details class="file-diff" open={lines < 400}>
      <summary><span class="path grow"><Exact text={path} /></span><Counted {...countDiff(unified)} /></summary>
      <button type="button" class="quiet small split-button" aria-pressed={split} onClick={() => setSplit(!split)}>{split ? "In one column" : "Side by side"}</button>
      {split ? <Split unified={unified} /> : <DiffView unified={unified} most={400} />}
    </details>
  );
}

/** A diff with what was before and what is now beside each other. */
function Split({ unified }: { unified: string }) {
  const rows: { left: string | null; right: string | null; kind: string }[] = [];
  let gone: string[] = [];
  let come: string[] = [];
  const flush = () => {
    for (let n = 0; n < Math.max(gone.length, come.length); n++) rows.push({ left: gone[n] ?? null, right: come[n] ?? null, kind: "changed" });
    gone = [];
    come = [];
  };
  let inside = false;
  for (const line of unified.split("\n").slice(0, 4000)) {
    if (line.startsWith("@@")) {
      flush();
      inside = true;
      rows.push({ left: line, right: null, kind: "hunk" });
    } else if (!inside) continue;
    else if (line.startsWith("-")) gone.push(line.slice(1));
    else if (line.startsWith("+")) come.push(line.slice(1));
    else if (line.startsWith(" ")) {
      flush();
      rows.push({ left: line.slice(1), right: line.slice(1), kind: "same" });
    }
  }
  flush();
  return (
    <div class="diff split" tabIndex={0} role="region" aria-label="Changes side by side">
      <table><tbody>
        {rows.map((row, n) => row.kind === "hunk" ? <tr key={n} class="hunk"><td colSpan={2}>{row.left}</td></tr> : (
          <tr key={n}>
            <td class={row.kind === "changed" && row.left !== null ? "del" : ""}>{row.left === null ? "" : <Exact text={row.left.slice(0, 2000)} />}</td>
            <td class={row.kind === "changed" && row.right !== null ? "add" : ""}>{row.right === null ? "" : <Exact text={row.right.slice(0, 2000)} />}</td>
          </tr>
        ))}
      </tbody></table>
    </div>
  );
}

function TodoTab({ log }: { log: SessionLog }) {
  const items = log.fold.todo.value;
  if (!items || items.length === 0) return <Empty title="No list of things to do"><p class="dim">Where the agent keeps one, its latest form is here.</p></Empty>;
  return <TodoItems items={items} />;
}

function Details({ log }: { log: SessionLog }) {
  const session = log.session.value;
  if (!session) return null;
  const turns = [...log.turns.value.values()];
  const rows: [string, preact.ComponentChildren][] = [
    ["Id", <><code>{session.id}</code> <CopyButton text={session.id} label="Copy the id" /></>],
    ["Runtime", `${session.runtime}, ${session.model}`],
    ["Agent", session.agent_id ? <a href={`#/agents/${session.agent_id}`}>version {session.agent_version}</a> : "none"],
    ["Environment", session.environment_id ? <a href={`#/environments/${session.environment_id}`}>version {session.environment_version}</a> : "the standard one"],
    ["Created", moment(session.created_at)],
    ["Changed", moment(session.updated_at)],
    ["Tokens", `${count(session.usage.input_tokens)} in, ${count(session.usage.cached_tokens)} of the cache, ${count(session.usage.output_tokens)} out`],
    ["Cost", cost(session.usage.cost_usd)],
    ["Takes prompts", session.resumable ? "yes" : "no"],
  ];
  if (session.exit_code !== null) rows.push(["Exit code", String(session.exit_code)]);
  if (session.sizes) rows.push(["Disk", `${bytes(session.sizes.workspace)} of files, ${bytes(session.sizes.home)} of home, ${bytes(session.sizes.log)} of log`]);
  if (Object.keys(session.settings).length > 0) rows.push(["Settings", <code>{pretty(session.settings)}</code>]);
  if (session.limits) rows.push(["Limits", <code>{pretty(session.limits)}</code>]);
  for (const [key, value] of Object.entries(session.metadata ?? {})) rows.push([key, <Exact text={value} />]);
  return (
    <>
      <dl class="facts">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      {session.resources.length > 0 ? <><h2>Repositories</h2>{session.resources.map((it) => <p key={it.url} class="tiny"><Exact text={it.url} />{it.commit ? <> at <code>{it.commit.slice(0, 10)}</code></> : null}</p>)}</> : null}
      <h2>Turns</h2>
      <ol class="turns">
        {turns.map((turn) => (
          <li key={turn.turn_number}>
            <button type="button" class="link clip" onClick={() => void attempt(async () => {
              await log.toTurn(turn.turn_number);
              const row = log.fold.root.rows.find((it) => it.kind === "turn" && it.number === turn.turn_number);
              requestAnimationFrame(() => row && current.value?.list.current?.toKey(row.key));
            })}><Exact text={turn.prompt.slice(0, 120)} /></button>
            <span class="dim tiny">{turn.outcome ?? turn.status}{turn.started_at && turn.ended_at ? `, ${duration(Date.parse(turn.ended_at) - Date.parse(turn.started_at))}` : ""}, {cost(turn.usage.cost_usd)}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
