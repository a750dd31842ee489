// The workspace's files: a tree, a look at one of them, changes to it. Nothing of a workspace is
// ever rendered here but as text, or as the pixels of a raster image.

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, call, failure, get, request } from "../lib/api";
import { ago, bytes } from "../lib/format";
import { Confirm, Empty, ErrorNote, Loading, Menu, attempt, toast } from "../ui/basics";
import { Icon } from "../ui/icons";
import { Code, Exact, save } from "../ui/text";
import { rasterType, useBlobUrl } from "./picture";
import type { SessionLog } from "./session";

interface Entry { path: string; encoded_path: string; type: "file" | "folder" | "symlink" | "other"; size: number; modified_at: string; target?: string; etag?: string; executable: boolean }
interface FilePage { data: Entry[]; next?: string }

/** What is loaded into the page at once; larger files are downloaded. */
const PREVIEW = 2_000_000;
const WHOLE = 50_000_000;

const nameOf = (path: string): string => path.split("/").at(-1) ?? path;

export function Files({ log, path, onPath }: { log: SessionLog; path: string | null; onPath: (path: string | null) => void }) {
  const [round, setRound] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const upload = (files: Iterable<File>, folder = "") => attempt(async () => {
    for (const file of files) {
      const to = `${folder}${file.name}`;
      const reply = await request("PUT", `${log.path}/files/${to.split("/").map(encodeURIComponent).join("/")}?unpack=false`, { raw: file, headers: { "content-type": "application/octet-stream" } });
      if (!reply.ok) throw await failure(reply);
      toast(`${file.name} was uploaded`);
    }
    setRound((n) => n + 1);
  });
  if (path !== null) return <FileView log={log} path={path} onBack={() => { onPath(null); setRound((n) => n + 1); }} />;
  return (
    <div class="files" onDragOver={(event) => event.preventDefault()} onDrop={(event) => { event.preventDefault(); void upload(event.dataTransfer?.files ?? []); }}>
      <div class="row">
        <button type="button" class="small" onClick={() => input.current?.click()}><Icon name="upload" />Upload</button>
        <input ref={input} type="file" multiple hidden aria-hidden="true" tabIndex={-1} onChange={(event) => { void upload([...(event.currentTarget.files ?? [])]); event.currentTarget.value = ""; }} />
        <button type="button" class="small" onClick={() => void attempt(() => download(`${log.path}/files?format=tar`, "workspace.tar"))}><Icon name="download" />All as tar</button>
        <span class="grow" />
        <button type="button" class="quiet small" onClick={() => setRound((n) => n + 1)}>Reload</button>
      </div>
      <Folder log={log} path="" round={`${round} ${log.session.value?.updated_at}`} onOpen={onPath} top />
    </div>
  );
}

async function download(path: string, name: string): Promise<void> {
  const reply = await request("GET", path, { headers: { accept: "*/*" } });
  if (!reply.ok) throw await failure(reply);
  const size = Number(reply.headers.get("content-length") ?? 0);
  if (size > WHOLE * 4) throw new Error(`${name} has ${bytes(size)}: download it with \`aod session files get\`.`);
  save(await reply.blob(), name);
}

function Folder({ log, path, round, onOpen, top = false }: { log: SessionLog; path: string; round: string; onOpen: (path: string) => void; top?: boolean }) {
  const [entries, setEntries] = useState<Entry[] | null>(null);
  const [next, setNext] = useState<string | undefined>();
  const [error, setError] = useState<unknown>(null);
  const load = (after?: string) => {
    get<FilePage>(`${log.path}/files?limit=500${path ? `&path=${encodeURIComponent(path)}` : ""}${after ? `&after=${encodeURIComponent(after)}` : ""}`)
      .then((page) => {
        setEntries((known) => (after ? [...(known ?? []), ...page.data] : page.data));
        setNext(page.next);
        setError(null);
      })
      .catch(setError);
  };
  useEffect(() => load(), [path, round]);
  if (error instanceof ApiError && error.status === 409 && top) return <Empty title="No files yet"><p class="dim">They are here once the sandbox is made.</p></Empty>;
  if (error) return <ErrorNote error={error} retry={() => load()} />;
  if (!entries) return <Loading />;
  if (entries.length === 0) return top ? <Empty title="The workspace is empty"><p class="dim">Drop files here to upload them.</p></Empty> : <p class="dim pad">Empty</p>;
  // Folders first; the server's order within each.
  const sorted = [...entries.filter((it) => it.type === "folder"), ...entries.filter((it) => it.type !== "folder")];
  return (
    <ul class="tree">
      {sorted.map((entry) => <EntryView key={entry.encoded_path} log={log} entry={entry} round={round} onOpen={onOpen} />)}
      {next ? <li><button type="button" class="quiet small" onClick={() => load(next)}>Show more</button></li> : null}
    </ul>
  );
}

function EntryView({ log, entry, round, onOpen }: { log: SessionLog; entry: Entry; round: string; onOpen: (path: string) => void }) {
  const [open, setOpen] = useState(false);
  const folder = entry.type === "folder";
  return (
    <li>
      <button type="button" class="entry" aria-expanded={folder ? open : undefined} disabled={entry.type === "other"} onClick={() => (folder ? setOpen(!open) : onOpen(entry.path))}>
        <Icon name={folder ? (open ? "down" : "right") : "file"} />
        <span class="grow clip"><Exact text={nameOf(entry.path)} />{entry.target ? <span class="dim"> → <Exact text={entry.target} /></span> : null}</span>
        {folder ? null : <span class="dim tiny">{bytes(entry.size)}</span>}
        <span class="dim tiny wide-only">{ago(entry.modified_at)}</span>
      </button>
      {open ? <Folder log={log} path={entry.path} round={round} onOpen={onOpen} /> : null}
    </li>
  );
}

