// The users of the server, for administrators: who there is, another one, and their first tokens.

import { useEffect, useState } from "preact/hooks";
import { ApiError, call, failure, post, request } from "../lib/api";
import type { Listing } from "../lib/types";
import { CopyButton, ErrorNote, Field, Loading, PageHead, attempt } from "../ui/basics";
import { Ago, Table } from "../ui/table";
import { Exact } from "../ui/text";

interface User { id: string; name: string; admin: boolean; created_at: string }

export function UsersPage() {
  const [all, setAll] = useState<User[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [failed, setFailed] = useState<unknown>(null);
  const [name, setName] = useState("");
  const [admin, setAdmin] = useState(false);
  const [secret, setSecret] = useState<{ user: string; token: string } | null>(null);
  const load = () => {
    setError(null);
    void (async () => {
      const reply = await request("GET", "/users");
      if (!reply.ok) throw await failure(reply, true);
      setAll(((await reply.json()) as Listing<User>).data);
    })().catch(setError);
  };
  useEffect(load, []);
  const token = async (user: User) => {
    const made = await call<{ token: string }>("POST", `/users/${user.id}/tokens`, { body: { name: "first" }, admin: true });
    setSecret({ user: user.name, token: made.token });
  };
  const add = async () => {
    setFailed(null);
    try {
      await token(await post<User>("/users", { name: name.trim(), ...(admin ? { admin } : {}) }));
      setName("");
      setAdmin(false);
      load();
    } catch (problem) {
      setFailed(problem);
    }
  };
  const problems = failed instanceof ApiError ? failed.fields : new Map<string, string>();
  if (error instanceof ApiError && error.status === 401) {
    return <main class="page"><PageHead title="Users" /><p class="note">Users are for administrators. <code>aod token create NAME --user ADMIN</code> on the server's machine makes a token of one.</p></main>;
  }
  return (
    <main class="page">
      <PageHead title="Users" hint="Each has sessions, agents, credentials and webhooks of their own, and sees nobody else's." />
      <ErrorNote error={error} retry={load} />
      {secret ? <div class="secret" role="status"><div class="grow">A token of <Exact text={secret.user} />, which is shown now and never again:<br /><code>{secret.token}</code></div><CopyButton text={secret.token} label="Copy the token" /><button type="button" class="small" onClick={() => setSecret(null)}>Done</button></div> : null}
      <form class="card" aria-label="New user" onSubmit={(event) => { event.preventDefault(); void add(); }}>
        <div class="row wrap">
          <Field label="Name of a new one" error={problems.get("name")}><input required maxLength={200} value={name} placeholder="grace" onInput={(event) => setName(event.currentTarget.value)} /></Field>
          <label class="check align-end"><input type="checkbox" checked={admin} onChange={(event) => setAdmin(event.currentTarget.checked)} />Administrator</label>
          <button class="primary align-end">Add the user</button>
        </div>
        {problems.size === 0 ? <ErrorNote error={failed} /> : null}
      </form>
      {!all && !error ? <Loading /> : null}
      {all ? (
        <Table label="Users" head={["Name", "Role", "Added", ""]} rows={all.map((it) => [
          it.id, <Exact text={it.name} />, it.admin ? "administrator" : "user", <Ago at={it.created_at} />,
          <button type="button" class="small" onClick={() => void attempt(() => token(it))}>Make a token</button>,
        ])} />
      ) : null}
    </main>
  );
}
