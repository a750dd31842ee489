// The login: over the page where there was a token, so that nothing typed is lost.

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, logIn, refused, request, failure } from "../lib/api";
import { ErrorNote } from "../ui/basics";

/** Tries a token; what is wrong with it is an error. */
async function check(value: string): Promise<void> {
  const reply = await request("GET", "/sessions?limit=1", { headers: { authorization: `Bearer ${value}` } });
  if (!reply.ok) {
    const error = await failure(reply, true);
    throw error;
  }
}

export function Login() {
  const [value, setValue] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async () => {
    const trimmed = value.trim();
    if (!trimmed || busy) return;
    setBusy(true);
    setError(null);
    try {
      await check(trimmed);
      logIn(trimmed);
    } catch (failed) {
      setError(failed instanceof ApiError && failed.status === 401 ? new ApiError(401, "This token is unknown, expired or revoked.", failed.requestId) : failed);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <form onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <div class="brand"><Logo /><span>aod</span></div>
        <h1>Log in</h1>
        {refused.value ? <p class="note">{refused.value} What you typed is kept.</p> : null}
        <label class="field">
          <span class="label">API token</span>
          <input ref={field} type="password" name="token" autocomplete="off" spellcheck={false} value={value} placeholder="aod_…" onInput={(event) => setValue(event.currentTarget.value)} />
        </label>
        <ErrorNote error={error} />
        <button class="primary" disabled={busy || !value.trim()}>{busy ? "Checking…" : "Log in"}</button>
        <p class="dim">On the server's machine, <code>aod token create NAME</code> makes a token, and <code>aod login</code> prints a link that logs in without one. A token is kept in this tab alone, until it is closed. <a href="/docs">The documents</a> need none.</p>
      </form>
    </main>
  );
}

export const Logo = () => (
  <svg class="logo" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
    <rect width="32" height="32" rx="8" class="logo-ground" />
    <path d="M9 10l6 6-6 6M17 22h7" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round" />
  </svg>
);