const LANGUAGES: Record<string, string> = {
  rs: "rust", py: "python", js: "javascript", mjs: "javascript", jsx: "javascript", ts: "typescript", tsx: "typescript", sh: "bash",
  yml: "yaml", yaml: "yaml", toml: "ini", ini: "ini", json: "json", md: "", html: "xml", xml: "xml", svg: "xml", css: "css", go: "go",
  java: "java", c: "c", h: "c", cc: "cpp", cpp: "cpp", hpp: "cpp", cs: "csharp", rb: "ruby", php: "php", sql: "sql", kt: "kotlin", diff: "diff", patch: "diff",
};

function FileView({ log, path, onBack }: { log: SessionLog; path: string; onBack: () => void }) {
  const url = `${log.path}/files/${path.split("/").map(encodeURIComponent).join("/")}`;
  const [data, setData] = useState<Uint8Array<ArrayBuffer> | null>(null);
  const [size, setSize] = useState(0);
  const [etag, setEtag] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [draft, setDraft] = useState<string | null>(null);
  const [asks, setAsks] = useState(false);
  const picture = useBlobUrl(data);
  const load = async () => {
    setError(null);
    try {
      const reply = await request("GET", url, { headers: { accept: "*/*", range: `bytes=0-${PREVIEW - 1}` } });
      if (reply.status === 416) {
        setData(new Uint8Array());
        return;
      }
      if (!reply.ok) throw await failure(reply);
      const range = /\/(\d+)$/.exec(reply.headers.get("content-range") ?? "");
      const body = new Uint8Array(await reply.arrayBuffer());
      setSize(range ? Number(range[1]) : body.length);
      setEtag(reply.headers.get("etag"));
      setData(body);
    } catch (failed) {
      setError(failed);
    }
  };
  useEffect(() => void load(), [url]);
  const text = data && !isBinary(data) ? new TextDecoder().decode(data) : null;
  const keep = () => attempt(async () => {
    if (draft === null) return;
    const headers: Record<string, string> = { "content-type": "text/plain; charset=utf-8" };
    if (etag) headers["if-match"] = etag;
    const reply = await request("PUT", `${url}?unpack=false`, { raw: draft, headers });
    if (reply.status === 412) throw new Error("The file was changed meanwhile. Copy your text, reload, and change it again.");
    if (!reply.ok) throw await failure(reply);
    setDraft(null);
    toast("Saved");
    await load();
  });
  const extension = nameOf(path).split(".").at(-1)?.toLowerCase() ?? "";
  return (
    <div class="file-view">
      <div class="row">
        <button type="button" class="quiet icon-only" aria-label="Back to the files" onClick={onBack}><Icon name="left" /></button>
        <span class="path grow clip"><Exact text={path} /></span>
        <span class="dim tiny">{data ? bytes(size) : ""}</span>
        {text !== null && data && data.length === size && draft === null && size < 500_000 ? <button type="button" class="small" onClick={() => setDraft(text)}><Icon name="edit" />Edit</button> : null}
        <Menu label="More about the file">
          {(close) => (
            <>
              <button type="button" onClick={() => { close(); void attempt(() => download(url, nameOf(path))); }}><Icon name="download" />Download</button>
              <button type="button" class="danger" onClick={() => { close(); setAsks(true); }}><Icon name="trash" />Delete</button>
            </>
          )}
        </Menu>
      </div>
      <ErrorNote error={error} retry={() => void load()} />
      {!data && !error ? <Loading /> : null}
      {draft !== null ? (
        <>
          <textarea class="editor" aria-label={`Edit ${path}`} spellcheck={false} value={draft} onInput={(event) => setDraft(event.currentTarget.value)} />
          <div class="row"><span class="grow" /><button type="button" onClick={() => setDraft(null)}>Cancel</button><button type="button" class="primary" onClick={() => void keep()}>Save</button></div>
        </>
      ) : data && picture && rasterType(data) ? (
        <img class="full" src={picture} alt={`The image ${nameOf(path)}`} />
      ) : text !== null ? (
        <Code text={text} lang={LANGUAGES[extension] ?? ""} />
      ) : data ? (
        <Empty title="Not a text"><p class="dim">Its first bytes are <code>{[...data.slice(0, 16)].map((it) => it.toString(16).padStart(2, "0")).join(" ")}</code></p><button type="button" class="small" onClick={() => void attempt(() => download(url, nameOf(path)))}><Icon name="download" />Download</button></Empty>
      ) : null}
      {asks ? <Confirm title={`Delete ${nameOf(path)}?`} text="It is deleted from the session's workspace for good." action="Delete" onNo={() => setAsks(false)} onYes={() => void attempt(async () => { await call("DELETE", url); toast("Deleted"); onBack(); })} /> : null}
    </div>
  );
}

/** Whether bytes are no text, by what they begin with. */
function isBinary(data: Uint8Array): boolean {
  const head = data.subarray(0, 8000);
  let odd = 0;
  for (const byte of head) {
    if (byte === 0) return true;
    if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27)) odd++;
  }
  return odd > head.length / 10;
}
